"""One lane: an exporter on an event loop, from what is offered to what its backend has acknowledged."""

import asyncio
import contextvars
import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import Any, Literal, Protocol

from nat.observability.delivery.breaker import Breaker
from nat.observability.delivery.errors import ExportFailure, classify
from nat.observability.delivery.intake import Load, item_bytes
from nat.observability.delivery.keeping import Keeping
from nat.observability.delivery.metrics import LaneMetrics
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.sizes import UNKNOWN_LIMIT_BYTES, size_of, truncated
from nat.observability.events import CapturedStep, Run, report_nothing
from nat.observability.ledger import Ledger
from nat.observability.noise import Noise, Outage, is_ours, raised
from nat.observability.pipeline import Envelope, Pipeline, items_of
from nat.observability.spans.capture import CapturedSpan
from nat.observability.spans.describe import described_copy
from nat.observability.step_models import to_intermediate_step

__all__ = ["SHUTDOWN_TIMEOUT_S", "Entry", "Lane", "LaneExporter"]

_log = logging.getLogger("nat.observability.delivery")

Entry = tuple[CapturedStep | CapturedSpan | None, Run]
"""What is offered to a lane: an item and its run; without an item, the end of the run."""

SHUTDOWN_TIMEOUT_S = 10.0  # for a last flush, where nothing else is said
MAX_PENDING = 200_000  # items on their way in one lane of an exporter that user code started
_OPEN_WHILE_FLUSHING_S = 1.0  # that the breaker may be open while somebody waits for a flush
_SLICE_COUNT = 32  # entries that are taken in one go: about 2 ms, in which the agent may wait for the interpreter
_SLICE_BYTES = 1024 * 1024
_BACKLOG_BYTES = 4 * 1024 * 1024  # as captured; described it is about three times as much
_RESIDENT_BYTES = 4 * 1024 * 1024  # of records whose items are held in memory too; what comes beyond is on disk only
_LOAD_BYTES = 256 * 1024  # of records that are read back in one go
_LOOK_EVERY_S = 30.0  # for what processes have left that died meanwhile
_TRY_DISK_EVERY_S = 1.0  # while it takes nothing
_ABORT_TIMEOUT_S = 1.0  # for cancelled tasks to end; one that does not is left behind


class LaneExporter(Protocol):
    """What a lane needs of an exporter."""

    @property
    def takes(self) -> Literal["steps", "spans"]:
        """What its runs' copies are given."""
        ...

    @property
    def has_own_export(self) -> bool:
        """Whether `export` is to be called for each item; else items go straight into the pipeline."""
        ...

    @property
    def gives_spans(self) -> bool:
        """Whether its `export` makes spans of steps, so that it submits fewer items than it is given."""
        ...

    @property
    def pipeline(self) -> Pipeline | None:
        """Its processors; `None` if `export` is all there is."""
        ...

    def isolated_copy(self) -> "LaneExporter":
        """A copy for one run, made in that run's context."""
        ...

    def export(self, event: Any) -> None:
        """Take one item; gives the pipeline's inputs to `Lane.submit`."""
        ...

    async def send(self, item: Any) -> None:
        """Send one item, or a list."""
        ...

    async def flush_own(self) -> None:
        """Hand over what this instance holds of its own."""
        ...


class _RunInLane:
    """What a lane keeps of one run: the exporter's copy, its context, and how many items are on their way."""

    __slots__ = ("context", "exporter", "has_ended", "in_flight", "run")

    def __init__(self, run: Run, exporter: LaneExporter, context: contextvars.Context | None) -> None:
        self.run = run
        self.exporter = exporter
        self.context = context
        self.in_flight = 0
        self.has_ended = False


