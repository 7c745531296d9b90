"""The contract of a processor: one item in, one item out."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

__all__ = ["Processor"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


class Processor(ABC, Generic[InputT, OutputT]):
    """Transforms, filters, enriches or batches the items of one exporter.

    A processor belongs to the configured exporter and serves all of its runs: it is called on one thread, one item at a
    time, in the order in which it was added. It returns a changed copy, never changes the item it was given. If it raises,
    the item is not exported: it is counted as `processor_error`.

    One that is configured (`processors:`) must return what it takes, and may take a limited time for an item; then the item is
    dropped as `processor_timeout`.
    """

    @abstractmethod
    async def process(self, item: InputT) -> OutputT | None:
        """The item to pass on; `None` drops it, counted as `filtered`."""
