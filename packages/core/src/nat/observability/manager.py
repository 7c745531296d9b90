"""The manager: the lanes of one configuration, from start to last flush, and the telemetry thread that they share."""

import asyncio
import atexit
import contextvars
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from pydantic import ValidationError

from nat.builder.builder import Builder
from nat.builder.context import ContextState, active_step, enter_state, enter_step, leave_state
from nat.data_models.delivery import DeliveryConfig
from nat.data_models.errors import ConfigurationError, Problem
from nat.data_models.intermediate_step import ROOT_PARENT_ID, IntermediateStepCategory, IntermediateStepType
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability.delivery.causes import Cause
from nat.observability.delivery.errors import ExportFailure, classified
from nat.observability.delivery.front import ConfiguredProcessor, Front
from nat.observability.delivery.intake import Drained, Intake, IntakeLimits, Load
from nat.observability.delivery.loop_thread import LoopThread
from nat.observability.delivery.metrics import LaneMetrics, Measurement, measurements
from nat.observability.delivery.options import configured, spool_options
from nat.observability.delivery.watch import loop_watcher
from nat.observability.delivery.worker import SHUTDOWN_TIMEOUT_S, Lane
from nat.observability.events import (
    CapturedError,
    CapturedStep,
    Run,
    capture_error,
    finish,
    new_trace_id,
    report_nothing,
    span_id_of,
)
from nat.observability.exporter.address import address_of, protocol_of, shown_text
from nat.observability.exporter.base_exporter import BaseExporter, LaneView
from nat.observability.ledger import Counts, Ledger
from nat.observability.noise import Noise, is_ours, raised
from nat.observability.processor.route_processor import Router
from nat.observability.registry import (
    FOR_ONE_EXPORTER,
    ExporterEntry,
    ProcessorEntry,
    entries_by_route,
    exporter_entry,
    processor_entries,
    redact_config,
    route_in,
)
from nat.observability.snapshot import Snapshot, snapshot
from nat.observability.spans.capture import CapturedSpan, LooseCapture, RunCapture
from nat.observability.status_file import StatusWriter
from nat.utils.forking import keep_for_ever, new_lock
from nat.utils.ids import random_hex

if TYPE_CHECKING:
    from nat.observability.redaction.settings import RedactConfig, RedactProfile

__all__ = [
    "Checkup",
    "ExporterState",
    "ExporterStatus",
    "FlushResult",
    "Outcome",
    "RunScope",
    "TelemetryManager",
    "TelemetryStatus",
    "entries_of",
    "limits_of",
]

_log = logging.getLogger("nat.observability.manager")

_ENDS = {
    IntermediateStepType(f"{category}_START"): IntermediateStepType(f"{category}_END")
    for category in IntermediateStepCategory
}
_GATHER_S = 0.005  # how long the first item of a burst waits for more, so that one wake-up serves many
_REQUIRED_TIMEOUT_S = 30.0
_FORK_PATIENCE_S = 10.0  # at a fork, for exporters that are being built: imports take seconds on a busy machine
_GRACE_S = 0.3  # beyond a deadline, for a loop to say that it has kept it
_LAST_S = 0.15  # beyond that, for threads to end
_JOIN_S = 1.0
_EXIT_PRIORITY = 0  # among finalizers of `multiprocessing`: after pools have ended, before its queues are flushed
_DISTRIBUTING_TIMEOUT_S = 0.5
_TICK_S = 0.05  # between two looks at what the lanes hold, while they hold something
_SAY_EVERY_S = 60.0


class ExporterState(StrEnum):
    """Where an exporter is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    DISABLED = "disabled"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ExporterStatus(Counts):
    """One exporter now: its state and what became of everything it accepted.

    Attributes:
        name: Its entry in the configuration.
        type: Its `_type`.
        state: Where it is in its life.
        reason: Why it is disabled.
    """

    name: str = ""
    type: str = ""
    state: ExporterState = ExporterState.STARTING
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Checkup:
    """One exporter now, for somebody who asks why nothing arrives.

    Attributes:
        status: Its state and counts.
        address: Where it sends to, without anything secret; `None` if that is not known.
        protocol: What it speaks, if it says so.
        failure: Why it could not start, or how the latest attempt that failed did.
        send_s: Seconds that its attempts to send have taken in all; `None` without any.
    """

    status: ExporterStatus
    address: str | None
    protocol: str | None
    failure: ExportFailure | None
    send_s: float | None


@dataclass(frozen=True, slots=True)
class TelemetryStatus:
    """All exporters of a configuration now, by entry name."""

    exporters: dict[str, ExporterStatus]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one exporter's items within one `flush` or `close`.

    Attributes:
        delivered: Items that its backend acknowledged.
        dead_lettered: Items refused for good and kept.
        spooled: Items put on disk, less those that were sent from there.
        lost: Items that were refused for good or dropped.
        left: Items that are still on their way.
    """

    delivered: int = 0
    dead_lettered: int = 0
    spooled: int = 0
    lost: int = 0
    left: int = 0

    @classmethod
    def between(cls, before: Counts, after: Counts) -> Self:
        """What lies between two readings."""
        return cls(
            delivered=after.delivered - before.delivered,
            dead_lettered=after.dead_lettered - before.dead_lettered,
            spooled=after.spooled - before.spooled,
            lost=after.lost - before.lost,
            left=after.pending,
        )


@dataclass(frozen=True, slots=True)
class FlushResult(TelemetryStatus):
    """All exporters at the end of a `flush` or `close`, and what it did.

    Attributes:
        outcomes: What became of items within the call, by entry name.
    """

    outcomes: dict[str, Outcome]

    @property
    def is_complete(self) -> bool:
        """Whether nothing was lost in it and nothing is left."""
        return all(outcome.lost == 0 and outcome.left == 0 for outcome in self.outcomes.values())


