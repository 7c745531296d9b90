"""Span capture: START and END of a step become one span, on the thread that pushes them, once for all exporters."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from nat.data_models.step_types import ROOT_PARENT_ID, IntermediateStepState
from nat.observability.events import CapturedError, CapturedStep, Run, Usage, new_trace_id, span_id_of
from nat.observability.snapshot import Snapshot
from nat.utils.forking import new_lock
from nat.utils.records import Record

if TYPE_CHECKING:
    from nat.observability.spans.describe import Description

__all__ = ["CapturedSpan", "LooseCapture", "Recorder", "RunCapture"]


class CapturedSpan(Record, eq=False, gc=False):
    """A step from START to END, not described yet.

    Attributes:
        start, end: Its first and last event. `end` is `None` if it never came; one that is both is an END without a START, or a
            START with what its END said.
        run: The run it belongs to.
        end_ns: When it ended, or was closed; nanoseconds since the epoch. Zero while it is open.
        size_bytes: Memory that it holds, once somebody has asked; zero before.
        first_chunk_ns, chunk_count: When the first chunk came, and how many did.
        described: The description, made once, on the telemetry thread.
        encoded: Its OTLP message, kept for other exporters that send the same.
        guarded: Who has redacted it, and the result: `None` if there was nothing to redact.
    """

    start: CapturedStep
    run: Run
    end: CapturedStep | None = None
    end_ns: int = 0
    size_bytes: int = 0
    first_chunk_ns: int | None = None
    chunk_count: int = 0
    described: "Description | None" = None
    encoded: bytes | None = None
    guarded: "tuple[object, CapturedSpan | None] | None" = None

    def __repr__(self) -> str:
        return f"CapturedSpan({self.start!r})"

    @property
    def trace_id(self) -> int:
        """128 bits."""
        return self.run.trace_id

    @property
    def span_id(self) -> int:
        """64 bits."""
        return span_id_of(self.start.step_id)

    @property
    def parent_span_id(self) -> int | None:
        """64 bits; `None` for the root of a trace."""
        start, root_id = self.start, self.run.root_id
        if start.parent_id != ROOT_PARENT_ID:
            return span_id_of(start.parent_id)
        return None if root_id is None or start.step_id == root_id else span_id_of(root_id)


class Recorder(Protocol):
    """Takes what a capture gives: must return at once, on any thread."""

    @property
    def wants_steps(self) -> bool:
        """Whether anybody takes single steps."""
        ...

    def record_step(self, step: CapturedStep, run: Run) -> None:
        """Take one step event."""
        ...

    def record_span(self, span: CapturedSpan, run: Run) -> None:
        """Take one finished span."""
        ...

    def record_end(self, run: Run) -> None:
        """Take note that a run has ended."""
        ...


_lock = new_lock()  # for what takes more than one operation; such steps are rare, and of no run in particular


class RunCapture:
    """Captures the steps of one run. Thread-safe: what takes a step relies on single operations of a dict being one step.

    Steps that come after the run's end are recorded all the same, except for the END of a span that the run's end closed.

    Args:
        run: The run that exporters see. A step of another run below it keeps that one's trace.
        recorder: Takes the result.
        open_spans: Where open spans are kept, by step id; a new dict if not given.
    """

    def __init__(self, run: Run, recorder: Recorder, open_spans: dict[str, CapturedSpan] | None = None) -> None:
        self._run = run
        self._recorder = recorder
        self._open: dict[str, CapturedSpan] = {} if open_spans is None else open_spans
        self._closed_by_end: set[str] = set()
        self._open_in_parent: set[str] = set()

    def on_step(self, step: CapturedStep) -> None:
        """Record one step, unless it is of a nested run of the same recorder, which has a capture of its own."""
        named = step.run
        if named is not self._run and named is not None and named.owner is self._recorder:
            return
        if step.step_id in self._open_in_parent:
            return
        state = step.event_type.state
        if state is IntermediateStepState.START:
            begun = CapturedSpan(step, named or self._run)
            span = None if self._open.setdefault(step.step_id, begun) is begun else self._restart(begun)
        elif state is IntermediateStepState.END:
            span = self._end(step)
        else:
            span = None
            self._add_chunk(step)
        run, recorder = self._run, self._recorder
        if recorder.wants_steps:
            recorder.record_step(step, run)
        if span is not None:
            recorder.record_span(span, run)
        if run.has_ended:  # late: whoever released the run has to do so again
            recorder.record_end(run)

    def finish(
        self,
        step_id: str,
        time_ns: int,
        output: Snapshot,
        usage: Usage | None,
        error: CapturedError | None,
        attributes: Snapshot,
    ) -> bool:
        """Record a step's END without an object for it: what it says is added to the START."""
        recorder, run = self._recorder, self._run
        if recorder.wants_steps:
            return False
        span = self._open.pop(step_id, None)
        if span is None:
            return False
        start = span.start
        if start.output is not None or start.usage is not None:  # said at the start already
            self._open[step_id] = span
            return False
        start.output, start.usage, start.error, start.attributes = output, usage, error, attributes
        span.end = start
        span.end_ns = time_ns if time_ns > start.time_ns else start.time_ns
        recorder.record_span(span, run)
        if run.has_ended:  # late, see `on_step`
            recorder.record_end(run)
        return True

    def has_open(self, step_id: str) -> bool:
        """Whether a span of that step is open, here or in the process that this one was forked from."""
        return step_id in self._open or step_id in self._open_in_parent

    def leave_to_parent(self) -> None:
        """In a forked child: what is open now is the parent's to end, and what is done here hangs below it."""
        self._open_in_parent.update(self._open)
        self._open.clear()

    def open_steps(self) -> list[CapturedStep]:
        """The STARTs of all spans that are open now, in their order."""
        return [span.start for span in list(self._open.values())]

    def close(self, now_ns: int) -> int:
        """Record what is still open as incomplete; returns how many spans that were."""
        closed = 0
        for step_id in list(self._open):
            self._closed_by_end.add(step_id)  # first, so that an END that finds nothing open knows why
            span = self._open.pop(step_id, None)
            if span is None:  # its END was faster
                self._closed_by_end.discard(step_id)
                continue
            span.end_ns = max(now_ns, span.start.time_ns)
            self._recorder.record_span(span, self._run)
            closed += 1
        return closed

    def close_below(self, root_id: str, now_ns: int) -> list[CapturedStep]:
        """Record everything that is open below the root as incomplete; returns the STARTs of those spans."""
        root = self._open.pop(root_id, None)
        unfinished = self.open_steps()
        self.close(now_ns)
        if root is not None:
            self._open[root_id] = root
        return unfinished

    def _restart(self, span: CapturedSpan) -> CapturedSpan | None:
        """The same id has started twice: gives the span that was open, which has ended thereby."""
        step = span.start
        with _lock:
            former = self._open.pop(step.step_id, None)
            self._open[step.step_id] = span
        if former is not None:
            former.end_ns = max(step.time_ns, former.start.time_ns)
        return former

    def _add_chunk(self, step: CapturedStep) -> None:
        with _lock:
            span = self._open.get(step.step_id)
            if span is None:
                return
            span.chunk_count += 1
            if span.first_chunk_ns is None:
                span.first_chunk_ns = step.time_ns
        if step.parent_id == ROOT_PARENT_ID:
            _take_place_of_start(step, span.start)

    def _end(self, step: CapturedStep) -> CapturedSpan | None:
        """Close the step's span and give it; an END without a START is a span too, unless the run's end has closed it."""
        span = self._open.pop(step.step_id, None)
        if span is None:
            if step.step_id in self._closed_by_end:
                return None
            span = CapturedSpan(step, step.run or self._run)
        elif step.parent_id == ROOT_PARENT_ID:
            _take_place_of_start(step, span.start)
        started_ns, ended_ns = span.start.time_ns, step.time_ns
        span.end = step
        span.end_ns = ended_ns if ended_ns > started_ns else started_ns
        return span


