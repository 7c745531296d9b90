"""One lane: an exporter on an event loop, from what is offered to what its backend has acknowledged."""

import asyncio
import contextvars
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from nat.data_models.conventions import Conventions
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.observability.delivery.causes import Cause
from nat.observability.delivery.errors import ExportFailure, classified
from nat.observability.delivery.front import Front
from nat.observability.delivery.intake import Load, item_bytes
from nat.observability.delivery.metrics import LaneMetrics
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.run_groups import RunGroups, list_of
from nat.observability.delivery.sender import Sender
from nat.observability.delivery.sizes import size_of, truncated
from nat.observability.events import CapturedStep, Run, report_nothing
from nat.observability.ledger import Ledger
from nat.observability.noise import Noise, is_ours, raised
from nat.observability.pipeline import Envelope, Outlet, Pipeline, halves_of, items_of
from nat.observability.spans.capture import CapturedSpan
from nat.observability.spans.describe import describe
from nat.observability.step_models import to_intermediate_step

if TYPE_CHECKING:
    from nat.observability.redaction.guard import Guard

__all__ = ["SHUTDOWN_TIMEOUT_S", "Entry", "Lane", "LaneExporter"]

_log = logging.getLogger("nat.observability.delivery")

ItemT = TypeVar("ItemT", CapturedStep, CapturedSpan)

Entry = tuple[CapturedStep | CapturedSpan | None, Run]
"""What is offered to a lane: an item and its run; without an item, the end of the run."""