class TelemetryManager:
    """Builds, starts, feeds, drains and stops the exporters of one configuration. Thread-safe.

    Starting waits for no backend: exporters come up on their own event loops while the workflow runs already, and get what was
    captured before. Exporters that this project ships share the telemetry thread; any other one has a thread of its own, since
    nobody knows whether it blocks.

    Args:
        entries: What is configured; names are unique.
        intake: What may be on its way in all.
        status_directory: Where this process keeps a status file while it runs.
    """

    def __init__(
        self,
        entries: Sequence[ExporterEntry],
        *,
        intake: IntakeLimits | None = None,
        status_directory: Path | None = None,
    ) -> None:
        self._entries = list(entries)
        self._routers = {entry.route.router for entry in self._entries if entry.route is not None}
        self._status_directory = status_directory
        self._status_writer: StatusWriter | None = None
        self._limits = intake or IntakeLimits()
        self._slots = self._new_slots()
        self._takers = _takers_of(self._slots, self._limits)
        self._intake = self._new_intake()
        self._distributing = new_lock()
        self._tick: asyncio.TimerHandle | None = None
        self._no_context = contextvars.Context()  # what is done for all runs keeps none of them
        self._thread: LoopThread | None = None
        self._has_started = False
        self._is_closing = False
        self._has_closed = False
        self._is_forked = False
        self._captures: set[RunCapture] = set()
        self._outer = ContextState.get()
        self._loose = LooseCapture(self, self._capture_with_open)
        self._lock = new_lock()
        self._noise = Noise(_log)
        self._losses = _Losses("telemetry")
        self.wants_steps = self.wants_contexts = True
        _managers.add(self)

    def _new_intake(self) -> Intake:
        return Intake(self._wake, self._limits, lambda: not LoopThread.is_any_current())

    def _new_slots(self) -> "dict[str, _Slot]":
        configs = {entry.name: entry.config for entry in self._entries}
        return {
            entry.name: _Slot(entry, Builder(configs), self._limits, self._lanes_changed) for entry in self._entries
        }

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the exporters. Returns at once, unless an entry is `required`: that one is waited for.

        Raises:
            ConfigurationError: A required exporter did not start; the others have been stopped again.
            RuntimeError: It has been started already.
        """
        with self._lock:
            if self._has_started:
                raise RuntimeError("this telemetry has been started already; make a new one to start again")
            self._has_started = True
            self._outer = ContextState.get()
            self._start_status_writer()
            self._thread = _shared_thread.acquire()
        self._keep_until_exit()  # before anything is built, which a fork waits for
        for slot in self._slots.values():
            slot.start(self._thread)
        self._outer.stream.attach(self._loose, hears_below=False)
        self._check_required()

    def _start_status_writer(self) -> None:
        if self._status_directory is not None:
            self._status_writer = StatusWriter(self._status_directory, self._status_fields, self._noise)
            self._status_writer.start()

    def _status_fields(self) -> list[dict[str, Any]]:
        return [
            {"name": status.name, "type": status.type, "state": status.state, "reason": status.reason, **asdict(status)}
            for status in self.status().exporters.values()
        ]

    def _keep_until_exit(self) -> None:
        """A program that closes nothing still delivers, a child of `multiprocessing` too."""
        _open_managers.add(self)
        _register_with_multiprocessing(self)

    def _leave_to_parent(self) -> None:
        """In a forked child: what waits and what runs is the parent's; exporters start anew at the child's first step."""
        if not self._has_started:
            return
        keep_for_ever(self._slots, self._intake, self._thread)
        if self._status_writer is not None:
            self._status_writer.leave_to_parent()
            self._status_writer = None
        self._slots = self._new_slots()
        self._takers = _takers_of(self._slots, self._limits)
        self._intake = self._new_intake()
        self._tick = None
        self._thread = None
        self._is_forked = not self._is_closing
        self._losses = _Losses("telemetry")
        self.wants_steps = self.wants_contexts = True
        for capture in list(self._captures):
            capture.leave_to_parent()
        self._loose.leave_to_parent()
        self._outer.stream.detach(self._loose)
        if self._is_forked:
            self._outer.stream.attach(self._loose, hears_below=False)
            _register_with_multiprocessing(self)

    @property
    def _is_running(self) -> bool:
        """Whether steps are taken; in a forked child the first question starts the exporters."""
        if self._thread is None and not self._is_closing:
            self._start_in_child()  # also waits for another thread that is starting them
        return self._thread is not None

    def _start_in_child(self) -> None:
        with self._lock:
            if not self._is_forked or self._is_closing:
                return
            self._is_forked = False
            thread = _shared_thread.acquire()
            self._keep_until_exit()
            for slot in self._slots.values():
                slot.start(thread)
            self._start_status_writer()
            self._thread = thread

    def _check_required(self) -> None:
        required = [slot for slot in self._slots.values() if slot.entry.required]
        deadline = time.monotonic() + _REQUIRED_TIMEOUT_S
        for slot in required:
            slot.settled.wait(max(deadline - time.monotonic(), 0))
        failed = [slot for slot in required if slot.state is not ExporterState.RUNNING]
        if not failed:
            return
        self.close(0.0)
        raise ConfigurationError(*(slot.required_problem() for slot in failed))

    def flush(self, timeout_s: float) -> FlushResult:
        """Return when everything captured so far has met its fate, or after `timeout_s` seconds for all exporters together."""
        before = self.status()
        if self._thread is not None:
            deadline = time.monotonic() + timeout_s
            for late in wait_for_futures(self.flushes(), max(deadline - time.monotonic(), 0)).not_done:
                late.cancel()
        return self._result(before)

    def flushes(self) -> "list[Future[None]]":
        """Flush without waiting: for each exporter what is done when everything captured so far, or found on disk, is through.

        Cancel what is not waited for any more.
        """
        if self._thread is None:
            return []
        self._distribute()
        return [flush for slot in self._slots.values() if (flush := slot.flush()) is not None]

    def _result(self, before: TelemetryStatus) -> FlushResult:
        after = self.status()
        outcomes = {name: Outcome.between(before.exporters[name], status) for name, status in after.exporters.items()}
        return FlushResult(after.exporters, outcomes)

    def written(self) -> "tuple[list[Future[None]], float]":
        """For the end of a run: what it must wait for until its items are on disk, and how many seconds at most."""
        slots = [slot for slot in self._slots.values() if slot.run_wait_s]
        if not slots or LoopThread.is_any_current():
            return [], 0.0
        self._distribute()
        return [done for slot in slots if (done := slot.written()) is not None], max(slot.run_wait_s for slot in slots)

    def waited(self, futures: "Sequence[Future[None]]") -> None:
        """Say so if a run has ended before its items were on disk."""
        if not all(future.done() for future in futures):
            self._noise.warn("wait", "telemetry: a run has ended and its items are not on disk yet; see delivery.spool")

    def send_again(self, name: str, letter_ids: Sequence[str]) -> "Future[int] | None":
        """Put an exporter's dead letters on their way again; done when they are, with how many items they stand for."""
        return self._slots[name].send_again(letter_ids)

    def letter_fates(self, name: str) -> dict[str, str | None]:
        """What became of dead letters that were sent again, by id: why they stay, `None` for those that were delivered."""
        return self._slots[name].letter_fates()

    def close(self, timeout_s: float | None = None) -> FlushResult:
        """Stop capturing, deliver what waits, stop the exporters: within `timeout_s` seconds for all together. Idempotent.

        Steps that are open outside any run are exported as incomplete; runs that are still going on lose what comes after.
        """
        timeout_s = SHUTDOWN_TIMEOUT_S if timeout_s is None else timeout_s
        before = self.status()
        with self._lock:
            thread = self._thread
            if self._is_closing or not self._has_started:
                return self._result(before)
            self._is_closing = True
        if thread is None:  # a forked child that has taken no step
            self._outer.stream.detach(self._loose)
            _open_managers.discard(self)
            return self._result(before)
        deadline = time.monotonic() + timeout_s
        self._outer.stream.detach(self._loose)
        self._loose.close(time.time_ns())
        for capture in list(self._captures):
            capture.close(time.time_ns())
        self._thread = None
        self._distribute()
        stops = [slot.stop(max(deadline - time.monotonic(), 0)) for slot in self._slots.values()]
        wait_for_futures([stop for stop in stops if stop is not None], max(deadline - time.monotonic(), 0) + _GRACE_S)
        for slot in self._slots.values():
            slot.leave_behind()
        self._has_closed = True
        self._refuse_rest()
        if self._status_writer is not None:
            self._status_writer.end()
        joined_at = min(time.monotonic() + _JOIN_S, deadline + _GRACE_S + _LAST_S)
        for slot in self._slots.values():
            slot.join(max(joined_at - time.monotonic(), 0))
        if self._status_writer is not None:
            self._status_writer.join(max(joined_at - time.monotonic(), 0))
        for losses in (self._losses, *(slot.losses for slot in self._slots.values())):
            losses.say(is_last=True)
        _open_managers.discard(self)
        _shared_thread.release(max(joined_at - time.monotonic(), 0))
        return self._result(before)

    def status(self) -> TelemetryStatus:
        """What every exporter is doing and has done."""
        is_still = self._distributing.acquire(
            timeout=_DISTRIBUTING_TIMEOUT_S
        )  # so that no item is counted on both sides
        try:
            waiting, refused = self._intake.waiting(), self._intake.refused()
            return TelemetryStatus({name: slot.status(waiting, refused) for name, slot in self._slots.items()})
        finally:
            if is_still:
                self._distributing.release()

    def metrics(self) -> list[Measurement]:
        """What every exporter has counted and measured."""
        status = self.status().exporters
        return [measurement for name, slot in self._slots.items() for measurement in slot.metrics(status[name])]

    def trace_urls(self, trace_id: int, root_span_id: int) -> dict[str, str]:
        """Pages on which backends show a trace, by entry name; only of those that have such a page."""
        urls = {name: slot.trace_url(trace_id, root_span_id) for name, slot in self._slots.items()}
        return {name: url for name, url in urls.items() if url is not None}

    def run_urls(self, scope: "RunScope") -> dict[str, str]:
        """Pages on which backends show a run, by entry name; only of those that have such a page and get the run."""
        urls = self.trace_urls(scope.trace_id, scope.root_span_id)
        return {name: url for name, url in urls.items() if self._slots[name].is_for(scope._run)}

    def checkups(self) -> list[Checkup]:
        """All exporters, with what is known of why they fail."""
        status = self.status().exporters
        return [slot.checkup(status[name]) for name, slot in self._slots.items()]

    # -- capture -------------------------------------------------------------------------------------------------------

    def open_run(
        self,
        name: str,
        *,
        input: Any = None,
        session_id: str | None = None,
        user_id: str | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        kind: IntermediateStepType = IntermediateStepType.WORKFLOW_START,
    ) -> "RunScope":
        """A run, to be entered: what happens in the body belongs to it, below one root step. Starts if need be."""
        if not self._has_started:
            with suppress(RuntimeError):  # another thread was faster
                self.start()
        elif not self._is_running:
            self._noise.warn("closed", "telemetry: is closed; run %r is not recorded", name)
        return RunScope(
            self, name, input=input, session_id=session_id, user_id=user_id, tags=tags, metadata=metadata, kind=kind
        )

    def goes_apart(self, metadata: Snapshot, outer: Run) -> bool:
        """Whether a run with this metadata is no part of the run around it, since an exporter sends it another way.

        It is a trace of its own then, and has neither the session nor the user of the other one: backends take a trace for one
        whole, and put it where its first spans came.
        """
        return any(router.parts(metadata, outer) for router in self._routers)

    def record_step(self, step: CapturedStep, run: Run) -> None:
        """Take a step event from a capture."""
        if self._thread is None and not self._is_running:
            self._refuse(step_count=1)
        else:
            self._intake.put_step(step, run)
            if self._has_closed:
                self._refuse_rest()

    def record_span(self, span: CapturedSpan, run: Run) -> None:
        """Take a span from a capture."""
        if self._thread is None and not self._is_running:
            self._refuse(span_count=1)
        else:
            self._intake.put_span(span, run)
            if self._has_closed:
                self._refuse_rest()

    def record_end(self, run: Run) -> None:
        """Take note of a run's end."""
        if self._thread is not None:
            self._intake.put_end(run)

    def begin_capture(self, run: Run) -> RunCapture:
        """A capture for a run that begins."""
        capture = RunCapture(run, self)
        self._captures.add(capture)
        return capture

    def end_capture(self, capture: RunCapture) -> None:
        """The capture's run has ended."""
        self._captures.discard(capture)

    def _refuse(self, *, step_count: int = 0, span_count: int = 0) -> None:
        """Count what comes after the end."""
        for taker in self._takers:
            taker.refuse(step_count, span_count)

    def _refuse_rest(self) -> None:
        """Count what other threads have put into the intake after its last distribution."""
        rest = self._intake.drain()
        self._refuse(step_count=rest.step_load.items, span_count=rest.span_load.items)

    def _capture_with_open(self, step_id: str) -> RunCapture | None:
        return next((capture for capture in list(self._captures) if capture.has_open(step_id)), None)

    # -- the telemetry thread ------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        thread = self._thread
        if thread is not None:
            with suppress(RuntimeError):  # the loop was closed this moment; `close` drains what has come in
                thread.loop.call_soon_threadsafe(self._gather, context=self._no_context)

    def _gather(self) -> None:
        thread = self._thread
        if thread is not None:
            thread.loop.call_later(_GATHER_S, self._distribute)

    def _distribute(self) -> None:
        """Hand what the intake holds to every lane; on any thread."""
        if not self._distributing.acquire(timeout=_DISTRIBUTING_TIMEOUT_S):
            return  # a signal handler has interrupted it, and it goes on when that returns
        try:
            drained = self._intake.drain()
            if drained.steps or drained.spans:
                for taker in self._takers:
                    taker.give(drained)
            self._look_after_lanes()
        finally:
            self._distributing.release()

    def _look_after_lanes(self) -> None:
        """Tell the intake how much the lanes hold, and users of what was lost; again soon as long as there is something."""
        held = max((taker.held() for taker in self._takers), default=Load())
        self._intake.hold(held)
        self._losses.count(sum(self._intake.refused()))
        for losses in (self._losses, *(slot.losses for slot in self._slots.values())):
            losses.say()
        thread = self._thread
        if (held.items or self._losses.are_unsaid) and self._tick is None and thread is not None and thread.is_current:
            self._tick = thread.loop.call_later(_TICK_S, self._look_again)

    def _look_again(self) -> None:
        self._tick = None
        self._distribute()

    def _lanes_changed(self) -> None:
        for taker in self._takers:
            if isinstance(taker, _Routed):
                taker.tell_unit()
        self.wants_steps = any(slot.may_take_steps for slot in self._slots.values())
        self.wants_contexts = any(slot.may_need_contexts for slot in self._slots.values())