class LooseCapture:
    """Captures steps outside any run: each one that no other encloses begins a trace of its own. Thread-safe.

    Args:
        recorder: Takes the result.
        find_capture: Finds the capture of a run in which a step is open: an END or a chunk may come from a thread that has
            lost its run.
    """

    def __init__(self, recorder: Recorder, find_capture: Callable[[str], RunCapture | None]) -> None:
        self._recorder = recorder
        self._find_capture = find_capture
        self._captures: dict[str, tuple[RunCapture, Run]] = {}
        self._lock = new_lock()

    def on_step(self, step: CapturedStep) -> None:
        """Record one step, unless it belongs to a run."""
        if step.run is not None:
            return
        state = step.event_type.state
        with self._lock:
            found = self._captures.get(step.step_id) or self._captures.get(step.parent_id)
        if found is None and state is not IntermediateStepState.START:
            run_capture = self._find_capture(step.step_id)
            if run_capture is not None:
                run_capture.on_step(step)
                return
        capture, run = found or self._begin()
        if state is IntermediateStepState.START:
            with self._lock:
                self._captures[step.step_id] = (capture, run)
        capture.on_step(step)
        if state is IntermediateStepState.END:
            with self._lock:
                self._captures.pop(step.step_id, None)
        if not capture.open_steps():
            run.has_ended = True
            self._recorder.record_end(run)

    def finish(self, *end: object) -> bool:
        """Whose END it is must be found out: it is sent as a step."""
        return False

    def leave_to_parent(self) -> None:
        """In a forked child: what is open now is the parent's to end."""
        for capture, _ in self._captures.values():
            capture.leave_to_parent()

    def close(self, now_ns: int) -> int:
        """Record what is still open as incomplete; returns how many spans that were."""
        with self._lock:
            captures = {id(capture): (capture, run) for capture, run in self._captures.values()}
            self._captures.clear()
        closed = 0
        for capture, run in captures.values():
            closed += capture.close(now_ns)
            run.has_ended = True
            self._recorder.record_end(run)
        return closed

    def _begin(self) -> tuple[RunCapture, Run]:
        run = Run(trace_id=new_trace_id(), owner=self._recorder)
        return RunCapture(run, self._recorder), run


def _take_place_of_start(step: CapturedStep, start: CapturedStep) -> None:
    """An END or chunk from a context that has lost its step: it belongs where its START was."""
    step.parent_id = start.parent_id
    step.function = step.function or start.function
