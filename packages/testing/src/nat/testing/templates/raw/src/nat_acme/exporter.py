"""The exporter `acme`."""

import asyncio
from pathlib import Path

from nat.plugin_api import IntermediateStep, IntermediateStepSerializer, RawExporter


class AcmeExporter(RawExporter[IntermediateStep, str]):
    """Writes every step as a line of JSON, in the order in which they happen.

    Args:
        path: Of the file, which is appended to.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.add_processor(IntermediateStepSerializer())

    async def export_processed(self, item: str) -> None:
        """Take one step: return when it is where it belongs, raise when it is not.

        What is raised says whether it is tried again; do not catch, wait or retry here.
        """
        await asyncio.to_thread(self._append, f"{item}\n")  # what blocks goes to a thread

    def _append(self, line: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)