class RunScope:
    """One run, as a context manager: `with` or `async with`. It is entered once.

    Its end waits for nothing, unless a spool is to have its items first (`delivery.spool.wait`): `with` blocks then, for
    `wait_timeout` seconds at most, `async with` does not.

    Attributes:
        output: What the run gives; set it before the end.
    """

    def __init__(
        self,
        manager: TelemetryManager,
        name: str,
        *,
        input: Any,
        session_id: str | None,
        user_id: str | None,
        tags: Sequence[str],
        metadata: Mapping[str, Any] | None,
        kind: IntermediateStepType,
    ) -> None:
        self._manager = manager
        self._kind = kind
        self._input = snapshot(input)
        self.output: Any = None
        self._error: CapturedError | None = None
        said = snapshot(dict(metadata)) if metadata else None
        outer = ContextState.get().run
        self._is_apart = outer is not None and manager.goes_apart(said, outer)
        if self._is_apart:
            outer = None
        self._run = Run(
            trace_id=new_trace_id() if outer is None else outer.trace_id,
            name=name,
            owner=manager,
            root_id=random_hex(),
            session_id=session_id if session_id is not None or outer is None else outer.session_id,
            user_id=user_id if user_id is not None or outer is None else outer.user_id,
            tags=tuple(tags),
            metadata=said,
            outer=outer,
        )

    @property
    def trace_id(self) -> int:
        """128-bit id of its trace."""
        return self._run.trace_id

    @property
    def root_span_id(self) -> int:
        """64-bit id of its first span."""
        return span_id_of(self._run.root_id or "")

    @property
    def error(self) -> CapturedError | None:
        """Why it failed; known once it has ended."""
        return self._error

    def fail(self, exc: BaseException) -> None:
        """Mark the run as failed although no exception leaves its body."""
        self._error = capture_error(exc)

    def __enter__(self) -> Self:
        around = None if self._is_apart else active_step()
        self._parent_id = ROOT_PARENT_ID if around is None else around.step_id
        state = ContextState(self._run, outer=ContextState.get())
        self._state = state
        self._capture = self._manager.begin_capture(self._run)
        state.stream.attach(self._capture)
        self._former = enter_state(state)
        root = self._step(self._kind, input=self._input)
        enter_step(root.step_id, self._run.name, is_function=False, frame=None)
        if (
            self._manager.wants_contexts
        ):  # a context holds its run: only the garbage collector frees what is in such a circle
            self._run.context = contextvars.copy_context()
        if state.stream.is_heard:
            state.stream.emit(root)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(exc)
        futures, timeout_s = self._manager.written()
        if futures:
            wait_for_futures(futures, timeout_s)
            self._manager.waited(futures)

    def _end(self, exc: BaseException | None) -> None:
        try:
            self._record_end(exc)
        finally:
            leave_state(self._former)

    def _record_end(self, exc: BaseException | None) -> None:
        if exc is not None:
            self._error = capture_error(exc)
        root_id = self._run.root_id or ""
        unfinished = self._capture.close_below(root_id, time.time_ns())
        if unfinished and self._error is None:
            self._error = _unfinished(unfinished)
        stream, output = self._state.stream, snapshot(self.output)
        listener, now_ns = stream.only_listener, time.time_ns()
        is_taken = listener is not None and finish(listener, root_id, now_ns, output, error=self._error)
        if not is_taken and stream.is_heard:
            stream.emit(self._step(_ENDS[self._kind], output=output, error=self._error))
        self._run.has_ended = True
        self._manager.end_capture(self._capture)
        self._manager.record_end(self._run)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(exc)
        futures, timeout_s = self._manager.written()
        if futures:
            await asyncio.wait([asyncio.wrap_future(future) for future in futures], timeout=timeout_s)
            self._manager.waited(futures)

    def _step(self, event_type: IntermediateStepType, **fields: Any) -> CapturedStep:
        run = self._run
        assert run.root_id is not None
        return CapturedStep(event_type, run.root_id, self._parent_id, run.name, time.time_ns(), run=run, **fields)


