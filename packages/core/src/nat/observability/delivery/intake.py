"""The intake: where captured steps and spans wait for the telemetry thread, and how many may be on their way in all."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Literal, NamedTuple, TypeVar

from nat.data_models.delivery import IntakeConfig
from nat.observability.events import CapturedStep, Run
from nat.observability.spans.capture import CapturedSpan

__all__ = ["Drained", "Intake", "IntakeLimits", "Load", "item_bytes"]

_ITEM_BYTES = 400  # an item's own objects, beside the values it holds
_OWN_SHARE = 16  # one part in so many is there for what is new, even if some lane holds all the rest

T = TypeVar("T", CapturedStep, CapturedSpan)
PartT = TypeVar("PartT")

_DEFAULT = {name: field.get_default() for name, field in IntakeConfig.model_fields.items()}


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """What may be on its way in one telemetry, and what happens beyond.

    Attributes:
        max_items: Steps and spans.
        max_bytes: Memory that they hold.
        overflow: Which ones are lost: what is new, what is oldest, or what is new after a wait.
        wait_timeout_s: How long code that takes a step waits at most.
    """

    max_items: int = _DEFAULT["max_items"]
    max_bytes: int = _DEFAULT["max_bytes"]
    overflow: Literal["drop_newest", "drop_oldest", "wait"] = _DEFAULT["overflow"]
    wait_timeout_s: float = _DEFAULT["wait_timeout"]

    def allows(self, load: "Load") -> bool:
        """Whether so much may be on its way."""
        return load.items <= self.max_items and load.size <= self.max_bytes


class Load(NamedTuple):
    """A number of items and the bytes that they hold."""

    items: int = 0
    size: int = 0

    def plus(self, other: "Load") -> "Load":
        """Both together."""
        return Load(self.items + other.items, self.size + other.size)


class Drained(NamedTuple):
    """What one drain took out, in order; an entry without an item is the end of a run and stands in both lists."""

    steps: Sequence[tuple[CapturedStep | None, Run]]
    spans: Sequence[tuple[CapturedSpan | None, Run]]
    step_load: Load
    span_load: Load

    def without_newest(self, limit: "IntakeLimits", held: Load) -> "Drained":
        """What fits beside what is held already, item by item from the oldest on; ends of runs always do."""
        steps, step_load = _fitting(self.steps, limit, held)
        spans, span_load = _fitting(self.spans, limit, held)
        return Drained(steps, spans, step_load, span_load)

    def parts(self, part_of: Callable[[Run], PartT]) -> "dict[PartT, Drained]":
        """The same, by which part a run belongs to; what is of one run stays in order."""
        known = {run: part_of(run) for entries in (self.steps, self.spans) for _, run in entries}
        if len(parts := set(known.values())) == 1:
            return dict.fromkeys(parts, self)
        steps, spans = _parted(self.steps, known), _parted(self.spans, known)
        return {
            part: Drained(steps.get(part, []), spans.get(part, []), _load_of(steps, part), _load_of(spans, part))
            for part in parts
        }


class _Queue(Generic[T]):
    """Waiting items of one kind."""

    def __init__(self) -> None:
        self.entries: deque[tuple[T | None, Run]] = deque()
        self.count = 0
        self.size = 0
        self.refused = 0

    def drop_oldest(self) -> int:
        """Lose one item; ends of runs stay. Returns its size."""
        ends: list[tuple[T | None, Run]] = []
        size = 0
        while self.entries:
            item, run = self.entries.popleft()
            if item is not None:
                size = item_bytes(item)
                self.count -= 1
                self.size -= size
                self.refused += 1
                break
            ends.append((item, run))
        self.entries.extendleft(reversed(ends))
        return size


class Intake:
    """A queue that many threads append to and one drains, bounded together with what its lanes still hold.

    Args:
        wake: Called when something comes in after `drain` has left the intake empty; any thread, must return at once.
        limits: What may be on its way.
        may_wait: Whether the calling thread may be kept waiting: telemetry's own threads may not.

    Attributes:
        put_step, put_span: Take one, and the run it came in; block only where the overflow policy is to wait.
    """

    def __init__(
        self,
        wake: Callable[[], None],
        limits: IntakeLimits | None = None,
        may_wait: Callable[[], bool] = lambda: True,
    ) -> None:
        self._wake = wake
        self.limits = limits or IntakeLimits()
        self._max_items = self.limits.max_items
        self._max_bytes = self.limits.max_bytes
        self._may_wait = may_wait
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._is_drained = True
        self._steps = _Queue[CapturedStep]()
        self._spans = _Queue[CapturedSpan]()
        self._count = 0  # here and in the lanes
        self._size = 0
        self.put_step: Callable[[CapturedStep, Run], None] = partial(self._put, self._steps)
        self.put_span: Callable[[CapturedSpan, Run], None] = partial(self._put, self._spans)

    def put_end(self, run: Run) -> None:
        """Take the end of a run; never refused."""
        with self._lock:
            self._steps.entries.append((None, run))
            self._spans.entries.append((None, run))
            is_first, self._is_drained = self._is_drained, False
        if is_first:
            self._wake()

    def drain(self) -> Drained:
        """Take out everything; the next item wakes again. It counts as held until `hold` says how much that is."""
        with self._lock:
            steps, spans = self._steps, self._spans
            drained = Drained(
                list(steps.entries), list(spans.entries), Load(steps.count, steps.size), Load(spans.count, spans.size)
            )
            for queue in (steps, spans):
                queue.entries.clear()
                queue.count = queue.size = 0
            self._is_drained = True
        return drained

    def hold(self, held: Load) -> None:
        """Say how much the lanes hold now of what was drained."""
        with self._lock:
            self._count = held.items + self._steps.count + self._spans.count
            self._size = held.size + self._steps.size + self._spans.size
            self._room.notify_all()

    def waiting(self) -> tuple[int, int]:
        """Steps and spans that wait here."""
        with self._lock:
            return self._steps.count, self._spans.count

    def refused(self) -> tuple[int, int]:
        """Steps and spans that were lost here, for all lanes."""
        with self._lock:
            return self._steps.refused, self._spans.refused

    def _put(self, queue: _Queue[T], item: T, run: Run) -> None:
        size = item_bytes(item)
        with self._lock:
            is_full = self._count >= self._max_items or self._size + size > self._max_bytes
            if is_full and not self._make_room(queue, size):
                queue.refused += 1
                return
            queue.entries.append((item, run))
            queue.count += 1
            queue.size += size
            self._count += 1
            self._size += size
            is_first, self._is_drained = self._is_drained, False
        if is_first:
            self._wake()

    def _make_room(self, queue: _Queue[T], size: int) -> bool:
        """Room for one item after all; lanes that hold too much refuse it then, and the others get it."""
        overflow = self.limits.overflow
        if overflow == "wait" and self._may_wait():
            deadline = time.monotonic() + self.limits.wait_timeout_s
            while (is_full := self._is_full(size)) and (left := deadline - time.monotonic()) > 0:
                self._room.wait(left)
            if not is_full:
                return True
        while not self._has_own_room(size):
            if overflow != "drop_oldest" or not queue.count:
                return False
            self._count -= 1
            self._size -= queue.drop_oldest()
        return True

    def _is_full(self, size: int) -> bool:
        return self._count >= self._max_items or self._size + size > self._max_bytes

    def _has_own_room(self, size: int) -> bool:
        count, held = self._steps.count + self._spans.count, self._steps.size + self._spans.size
        return not count or (count * _OWN_SHARE < self._max_items and (held + size) * _OWN_SHARE <= self._max_bytes)


def item_bytes(item: CapturedStep | CapturedSpan) -> int:
    """Memory that an item holds, estimated."""
    if isinstance(item, CapturedSpan):
        if not item.size_bytes:
            start, end = item.start, item.end
            item.size_bytes = _step_bytes(start) + (0 if end is None or end is start else _step_bytes(end))
        return item.size_bytes
    return _step_bytes(item)


def _step_bytes(step: CapturedStep) -> int:
    size = _ITEM_BYTES  # no loop: this is the agent's time
    if step.input is not None:
        size += step.input.__sizeof__()
    if step.output is not None:
        size += step.output.__sizeof__()
    if step.metadata is not None:
        size += step.metadata.__sizeof__()
    if step.attributes is not None:
        size += step.attributes.__sizeof__()
    if step.chunk is not None:
        size += step.chunk.__sizeof__()
    if step.extra is not None:
        size += step.extra.__sizeof__()
    if step.error is not None:
        size += len(step.error.message) + len(step.error.stacktrace or "")
    return size


def _parted(
    entries: Iterable[tuple[T | None, Run]], parts: Mapping[Run, PartT]
) -> dict[PartT, list[tuple[T | None, Run]]]:
    parted: dict[PartT, list[tuple[T | None, Run]]] = {}
    for entry in entries:
        parted.setdefault(parts[entry[1]], []).append(entry)
    return parted


def _load_of(parted: Mapping[PartT, Sequence[tuple[T | None, Run]]], part: PartT) -> Load:
    sizes = [item_bytes(item) for item, _ in parted.get(part, ()) if item is not None]
    return Load(len(sizes), sum(sizes))


def _fitting(
    entries: Iterable[tuple[T | None, Run]], limit: IntakeLimits, held: Load
) -> tuple[list[tuple[T | None, Run]], Load]:
    fitting: list[tuple[T | None, Run]] = []
    load = Load()
    for item, run in entries:
        if item is not None:
            more = load.plus(Load(1, item_bytes(item)))
            if not limit.allows(held.plus(more)):
                continue
            load = more
        fitting.append((item, run))
    return fitting, load
