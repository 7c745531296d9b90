import aiohttp

from nat.data_models.intermediate_step import IntermediateStep
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.processor.batching_processor import BatchingProcessor


class BatchedRawExporter(RawExporter[IntermediateStep, IntermediateStep]):
    def __init__(self, endpoint: str, batch_size: int = 100, flush_interval: float = 5.0):
        super().__init__()
        self.endpoint = endpoint
        self.session = aiohttp.ClientSession()
        self.add_processor(BatchingProcessor[IntermediateStep](batch_size=batch_size, flush_interval=flush_interval))

    async def export_processed(self, item: IntermediateStep | list[IntermediateStep]):
        items = item if isinstance(item, list) else [item]
        async with self.session.post(self.endpoint, json=[self._transform_item(one) for one in items]) as response:
            response.raise_for_status()

    def _transform_item(self, item: IntermediateStep) -> dict:
        return {"event": item.event_type, "name": item.name}

    async def _cleanup(self):
        await self.session.close()
        await super()._cleanup()