def entries_of(
    exporters: Sequence[TelemetryExporterBaseConfig | Mapping[str, TelemetryExporterBaseConfig] | ExporterEntry],
    delivery: DeliveryConfig | None = None,
    processors: Sequence[TelemetryProcessorBaseConfig] = (),
    redact: "RedactConfig | RedactProfile | None" = None,
) -> list[ExporterEntry]:
    """Entries for configs: named by a mapping's key, else after their type (`file`, `file_2`).

    Args:
        exporters: Configs, or entries that are ready.
        delivery: What goes for all of them, behind what an entry says itself.
        processors: What the items of all of them pass, before the processors of an entry.
        redact: What is taken out of everything, unless an entry says itself.

    Raises:
        ConfigurationError: Something is no config, or its class is not registered.
    """
    entries: dict[str, ExporterEntry] = {}
    for entry in (routed for given in _entries(exporters) for routed in _by_route(given)):
        name, number = entry.name, 2
        while name in entries:
            name, number = f"{entry.name}_{number}", number + 1
        entries[name] = replace(entry, name=name)
    general = processor_entries(processors)
    misplaced = [Problem(FOR_ONE_EXPORTER, path=one.path) for one in general if one.config.for_one_exporter]
    if misplaced:
        raise ConfigurationError(*misplaced)
    redact = redact_config(redact)
    return [
        replace(
            entry,
            delivery=_under(entry.delivery, delivery),
            processors=(*general, *entry.processors),
            redact=entry.redact or redact,
        )
        for entry in entries.values()
    ]


