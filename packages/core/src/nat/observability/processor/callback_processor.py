"""Processors that also give items at times of their own choosing."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nat.observability.processor.processor import Processor

__all__ = ["CallbackProcessor"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


class CallbackProcessor(Processor[InputT, OutputT]):
    """A processor that can give an item without having been given one: a batch whose time is up, an aggregate.

    `ProcessingExporter.add_processor` sets the callback; what is passed to it goes on through the later processors to
    `export_processed`.
    """

    @abstractmethod
    def set_done_callback(self, callback: Callable[[OutputT], Awaitable[None]]) -> None:
        """Await `callback(output)` for every output that `process` does not return."""

    async def shutdown(self) -> None:
        """Take nothing more and pass on what is held, through the callback."""
