"""Exporters of spans."""

import time
from typing import Any, Literal, TypeVar

from nat.data_models.intermediate_step import IntermediateStep, IntermediateStepState
from nat.data_models.span import SpanContext
from nat.observability.events import CapturedStep, Run, new_trace_id
from nat.observability.exporter.base_exporter import IsolatedAttribute
from nat.observability.exporter.processing_exporter import ProcessingExporter
from nat.observability.spans.capture import CapturedSpan, RunCapture
from nat.observability.spans.describe import describe
from nat.observability.step_models import capture_step

__all__ = ["SpanExporter"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


class SpanExporter(ProcessingExporter[InputT, OutputT]):
    """Takes one `Span` for every step, when the step has ended: for HTTP APIs, databases, anything that is not OTLP.

    Spans of a run are captured once and shared by all exporters, so every backend gets the same ids; each exporter gets copies
    of its own. Without a processor that makes dicts, `SpanExporter[Span, dict]` gets dicts: the built-in conversion is used.
    `export_processed` is called for up to eight items at the same time, so their order is not kept.
    """

    _concurrency = 8

    _outstanding_spans: IsolatedAttribute[dict[str, CapturedSpan]] = IsolatedAttribute(dict)
    _span_stack: IsolatedAttribute[dict[str, SpanContext]] = IsolatedAttribute(dict)
    _metadata_stack: IsolatedAttribute[dict[str, Any]] = IsolatedAttribute(dict)
    _assembly: IsolatedAttribute["_Assembly | None"] = IsolatedAttribute(lambda: None)

    def export(self, event: IntermediateStep) -> None:
        """Build spans from single steps: a START opens one, its END passes it on.

        The toolkit builds spans once for all exporters and calls this only if a subclass overrides it.
        """
        assembly = self._assembly
        if assembly is None:
            assembly = self._assembly = _Assembly(self)
        assembly.take(event)

    @property
    def _takes(self) -> Literal["steps", "spans"]:
        return "steps" if self._has_own_export else "spans"

    @property
    def _has_own_export(self) -> bool:
        return type(self).export is not SpanExporter.export

    @property
    def _gives_spans(self) -> bool:
        return True

    def _finish_open(self) -> None:
        if self._assembly is not None:
            self._assembly.close()


class _Assembly:
    """Spans of one exporter instance, built from the steps that its `export` is given."""

    def __init__(self, exporter: SpanExporter[Any, Any]) -> None:
        self._exporter = exporter
        state = exporter._context_state
        self._run = state.run or Run(trace_id=new_trace_id())
        self._capture = RunCapture(self._run, self, exporter._outstanding_spans)

    def take(self, event: IntermediateStep) -> None:
        """Take one step."""
        step = capture_step(event, self._run)
        exporter = self._exporter
        if step.event_type.state is IntermediateStepState.START:
            exporter._metadata_stack[step.step_id] = event.metadata
        self._capture.on_step(step)
        span = exporter._outstanding_spans.get(step.step_id)
        if span is not None:
            exporter._span_stack[step.step_id] = SpanContext.model_construct(
                trace_id=span.trace_id, span_id=span.span_id, parent_span_id=span.parent_span_id
            )

    def close(self) -> None:
        """Pass on what is open, as incomplete."""
        self._capture.close(time.time_ns())

    wants_steps = False

    def record_step(self, step: CapturedStep, run: Run) -> None:
        """Not wanted."""

    def record_span(self, span: CapturedSpan, run: Run) -> None:
        exporter = self._exporter
        exporter._span_stack.pop(span.start.step_id, None)
        exporter._metadata_stack.pop(span.start.step_id, None)
        exporter._submit(describe(span))

    def record_end(self, run: Run) -> None:
        """The run's end is the lane's business."""