def _entries(
    exporters: Sequence[TelemetryExporterBaseConfig | Mapping[str, TelemetryExporterBaseConfig] | ExporterEntry],
) -> Iterator[ExporterEntry]:
    for item in exporters:
        if isinstance(item, ExporterEntry):
            yield item
        elif isinstance(item, Mapping):
            yield from (exporter_entry(config, name=name) for name, config in item.items())
        else:
            yield exporter_entry(item)


def _by_route(entry: ExporterEntry) -> list[ExporterEntry]:
    """The entry, or those that it stands for if its processors choose routes.

    Raises:
        ConfigurationError: The routes are not for such an exporter, or what they say does not fit.
    """
    found = route_in(entry.processors)
    if found is None:
        return [entry]
    from nat.observability.routing import misfits, settings_of

    processor, route = found
    config_type = type(entry.config)
    problems = [
        Problem(message, path=".".join((processor.path, *place))) for place, message in misfits(config_type, route)
    ]
    if problems:
        raise ConfigurationError(*problems)
    written = {
        key: getattr(entry.config, name)
        for key, name in zip(config_type.keys(), config_type.model_fields, strict=True)
        if name in entry.config.model_fields_set
    }
    configs: dict[str, TelemetryExporterBaseConfig] = {}
    for name in route.routes:
        try:
            configs[name] = config_type.model_validate(settings_of(route, name, written))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            place = ".".join(map(str, ("routes", name, *problem["loc"])))
            raise ConfigurationError(Problem(problem["msg"], path=f"{processor.path}.{place}")) from None
    return entries_by_route(entry, route, configs)


def _under(own: DeliveryConfig | None, general: DeliveryConfig | None) -> DeliveryConfig | None:
    return general if own is None else own if general is None else own.over(general)


def limits_of(delivery: DeliveryConfig | None) -> IntakeLimits:
    """What a `delivery:` block says about the intake."""
    if delivery is None:
        return IntakeLimits()
    intake = delivery.intake
    return IntakeLimits(intake.max_items, intake.max_bytes, intake.overflow, intake.wait_timeout)