class Lane:
    """Takes one exporter's items through its pipeline to its backend, and accounts for each of them.

    `offer` may be called from any thread; everything else runs on the loop in which `open` was called. The pipeline takes one
    item at a time, in order. `export_processed` runs with bounded concurrency; with 1, the order of items is kept.

    Args:
        name: Of the exporter, for messages.
        exporter: The configured exporter.
        options: How it is delivered to.
        is_solo: Items go to the exporter itself and not to a copy for each run: user code started it.
        shown: Makes what may be shown of an error's message; by default all of it may.
    """

    def __init__(
        self,
        name: str,
        exporter: LaneExporter,
        options: DeliveryOptions,
        *,
        ledger: Ledger | None = None,
        is_solo: bool = False,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        shown: Callable[[str], str] = str,
    ) -> None:
        self.name = name
        self.ledger = ledger or Ledger()
        self.metrics = LaneMetrics()
        self._exporter = exporter
        self._options = options
        self._item_limit_bytes = options.item_limit_bytes
        self._is_solo = is_solo
        self._clock = clock
        self._jitter = jitter
        self._shown = shown
        self._noise = Noise(_log, clock)
        self._outage = Outage(_log, name, clock)
        self._keeping = Keeping(
            name, self.ledger, self._noise, options.spool, options.dead_letters, self.metrics.unkept
        )
        self._breaker = Breaker(options.breaker)
        self._not_before_s = -math.inf
        self._nudge = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._inbox: deque[Sequence[Entry] | asyncio.Future[int]] = deque()
        self._offered_count = 0
        self._taken_count = 0
        self._skipped_count = 0
        self._backlog: deque[tuple[int, int, int]] = deque()
        self._has_room = asyncio.Event()
        self._taking: deque[Entry] = deque()
        self._resumed: deque[tuple[Envelope, int]] = deque()
        self._submitted: deque[Envelope] = deque()
        self._exported: deque[Envelope] = deque()
        self._runs: dict[Run, _RunInLane] = {}
        self._group: list[Envelope] = []
        self._group_timer: asyncio.TimerHandle | None = None
        self._send_queue: deque[Envelope] = deque()
        self._group_bytes = 0
        self._arrivals: deque[Envelope] = deque()
        self._keep_soon: asyncio.Handle | None = None
        self._settle_soon: asyncio.Handle | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self._disk_timer: asyncio.TimerHandle | None = None
        self._resident_bytes = 0
        self._partly_left: set[int] = set()
        self._is_leaving = False
        self._unsent: dict[int, int] = {}
        self._sequence = 0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._senders: dict[asyncio.Task[None], deque[Envelope]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._flushes: set[asyncio.Future[int]] = set()
        self._feeding: Envelope | None = None
        self._context = contextvars.copy_context()
        self._accepts_on_submit = exporter.takes == "steps" and exporter.has_own_export and exporter.gives_spans
        self._offer_lock = threading.Lock()
        self._is_closing = False
        self._refuse_reason = ""
        self._is_exporting = False
        self._is_flushing_copies = False
        self._is_aborted = False
        self._is_over = False
        self._closed: asyncio.Task[None] | None = None

    # -- from any thread -----------------------------------------------------------------------------------------------

    def offer(self, entries: Sequence[Entry], count: int) -> None:
        """Take entries, `count` of them items; a lane that is closing counts them as dropped. Never blocks.

        The sequence may be shared with other lanes and is not changed.
        """
        with self._offer_lock:
            if self._refuse_reason:
                if count and not self._accepts_on_submit:
                    self.ledger.refuse(self._refuse_reason, count)
                return
            self._offered_count += count
            if self._is_solo and self.ledger.pending + count > MAX_PENDING and count:
                self.ledger.refuse("queue_full", count)
                self._noise.warn("queue_full", "%s: %d items wait already; new ones are lost", self.name, MAX_PENDING)
                entries = [entry for entry in entries if entry[0] is None]
            elif not self._accepts_on_submit:
                self.ledger.accept(count)
            self._inbox.append(entries)
        _log.debug("%s: received %d item(s)", self.name, count)
        self._notify()

    @property
    def outstanding(self) -> int:
        """Items that were offered and have not met their fate."""
        waiting = self._offered_count - self._taken_count - self._skipped_count if self._accepts_on_submit else 0
        return self.ledger.pending + waiting

    def drop_oldest(self, reason: str, load: Load) -> None:
        """Lose the oldest items that have not been taken yet, so many and so many bytes; counts them as dropped."""
        dropped, size = 0, 0
        with self._offer_lock:
            kept: deque[Sequence[Entry] | asyncio.Future[int]] = deque()
            while self._inbox and (dropped < load.items or size < load.size):
                entries = self._inbox.popleft()
                if isinstance(entries, asyncio.Future):
                    kept.append(entries)
                    continue
                left: list[Entry] = []
                for item, run in entries:
                    if item is None or (dropped >= load.items and size >= load.size):
                        left.append((item, run))
                    else:
                        dropped += 1
                        size += item_bytes(item)
                if left:
                    kept.append(left)
            self._inbox.extendleft(reversed(kept))
            self._skipped_count += dropped
            if dropped and not self._accepts_on_submit:
                self.ledger.drop(reason, dropped)

    def _notify(self) -> None:
        if self._loop is None:
            return  # not open yet: `open` looks into the inbox
        if threading.get_ident() == self._thread_id:
            self._wake.set()
        else:
            with suppress(RuntimeError):  # its loop has been closed: what waits stays pending
                self._loop.call_soon_threadsafe(self._wake.set)

    # -- life ----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to take what was offered; must be called in the loop that is to run the exporter."""
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._context.run(report_nothing)
        self._thread_id = threading.get_ident()
        pipeline = self._exporter.pipeline
        if pipeline is not None:
            pipeline.connect(self)
        self._worker = self._loop.create_task(self._work(), name=f"nat lane {self.name}", context=self._context)
        self._wake.set()

    def recover(self) -> None:
        """Begin to send what other processes have left in the spool, and go on looking for more now and then."""
        assert self._loop is not None
        if not self._keeping.is_spooling or self._is_closing:
            return
        self._check_spool()
        self._keeping.look_for_left()
        self._pump()
        self._look_timer = self._loop.call_later(_LOOK_EVERY_S, self.recover, context=self._context)

    async def send_again(self, letter_ids: Iterable[str]) -> int:
        """Put dead letters on their way again, as memory has room for them; how many items those stand for.

        A letter is deleted once all of it was delivered. The shutdown leaves the rest where they are.
        """
        count = 0
        for letter_id in letter_ids:
            while self._resident_bytes >= _RESIDENT_BYTES and not self._is_closing:
                self._has_room.clear()
                await self._has_room.wait()
            if self._is_closing:
                break
            envelope = self._keeping.letter(letter_id)
            if envelope is not None:
                count += envelope.count
                self._register(envelope)
                self._enqueue(envelope)
                self._pump()
            await asyncio.sleep(0)  # reading blocks the loop: let others have it in between
        return count

    @property
    def letter_fates(self) -> dict[str, str | None]:
        """What became of letters that were sent again, by id: why they stay, `None` for those delivered. From any thread."""
        return self._keeping.letter_fates

    async def flush(self) -> None:
        """Return when everything has met its fate that was offered before or found on disk.

        Meanwhile the breaker is open for a second at most.
        """
        reached = self._reached()
        if reached is None:
            return
        if self._breaker.state == "open":
            self._wake_pauses()
        try:
            await reached
            mark = self._keeping.mark
            is_all_loaded = self._keeping.is_through(mark)
            await self._wait_for(self._sequence)
            while self._waits_on_disk(mark):
                await self._wait_for(self._sequence)
            if not is_all_loaded:  # what was loaded last
                await self._wait_for(self._sequence)
            _log.debug("%s: flushed", self.name)
        finally:
            self._flushes.discard(reached)

    async def written(self) -> None:
        """Return when everything offered before is on disk, as far as it can be written."""
        reached = self._reached()
        if reached is not None:
            try:
                await reached
            finally:
                self._flushes.discard(reached)

    def _reached(self) -> "asyncio.Future[int] | None":
        """A future that is done when everything offered before has left the pipeline; `None` if nothing runs here."""
        if self._loop is None or self._worker is None or self._worker.done() or self._is_over:
            return None
        reached: asyncio.Future[int] = self._loop.create_future()
        self._flushes.add(reached)
        self._inbox.append(reached)
        self._wake.set()
        return reached

    def _waits_on_disk(self, mark: int) -> bool:
        """Whether something is to be sent that is on disk only, and has been loaded now as far as there is room."""
        if self._is_leaving or self._is_over or self._keeping.is_through(mark):
            return False
        self._pump()
        return bool(self._unsent)

    async def close(self, timeout_s: float | None = None, *, reason: str = "shutdown") -> None:
        """Take nothing more, send what waits within the timeout, count the rest as dropped. Idempotent.

        Args:
            timeout_s: Seconds; never longer than the exporter's own shutdown timeout.
            reason: What is left over, and what is offered from now on, is counted as dropped for this.
        """
        if self._closed is None:
            timeout_s = SHUTDOWN_TIMEOUT_S if timeout_s is None else timeout_s
            if self._options.shutdown_timeout_s is not None:
                timeout_s = min(timeout_s, self._options.shutdown_timeout_s)
            self._closed = asyncio.get_running_loop().create_task(self._close(timeout_s, reason), context=self._context)
        await asyncio.shield(self._closed)

    async def _close(self, timeout_s: float, reason: str) -> None:
        with self._offer_lock:
            self._refuse_reason = reason
        self._is_closing = True
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._check_spool()
        self._wake_pauses()
        pipeline = self._exporter.pipeline
        try:
            async with asyncio.timeout(timeout_s):
                await self.flush()
                self._is_flushing_copies = True
                for state in list(self._runs.values()):
                    self._end_run(state)
                if pipeline is not None and pipeline.is_last(self):
                    await pipeline.shut_down()
                while self._background:
                    await asyncio.wait(self._background)
                await self.flush()  # what a copy's `_flush` or a processor's shutdown has given
        except TimeoutError:
            _log.debug("%s: the shutdown deadline has come", self.name)
        finally:
            await self._abort(reason)

    async def _abort(self, reason: str) -> None:
        """Stop everything at once and count what is left."""
        self._is_aborted = True
        tasks = [task for task in (self._worker, *self._senders, *self._background) if task is not None]
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=_ABORT_TIMEOUT_S)
        finally:
            self._finish(reason)

    def _finish(self, reason: str) -> None:
        """Count what is left, once and for all."""
        with self._offer_lock:
            was_left_behind, self._is_over = self._is_over, True
            self._is_flushing_copies = False
        self._write_rest()
        left = self._discard()
        if left and not was_left_behind:
            self.ledger.drop(reason, left)
            self._noise.warn(reason, "%s: %d items could not be sent (%s) and are lost", self.name, left, reason)
        spooled = self.ledger.counts().spooled
        if spooled:
            self._noise.warn("left", "%s: %d items are on disk and will be sent at the next start", self.name, spooled)
        for flush in self._flushes:
            if not flush.done():
                flush.set_result(0)
        self._wake_waiters()

    def _write_rest(self) -> None:
        """Take to disk what has left the pipeline."""
        self._close_group()
        if self._arrivals:
            self._keep_arrivals()
        elif self._keeping.is_spooling and not self._keeping.is_durable:
            self._keep_again()
        for handle in (self._keep_soon, self._settle_soon, self._look_timer, self._disk_timer):
            if handle is not None:
                handle.cancel()

    def leave_behind(self, reason: str) -> None:
        """Count what is on its way as dropped: the loop is blocked and will do it too late, if ever. Any thread."""
        with self._offer_lock:
            self._refuse_reason = self._refuse_reason or reason
            was_over, self._is_over, self._is_aborted = self._is_over, True, True
        left = 0 if was_over else self.ledger.settle(reason)
        if left:
            self._noise.warn(reason, "%s: %d items could not be sent (%s) and are lost", self.name, left, reason)

    def _discard(self) -> int:
        """Forget everything that is on its way, and let go of the spool; returns how many accepted items are lost."""
        pipeline = self._exporter.pipeline
        count = 0 if pipeline is None else pipeline.disconnect(self)
        if not self._accepts_on_submit:
            count += sum(item is not None for item, _ in self._taking)
            for entries in self._inbox:
                if not isinstance(entries, asyncio.Future):
                    count += sum(item is not None for item, _ in entries)
        feeding = [] if self._feeding is None else [self._feeding]
        resumed = [envelope for envelope, _ in self._resumed]
        ready = (self._keeping.give_held(), self._send_queue, *self._senders.values())
        stages = (feeding, resumed, *self._inputs, self._group, *ready)
        count += sum(envelope.count for stage in stages for envelope in stage if envelope.kept is None)
        for envelope in chain.from_iterable(ready):
            self._leave_letter(envelope)
        self._keeping.close()
        self._feeding = None
        for stage in (self._inbox, self._taking, self._resumed, *self._inputs, self._group, self._send_queue):
            stage.clear()
        self._senders.clear()
        self._runs.clear()
        self._unsent.clear()
        return count

    @property
    def _inputs(self) -> tuple[deque[Envelope], deque[Envelope]]:
        return self._submitted, self._exported

    # -- describe and process: the worker ------------------------------------------------------------------------------

    async def _work(self) -> None:
        while not self._is_aborted:
            await self._wake.wait()
            self._wake.clear()
            while (self._inbox or self._resumed or self._submitted) and not self._is_aborted:
                await self._go_on_with_resumed()
                while self._is_behind():
                    self._has_room.clear()
                    await self._has_room.wait()
                entries, size = self._next_entries()
                if isinstance(entries, asyncio.Future):
                    await self._reach(entries)
                elif entries:
                    await self._take(entries)
                    self._backlog.append((self._sequence, len(entries), size))
                    await asyncio.sleep(0)
            if self._options.flush_interval_s == 0:
                self._close_group()

    def _next_entries(self) -> tuple[Sequence[Entry] | asyncio.Future[int], int]:
        """The next flush, or the next entries and their size: so few that the loop can do other things in between."""
        with self._offer_lock:
            if not self._inbox:
                return (), 0
            entries = self._inbox.popleft()
            if isinstance(entries, asyncio.Future):
                return entries, 0
            size = 0
            for index, (item, _) in enumerate(entries):
                if item is not None:
                    size += item_bytes(item)
                if (index + 1 >= _SLICE_COUNT or size >= _SLICE_BYTES) and index + 1 < len(entries):
                    self._inbox.appendleft(entries[index + 1 :])
                    return entries[: index + 1], size
            return entries, size

    def _is_behind(self) -> bool:
        """Whether so much waits to be sent that nothing more is described: what was only captured holds less memory."""
        if self._keeping.is_durable:
            return False
        oldest = self._oldest_unsent()
        while self._backlog and self._backlog[0][0] < oldest:
            self._backlog.popleft()
        count = sum(count for _, count, _ in self._backlog)
        size = sum(size for _, _, size in self._backlog)
        most = max(_SLICE_COUNT, self._options.batch_size) * (self._options.concurrency + 1)
        return count >= most or size >= _BACKLOG_BYTES

    async def _reach(self, reached: asyncio.Future[int]) -> None:
        """Everything offered before has gone into the pipeline: flush it, and say what must be sent."""
        pipeline = self._exporter.pipeline
        if pipeline is not None:
            await pipeline.flush()
        await self._go_on_with_resumed()
        self._close_group()
        if self._arrivals:
            self._keep_arrivals()
        if not reached.done():
            reached.set_result(self._sequence)

    async def _go_on_with_resumed(self) -> None:
        """Take on what processors gave by themselves, and what code outside any run submitted."""
        pipeline = self._exporter.pipeline
        while (self._resumed or self._submitted) and not self._is_aborted:
            if self._resumed:
                envelope, index = self._resumed.popleft()
            else:
                envelope, index = self._submitted.popleft(), 0
            if pipeline is not None:
                await self._feed(pipeline, envelope, index)

    async def _take(self, entries: Sequence[Entry]) -> None:
        """Take one batch of entries: run by run, each run's items in their order."""
        by_run: dict[Run, list[Entry]] = {}
        for entry in entries:
            by_run.setdefault(entry[1], []).append(entry)
        self._taking.extend(chain.from_iterable(by_run.values()))
        pipeline = self._exporter.pipeline
        runs_foreign_code = self._exporter.has_own_export or pipeline is None or not pipeline.is_empty
        for run, run_entries in by_run.items():
            if self._is_aborted:
                return
            try:
                state = self._state(run)
            except BaseException as exc:
                if is_ours(exc):
                    raise
                self._noise.warn(
                    "copy", "%s: a run's copy could not be made (%s); its items are lost", self.name, raised(exc)
                )
                self._lose_next(len(run_entries))
                continue
            if state is None:
                await self._feed_next(len(run_entries), None)
                continue
            state.in_flight += 1  # the run is not over while its items are being taken
            if state.context is None or not runs_foreign_code:
                await self._feed_next(len(run_entries), state)
            else:
                assert self._loop is not None
                await self._loop.create_task(self._feed_next(len(run_entries), state), context=state.context)
            state.in_flight -= 1
            self._end_when_done(state)

    async def _feed_next(self, count: int, state: _RunInLane | None) -> None:
        """Take the next `count` entries, all of one run, into the pipeline."""
        pipeline = self._exporter.pipeline
        has_own_export = self._exporter.has_own_export
        for _ in range(count):
            if self._is_aborted:
                return  # a processor has swallowed the cancellation
            item, run = self._taking.popleft()
            if item is not None:
                self._taken_count += 1
            else:
                if state is not None:
                    state.has_ended = True
                continue
            try:
                value = to_intermediate_step(item) if isinstance(item, CapturedStep) else described_copy(item)
            except Exception as exc:
                self._noise.warn("describe", "%s: an item cannot be described (%s) and is lost", self.name, raised(exc))
                self._reject_entries(1)
                continue
            if has_own_export or pipeline is None:
                await self._export(value, run, state)
            else:
                await self._feed(pipeline, Envelope(value, run), 0)

    def _lose_next(self, count: int) -> None:
        entries = [self._taking.popleft() for _ in range(count)]
        self._reject_entries(sum(item is not None for item, _ in entries))

    def _reject_entries(self, count: int) -> None:
        if not self._accepts_on_submit:
            self.ledger.reject(count)

    async def _export(self, value: Any, run: Run, state: _RunInLane | None) -> None:
        """Pass one item to the exporter's own `export`, and what that submits into the pipeline."""
        exporter = self._exporter if state is None else state.exporter
        pipeline = self._exporter.pipeline
        self._is_exporting = True
        try:
            exporter.export(value)
        except BaseException as exc:
            if is_ours(exc):
                raise
            self._noise.warn("export", "%s: export() raised %s; the item is lost", self.name, raised(exc))
            self.ledger.reject(len(self._exported) if self._accepts_on_submit else 1)
            self._exported.clear()
            return
        finally:
            self._is_exporting = False
        if pipeline is None:
            self.ledger.deliver()
            return
        if not self._accepts_on_submit:
            if not self._exported:
                self.ledger.drop("filtered")
            elif len(self._exported) > 1:
                self.ledger.accept(len(self._exported) - 1)
        while self._exported and not self._is_aborted:
            envelope = self._exported.popleft()
            envelope.run = run
            await self._feed(pipeline, envelope, 0)

    async def _feed(self, pipeline: Pipeline, envelope: Envelope, index: int) -> None:
        self._feeding = envelope
        is_measured = not pipeline.is_empty
        began = self._clock() if is_measured else 0.0
        try:
            await pipeline.feed(envelope, self, index)
            if is_measured:
                self.metrics.processor_time.record(self._clock() - began)
        except asyncio.CancelledError:
            if self._is_aborted:
                raise  # counted with everything else that is on its way
            self.ledger.drop("processor_error", envelope.count)
        self._feeding = None

    # -- what the pipeline needs: its outlet ---------------------------------------------------------------------------

    def submit(self, item: Any) -> None:
        """Put an item into the pipeline: what `export` does with what it is given. May be called from any thread."""
        is_exported = self._is_exporting and threading.get_ident() == self._thread_id
        with self._offer_lock:
            if self._refuse_reason and not (is_exported or self._is_flushing_copies):
                self.ledger.refuse(self._refuse_reason)
                return
            if self._accepts_on_submit or not is_exported:
                self.ledger.accept()
            (self._exported if is_exported else self._submitted).append(Envelope(item, None))
        self._notify()

    def put(self, envelope: Envelope) -> None:
        """Take an output of the pipeline."""
        if self._is_over:
            return  # too late: it has been counted as lost
        envelope.ready_at_s = self._clock()
        if self._options.max_queue_size is not None and self._is_overfull(envelope.count, self._options.max_queue_size):
            if self._options.drop_on_overflow:
                self._noise.warn("overflow", "%s: %s items wait to be sent already; new ones are lost",
                                 self.name, self._options.max_queue_size)  # fmt: skip
                self.drop("queue_full", envelope.count)
                return
            self._close_group()
        if self._item_limit_bytes is not None and not self._fit(envelope):
            return
        if self._options.takes_lists and not isinstance(envelope.value, list):
            self._add_to_group(envelope)
        elif self._options.batch_bytes is None:
            self._queue(envelope)
        else:
            for part in self._within_bytes(envelope, self._options.batch_bytes):
                self._queue(part)

    def resume(self, envelope: Envelope, index: int, *, is_new: bool) -> None:
        """Go on with an item that a processor gave by itself, at the processor of that index."""
        if is_new:
            self.ledger.accept(envelope.count)
        if self._is_over:
            self.ledger.drop(self._refuse_reason, envelope.count if is_new else 0)
            return
        self._resumed.append((envelope, index))
        self._wake.set()

    def drop(self, reason: str, count: int) -> None:
        """Count what the pipeline dropped."""
        if self._is_over:
            return  # too late: it has been counted as lost
        _log.debug("%s: %d item(s) dropped: %s", self.name, count, reason)
        self.ledger.drop(reason, count)

    def is_ready(self) -> bool:
        """Whether sending keeps up, or the disk takes what waits."""
        return self._keeping.is_durable or len(self._send_queue) < self._options.concurrency

    def _is_overfull(self, count: int, limit: int) -> bool:
        """Whether so many items more do not fit; a batching processor in the pipeline keeps the bound itself."""
        pipeline = self._exporter.pipeline
        if pipeline is not None and pipeline.has_batching:
            return False
        ready = chain(self._group, self._arrivals, self._send_queue, self._keeping.held)
        waiting = sum(envelope.count for envelope in ready)
        return waiting + count > limit

    # -- batch ---------------------------------------------------------------------------------------------------------

    def _add_to_group(self, envelope: Envelope) -> None:
        limit = self._options.batch_bytes
        if limit is not None and self._group_bytes + envelope.size_bytes > limit:
            self._close_group()
        self._group.append(envelope)
        self._group_bytes += envelope.size_bytes
        if len(self._group) >= self._options.batch_size:
            self._close_group()
        elif self._group_timer is None and self._options.flush_interval_s > 0 and self._loop is not None:
            self._group_timer = self._loop.call_later(self._options.flush_interval_s, self._close_group)

    def _close_group(self) -> None:
        if self._group_timer is not None:
            self._group_timer.cancel()
            self._group_timer = None
        if self._group:
            group, self._group, self._group_bytes = self._group, [], 0
            counts = [envelope.count for envelope in group]
            whole = Envelope([envelope.value for envelope in group], None, sum(counts))
            whole.counts, whole.ready_at_s = counts, group[0].ready_at_s
            whole.trace_ids = [None if envelope.run is None else envelope.run.trace_id for envelope in group]
            self._queue(whole)

    def _fit(self, envelope: Envelope) -> bool:
        """Cut the texts of items that are over the limit, and drop those that no cutting helps; false if nothing is left."""
        if not isinstance(envelope.value, list):
            fitted, envelope.size_bytes = self._within_limit(envelope.value)
            if fitted is not _TOO_LARGE:
                envelope.value = fitted
                return True
            self._lose_too_large(envelope)
            return False
        kept: list[Any] = []
        counts: list[int] = []
        for item, count in items_of(envelope):
            fitted, size_bytes = self._within_limit(item)
            if fitted is _TOO_LARGE:
                self._lose_too_large(Envelope(item, envelope.run, count))
                continue
            kept.append(fitted)
            counts.append(count)
            envelope.size_bytes += size_bytes
        envelope.value, envelope.counts, envelope.count = kept, counts, sum(counts)
        return bool(kept)

    def _within_limit(self, item: Any) -> tuple[Any, int]:
        """The item, cut if it is over the limit, and its size; `_TOO_LARGE` if no cutting helps."""
        limit, size = self._item_limit_bytes, size_of(item)
        if limit is None or size <= limit:
            return item, size
        cut = truncated(item, limit)
        if cut is None:
            return _TOO_LARGE, size
        self._noise.warn("cut", "%s: an item of %d bytes is over the limit of %d; its biggest texts are cut",
                         self.name, size, limit)  # fmt: skip
        return cut, limit

    def _lose_too_large(self, envelope: Envelope) -> None:
        if not self._is_over:
            self._refuse(envelope, "too_large", "an item is too large, also with its texts cut")

    def _refuse(self, envelope: Envelope, reason: str, why: str, answer: str | None = None) -> None:
        """An envelope will not be sent again: keep it as dead letters, or count it as lost, and say so."""
        is_spooled = envelope.kept is not None
        if isinstance(envelope.kept, str):
            self._partly_left.add(envelope.sequence)  # its letter stays
        buried = self._keeping.bury(envelope, why, answer)
        lost = envelope.count - buried
        if buried:
            self.ledger.dead_letter(buried, is_spooled=is_spooled)
            self._noise.warn(reason, "%s: %s; %d items are kept as dead letters", self.name, why, buried)
        if not lost:
            return
        if reason == "rejected":
            self.ledger.reject(lost, is_spooled=is_spooled)
        else:
            self.ledger.drop(reason, lost, is_spooled=is_spooled)
        self._noise.warn(f"{reason} and lost", "%s: %s; %d items are lost", self.name, why, lost)

    def _within_bytes(self, envelope: Envelope, limit: int) -> list[Envelope]:
        """The envelope, or a list's parts that are each within the limit."""
        if envelope.size_bytes <= limit or not isinstance(envelope.value, list) or len(envelope.value) == 1:
            return [envelope]
        first, second = _halves(envelope)
        for half in (first, second):
            half.size_bytes = size_of(half.value)
        return [*self._within_bytes(first, limit), *self._within_bytes(second, limit)]

    # -- deliver -------------------------------------------------------------------------------------------------------

    def _queue(self, envelope: Envelope) -> None:
        """Take what is ready to be sent; with a spool, it goes to disk first, together with what else comes in this turn."""
        assert self._loop is not None
        self._register(envelope)
        if not self._keeping.is_spooling:
            self._send_queue.append(envelope)
            self._pump()
            return
        self._arrivals.append(envelope)
        if self._keep_soon is None:
            self._keep_soon = self._loop.call_soon(self._keep_arrivals, context=self._context)

    def _register(self, envelope: Envelope) -> None:
        """Note that an envelope is on its way."""
        self._sequence += 1
        envelope.sequence = self._sequence
        self._unsent[envelope.sequence] = 1
        state = None if envelope.run is None else self._runs.get(envelope.run)
        if state is not None:
            state.in_flight += 1

    def _keep_arrivals(self) -> None:
        if self._keep_soon is not None:
            self._keep_soon.cancel()
            self._keep_soon = None
        arrivals = list(self._arrivals)
        self._arrivals.clear()
        was_durable = self._keeping.is_durable
        self._keeping.keep(arrivals)
        is_durable = self._keeping.is_durable
        if not is_durable:
            self._miss_removed()
        for envelope in arrivals:
            if self._must_wait(envelope):
                self._keeping.put_off(envelope)
                if envelope.kept is not None:
                    self._take_off(envelope)
            else:
                self._enqueue(envelope)
        if not (was_durable and is_durable):
            self._keep_again()
        self._pump()
        self._wake_waiters()

    def _must_wait(self, envelope: Envelope) -> bool:
        """Whether what came before it has found no room in memory, or it is on disk and finds none itself."""
        if self._is_leaving:
            return envelope.kept is not None
        is_too_much = self._resident_bytes + envelope.record_bytes > _RESIDENT_BYTES
        return self._keeping.has_put_off or (envelope.kept is not None and is_too_much)

    def _check_spool(self) -> None:
        """Notice that somebody has removed what is on disk, before anybody relies on it."""
        if self._keeping.is_removed():
            self._miss_removed()
            self._keep_again()

    def _miss_removed(self) -> None:
        """What somebody has removed from the disk, and is in memory still, is only there; the rest of it is lost."""
        for envelope in chain(self._send_queue, *self._senders.values(), self._keeping.held):
            if self._keeping.is_lost(envelope):
                self.ledger.unspool(envelope.count)
                envelope.kept = None
        self._keeping.lose_removed()

    def _keep_again(self) -> None:
        """Write to disk what is in memory only since the disk has failed; again soon, until it works."""
        assert self._loop is not None
        if self._disk_timer is not None:
            self._disk_timer.cancel()
            self._disk_timer = None
        unkept = self._unkept()
        resident = set(chain(*self._senders.values(), self._send_queue))
        for envelopes in (unkept[:1], unkept[1:]):  # one shows whether the disk works
            self._resident_bytes -= sum(envelope.record_bytes for envelope in envelopes if envelope in resident)
            self._keeping.keep(envelopes, is_again=True)
            self._resident_bytes += sum(envelope.record_bytes for envelope in envelopes if envelope in resident)
            if not self._keeping.is_durable:
                self._disk_timer = self._loop.call_later(_TRY_DISK_EVERY_S, self._keep_again, context=self._context)
                return
        self._has_room.set()

    def _unkept(self) -> list[Envelope]:
        """What is ready to be sent, in order, and might be on disk and is not; parts of one record are not told apart there."""
        ready = chain(*self._senders.values(), self._send_queue, self._keeping.held)
        return [
            envelope
            for envelope in ready
            if envelope.kept is None and envelope.is_keepable and self._unsent.get(envelope.sequence) == 1
        ]

    def _enqueue(self, envelope: Envelope) -> None:
        self._resident_bytes += envelope.record_bytes
        self._send_queue.append(envelope)

    def _refill(self) -> None:
        """Load what is on disk only, if memory has room for it."""
        while self._keeping.has_more and self._resident_bytes < _RESIDENT_BYTES // 2 and not self._is_leaving:
            loaded = self._keeping.load(_LOAD_BYTES)
            for envelope in loaded:
                if not envelope.sequence:
                    self._register(envelope)
                self._enqueue(envelope)
            if loaded:
                return

    def _pump(self) -> None:
        """Start as many senders as there is work and room for."""
        assert self._loop is not None
        if self._is_aborted:
            return
        self._refill()
        while self._send_queue and len(self._senders) < self._options.concurrency:
            share = len(self._send_queue) // self._options.concurrency
            limit = max(1, min(self._options.batch_size, share))
            first = self._send_queue.popleft()
            chunk = deque([first])
            while len(chunk) < limit and self._send_queue and self._send_queue[0].run is first.run:
                chunk.append(self._send_queue.popleft())
            state = None if first.run is None else self._state(first.run)
            exporter = self._exporter if state is None else state.exporter
            context = self._context if state is None else state.context or self._context
            task = self._loop.create_task(self._send(exporter, chunk), context=context)
            self._senders[task] = chunk
            task.add_done_callback(self._sender_done)

    def _sender_done(self, task: asyncio.Task[None]) -> None:
        if self._is_aborted:
            return
        chunk = self._senders.pop(task)
        if chunk:  # it has failed in a way that nobody thought of: what it was about is lost, the rest is not
            if not task.cancelled():
                _log.debug("%s: a sender failed: %s", self.name, task.exception())
            envelope = chunk.popleft()
            self._send_queue.extendleft(reversed(chunk))
            self._give_up(envelope, ExportFailure(False, "an unexpected error"), 1)
            self._done_with(envelope)
        self._pump()
        pipeline = self._exporter.pipeline
        if self.is_ready() and pipeline is not None and pipeline.waiting_count:
            self._in_background(pipeline.release(), self._context)

    async def _send(self, exporter: LaneExporter, chunk: deque[Envelope]) -> None:
        while chunk:
            if self._may_leave(chunk[0]):
                self._begin_leaving()
                self._leave(chunk.popleft())
            else:
                await self._deliver(exporter, chunk)

    def _may_leave(self, envelope: Envelope) -> bool:
        """Whether an envelope is left to the next start: it is on disk, and the backend takes nothing before the shutdown."""
        if envelope.kept is None or not self._is_closing:
            return False
        return self._is_leaving or asyncio.get_running_loop().time() < self._not_before_s

    def _begin_leaving(self) -> None:
        """From now on nothing is read back from the disk; what is in memory only has its last chance."""
        if not self._is_leaving:
            self._is_leaving = True
            for envelope in self._keeping.give_held():
                self._enqueue(envelope)

    async def _deliver(self, exporter: LaneExporter, chunk: deque[Envelope]) -> None:
        """Take the first of the chunk to its fate."""
        count = chunk[0].count
        self.metrics.in_flight += count
        try:
            await self._deliver_first(exporter, chunk)
        finally:
            self.metrics.in_flight -= count

    async def _deliver_first(self, exporter: LaneExporter, chunk: deque[Envelope]) -> None:
        """Send the first of the chunk, again while its failure is transient, until it has met its fate."""
        envelope = chunk[0]
        attempts, started = 0, 0.0
        while True:
            await self._wait_for_admission(envelope)
            if self._may_leave(envelope):
                self._begin_leaving()
                chunk.popleft()
                self._leave(envelope)
                return
            started = started if attempts else self._clock()
            attempts += 1
            failure = await self._attempt(exporter, envelope)
            if self._is_over:
                chunk.clear()  # too late: it has been counted as lost
                return
            self._learn(failure)
            if failure is None:
                chunk.popleft()
                self.ledger.deliver(envelope.count, is_spooled=envelope.kept is not None)
                break
            if failure.is_too_large:
                parts = self._smaller(envelope, failure)
                chunk.popleft()
                chunk.extendleft(reversed(parts))
                if not parts:
                    break
                return
            wait_s = None
            if failure.is_transient and self._is_closing and envelope.kept is not None:
                self._begin_leaving()
                chunk.popleft()
                self._leave(envelope)
                self._pump()
                return
            if failure.is_transient:
                elapsed_s = self._clock() - started
                wait_s = self._options.retry.wait_s(attempts, elapsed_s, self._jitter, failure.retry_after_s)
            if wait_s is None:
                chunk.popleft()
                if failure.is_transient and _is_whole_on_disk(envelope):
                    self._postpone(envelope, failure, attempts)
                    self._give_back(chunk, 0)
                    await self._pause(self._options.retry.initial_interval_s)
                    return
                self._give_up(envelope, failure, attempts)
                break
            next_s = max(wait_s, self._breaker.wait_s(asyncio.get_running_loop().time()))
            self._outage.failed(failure, self.ledger.waiting, next_s)
            if self._options.concurrency > 1:
                self._give_back(chunk, 1)
            await self._pause(wait_s)
        self._done_with(envelope)

    async def _wait_for_admission(self, envelope: Envelope) -> None:
        """Return when the backend may be asked: not before it wants to be, and not while the breaker is open.

        The beginning of the shutdown opens the way past the breaker, since nobody knows whether there is a later, and ends the
        wait for an envelope that may be left on disk.
        """
        loop = asyncio.get_running_loop()
        while not self._may_leave(envelope):
            now = loop.time()
            if now < self._not_before_s:
                await self._pause(self._not_before_s - now)
                continue
            at_most_s = _OPEN_WHILE_FLUSHING_S if self._flushes else math.inf
            wait_s = 0.0 if self._is_closing else self._breaker.wait_s(now, at_most_s)
            if wait_s == 0:
                self._breaker = self._breaker.began()
                return
            await self._pause(wait_s)

    def _learn(self, failure: ExportFailure | None) -> None:
        """Draw from one answer what holds for all attempts of the lane."""
        now = asyncio.get_running_loop().time()
        if failure is not None and failure.retry_after_s is not None and failure.is_transient:
            self._not_before_s = max(self._not_before_s, now + failure.retry_after_s)
        if failure is not None and failure.is_transient:
            was_probing = self._breaker.is_probing
            self._breaker = self._breaker.failed(now)
            if was_probing:
                self._wake_pauses()
            return
        was_closed = self._breaker.state == "closed"
        self._breaker = self._breaker.succeeded()
        if failure is None or failure.is_answer:
            self._outage.ended()
        if not was_closed:
            self._wake_pauses()

    async def _pause(self, wait_s: float) -> None:
        """Wait; `_wake_pauses` cuts it short."""
        nudge = self._nudge
        try:
            async with asyncio.timeout(None if wait_s == math.inf else wait_s):
                await nudge.wait()
        except TimeoutError:
            return

    def _wake_pauses(self) -> None:
        """End all pauses that have begun: the breaker has changed, or the shutdown begins."""
        self._nudge.set()
        self._nudge = asyncio.Event()

    def _smaller(self, envelope: Envelope, failure: ExportFailure) -> list[Envelope]:
        """What to send instead of what is too large: halves of a list, an item with its texts cut; nothing if it is lost."""
        value = envelope.value
        if isinstance(value, list) and len(value) > 1:
            self._noise.warn(
                "halved", "%s: %s: %d items at once are too large and are sent in halves; lower delivery.batch.size, or "
                "set delivery.batch.bytes", self.name, failure, len(value),
            )  # fmt: skip
            self._unsent[envelope.sequence] += 1
            state = None if envelope.run is None else self._runs.get(envelope.run)
            if state is not None:
                state.in_flight += 1
            return list(_halves(envelope))
        item = value[0] if isinstance(value, list) else value
        size = size_of(item)
        limit = min(UNKNOWN_LIMIT_BYTES, size // 2)
        cut = None if envelope.was_cut else truncated(item, limit)
        if cut is None:
            self._lose_too_large(envelope)
            return []
        self._noise.warn("cut", "%s: %s: an item of %d bytes is too large; its biggest texts are cut and it is sent again",
                         self.name, failure, size)  # fmt: skip
        envelope.value, envelope.was_cut = [cut] if isinstance(value, list) else cut, True
        return [envelope]

    async def _attempt(self, exporter: LaneExporter, envelope: Envelope) -> ExportFailure | None:
        metrics, began = self.metrics, self._clock()
        if envelope.ready_at_s is not None:
            metrics.queue_time.record(began - envelope.ready_at_s)
            envelope.ready_at_s = None
        metrics.batch_size.record(len(envelope.value) if isinstance(envelope.value, list) else 1)
        try:
            return await self._call(exporter, envelope)
        finally:
            metrics.send_time.record(self._clock() - began)

    async def _call(self, exporter: LaneExporter, envelope: Envelope) -> ExportFailure | None:
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await exporter.send(envelope.value)
        except BaseException as exc:
            if is_ours(exc):
                raise
            _log.debug("%s: export failed: %s", self.name, raised(exc))
            failure = _classified(exc)
            return replace(failure, detail=self._shown(failure.detail)) if failure.detail else failure
        return None

    def _give_up(self, envelope: Envelope, failure: ExportFailure, attempts: int) -> None:
        reason = "retries_exhausted" if failure.is_transient else "rejected"
        why = f"export failed ({failure}) after {attempts} attempt(s)"
        self._refuse(envelope, reason, why, failure.detail or None)

    def _postpone(self, envelope: Envelope, failure: ExportFailure, attempts: int) -> None:
        """An envelope has had its attempts for now: it goes to the end of what waits on disk."""
        self._noise.warn(
            "postponed", "%s: export failed (%s) after %d attempt(s); %d items stay on disk and are sent again later",
            self.name, failure, attempts, envelope.count,
        )  # fmt: skip
        self._keeping.put_off(envelope)
        self._take_off(envelope)
        self._resident_bytes -= envelope.record_bytes
        self._wake_waiters()

    def _give_back(self, chunk: deque[Envelope], kept: int) -> None:
        """Leave all but the first `kept` to other senders while this one waits."""
        while len(chunk) > kept:
            self._send_queue.appendleft(chunk.pop())
        self._pump()

    def _done_with(self, envelope: Envelope) -> None:
        """An envelope has met its fate: its record need not be kept."""
        if self._take_off(envelope):
            self._resident_bytes -= envelope.record_bytes
            if envelope.sequence in self._partly_left:
                self._partly_left.discard(envelope.sequence)
            elif envelope.kept is not None:
                self._keeping.acknowledge(envelope)
                self._settle_acknowledged()
        self._wake_waiters()

    def _leave(self, envelope: Envelope) -> None:
        """An envelope leaves memory; its record stays on disk, also if other parts of it were delivered."""
        self._leave_letter(envelope)
        if self._take_off(envelope):
            self._resident_bytes -= envelope.record_bytes
            self._partly_left.discard(envelope.sequence)
        else:
            self._partly_left.add(envelope.sequence)
        self._wake_waiters()

    def _leave_letter(self, envelope: Envelope) -> None:
        """A dead letter that was to be sent again and was not is one still."""
        if isinstance(envelope.kept, str):
            self.ledger.dead_letter(envelope.count, is_spooled=True)

    def _take_off(self, envelope: Envelope) -> bool:
        """Note that an envelope is not on its way any more; whether it was the last part of what came as one."""
        if envelope.run is not None:
            state = self._runs.get(envelope.run)
            if state is not None:
                state.in_flight -= 1
                self._end_when_done(state)
        left = self._unsent.get(envelope.sequence, 1) - 1
        if left:
            self._unsent[envelope.sequence] = left
        else:
            self._unsent.pop(envelope.sequence, None)
        return not left

    def _settle_acknowledged(self) -> None:
        assert self._loop is not None
        if self._settle_soon is None:
            self._settle_soon = self._loop.call_soon(self._settle, context=self._context)

    def _settle(self) -> None:
        self._settle_soon = None
        if self._keeping.settle():
            self._miss_removed()
            self._keep_again()

    # -- waiting for what is on its way --------------------------------------------------------------------------------

    async def _wait_for(self, sequence: int) -> None:
        """Return when everything that was queued up to `sequence` has met its fate."""
        assert self._loop is not None
        if self._oldest_unsent() <= sequence:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append((sequence, waiter))
            await waiter

    def _oldest_unsent(self) -> float:
        return next(iter(self._unsent), float("inf"))

    def _wake_waiters(self) -> None:
        self._has_room.set()
        if not self._waiters:
            return
        oldest = self._oldest_unsent()
        for sequence, waiter in self._waiters:
            if sequence < oldest and not waiter.done():
                waiter.set_result(None)
        self._waiters = [(sequence, waiter) for sequence, waiter in self._waiters if not waiter.done()]

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _state(self, run: Run) -> _RunInLane | None:
        """The lane's part of a run, made at its first item; `None` if the exporter itself takes all runs."""
        if self._is_solo:
            return None
        state = self._runs.get(run)
        if state is None:
            context = None if run.context is None else run.context.copy()
            if context is not None:
                context.run(report_nothing)
            make = self._exporter.isolated_copy
            state = _RunInLane(run, make() if context is None else context.run(make), context)
            self._runs[run] = state
        return state

    def _end_when_done(self, state: _RunInLane) -> None:
        if state.has_ended and state.in_flight == 0:
            self._end_run(state)

    def _end_run(self, state: _RunInLane) -> None:
        """Flush the run's copy and forget it."""
        if self._runs.pop(state.run, None) is not None:
            self._in_background(self._flush_copy(state.exporter), state.context or self._context)

    async def _flush_copy(self, exporter: LaneExporter) -> None:
        try:
            async with asyncio.timeout(SHUTDOWN_TIMEOUT_S):
                await exporter.flush_own()
        except BaseException as exc:
            if is_ours(exc):
                raise
            self._noise.warn("flush", "%s: _flush raised %s", self.name, raised(exc))

    def _in_background(self, coroutine: Coroutine[Any, Any, None], context: contextvars.Context) -> None:
        assert self._loop is not None
        task = self._loop.create_task(coroutine, context=context)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


_TOO_LARGE = object()


def _is_whole_on_disk(envelope: Envelope) -> bool:
    """Whether all of its record is still to be sent."""
    kept = envelope.kept
    return kept is not None and not isinstance(kept, str) and kept.items == envelope.count


def _halves(envelope: Envelope) -> tuple[Envelope, Envelope]:
    """A list's two halves, in order; they keep its place among what is sent."""
    counts, middle = [count for _, count in items_of(envelope)], len(envelope.value) // 2
    halves = []
    for part in (slice(None, middle), slice(middle, None)):
        half = Envelope(envelope.value[part], envelope.run, sum(counts[part]))
        half.counts, half.sequence = counts[part], envelope.sequence
        half.trace_ids = None if envelope.trace_ids is None else envelope.trace_ids[part]
        half.kept, half.record_bytes = envelope.kept, envelope.record_bytes
        halves.append(half)
    return halves[0], halves[1]


def _classified(exc: BaseException) -> ExportFailure:
    """What an error means; one that cannot be asked (its properties raise, its causes go round in circles) is final."""
    try:
        return classify(exc)
    except Exception:
        return ExportFailure(False, type(exc).__name__)
