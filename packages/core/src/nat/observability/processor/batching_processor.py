"""Batching: collect single items, pass them on as lists."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from nat.observability.noise import raised
from nat.observability.processor.callback_processor import CallbackProcessor

__all__ = ["BatchingProcessor"]

_log = logging.getLogger("nat.observability.processor")

T = TypeVar("T")


class BatchingProcessor(CallbackProcessor[T, list[T]]):
    """Collects items and passes them on as a list: when `batch_size` are there, or `flush_interval` seconds after the first.

    Lists that `process` does not return (time is up, forced flush, shutdown) go to the callback; without one they are handed
    out by `force_flush`. One instance serves all runs of its exporter: lists mix runs. It belongs to the
    event loop in which it is first used and is not thread-safe.

    Args:
        batch_size: Items that make a batch, at least 1.
        flush_interval: Seconds that an item waits at most.
        max_queue_size: Items that may wait, at least `batch_size`.
        drop_on_overflow: Full queue: drop the new item (counted) instead of flushing at once.
        shutdown_timeout: Seconds that the last flush may take.

    Raises:
        ValueError: An option is out of its range.
    """

    def __init__(
        self,
        batch_size: int = 100,
        flush_interval: float = 5.0,
        max_queue_size: int = 1000,
        drop_on_overflow: bool = False,
        shutdown_timeout: float = 10.0,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size!r}")
        if max_queue_size < batch_size:
            raise ValueError(f"max_queue_size must be at least batch_size ({batch_size}), got {max_queue_size!r}")
        for name, seconds in (("flush_interval", flush_interval), ("shutdown_timeout", shutdown_timeout)):
            if not seconds >= 0:
                raise ValueError(f"{name} must be 0 or more seconds, got {seconds!r}")
        self._batch_size = batch_size
        self._flush_interval_s = flush_interval
        self._max_queue_size = max_queue_size
        self._drop_on_overflow = drop_on_overflow
        self._shutdown_timeout_s = shutdown_timeout
        self._waiting: deque[T] = deque()
        self._callback: Callable[[list[T]], Awaitable[None]] | None = None
        self._is_downstream_ready: Callable[[], bool] = _always
        self._timer: asyncio.TimerHandle | None = None
        self._flushes: set[asyncio.Task[None]] = set()
        self._is_shut_down = False
        self._shutdown_requested = False
        self._batches_created = 0
        self._items_processed = 0
        self._items_dropped = 0
        self._queue_overflows = 0
        self._shutdown_batches = 0

    async def process(self, item: T) -> list[T]:
        """Take one item; a full batch, or an empty list while it fills."""
        if self._shutdown_requested:
            self._items_dropped += 1
            _log.warning("batching: an item came after shutdown and is dropped")
            return []
        if len(self._waiting) >= self._max_queue_size:
            self._queue_overflows += 1
            if self._drop_on_overflow:
                self._items_dropped += 1
                return []
            batch = self._take(self._batch_size)
            self._add(item)
            return batch
        self._add(item)
        if len(self._waiting) >= self._batch_size and self._is_downstream_ready():
            return self._take(self._batch_size)
        return []

    async def flush_full(self) -> None:
        """Pass on the full batches that waited for whatever comes later to be ready again."""
        while self._callback is not None and len(self._waiting) >= self._batch_size and self._is_downstream_ready():
            await self._callback(self._take(self._batch_size))

    async def force_flush(self) -> list[T]:
        """Pass on everything that waits now: to the callback, or as the result without one."""
        if self._callback is None:
            return self._take(len(self._waiting))
        while self._waiting:
            await self._callback(self._take(self._batch_size))
        return []

    async def shutdown(self) -> None:
        """Take no more items and pass on what waits, within `shutdown_timeout`; what remains is counted as dropped.

        Without a callback the remaining items stay for `force_flush`. May be called more than once.
        """
        if self._shutdown_requested:
            return
        self._shutdown_requested = True
        self._stop_timer()
        try:
            async with asyncio.timeout(self._shutdown_timeout_s):
                while self._waiting and self._callback is not None:
                    batch = self._take(self._batch_size)
                    self._shutdown_batches += 1
                    await self._callback(batch)
                if self._flushes:
                    await asyncio.wait(self._flushes)
        except TimeoutError:
            self._items_dropped += len(self._waiting)
            _log.warning(
                "batching: %d items could not be flushed within shutdown_timeout (%s s) and are dropped",
                len(self._waiting),
                self._shutdown_timeout_s,
            )
            self._waiting.clear()
        self._is_shut_down = True

    def set_done_callback(self, callback: Callable[[list[T]], Awaitable[None]]) -> None:
        """Await `callback(batch)` for every batch that `process` does not return."""
        self._callback = callback

    def set_downstream_ready(self, is_ready: Callable[[], bool]) -> None:
        """Keep full batches, up to `max_queue_size` items, while `is_ready()` is false: sending does not keep up."""
        self._is_downstream_ready = is_ready

    def discard(self) -> int:
        """Drop everything that waits, counted; returns how many items that were."""
        count = len(self._waiting)
        self._waiting.clear()
        self._items_dropped += count
        self._stop_timer()
        return count

    @property
    def shutdown_timeout_s(self) -> float:
        """Seconds that the last flush may take."""
        return self._shutdown_timeout_s

    @property
    def waiting_count(self) -> int:
        """Items that wait now."""
        return len(self._waiting)

    @property
    def dropped_count(self) -> int:
        """Items dropped since the start."""
        return self._items_dropped

    def get_stats(self) -> dict[str, Any]:
        """Options, counters since the start and the present queue size."""
        created, processed = self._batches_created, self._items_processed
        return {
            "current_queue_size": len(self._waiting),
            "batch_size_limit": self._batch_size,
            "flush_interval": self._flush_interval_s,
            "max_queue_size": self._max_queue_size,
            "drop_on_overflow": self._drop_on_overflow,
            "shutdown_timeout": self._shutdown_timeout_s,
            "batches_created": created,
            "items_processed": processed,
            "items_dropped": self._items_dropped,
            "queue_overflows": self._queue_overflows,
            "shutdown_batches": self._shutdown_batches,
            "shutdown_requested": self._shutdown_requested,
            "shutdown_complete": self._is_shut_down,
            "avg_items_per_batch": processed / created if created else 0.0,
            "drop_rate": self._items_dropped / (processed + self._items_dropped) if self._items_dropped else 0.0,
        }

    def _add(self, item: T) -> None:
        self._waiting.append(item)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._flush_interval_s, self._flush_in_background)

    def _take(self, count: int) -> list[T]:
        """Take up to `count` items; the timer runs on only for what is left."""
        batch = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        if batch:
            self._batches_created += 1
            self._items_processed += len(batch)
        if not self._waiting:
            self._stop_timer()
        return batch

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush_in_background(self) -> None:
        self._timer = None
        if self._callback is None:
            return
        task = asyncio.get_running_loop().create_task(self._pass_on(self._callback))
        self._flushes.add(task)
        task.add_done_callback(self._flushes.discard)

    async def _pass_on(self, callback: Callable[[list[T]], Awaitable[None]]) -> None:
        batch = self._take(self._batch_size)
        if not batch:
            return
        try:
            await callback(batch)
        except Exception as exc:
            self._items_dropped += len(batch)
            _log.warning("batching: passing on a batch of %d items raised %s; they are lost", len(batch), raised(exc))


def _always() -> bool:
    return True