class _Slot:
    """One configured exporter: what it is given before it has started, its lane, and its thread."""

    def __init__(
        self, entry: ExporterEntry, builder: Builder, limits: IntakeLimits, changed: Callable[[], None]
    ) -> None:
        self.entry = entry
        self.losses = _Losses(self._label)
        self._limits = self._room = limits
        self._given: deque[Load] = deque()
        self._given_load = Load()
        self.state = ExporterState.STARTING
        self.reason: str | None = None
        self.settled = threading.Event()
        self._is_worth_waiting_for = True
        self._builder = builder
        self._changed = changed
        self._ledger = Ledger()
        self._lock = threading.Lock()
        self._held: deque[Drained] = deque()
        self._lane: Lane | None = None
        self._exporter: BaseExporter | None = None
        self._start_failure: ExportFailure | None = None
        self._takes_steps: bool | None = None
        self._refused_early = (0, 0)  # steps and spans, before it is known which of them it takes
        self._thread: LoopThread | None = None
        self._ended_thread: LoopThread | None = None
        self._owns_thread = _has_own_loop(entry)
        spool = None if entry.delivery is None or entry.is_withheld else spool_options(entry.delivery.spool)
        self.run_wait_s = 0.0 if spool is None else spool.run_wait_s
        self._closing = asyncio.Event()
        self._has_settled = asyncio.Event()
        self._life: Future[None] | None = None

    # -- from any thread -----------------------------------------------------------------------------------------------

    @property
    def may_take_steps(self) -> bool:
        """Whether it takes steps, or might once it has started."""
        is_idle = self.state is ExporterState.DISABLED or self.entry.is_withheld
        return self._takes_steps is not False and not is_idle

    @property
    def may_need_contexts(self) -> bool:
        """Whether it runs code in the contexts of runs, or might once it has started."""
        needs = self._lane is None or self._lane.needs_contexts
        return needs and self.state is not ExporterState.DISABLED and not self.entry.is_withheld

    def is_for(self, run: Run) -> bool:
        """Whether it gets the items of a run."""
        route = self.entry.route
        return route is None or route.router.route_of(run) == route.name

    def start(self, shared: LoopThread) -> None:
        """Build the exporter and start it, on its loop; returns at once. What is withheld needs none."""
        if self.entry.is_withheld:
            self.state = ExporterState.RUNNING
            self.settled.set()
            return
        self._thread = shared
        if self._owns_thread:
            self._thread = LoopThread(f"nat {self.entry.name}")
            self._thread.start()
        loop_watcher.add(self._thread, self.entry.name)
        self._life = self._thread.call(self._live())

    def give(self, drained: Drained) -> None:
        """Take what the intake held."""
        with self._lock:
            if self._lane is not None and self.state is ExporterState.RUNNING:
                self._offer(self._lane, self._admitted(drained))
            elif self.state is ExporterState.STARTING:
                self._held.append(self._admitted(drained))
            else:
                self._refuse(drained.step_load.items, drained.span_load.items)

    def refuse(self, step_count: int, span_count: int) -> None:
        """Count what comes after the end."""
        with self._lock:
            self._refuse(step_count, span_count)

    def _refuse(self, step_count: int, span_count: int) -> None:
        is_undecided = ExporterState.RUNNING if self.entry.is_withheld else ExporterState.STARTING
        if self._takes_steps is None and self.state is is_undecided:
            steps, spans = self._refused_early
            self._refused_early = steps + step_count, spans + span_count
            return
        count = step_count if self._takes_steps else span_count
        if count:
            self._ledger.refuse(self._refuse_reason, count)

    def use_room(self, room: IntakeLimits) -> None:
        """Hold so much from now on, since others want the rest."""
        with self._lock:
            self._room = room

    def tell_unit(self, is_of_steps: bool) -> None:
        """What is withheld counts as other routes take it: as steps, or as spans."""
        with self._lock:
            if self._takes_steps is None:
                self._takes_steps = is_of_steps
                self._refuse_early()

    @property
    def takes_steps(self) -> bool | None:
        """Whether it takes steps, not spans; `None` as long as that is not known."""
        return self._takes_steps

    def held(self) -> Load:
        """What it has been given and has not met its fate."""
        with self._lock:
            self._settle_given()
            return self._given_load

    def flush(self) -> "Future[None] | None":
        """Flush the lane; done when everything that was given before has met its fate."""
        if self._thread is None:
            return None
        return self._thread.call(self._flush())

    def written(self) -> "Future[None] | None":
        """Done when everything that was given before is on disk, if the end of a run is to wait for that."""
        thread = self._thread
        if not self.run_wait_s or thread is None or self.state is ExporterState.DISABLED:
            return None
        return thread.call(self._written())

    def send_again(self, letter_ids: Sequence[str]) -> "Future[int] | None":
        """Put dead letters on their way again; done when they are, with the number of items that they stand for."""
        return None if self._thread is None else self._thread.call(self._send_again(letter_ids))

    def letter_fates(self) -> dict[str, str | None]:
        """What became of dead letters that were sent again."""
        lane = self._lane
        return {} if lane is None else lane.letter_fates

    def stop(self, timeout_s: float) -> "Future[None] | None":
        """Drain and end the exporter on its loop within `timeout_s` seconds."""
        if self._thread is None or self._life is None:
            return None
        return self._thread.call(self._stop(timeout_s))

    def leave_behind(self) -> None:
        """Forget an exporter that did not stop in time, and end its thread."""
        if self._life is not None and not self._life.done():
            self._life.cancel()
            _log.warning("%s: did not stop before the deadline and is left behind", self._label)
        if self.state is not ExporterState.DISABLED:
            self.state = ExporterState.STOPPED
            self._left_behind()
        if self._thread is not None:
            loop_watcher.remove(self._thread, self.entry.name)
        if self._owns_thread and self._thread is not None:
            self._thread.end()
            self._ended_thread = self._thread
        self._thread = None

    def join(self, timeout_s: float) -> None:
        """Wait for a thread of its own to end."""
        if self._ended_thread is not None:
            self._ended_thread.join(timeout_s)
            self._ended_thread = None

    def _left_behind(self) -> None:
        """Count what nobody will send any more."""
        with self._lock:
            lane = self._lane
        if lane is not None:
            lane.leave_behind("shutdown")
        else:
            self._release_held()

    def status(self, waiting: tuple[int, int], refused: tuple[int, int]) -> ExporterStatus:
        """Its state and counts; `waiting` and `refused` are the intake's, of steps and of spans."""
        route = self.entry.route
        if route is not None:  # nobody knows yet whose they are, and what did not fit in is counted once
            waiting, refused = (0, 0), (refused if route.name is None else (0, 0))
        with self._lock:
            kind = 0 if self._takes_steps else 1
            is_open = self.state in (ExporterState.STARTING, ExporterState.RUNNING)
            held = sum(self._load(drained).items for drained in self._held)
            counts = self._ledger.counts(waiting=held + (waiting[kind] if is_open else 0), refused=refused[kind])
            return ExporterStatus(
                accepted=counts.accepted,
                delivered=counts.delivered,
                rejected=counts.rejected,
                dropped=counts.dropped,
                dead_lettered=counts.dead_lettered,
                spooled=counts.spooled,
                recovered=counts.recovered,
                pending=counts.pending,
                name=self.entry.name,
                type=self.entry.registration.type_name,
                state=self.state,
                reason=self.reason,
            )

    def checkup(self, status: ExporterStatus) -> Checkup:
        """What is known of why it fails."""
        lane = self._lane
        sending = None if lane is None else lane.metrics.send_time.reading()
        return Checkup(
            status=status,
            address=address_of(self._exporter, self.entry.config),
            protocol=protocol_of(self._exporter),
            failure=self._start_failure or (None if lane is None else lane.last_failure),
            send_s=sending.total if sending is not None and sending.count else None,
        )

    def metrics(self, counts: Counts) -> list[Measurement]:
        """Its metrics, for a reading of its counts."""
        lane = self._lane
        return measurements(
            counts,
            LaneMetrics() if lane is None else lane.metrics,
            name=self.entry.name,
            type_name=self.entry.registration.type_name,
            item="step" if self._takes_steps else "span",
            capacity=self._limits.max_items,
        )

    def trace_url(self, trace_id: int, root_span_id: int) -> str | None:
        """The page on which its backend shows a trace, if it knows one."""
        if self._exporter is None:
            return None
        try:
            return self._exporter.trace_url(trace_id, root_span_id)
        except Exception as exc:
            _log.debug("%s: trace_url raised %s", self._label, raised(exc))
            return None

    def wait_for_building(self, deadline: float) -> None:
        """Return when the exporter has come up or failed to; one that has let the deadline pass is not waited for again."""
        thread = self._thread
        if self._is_worth_waiting_for and thread is not None and not thread.is_current:
            self._is_worth_waiting_for = self.settled.wait(max(deadline - time.monotonic(), 0))

    def required_problem(self) -> Problem:
        """Why a start that requires it fails."""
        reason = self.reason or f"did not start within {_REQUIRED_TIMEOUT_S:.0f} s"
        return Problem(f"{reason}; it is required, so nothing was started", path=self._label)

    # -- on its loop ---------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """The exporter's whole life: registration function, start, work, drain, cleanup."""
        from nat.observability.redacting import Redaction  # not before: it takes longer than everything else here

        entry = self.entry
        report_nothing()
        try:
            async with AsyncExitStack() as built:
                redaction = Redaction.of(entry.redact)
                processors = [
                    *redaction.processors,
                    *[await built.enter_async_context(self._processor(one)) for one in entry.processors],
                ]
                redaction.introduce(processors)
                exporter = await built.enter_async_context(entry.registration.build(entry.config, self._builder))
                view = LaneView(exporter)
                options = configured(exporter.delivery_options, entry.config, entry.delivery)
                front = Front(entry.name, processors, view.takes) if processors else None
                lane = Lane(
                    entry.name,
                    view,
                    options,
                    front=front,
                    guard=redaction.guard,
                    ledger=self._ledger,
                    shown=self._shown,
                    conventions=entry.conventions,
                )
                exporter.use_lane(lane)
                self._exporter = exporter
                async with exporter.start():
                    self._opened(lane, view.takes == "steps")
                    await self._closing.wait()
        except BaseException as exc:
            if is_ours(exc):
                raise
            self._failed(exc)
        finally:
            self._release_held()
            self._settle()

    @asynccontextmanager
    async def _processor(self, entry: ProcessorEntry) -> AsyncIterator[ConfiguredProcessor]:
        """Build a processor for this exporter alone."""
        async with entry.registration.build(entry.config, self._builder) as processor:
            label = f"{entry.path} ({entry.registration.type_name})"
            yield ConfiguredProcessor(processor, label, entry.timeout_s)

    def _refuse_early(self) -> None:
        """Count what was refused while it was not known what it takes."""
        early, self._refused_early = self._refused_early, (0, 0)
        self._refuse(*early)

    def _opened(self, lane: Lane, takes_steps: bool) -> None:
        with self._lock:
            self._takes_steps = takes_steps
            self._given = deque(load for load in map(self._load, self._held) if load.items)
            self._given_load = Load(sum(load.items for load in self._given), sum(load.size for load in self._given))
            self._lane = lane
            for drained in self._held:
                self._offer(lane, drained)
            self._held.clear()
            self.state = ExporterState.RUNNING
            self._refuse_early()
        lane.recover()
        self._changed()
        self._settle()
        _log.debug("%s: running", self._label)

    def _settle(self) -> None:
        self._has_settled.set()
        self.settled.set()

    def _failed(self, exc: BaseException) -> None:
        text = self._shown(str(exc))
        reason = f"{type(exc).__name__}: {text}" if text else type(exc).__name__
        if self.state is ExporterState.RUNNING:
            _log.warning("%s: its end failed: %s", self._label, reason)
            return
        with self._lock:
            self.state = ExporterState.DISABLED
            self.reason = reason
            self._start_failure = _start_failure(exc).shown(self._shown)
        self._changed()
        _log.debug("%s: could not start: %s", self._label, raised(exc))
        _log.error("%s: could not start (%s); it is disabled, everything else goes on", self._label, reason)

    def _release_held(self) -> None:
        with self._lock:
            count = sum(drained.span_load.items for drained in self._held)
            self._held.clear()
            if count:
                self._ledger.refuse(self._refuse_reason, count)
            self._refuse_early()

    async def _flush(self) -> None:
        await self._has_settled.wait()
        if self._lane is not None:
            await self._lane.flush()

    async def _written(self) -> None:
        await self._has_settled.wait()
        if self._lane is not None:
            await self._lane.written()

    async def _send_again(self, letter_ids: Sequence[str]) -> int:
        await self._has_settled.wait()
        return 0 if self._lane is None else await self._lane.send_again(letter_ids)

    async def _stop(self, timeout_s: float) -> None:
        """Within the deadline: let it finish its start, drain the lane, and let `_live` run to its end."""
        deadline = time.monotonic() + timeout_s
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._has_settled.wait()
        if self._lane is not None:
            left_s = max(deadline - time.monotonic(), 0)
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s + _GRACE_S / 4):  # the lane keeps the deadline itself
                    await self._lane.close(left_s)
        self._closing.set()
        if self._life is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(max(deadline - time.monotonic(), 0) + _GRACE_S / 2):
                await asyncio.wait([asyncio.wrap_future(self._life)])

    # -- small parts ---------------------------------------------------------------------------------------------------

    def _shown(self, text: str) -> str:
        for config in (self.entry.config, *(one.config for one in self.entry.processors)):
            text = shown_text(text, config)
        return text

    @property
    def _label(self) -> str:
        return f"general.telemetry.tracing.{self.entry.name} ({self.entry.registration.type_name})"

    @property
    def _refuse_reason(self) -> str:
        if self.entry.is_withheld:
            return "unrouted"
        return "exporter_disabled" if self.state is ExporterState.DISABLED else "shutdown"

    def _offer(self, lane: Lane, drained: Drained) -> None:
        if self._takes_steps:
            lane.offer(drained.steps, drained.step_load.items)
        else:
            lane.offer(drained.spans, drained.span_load.items)

    def _load(self, drained: Drained) -> Load:
        """What of it is for this exporter; spans, as long as that is not known."""
        return drained.step_load if self._takes_steps else drained.span_load

    def _admitted(self, drained: Drained) -> Drained:
        """What fits; room is made first if that is the policy. The rest is counted as lost."""
        self._settle_given()
        load = self._load(drained)
        if not load.items:
            return drained
        if not self._room.allows(self._given_load.plus(load)):
            if self._room.overflow == "drop_oldest":
                self._drop_oldest(load)
            if not self._room.allows(self._given_load.plus(load)):
                drained = drained.without_newest(self._room, self._given_load)
                refused = load.items - self._load(drained).items
                self._ledger.refuse("queue_full", refused)
                self.losses.add(refused)
                load = self._load(drained)
        self._given.append(load)
        self._given_load = self._given_load.plus(load)
        return drained

    def _drop_oldest(self, load: Load) -> None:
        """Lose what came first and has not been taken yet, to make room."""
        wanted = Load(
            self._given_load.items + load.items - self._room.max_items,
            self._given_load.size + load.size - self._room.max_bytes,
        )
        before = self._ledger.counts().lost
        if self._lane is not None:
            self._lane.drop_oldest("queue_full", wanted)
        else:
            freed = Load()
            while self._held and (freed.items < wanted.items or freed.size < wanted.size):
                oldest = self._held.popleft()
                freed = freed.plus(self._load(oldest))
                self._ledger.refuse("queue_full", self._load(oldest).items)
        self.losses.add(self._ledger.counts().lost - before)
        self._settle_given()

    def _settle_given(self) -> None:
        """Take what has met its fate off what it was given, the oldest first: their order is kept nearly enough."""
        if self._lane is not None:
            outstanding = self._lane.outstanding
        else:
            outstanding = sum(self._load(drained).items for drained in self._held)
        settled = self._given_load.items - outstanding
        while self._given and settled > 0:
            oldest = self._given.popleft()
            done = min(settled, oldest.items)
            size = oldest.size * done // oldest.items
            if done < oldest.items:
                self._given.appendleft(Load(oldest.items - done, oldest.size - size))
            self._given_load = self._given_load.plus(Load(-done, -size))
            settled -= done


