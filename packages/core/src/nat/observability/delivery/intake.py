"""The intake: where captured steps and spans wait for the telemetry thread."""

import threading
from collections.abc import Callable
from typing import NamedTuple

from nat.observability.events import CapturedStep, Run
from nat.observability.snapshot import size_bytes
from nat.observability.spans.capture import CapturedSpan

__all__ = ["Drained", "Intake"]

_MAX_ITEMS = 200_000
_MAX_BYTES = 256 * 1024 * 1024
_ITEM_BYTES = 400  # an item's own objects, beside the values it holds


class Drained(NamedTuple):
    """What one drain took out, in order; an entry without an item is the end of a run and stands in both lists."""

    steps: list[tuple[CapturedStep | None, Run]]
    spans: list[tuple[CapturedSpan | None, Run]]
    step_count: int
    span_count: int


class Intake:
    """A bounded queue that many threads append to and one drains. A full one refuses what is new, and counts it.

    Args:
        wake: Called when something comes in after `drain` has left the intake empty; any thread, must return at once.
        max_items: Steps and spans that may wait.
        max_bytes: Memory that they may hold, estimated.
    """

    def __init__(self, wake: Callable[[], None], *, max_items: int = _MAX_ITEMS, max_bytes: int = _MAX_BYTES) -> None:
        self._wake = wake
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._is_drained = True
        self._bytes = 0
        self._steps: list[tuple[CapturedStep | None, Run]] = []
        self._spans: list[tuple[CapturedSpan | None, Run]] = []
        self._step_count = 0
        self._span_count = 0
        self.refused_steps = 0
        self.refused_spans = 0

    def put_step(self, step: CapturedStep, run: Run) -> None:
        """Take a step; never blocks."""
        size = _step_bytes(step)
        with self._lock:
            if self._is_full(size):
                self.refused_steps += 1
                return
            self._bytes += size
            self._steps.append((step, run))
            self._step_count += 1
            is_first, self._is_drained = self._is_drained, False
        if is_first:
            self._wake()

    def put_span(self, span: CapturedSpan, run: Run) -> None:
        """Take a span; never blocks."""
        size = _step_bytes(span.start) + (0 if span.end is None else _step_bytes(span.end))
        with self._lock:
            if self._is_full(size):
                self.refused_spans += 1
                return
            self._bytes += size
            self._spans.append((span, run))
            self._span_count += 1
            is_first, self._is_drained = self._is_drained, False
        if is_first:
            self._wake()

    def put_end(self, run: Run) -> None:
        """Take the end of a run; never refused."""
        with self._lock:
            self._steps.append((None, run))
            self._spans.append((None, run))
            is_first, self._is_drained = self._is_drained, False
        if is_first:
            self._wake()

    def drain(self) -> Drained:
        """Take out everything; the next item wakes again."""
        with self._lock:
            drained = Drained(self._steps, self._spans, self._step_count, self._span_count)
            self._steps, self._spans = [], []
            self._step_count = self._span_count = self._bytes = 0
            self._is_drained = True
        return drained

    def waiting(self) -> tuple[int, int]:
        """Steps and spans that wait."""
        with self._lock:
            return self._step_count, self._span_count

    def _is_full(self, size: int) -> bool:
        return self._step_count + self._span_count >= self._max_items or self._bytes + size > self._max_bytes


def _step_bytes(step: CapturedStep) -> int:
    return (
        _ITEM_BYTES
        + size_bytes(step.input)
        + size_bytes(step.output)
        + size_bytes(step.chunk)
        + size_bytes(step.metadata)
    )
