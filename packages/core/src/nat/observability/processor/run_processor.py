"""Processors that look at an item's run."""

from abc import abstractmethod

from nat.observability.events import Run
from nat.observability.processor.processor import InputT, OutputT, Processor

__all__ = ["RunProcessor"]


class RunProcessor(Processor[InputT, OutputT]):
    """A processor that is told which run an item belongs to."""

    async def process(self, item: InputT) -> OutputT | None:
        """As `process_in`, of an item whose run is not known."""
        return await self.process_in(item, None)

    @abstractmethod
    async def process_in(self, item: InputT, run: Run | None) -> OutputT | None:
        """The item to pass on; `None` drops it, counted as `filtered`."""
