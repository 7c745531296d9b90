"""A lane in virtual time, and an exporter that does what it is told, attempt by attempt."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.worker import Lane
from nat.observability.exporter.base_exporter import LaneView
from nat.observability.exporter.processing_exporter import ProcessingExporter
from nat.observability.ledger import Counts
from nat.observability.processor.processor import Processor

__all__ = ["Backend", "assert_balanced", "lane_to"]


class Backend(ProcessingExporter[Any, Any]):
    """Keeps what it takes; before that, `answer` may raise, or wait.

    Attributes:
        attempts: When each attempt was made, and with what.
        taken: What was acknowledged, single items.
    """

    def __init__(self, answer: Callable[[Any], BaseException | None] = lambda item: None, takes_s: float = 0.0) -> None:
        super().__init__()
        self.answer = answer
        self.takes_s = takes_s
        self.attempts: list[tuple[float, Any]] = []
        self.taken: list[Any] = []

    @property
    def times(self) -> list[float]:
        """When each attempt was made."""
        return [when for when, _ in self.attempts]

    async def export_processed(self, item: Any) -> None:
        self.attempts.append((asyncio.get_running_loop().time(), item))
        if self.takes_s:
            await asyncio.sleep(self.takes_s)
        error = self.answer(item)
        if error is not None:
            raise error
        self.taken.extend(item if isinstance(item, list) else [item])


def answers(*outcomes: BaseException | None) -> Callable[[Any], BaseException | None]:
    """One outcome for each attempt, then success."""
    left = list(outcomes)
    return lambda item: left.pop(0) if left else None


@asynccontextmanager
async def lane_to(
    backend: Backend, options: DeliveryOptions | None = None, processors: Sequence[Processor[Any, Any]] = ()
) -> AsyncIterator[Lane]:
    """An open lane without jitter, closed at the end; its accounts balance."""
    for processor in processors:
        backend.add_processor(processor)
    loop = asyncio.get_running_loop()
    lane = Lane(
        "backend", LaneView(backend), options or DeliveryOptions(), is_solo=True, clock=loop.time, jitter=lambda: 0.5
    )
    backend.use_lane(lane)
    async with backend.start():
        lane.recover()
        yield lane
    counts = lane.ledger.counts()
    assert_balanced(counts)
    assert counts.pending == 0


def assert_balanced(counts: Counts) -> None:
    """Every item has exactly one fate."""
    fates = counts.delivered + counts.rejected + sum(counts.dropped.values()) + counts.dead_lettered + counts.spooled
    assert counts.accepted + counts.recovered == fates + counts.pending, counts
    assert min(counts.accepted, counts.delivered, counts.rejected, counts.pending, *counts.dropped.values()) >= 0, (
        counts
    )
    assert min(counts.dead_lettered, counts.spooled, counts.recovered) >= 0, counts