SHUTDOWN_TIMEOUT_S = 10.0  # for a last flush, where nothing else is said
MAX_PENDING = 200_000  # items on their way in one lane of an exporter that user code started
_SLICE_COUNT = 32  # entries that are taken in one go: about 2 ms, in which the agent may wait for the interpreter
_CAPTURED_SLICE_COUNT = 256  # where taking is all there is to do
_SLICE_BYTES = 1024 * 1024
_ENTRIES_AT_ONCE = 1024  # in one place of the inbox: slices are cut off it
_BACKLOG_BYTES = 4 * 1024 * 1024  # as captured; described it is about three times as much
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
    def sends_captured(self) -> bool:
        """Whether `send` takes lists of spans that nobody has described yet, if no processor wants to see them."""
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
        front: Its configured processors, if there are any.
        guard: Redacts what is captured before anybody sees it, and once more what its processors and its exporter make of it.
        is_solo: Items go to the exporter itself and not to a copy for each run: user code started it.
        shown: Makes what may be shown of an error's message; by default all of it may.
        conventions: In whose names an exporter that leaves the choice writes its spans; `None`: in those it takes by itself.
    """

    def __init__(
        self,
        name: str,
        exporter: LaneExporter,
        options: DeliveryOptions,
        *,
        front: Front | None = None,
        guard: "Guard | None" = None,
        ledger: Ledger | None = None,
        is_solo: bool = False,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        shown: Callable[[str], str] = str,
        conventions: Conventions | None = None,
    ) -> None:
        self.name = name
        self.conventions = conventions
        self.ledger = ledger or Ledger()
        self.metrics = LaneMetrics()
        self._exporter = exporter
        self._front = front
        self._guard = guard
        self._looks_again = False
        self._options = options
        self._item_limit_bytes = options.item_limit_bytes
        self._is_solo = is_solo
        self._clock = clock
        self._shown = shown
        self._failure: ExportFailure | None = None
        self._noise = Noise(_log, clock)
        self._sender = Sender(
            name, options, self.ledger, self.metrics, self._noise, self, clock=clock, jitter=jitter, shown=shown
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._inbox: deque[Sequence[Entry] | asyncio.Future[None]] = deque()
        self._offered_count = 0
        self._taken_count = 0
        self._skipped_count = 0
        self._backlog: deque[tuple[int, int, int]] = deque()
        self._taking: deque[Entry] = deque()
        self._resumed: deque[tuple[Envelope, int]] = deque()
        self._submitted: deque[Envelope] = deque()
        self._exported: deque[Envelope] = deque()
        self._runs: dict[Run, _RunInLane] = {}
        self._ended: list[tuple[Run, _RunInLane | None]] = []
        self._group: list[Envelope] = []
        self._group_timer: asyncio.TimerHandle | None = None
        self._group_bytes = 0
        self._run_groups: RunGroups | None = None
        if options.groups_runs:
            self._run_groups = RunGroups(options.batch_size, options.batch_bytes, ends_with_root=is_solo)
        self._captured: list[CapturedSpan] = []
        self._captured_at_s = 0.0
        self._takes_captured = False
        self._background: set[asyncio.Task[None]] = set()
        self._flushes: set[asyncio.Future[None]] = set()
        self._feeding: Envelope | None = None
        self._context = contextvars.copy_context()
        self._accepts_on_submit = exporter.takes == "steps" and exporter.has_own_export and exporter.gives_spans
        self._offer_lock = threading.Lock()
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
            for start in range(0, len(entries), _ENTRIES_AT_ONCE):
                self._inbox.append(entries[start : start + _ENTRIES_AT_ONCE])
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
            kept: deque[Sequence[Entry] | asyncio.Future[None]] = deque()
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
        self._sender.open(self._context)
        pipeline = self._exporter.pipeline
        if pipeline is not None:
            pipeline.connect(self)
            has_processors = self._front is not None or not pipeline.is_empty
            self._looks_again = has_processors or self._exporter.has_own_export
            self._takes_captured = not has_processors and self._exporter.sends_captured and self._may_send_captured()
        if self._front is not None:
            is_counted = not self._accepts_on_submit
            self._front.open(self.ledger, is_counted=is_counted, wake=self._wake.set, is_ready=self.is_ready)
        self._worker = self._loop.create_task(self._work(), name=f"nat lane {self.name}", context=self._context)
        self._wake.set()

    @property
    def needs_contexts(self) -> bool:
        """Whether code of an exporter runs in the contexts of runs."""
        return not self._takes_captured

    def _may_send_captured(self) -> bool:
        """Whether nothing between capture and exporter looks into spans."""
        options = self._options
        is_unlimited = options.item_limit_bytes is None and options.batch_bytes is None
        return options.takes_lists and is_unlimited and options.spool is None and not options.groups_runs

    def redacted(self, value: Any) -> Any:
        """What an exporter says beside its items, without what must not leave."""
        return value if self._guard is None else self._guard.look(value)

    def recover(self) -> None:
        """Begin to send what other processes have left in the spool, and go on looking for more now and then."""
        self._sender.recover()

    async def send_again(self, letter_ids: Iterable[str]) -> int:
        """Put dead letters on their way again: see `Sender.send_again`."""
        return await self._sender.send_again(letter_ids)

    @property
    def letter_fates(self) -> dict[str, str | None]:
        """What became of letters that were sent again, by id: why they stay, `None` for those delivered. From any thread."""
        return self._sender.letter_fates

    @property
    def last_failure(self) -> ExportFailure | None:
        """How a processor, a `_flush` or else the latest attempt that failed did. From any thread."""
        in_front = "" if self._front is None else self._front.last_failure
        if in_front:
            return ExportFailure(False, "processor_error", in_front, cause=Cause.PROCESSOR)
        return self._failure or self._sender.last_failure

    async def flush(self) -> None:
        """Return when everything has met its fate that was offered before or found on disk.

        Meanwhile the breaker is open for a second at most.
        """
        reached = self._reached()
        if reached is None:
            return
        self._sender.hasten()
        try:
            await reached
            await self._sender.all_sent()
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

    def _reached(self) -> "asyncio.Future[None] | None":
        """A future that is done when everything offered before has left the pipeline; `None` if nothing runs here."""
        if self._loop is None or self._worker is None or self._worker.done() or self._is_over:
            return None
        reached: asyncio.Future[None] = self._loop.create_future()
        self._flushes.add(reached)
        self._inbox.append(reached)
        self._wake.set()
        return reached

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
        self._sender.begin_closing()
        pipeline = self._exporter.pipeline
        try:
            async with asyncio.timeout(timeout_s):
                await self.flush()
                if self._front is not None:
                    await self._front.pipeline.shut_down()
                    await self.flush()  # what its processors have given
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
        tasks = [task for task in (self._worker, *self._sender.abort(), *self._background) if task is not None]
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
        self._close_group()
        if self._run_groups is not None:
            self._queue(self._run_groups.take())
        self._sender.write_rest()
        self._sender.give_up()
        left = self._discard()
        if left and not was_left_behind:
            self.ledger.drop(reason, left)
            self._noise.warn(reason, "%s: %d items could not be sent (%s) and are lost", self.name, left, reason)
        spooled = self.ledger.counts().spooled
        if spooled:
            self._noise.warn("left", "%s: %d items are on disk and will be sent at the next start", self.name, spooled)
        for flush in self._flushes:
            if not flush.done():
                flush.set_result(None)
        self._sender.wake_waiters()

    def leave_behind(self, reason: str) -> None:
        """Count what is on its way as dropped: the loop is blocked and will do it too late, if ever. Any thread."""
        with self._offer_lock:
            self._refuse_reason = self._refuse_reason or reason
            was_over, self._is_over, self._is_aborted = self._is_over, True, True
        self._sender.give_up()
        left = 0 if was_over else self.ledger.settle(reason)
        if left:
            self._noise.warn(reason, "%s: %d items could not be sent (%s) and are lost", self.name, left, reason)

    def _discard(self) -> int:
        """Forget everything that is on its way, and let go of the spool; returns how many accepted items are lost."""
        pipeline = self._exporter.pipeline
        count = 0 if pipeline is None else pipeline.disconnect(self)
        count += 0 if self._front is None else self._front.discard()
        if not self._accepts_on_submit:
            count += sum(item is not None for item, _ in self._taking)
            for entries in self._inbox:
                if not isinstance(entries, asyncio.Future):
                    count += sum(item is not None for item, _ in entries)
        feeding = [] if self._feeding is None else [self._feeding]
        resumed = [envelope for envelope, _ in self._resumed]
        stages = (feeding, resumed, *self._inputs, self._group)
        count += sum(envelope.count for stage in stages for envelope in stage) + len(self._captured)
        count += self._sender.discard()
        self._feeding = None
        for stage in (self._inbox, self._taking, self._resumed, *self._inputs, self._group, self._captured):
            stage.clear()
        self._runs.clear()
        return count

    @property
    def _inputs(self) -> tuple[deque[Envelope], deque[Envelope]]:
        return self._submitted, self._exported

    # -- describe and process: the worker ------------------------------------------------------------------------------

    async def _work(self) -> None:
        while not self._is_aborted:
            await self._wake.wait()
            self._wake.clear()
            while (self._inbox or self._has_resumed()) and not self._is_aborted:
                await self._go_on_with_resumed()
                while self._is_behind():
                    self._sender.has_room.clear()
                    await self._sender.has_room.wait()
                entries, size = self._next_entries()
                if isinstance(entries, asyncio.Future):
                    await self._reach(entries)
                elif entries and self._takes_captured:
                    self._take_captured(entries)
                    self._backlog.append((self._sender.sequence, len(entries), size))
                    await asyncio.sleep(0)
                elif entries:
                    await self._take(entries)
                    self._queue_runs()
                    self._backlog.append((self._sender.sequence, len(entries), size))
                    await asyncio.sleep(0)
            self._queue_runs()
            if self._options.flush_interval_s == 0:
                self._close_group()

    def _next_entries(self) -> tuple[Sequence[Entry] | asyncio.Future[None], int]:
        """The next flush, or the next entries and their size: so few that the loop can do other things in between."""
        with self._offer_lock:
            if not self._inbox:
                return (), 0
            entries = self._inbox.popleft()
            if isinstance(entries, asyncio.Future):
                return entries, 0
            size, most = 0, _CAPTURED_SLICE_COUNT if self._takes_captured else _SLICE_COUNT
            for index, (item, _) in enumerate(entries):
                if item is not None:
                    size += item_bytes(item)
                if (index + 1 >= most or size >= _SLICE_BYTES) and index + 1 < len(entries):
                    self._inbox.appendleft(entries[index + 1 :])
                    return entries[: index + 1], size
            return entries, size

    def _is_behind(self) -> bool:
        """Whether so much waits to be sent that nothing more is described: what was only captured holds less memory."""
        if self._sender.is_durable:
            return False
        oldest = self._sender.oldest_unsent()
        while self._backlog and self._backlog[0][0] < oldest:
            self._backlog.popleft()
        count = sum(count for _, count, _ in self._backlog)
        size = sum(size for _, _, size in self._backlog)
        most = max(_SLICE_COUNT, self._options.batch_size) * (self._options.concurrency + 1)
        return count >= most or size >= _BACKLOG_BYTES

    async def _reach(self, reached: asyncio.Future[None]) -> None:
        """Everything offered before has gone into the pipeline: flush it, and say what must be sent."""
        pipeline = self._exporter.pipeline
        if pipeline is not None:
            await pipeline.flush()
        await self._go_on_with_resumed()
        self._close_group()
        self._queue_runs()
        if self._run_groups is not None and self._is_flushing_copies:
            self._queue(self._run_groups.take())
        self._sender.keep_arrivals()
        if not reached.done():
            reached.set_result(None)

    async def _go_on_with_resumed(self) -> None:
        """Take on what processors gave by themselves, and what code outside any run submitted."""
        pipeline = self._exporter.pipeline
        while self._has_resumed() and not self._is_aborted:
            if self._front is not None and self._front.resumed:
                await self._pass_resumed(self._front)
                continue
            if self._resumed:
                envelope, index = self._resumed.popleft()
            else:
                envelope, index = self._submitted.popleft(), 0
            if pipeline is not None:
                await self._feed(pipeline, envelope, index, self)

    def _has_resumed(self) -> bool:
        return bool(self._resumed or self._submitted or (self._front is not None and self._front.resumed))

    async def _take(self, entries: Sequence[Entry]) -> None:
        """Take one batch of entries: run by run, each run's items in their order."""
        stretches = _stretches(entries)
        self._taking.extend(chain.from_iterable(stretch for _, stretch in stretches))
        pipeline = self._exporter.pipeline
        has_processors = self._front is not None or (pipeline is not None and not pipeline.is_empty)
        runs_foreign_code = self._exporter.has_own_export or pipeline is None or has_processors
        for run, run_entries in stretches:
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
        await self._end_runs()

    def _take_captured(self, entries: Sequence[Entry]) -> None:
        """Take spans as they were captured: no code looks at them before the exporter, which describes what it sends."""
        spans = [item for item, _ in entries if isinstance(item, CapturedSpan)]
        self._taken_count += len(spans)
        if self._guard is not None:
            spans = [guarded for span in spans if (guarded := self._guarded(span, self._guard.span)) is not None]
        spans = spans[: self._room_for(len(spans))]
        if not self._captured:
            self._captured_at_s = self._clock()
        while spans:
            room = self._options.batch_size - len(self._captured)
            self._captured += spans[:room]
            spans = spans[room:]
            if len(self._captured) >= self._options.batch_size:
                self._close_group()
        if self._captured:
            self._start_group_timer()

    async def _feed_next(self, count: int, state: _RunInLane | None) -> None:
        """Take the next `count` entries, all of one run, into the pipeline."""
        front = self._front
        for _ in range(count):
            if self._is_aborted:
                return  # a processor has swallowed the cancellation
            item, run = self._taking.popleft()
            if item is not None:
                self._taken_count += 1
            else:
                self._ended.append((run, state))
                continue
            try:
                value = self._described(item)
            except Exception as exc:
                self._noise.warn("describe", "%s: an item cannot be described (%s) and is lost", self.name, raised(exc))
                self._reject_entries(1)
                continue
            if value is None:
                continue
            if front is None:
                await self._go_in(value, run, state)
            else:
                envelope = Envelope(value, run)
                envelope.size_bytes = item_bytes(item)
                await self._pass_front(front, envelope, 0, state)
                await self._pass_resumed(front)  # before what comes next: steps stay in their order

    def _described(self, item: CapturedStep | CapturedSpan) -> IntermediateStep | Span | None:
        """What exporters see of what was captured, redacted; `None` if that has failed, and it is lost."""
        guard = self._guard
        if isinstance(item, CapturedStep):
            step = item if guard is None else self._guarded(item, guard.step)
            return None if step is None else to_intermediate_step(step)
        span = item if guard is None else self._guarded(item, guard.span)
        return None if span is None else describe(span)

    def _guarded(self, item: ItemT, redact: Callable[[ItemT], ItemT]) -> ItemT | None:
        """The item, redacted; if that fails it is dropped, since nothing leaves as it was."""
        try:
            return redact(item)
        except Exception as exc:
            self._noise.warn("redact", "%s: redaction raised %s; its item is not exported", self.name, raised(exc))
            if self._accepts_on_submit:
                self.ledger.refuse("processor_error")
            else:
                self.ledger.drop("processor_error")
            return None

    async def _pass_front(self, front: Front, envelope: Envelope, index: int, state: _RunInLane | None) -> None:
        """Take one item through the configured processors, from that index on, and what they pass on to the exporter."""
        await self._feed(front.pipeline, envelope, index, front)
        while front.past and not self._is_aborted:
            passed = front.past.popleft()
            await self._go_in(passed.value, passed.run, state)

    async def _pass_resumed(self, front: Front) -> None:
        """Take on what the configured processors gave by themselves."""
        while front.resumed and not self._is_aborted:
            envelope, index = front.resumed.popleft()
            run = envelope.run
            if run is None or run in self._runs:
                await self._pass_front(front, envelope, index, None if run is None else self._runs[run])
                continue
            try:  # held beyond its run's end
                state = self._state(run)
            except BaseException as exc:
                if is_ours(exc):
                    raise
                self._noise.warn(
                    "copy", "%s: a run's copy could not be made (%s); its items are lost", self.name, raised(exc)
                )
                self._reject_entries(envelope.count)
                continue
            await self._pass_front(front, envelope, index, state)
            if state is not None:
                state.has_ended = True
                self._end_when_done(state)

    async def _end_runs(self) -> None:
        """Tell the ends of runs to the configured processors, once all items that were taken with them have passed."""
        ended, self._ended = self._ended, []
        if self._front is not None:
            for run, _ in ended:
                self._front.pipeline.end_run(run)
            await self._pass_resumed(self._front)
        for _, state in ended:
            if state is not None:
                state.has_ended = True
                self._end_when_done(state)

    async def _go_in(self, value: Any, run: Run | None, state: _RunInLane | None) -> None:
        """Take one item to the exporter: to its own `export`, or into its pipeline."""
        pipeline = self._exporter.pipeline
        if self._exporter.has_own_export or pipeline is None:
            await self._export(value, run, state)
        else:
            await self._feed(pipeline, Envelope(value, run), 0, self)

    def _lose_next(self, count: int) -> None:
        entries = [self._taking.popleft() for _ in range(count)]
        self._reject_entries(sum(item is not None for item, _ in entries))

    def _reject_entries(self, count: int) -> None:
        if not self._accepts_on_submit:
            self.ledger.reject(count)

    async def _export(self, value: Any, run: Run | None, state: _RunInLane | None) -> None:
        """Pass one item to the exporter's own `export`, and what that submits into the pipeline."""
        exporter = self._exporter if state is None else state.exporter
        pipeline = self._exporter.pipeline
        self._is_exporting = True
        try:
            exporter.export(value)
        except BaseException as exc:
            if is_ours(exc):
                raise
            self._failure = classified(exc).shown(self._shown)
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
            await self._feed(pipeline, envelope, 0, self)

    async def _feed(self, pipeline: Pipeline, envelope: Envelope, index: int, outlet: Outlet) -> None:
        is_counted = outlet is self or not self._accepts_on_submit
        self._feeding = envelope if is_counted else None
        is_measured = not pipeline.is_empty
        began = self._clock() if is_measured else 0.0
        try:
            await pipeline.feed(envelope, outlet, index)
            if is_measured:
                self.metrics.processor_time.record(self._clock() - began)
        except asyncio.CancelledError:
            if self._is_aborted:
                raise  # counted with everything else that is on its way
            outlet.drop("processor_error", envelope.count)
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
        if self._looks_again and self._guard is not None:
            envelope.value = self._guarded_again(envelope, self._guard)
            if envelope.value is None:
                return
        envelope.ready_at_s = self._clock()
        if self._room_for(envelope.count) < envelope.count:
            return
        if self._item_limit_bytes is not None and not self._fit(envelope):
            return
        if self._options.takes_lists and not isinstance(envelope.value, list):
            self._add_to_group(envelope) if self._run_groups is None else self._queue(self._run_groups.add(envelope))
        elif self._options.batch_bytes is None:
            self._sender.queue(envelope)
        else:
            for part in self._within_bytes(envelope, self._options.batch_bytes):
                self._sender.queue(part)

    def _guarded_again(self, envelope: Envelope, guard: "Guard") -> Any:
        """What processors and the exporter have made of an item, redacted; `None` if that has failed, and it is lost."""
        try:
            return guard.look(envelope.value)
        except Exception as exc:
            self._noise.warn("redact", "%s: redaction raised %s; its item is not exported", self.name, raised(exc))
            self.drop("processor_error", envelope.count)
            return None

    def resume(self, envelope: Envelope, index: int, *, is_new: bool) -> None:
        """Go on with an item that a processor gave by itself, at the processor of that index."""
        if is_new:
            self.ledger.accept(envelope.count)
        if self._is_over:
            self.ledger.drop(self._refuse_reason, envelope.count if is_new else 0)
            return
        self._resumed.append((envelope, index))
        self._wake.set()

    def drop(self, reason: str, count: int, why: str = "") -> None:
        """Count what the pipeline dropped; `why` says what failed."""
        if self._is_over:
            return  # too late: it has been counted as lost
        if why:
            self._failure = ExportFailure(False, reason, why, cause=Cause.PROCESSOR)
        _log.debug("%s: %d item(s) dropped: %s", self.name, count, reason)
        self.ledger.drop(reason, count)

    def is_ready(self) -> bool:
        """Whether sending keeps up, or the disk takes what waits."""
        return self._sender.is_ready()

    def _room_for(self, count: int) -> int:
        """How many of so many items more may be taken; the others are dropped, if that is the exporter's policy.

        Else what waits is sent at once. A batching processor in the pipeline keeps the bound itself.
        """
        limit, drops = self._options.max_queue_size, self._options.drop_on_overflow
        pipeline = self._exporter.pipeline
        if limit is None or not (drops or self._sender.is_ready()) or (pipeline is not None and pipeline.has_batching):
            return count
        waiting = sum(envelope.count for envelope in self._group) + len(self._captured) + self._sender.waiting_count
        if waiting + count <= limit:
            return count
        if not drops:
            self._close_group()
            return count
        room = max(limit - waiting, 0) if self._takes_captured else 0
        self._noise.warn("overflow", "%s: %s items wait to be sent already; new ones are lost", self.name, limit)
        self.drop("queue_full", count - room)
        return room

    # -- batch ---------------------------------------------------------------------------------------------------------

    def _add_to_group(self, envelope: Envelope) -> None:
        limit = self._options.batch_bytes
        if limit is not None and self._group_bytes + envelope.size_bytes > limit:
            self._close_group()
        self._group.append(envelope)
        self._group_bytes += envelope.size_bytes
        if len(self._group) >= self._options.batch_size:
            self._close_group()
        else:
            self._start_group_timer()

    def _start_group_timer(self) -> None:
        if self._group_timer is None and self._options.flush_interval_s > 0 and self._loop is not None:
            self._group_timer = self._loop.call_later(self._options.flush_interval_s, self._close_group)

    def _close_group(self) -> None:
        if self._group_timer is not None:
            self._group_timer.cancel()
            self._group_timer = None
        if self._group:
            group, self._group, self._group_bytes = self._group, [], 0
            self._sender.queue(list_of(group))
        if self._captured:
            spans, self._captured = self._captured, []
            whole = Envelope(spans, None, len(spans))
            whole.ready_at_s, self._captured_at_s = self._captured_at_s, self._clock()
            self._sender.queue(whole)

    def _queue(self, envelopes: Iterable[Envelope]) -> None:
        for envelope in envelopes:
            self._sender.queue(envelope)

    def _queue_runs(self) -> None:
        """Runs that are over are ready to be sent: all that was offered before has been taken."""
        if self._run_groups is not None:
            self._queue(self._run_groups.complete(lambda: [run.trace_id for run in self._runs]))

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
            self._sender.refuse(envelope, "too_large", "an item is too large, also with its texts cut")

    def _within_bytes(self, envelope: Envelope, limit: int) -> list[Envelope]:
        """The envelope, or a list's parts that are each within the limit."""
        if envelope.size_bytes <= limit or not isinstance(envelope.value, list) or len(envelope.value) == 1:
            return [envelope]
        first, second = halves_of(envelope)
        for half in (first, second):
            half.size_bytes = size_of(half.value)
        return [*self._within_bytes(first, limit), *self._within_bytes(second, limit)]

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

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for a flush."""
        return bool(self._flushes)

    def exporter_for(self, run: Run | None) -> tuple[LaneExporter, contextvars.Context]:
        """What sends a run's items, and in which context; without a run, the exporter itself."""
        state = None if run is None else self._state(run)
        if state is None:
            return self._exporter, self._context
        return state.exporter, state.context or self._context

    def began(self, run: Run | None) -> None:
        """One more of the run's envelopes is on its way."""
        state = None if run is None else self._runs.get(run)
        if state is not None:
            state.in_flight += 1

    def ended(self, run: Run | None) -> None:
        """One of them is not on its way any more."""
        state = None if run is None else self._runs.get(run)
        if state is not None:
            state.in_flight -= 1
            self._end_when_done(state)

    def ready(self) -> None:
        """There is room for more to send: processors that hold something back may give it."""
        pipeline = self._exporter.pipeline
        if pipeline is not None and pipeline.waiting_count:
            self._in_background(pipeline.release(), self._context)

    def _end_when_done(self, state: _RunInLane) -> None:
        if state.has_ended and state.in_flight == 0:
            self._end_run(state)

    def _end_run(self, state: _RunInLane) -> None:
        """Flush the run's copy and forget it."""
        if self._runs.pop(state.run, None) is not None:
            if self._run_groups is not None:
                self._run_groups.end(state.run.trace_id)
            self._in_background(self._flush_copy(state.exporter), state.context or self._context)

    async def _flush_copy(self, exporter: LaneExporter) -> None:
        try:
            async with asyncio.timeout(SHUTDOWN_TIMEOUT_S):
                await exporter.flush_own()
        except BaseException as exc:
            if is_ours(exc):
                raise
            self._failure = classified(exc).shown(self._shown)
            self._noise.warn("flush", "%s: _flush raised %s", self.name, raised(exc))

    def _in_background(self, coroutine: Coroutine[Any, Any, None], context: contextvars.Context) -> None:
        assert self._loop is not None
        task = self._loop.create_task(coroutine, context=context)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


_TOO_LARGE = object()


def _stretches(entries: Sequence[Entry]) -> list[tuple[Run, list[Entry]]]:
    """Entries of one run after another; of runs within one another in their order, as an outer one may sum up what is in it."""
    by_top: dict[Run, list[Entry]] = {}
    for entry in entries:
        run = entry[1]
        by_top.setdefault(run if run.outer is None else run.top, []).append(entry)
    return [
        (run, list(stretch)) for trace in by_top.values() for run, stretch in groupby(trace, key=lambda entry: entry[1])
    ]
