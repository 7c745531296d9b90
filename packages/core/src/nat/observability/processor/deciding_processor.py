"""Processors that decide on runs as a whole."""

from abc import abstractmethod
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from nat.observability.events import Run
from nat.observability.processor.processor import InputT, OutputT, Processor

__all__ = ["DecidingProcessor", "Verdict"]


class Verdict(Enum):
    """What becomes of an item: it passes, is dropped, or is held until more is known of its run."""

    PASS = auto()
    DROP = auto()
    HOLD = auto()


class DecidingProcessor(Processor[InputT, OutputT]):
    """A processor that drops runs as a whole, counted as `sampled_out`; only among those that are configured.

    It may hold items, which it then passes on or drops through the callbacks of `connect`.
    """

    @abstractmethod
    def connect(self, pass_on: Callable[[Any], None], drop: Callable[[Any], None]) -> None:
        """Call one of these with the ticket of each item that was held."""

    @abstractmethod
    def take(self, item: InputT, run: Run | None, ticket: Any, size_bytes: int) -> Verdict:
        """Decide on an item; `ticket` stands for it if it is held, and it takes so many bytes."""

    @abstractmethod
    def end_run(self, run: Run) -> None:
        """A run has ended. Items of it may come all the same; then it ends again."""

    @abstractmethod
    def end_all(self) -> None:
        """Decide on everything that is held by what is known of it."""

    @abstractmethod
    def discard(self) -> int:
        """Forget what is held; returns how many items that were."""
