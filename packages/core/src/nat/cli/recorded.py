"""A recorded run: the spans or steps of one run in a file that the exporter `file` has written."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from nat.cli.errors import EXIT_USAGE, CommandFailed
from nat.data_models.intermediate_step import ROOT_PARENT_ID, IntermediateStep
from nat.data_models.span import Span
from nat.data_models.step_types import IntermediateStepType
from nat.observability.events import CapturedStep, Run
from nat.observability.snapshot import snapshot
from nat.observability.spans import conventions as names
from nat.observability.spans.capture import CapturedSpan, RunCapture
from nat.observability.step_models import capture_step

__all__ = ["RecordedRun", "read_run"]

_READER = "nat.plugins.file.reader"  # of a distribution of its own, which core does not depend on
_EXPECTED = "expected a file that the exporter `file` has written: format steps, spans or otlp_json"
_RUN = IntermediateStepType.WORKFLOW_START
_SHOWN_RUNS = 10


@dataclass(slots=True)
class RecordedRun:
    """One run of a recording.

    Attributes:
        id: Its trace id; of a recording of steps, the id of its outermost step.
        form: How it was recorded.
        runs: The outermost run, and those nested in it, which come before those around them.
        spans: In the order recorded, each with its run; of a recording of steps, as they were captured.
        steps: The same of steps; none in a recording of spans.
        other_count: Other runs in the file.
        has_own_names: Whether it is in OpenInference's names, as spans are when they pass processors.
    """

    id: str
    form: Literal["steps", "spans"]
    runs: list[Run] = field(default_factory=list)
    spans: list[tuple[Span | CapturedSpan, Run]] = field(default_factory=list)
    steps: list[tuple[CapturedStep, Run]] = field(default_factory=list)
    other_count: int = 0
    has_own_names: bool = True


def read_run(file: Path, run_id: str | None, metadata: Mapping[str, str]) -> RecordedRun:
    """Read one run: the one whose id begins so, else the last one in the file.

    Args:
        file: The recording: a file, or a folder of such files.
        run_id: Trace id, or the id of the outermost step where steps were recorded.
        metadata: Metadata of the run, beside what the recording says of it.

    Raises:
        CommandFailed: It is no such file, or holds no such run.
    """
    try:
        reader: Any = import_module(_READER)
    except ModuleNotFoundError:
        raise CommandFailed(
            "reading a recorded run needs nat-telemetry-file; install it: pip install nat-telemetry"
        ) from None
    try:
        first = next(reader.read_lines(file), None)
        if first is None:
            raise CommandFailed(f"{file}: holds no run; {_EXPECTED}.", EXIT_USAGE)
        if first.kind == "step":
            return _run_of_steps(reader.read_runs(file), file, run_id, metadata)
        return _run_of_spans(lambda: reader.read_spans(file), file, run_id, metadata)
    except (OSError, reader.CorruptLineError) as error:
        raise CommandFailed(f"{_without_secrets(str(error))}; {_EXPECTED}.", EXIT_USAGE) from None


def _run_of_spans(
    read: Callable[[], Iterable[Span]], file: Path, run_id: str | None, metadata: Mapping[str, str]
) -> RecordedRun:
    """Read twice: the second time, only the spans of the one run are kept."""
    labels: dict[str, str] = {}
    for span in read():
        trace_id = f"{span.context.trace_id:032x}" if span.context is not None else ""
        is_root = span.context is not None and span.context.parent_span_id is None
        labels[trace_id] = span.name if is_root else labels.pop(trace_id, span.name)  # the last one stands last
    chosen = _chosen(labels, file, run_id)
    by_id: dict[int, Span] = {}  # a folder may have the same span in two formats
    for span in read():
        if span.context is not None and f"{span.context.trace_id:032x}" == chosen:
            by_id.setdefault(span.context.span_id, span)
    recorded = RecordedRun(chosen, "spans", other_count=len(labels) - 1)
    runs = _Runs(recorded, metadata)
    for span in by_id.values():
        recorded.spans.append((span, runs.of_span(span, by_id)))
    recorded.has_own_names = any(names.SPAN_KIND in span.attributes for span in by_id.values())
    return recorded


def _run_of_steps(
    found: Mapping[str, list[IntermediateStep]], file: Path, run_id: str | None, metadata: Mapping[str, str]
) -> RecordedRun:
    labels = {key: next((step.name for step in steps if step.name), "") for key, steps in found.items()}
    chosen = _chosen(labels, file, run_id)
    recorded = RecordedRun(chosen, "steps", other_count=len(labels) - 1)
    runs = _Runs(recorded, metadata)
    by_id = {step.UUID: step for step in reversed(found[chosen])}  # its first event
    captures: dict[Run, RunCapture] = {}
    for step in found[chosen]:
        run = runs.of_step(step, by_id)
        captured = capture_step(step, run)
        recorded.steps.append((captured, run))
        captures.setdefault(run, RunCapture(run, _Recorder(recorded))).on_step(captured)
    last_ns = max((captured.time_ns for captured, _ in recorded.steps), default=0)
    for capture in captures.values():
        capture.close(last_ns)
    return recorded


def _chosen(labels: Mapping[str, str], file: Path, run_id: str | None) -> str:
    if not labels:
        raise CommandFailed(f"{file}: holds no run; {_EXPECTED}.", EXIT_USAGE)
    if run_id is None:
        return list(labels)[-1]
    fitting = [key for key in labels if key.startswith(run_id.lower())]
    if len(fitting) == 1:
        return fitting[0]
    listed = [_without_secrets(f"{key} {label}") for key, label in list(labels.items())[-_SHOWN_RUNS:]]
    some = f"the last {_SHOWN_RUNS} of {len(labels)} runs" if len(labels) > _SHOWN_RUNS else "its runs"
    problem = "several runs begin so" if fitting else "no run of that id"
    raise CommandFailed(f"{file}: --run_id {run_id}: {problem}; {some}: {', '.join(listed)}.", EXIT_USAGE)


def _without_secrets(text: str) -> str:
    from nat.observability.redaction.redactor import Redactor
    from nat.observability.redaction.rules import Rules

    return Redactor(Rules()).text(text)


class _Runs:
    """Finds the run that a recorded span or step belongs to: a workflow's span begins one, whatever is below belongs to it."""

    def __init__(self, recorded: RecordedRun, metadata: Mapping[str, str]) -> None:
        self._recorded = recorded
        self._metadata = metadata
        self._known: dict[int | str, Run] = {}
        self._outermost: Run | None = None

    def of_span(self, span: Span, by_id: Mapping[int, Span]) -> Run:
        """The run of a span."""
        assert span.context is not None
        key = span.context.span_id
        if key not in self._known:
            parent = by_id.get(span.context.parent_span_id or 0)
            outer = None if parent is None or parent is span else self.of_span(parent, by_id)
            begins = outer is None or parent is None or _begins_run(span, parent)
            self._known[key] = outer if outer is not None and not begins else self._run_of(span, outer)
        return self._known[key]

    def of_step(self, step: IntermediateStep, by_id: Mapping[str, IntermediateStep]) -> Run:
        """The run of a step."""
        if step.UUID not in self._known:
            first = by_id[step.UUID]
            parent = None if first.parent_id == ROOT_PARENT_ID else by_id.get(first.parent_id)
            outer = None if parent is None or parent is first else self.of_step(parent, by_id)
            if outer is None or first.event_type is _RUN:
                trace_id = int.from_bytes(hashlib.blake2b(self._recorded.id.encode(), digest_size=16).digest())
                outer = self._new(outer, trace_id=trace_id, root_id=first.UUID, name=first.name, metadata={})
            self._known[step.UUID] = outer
        return self._known[step.UUID]

    def _run_of(self, span: Span, outer: Run | None) -> Run:
        said = span.attributes
        try:
            metadata = json.loads(said.get(names.METADATA, "{}"))
        except (TypeError, ValueError):
            metadata = {}
        assert span.context is not None
        return self._new(
            outer,
            trace_id=span.context.trace_id,
            root_id=_text(said.get(names.NAT_STEP_ID)),
            name=_text(said.get(names.NAT_WORKFLOW_NAME)),
            session_id=_text(said.get(names.SESSION_ID)),
            user_id=_text(said.get(names.USER_ID)),
            tags=tuple(map(str, said.get(names.TAGS) or ())),
            metadata=metadata if isinstance(metadata, dict) else {},
        )

    def _new(self, outer: Run | None, *, metadata: Mapping[str, Any], **facts: Any) -> Run:
        if outer is None:
            if self._outermost is not None:  # several spans whose parents are not in the file
                return self._outermost
            metadata = {**metadata, **self._metadata}
        run = Run(owner=self._recorded, outer=outer, metadata=snapshot(dict(metadata)) if metadata else None, **facts)
        self._recorded.runs.insert(0, run)
        self._outermost = self._outermost or run
        return run


class _Recorder:
    """Takes what a capture makes of recorded steps."""

    wants_steps = False

    def __init__(self, recorded: RecordedRun) -> None:
        self._recorded = recorded

    def record_step(self, step: CapturedStep, run: Run) -> None:
        """It is there already."""

    def record_span(self, span: CapturedSpan, run: Run) -> None:
        """Keep a finished span."""
        self._recorded.spans.append((span, run))

    def record_end(self, run: Run) -> None:
        """Nothing waits for it."""


def _begins_run(span: Span, parent: Span) -> bool:
    """Whether a span is the first of a nested run: of a workflow that is called so, and not just a step of that kind."""
    workflow = span.attributes.get(names.NAT_WORKFLOW_NAME)
    is_workflow = span.attributes.get(names.NAT_EVENT_TYPE) == _RUN.value and workflow == span.name
    return is_workflow or workflow != parent.attributes.get(names.NAT_WORKFLOW_NAME)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