class _Routed:
    """The slots of an exporter whose runs go different ways; each run's items are given to one of them.

    What one may hold is what all of them may together: half of it in even shares, the rest for whoever needs it. So a route
    whose backend is down takes no room from the others' shares.
    """

    def __init__(self, router: Router, slots: "Mapping[str | None, _Slot]", limits: IntakeLimits) -> None:
        self._router = router
        self._slots = slots
        self._limits = limits
        self._share = Load(limits.max_items // (2 * len(slots)), limits.max_bytes // (2 * len(slots)))

    def give(self, drained: Drained) -> None:
        """Take what the intake held."""
        beyond = {route: self._beyond_share(slot) for route, slot in self._slots.items()}
        for route, part in drained.parts(self._router.route_of).items():
            slot = self._slots.get(route)
            if slot is None:
                continue  # this exporter was left out by whoever made the telemetry
            others = [load for other, load in beyond.items() if other != route]
            slot.use_room(self._room_beside(others))
            slot.give(part)
            beyond[route] = self._beyond_share(slot)

    def _beyond_share(self, slot: _Slot) -> Load:
        held = slot.held()
        return Load(max(held.items - self._share.items, 0), max(held.size - self._share.size, 0))

    def _room_beside(self, others: Sequence[Load]) -> IntakeLimits:
        """What one may hold, where the others hold so much beyond their shares."""
        return replace(
            self._limits,
            max_items=self._limits.max_items - sum(load.items for load in others) - self._share.items * len(others),
            max_bytes=self._limits.max_bytes - sum(load.size for load in others) - self._share.size * len(others),
        )

    def refuse(self, step_count: int, span_count: int) -> None:
        """Count what comes after the end, in one place."""
        self._slots.get(None, next(iter(self._slots.values()))).refuse(step_count, span_count)

    def held(self) -> Load:
        """What all of them have been given and has not met its fate: nothing of that is the same."""
        load = Load()
        for slot in self._slots.values():
            load = load.plus(slot.held())
        return load

    def tell_unit(self) -> None:
        """Let what is withheld count as the others take it, if that is known."""
        units = {slot.takes_steps for slot in self._slots.values()} - {None}
        if units and None in self._slots and self._slots[None].entry.is_withheld:
            self._slots[None].tell_unit(True in units)


def _takers_of(slots: Mapping[str, _Slot], limits: IntakeLimits) -> list[_Slot | _Routed]:
    """What is given all items: exporters, and those of one name whose runs go different ways together."""
    takers: list[_Slot | _Routed] = [slot for slot in slots.values() if slot.entry.route is None]
    routed: dict[Router, dict[str | None, _Slot]] = {}
    for slot in slots.values():
        if slot.entry.route is not None:
            routed.setdefault(slot.entry.route.router, {})[slot.entry.route.name] = slot
    return [*takers, *(_Routed(router, group, limits) for router, group in routed.items())]


class _Losses:
    """Says that items were lost for want of room, at most once a minute, and how many those were."""

    def __init__(self, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._clock = clock
        self._count = 0
        self._said_count = 0
        self._said_at = -_SAY_EVERY_S

    @property
    def are_unsaid(self) -> bool:
        """Whether there are some that nobody was told of."""
        return self._count > self._said_count

    def add(self, count: int) -> None:
        """So many more."""
        self._count += count

    def count(self, total: int) -> None:
        """So many in all."""
        self._count = total

    def say(self, *, is_last: bool = False) -> None:
        """Tell of those that nobody was told of, unless it is too early."""
        if self.are_unsaid and (is_last or self._clock() - self._said_at >= _SAY_EVERY_S):
            _log.warning("%s: %d items are lost: too many are on their way (queue_full); see delivery.intake",
                         self._label, self._count - self._said_count)  # fmt: skip
            self._said_at, self._said_count = self._clock(), self._count


class _SharedThread:
    """The telemetry thread: one in a process, there while a manager needs it."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._thread: LoopThread | None = None
        self._users = 0

    def leave_to_parent(self) -> None:
        """In a forked child: the thread does not exist here."""
        if self._thread is not None:
            keep_for_ever(self._thread)
        self._thread = None
        self._users = 0

    def acquire(self) -> LoopThread:
        with self._lock:
            if self._thread is None:
                self._thread = LoopThread("nat telemetry")
                self._thread.start()
            self._users += 1
            return self._thread

    def release(self, timeout_s: float) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._thread is not None:
                thread, self._thread = self._thread, None
                thread.end()
                thread.join(timeout_s)


_shared_thread = _SharedThread()
_open_managers: set[TelemetryManager] = set()
_managers: "WeakSet[TelemetryManager]" = WeakSet()


@atexit.register
def _close_open_managers() -> None:
    """A program that closes nothing still delivers: within the usual deadline, all managers in turn."""
    for manager in list(_open_managers):
        manager.close()


def _wait_for_building() -> None:
    """Before a fork: let exporters that are being built import what they need.

    A child that imports a module which another thread was importing at the fork waits for that thread, which it does not have.
    """
    deadline = time.monotonic() + _FORK_PATIENCE_S
    for manager in list(_open_managers):
        for slot in list(manager._slots.values()):
            slot.wait_for_building(deadline)


def _leave_to_parent() -> None:
    _shared_thread.leave_to_parent()
    for manager in list(_managers):
        manager._leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait_for_building, after_in_child=_leave_to_parent)


def _register_with_multiprocessing(manager: TelemetryManager) -> None:
    """Deliver also at the end of a child of `multiprocessing`, which runs no `atexit` handlers.

    Such a child forgets finalizers that were there before it has settled, and asks then for new ones.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(manager, _add_finalizer)
        _add_finalizer(manager)


def _add_finalizer(manager: TelemetryManager) -> None:
    util = sys.modules["multiprocessing.util"]
    process = sys.modules["multiprocessing.process"]
    if process.parent_process() is not None:
        util.Finalize(None, _close_open_managers, exitpriority=_EXIT_PRIORITY)


def _unfinished(steps: Sequence[CapturedStep]) -> CapturedError:
    names = ", ".join(repr(step.name or step.step_id) for step in steps[:3])
    more = f" and {len(steps) - 3} more" if len(steps) > 3 else ""
    return CapturedError("incomplete", f"{len(steps)} step(s) never ended: {names}{more}")


def _start_failure(exc: BaseException) -> ExportFailure:
    """What an error means for an exporter that starts: what is wrong with a value stands in its configuration."""
    failure = classified(exc)
    is_value = isinstance(exc, ValueError) and failure.cause is Cause.UNKNOWN
    return replace(failure, cause=Cause.MISCONFIGURED) if is_value else failure


def _has_own_loop(entry: ExporterEntry) -> bool:
    """Whether an exporter gets a thread to itself: as its user says, else if it, its disk or a processor may block."""
    delivery = entry.delivery
    if delivery is not None and delivery.loop is not None:
        return delivery.loop == "own"
    has_spool = delivery is not None and delivery.spool.enabled
    registrations = [entry.registration, *(processor.registration for processor in entry.processors)]
    blocks = has_spool or any(processor.config.may_block for processor in entry.processors)
    return blocks or not all(registration.is_ours for registration in registrations)
