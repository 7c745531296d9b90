"""Reports: what one run did, told by its events."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from nat.plugin_api import Context, IntermediateStep, IntermediateStepType

__all__ = ["Report", "RunState"]

_Type = IntermediateStepType


@dataclass(slots=True)
class Report:
    """One run.

    Attributes:
        id: Of the run.
        trace_id: Of its trace, 32 hexadecimal digits, to find it in another backend.
        started_at, ended_at: Seconds since the epoch.
        error: Why the run failed; `None` if it did not.
        llm_calls, tokens: Of all models together.
        tool_calls, tool_failures: By the tool's name.
        repeated: Tools that were called with the same input again, and how often in all.
        slowest: Name of the step, other than the run, that took longest, and its seconds.
        alerts: Why somebody should look at it.
    """

    id: str
    name: str
    started_at: float
    trace_id: str | None = None
    session_id: str | None = None
    ended_at: float = 0.0
    error: str | None = None
    llm_calls: int = 0
    tokens: int = 0
    tool_calls: dict[str, int] = field(default_factory=dict)
    tool_failures: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    slowest: tuple[str, float] | None = None
    alerts: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The report in plain JSON terms."""
        return {**asdict(self), "duration_s": round(self.ended_at - self.started_at, 6)}


class RunState:
    """What is known of a run while it goes on. Each run has its own, so that no event needs to say which it belongs to."""

    def __init__(self) -> None:
        self._report: Report | None = None
        self._started_at: dict[str, float] = {}
        self._inputs: Counter[tuple[str, str]] = Counter()

    def note(self, step: IntermediateStep) -> Report | None:
        """Take in one event, in the context of its run; the report, if that was the run's end."""
        if self._report is None:
            if step.event_type is _Type.WORKFLOW_START:
                self._report = _begun(step)
            return None
        if self._report.id == step.UUID:
            return self._ended(step, self._report)
        if step.event_type.endswith("_START"):
            self._started_at[step.UUID] = step.event_timestamp
        elif step.event_type.endswith("_END"):
            self._note_time(step, self._report)
        if step.event_type is _Type.TOOL_START:
            self._note_tool(step, self._report)
        elif step.event_type is _Type.TOOL_END and _error_of(step) is not None:
            _count(self._report.tool_failures, step.name)
        elif step.event_type is _Type.LLM_END:
            self._note_model(step, self._report)
        return None

    def _ended(self, step: IntermediateStep, report: Report) -> Report | None:
        if step.event_type is not _Type.WORKFLOW_END:
            return None
        report.ended_at = step.event_timestamp
        report.error = _error_of(step)
        for (tool, _), count in self._inputs.items():
            if count > 1:
                report.repeated[tool] = max(count, report.repeated.get(tool, 0))
        return report

    def _note_time(self, step: IntermediateStep, report: Report) -> None:
        started_at = self._started_at.pop(step.UUID, None)
        if started_at is None:
            return
        seconds = step.event_timestamp - started_at
        if report.slowest is None or seconds > report.slowest[1]:
            report.slowest = step.name or "", seconds

    def _note_tool(self, step: IntermediateStep, report: Report) -> None:
        _count(report.tool_calls, step.name)
        given = step.data.input if step.data else None
        self._inputs[step.name or "", json.dumps(given, sort_keys=True, default=repr)] += 1

    def _note_model(self, step: IntermediateStep, report: Report) -> None:
        report.llm_calls += 1
        if step.usage_info is not None:
            report.tokens += step.usage_info.token_usage.total_tokens or 0


def _begun(step: IntermediateStep) -> Report:
    context = Context.get()
    trace_id = None if context.trace_id is None else f"{context.trace_id:032x}"
    return Report(step.UUID, step.name or "", step.event_timestamp, trace_id, context.session_id)


def _count(counts: dict[str, int], name: str | None) -> None:
    counts[name or ""] = counts.get(name or "", 0) + 1


def _error_of(step: IntermediateStep) -> str | None:
    fields = step.metadata if isinstance(step.metadata, dict) else getattr(step.metadata, "model_extra", None)
    if not fields or "error" not in fields:
        return None
    kind, message = fields.get("error_type"), fields["error"]
    return f"{kind}: {message}" if kind else str(message)
