"""Spans: what a step looks like to a backend."""

import time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nat.data_models.span_names import MimeTypes, SpanAttributes, SpanKind, SpanStatusCode

__all__ = [
    "MimeTypes",
    "Span",
    "SpanAttributes",
    "SpanContext",
    "SpanEvent",
    "SpanKind",
    "SpanLink",
    "SpanStatus",
    "SpanStatusCode",
]

_DEFERRED = ConfigDict(
    defer_build=True
)  # the toolkit makes spans without validation: no validator is built unless one is used


class SpanStatus(BaseModel):
    """How a step ended; `message` says why it failed."""

    model_config = _DEFERRED

    code: SpanStatusCode = SpanStatusCode.UNSET
    message: str | None = None


class SpanContext(BaseModel):
    """Ids of a span: 128-bit trace id, 64-bit span ids, none of them zero."""

    model_config = _DEFERRED

    trace_id: int = Field(gt=0, lt=2**128)
    span_id: int = Field(gt=0, lt=2**64)
    parent_span_id: int | None = Field(default=None, gt=0, lt=2**64)


class SpanEvent(BaseModel):
    """Something that happened at one moment of a span; `timestamp` in nanoseconds since the epoch."""

    model_config = _DEFERRED

    name: str
    timestamp: int = Field(default_factory=time.time_ns)
    attributes: dict[str, Any] = Field(default_factory=dict)


class SpanLink(BaseModel):
    """A reference to a span of this or another trace."""

    model_config = _DEFERRED

    context: SpanContext
    attributes: dict[str, Any] = Field(default_factory=dict)


class Span(BaseModel):
    """One step as a backend sees it.

    Times are integer nanoseconds since the epoch; `end_time` is `None` while the span is open. Spans are shared by all
    exporters of a run: change a copy (`span.model_copy(update=…)`). `parent` is not part of dumps.
    """

    model_config = _DEFERRED

    name: str
    context: SpanContext
    parent: "Span | None" = Field(default=None, exclude=True, repr=False)
    start_time: int = Field(default_factory=time.time_ns)
    end_time: int | None = None
    status: SpanStatus = Field(default_factory=SpanStatus)
    attributes: dict[str, Any] = Field(default_factory=dict)
    events: list[SpanEvent] = Field(default_factory=list)
    links: list[SpanLink] = Field(default_factory=list)

    @property
    def duration(self) -> int | None:
        """Nanoseconds from start to end, `None` while open; never negative."""
        return None if self.end_time is None else max(self.end_time - self.start_time, 0)

    @property
    def duration_s(self) -> float | None:
        """`duration` in seconds."""
        return None if self.duration is None else self.duration / 1e9

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one attribute, replacing a former value."""
        self.attributes[key] = value

    def add_event(self, name: str, attributes: dict[str, Any] | None = None) -> None:
        """Add an event that happens now."""
        self.events.append(SpanEvent(name=name, attributes=attributes or {}))

    def end(self, end_time: int | None = None) -> None:
        """Close the span now, or at `end_time` (nanoseconds since the epoch); a closed span keeps its end."""
        if self.end_time is None:
            self.end_time = max(time.time_ns() if end_time is None else end_time, self.start_time)
