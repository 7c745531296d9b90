import asyncio

import aiofiles

from nat.data_models.intermediate_step import IntermediateStep
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.processor.intermediate_step_serializer import IntermediateStepSerializer


class JsonLinesExporter(RawExporter[IntermediateStep, str]):
    def __init__(self, filepath: str, **kwargs):
        super().__init__(**kwargs)
        self.filepath = filepath
        self.lock = asyncio.Lock()
        self.add_processor(IntermediateStepSerializer())

    async def export_processed(self, item: str):
        async with self.lock, aiofiles.open(self.filepath, "a") as file:
            await file.write(item + "\n")
