"""`OtelSpan`: a span as OpenTelemetry's SDK sees one."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from nat.data_models.span import Span
from nat.observability.delivery.codec import register_codec
from nat.observability.snapshot import plain
from nat.observability.spans.otlp_json import SCOPE_NAME

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status

__all__ = ["OtelResource", "OtelSpan", "OtelSpanContext"]


class OtelSpanContext(NamedTuple):
    """Ids of a span, with the fields of OpenTelemetry's `SpanContext`; always sampled, never remote."""

    trace_id: int
    span_id: int
    is_remote: bool = False
    trace_flags: "_Sampled" = None  # type: ignore[assignment]  # set below, where the class is known
    trace_state: Mapping[str, str] = {}

    @property
    def is_valid(self) -> bool:
        """Whether both ids are there; `Span` allows no other."""
        return True


class _Sampled(int):
    """OpenTelemetry's trace flags with the only one set that there is."""

    @property
    def sampled(self) -> bool:
        return True


OtelSpanContext.__new__.__defaults__ = (False, _Sampled(1), {})


class OtelResource:
    """What a span's resource says, made into OpenTelemetry's `Resource` at most once.

    Args:
        attributes: Of the resource.
    """

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self.attributes = dict(attributes)

    @cached_property
    def sdk_resource(self) -> "Resource":
        """The SDK's resource; needs opentelemetry-sdk."""
        from opentelemetry.sdk.resources import Resource

        return Resource(self.attributes)


class OtelSpan:
    """A view of a `Span`, accepted wherever opentelemetry-sdk takes a `ReadableSpan`: by exporters, processors, encoders.

    Ids, name, times and attributes are there without any OpenTelemetry package. What OpenTelemetry has classes for (`kind`,
    `status`, `events`, `links`, `resource`, `instrumentation_scope`) is made of them when it is asked for, and then needs
    opentelemetry-sdk; so does `to_readable_span`, for code that looks at the class.

    Args:
        span: What it shows; shared, not copied.
        resource: Where the span comes from; `None`: from nowhere in particular.
    """

    __slots__ = ("_resource", "span")

    def __init__(self, span: Span, resource: OtelResource | None = None) -> None:
        self.span = span
        self._resource = resource

    @property
    def name(self) -> str:
        """Name of the span."""
        return self.span.name

    @property
    def context(self) -> OtelSpanContext:
        """Its ids, as integers."""
        context = self.span.context
        return OtelSpanContext(context.trace_id, context.span_id)

    def get_span_context(self) -> OtelSpanContext:
        """Its ids, as integers."""
        return self.context

    @property
    def parent(self) -> OtelSpanContext | None:
        """Ids of the span around it; `None` for a root."""
        context = self.span.context
        if context.parent_span_id is None:
            return None
        return OtelSpanContext(context.trace_id, context.parent_span_id)

    @property
    def start_time(self) -> int:
        """Nanoseconds since the epoch."""
        return self.span.start_time

    @property
    def end_time(self) -> int | None:
        """Nanoseconds since the epoch; `None` while open."""
        return self.span.end_time

    @property
    def attributes(self) -> dict[str, Any]:
        """Its attributes; a change is seen by this exporter only."""
        return self.span.attributes

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one attribute, replacing a former value."""
        self.span.set_attribute(key, value)

    @property
    def dropped_attributes(self) -> int:
        """Attributes that were left out: none."""
        return 0

    @property
    def dropped_events(self) -> int:
        """Events that were left out: none."""
        return 0

    @property
    def dropped_links(self) -> int:
        """Links that were left out: none."""
        return 0

    # -- what OpenTelemetry has classes for ----------------------------------------------------------------------------

    @property
    def kind(self) -> "SpanKind":
        """INTERNAL, as OpenInference has it."""
        from opentelemetry.trace import SpanKind

        return SpanKind.INTERNAL

    @property
    def status(self) -> "Status":
        """Status with the message of an error; OpenTelemetry allows no message beside other codes."""
        from opentelemetry.trace import Status, StatusCode

        code = StatusCode[self.span.status.code.value]
        return Status(code, self.span.status.message if code is StatusCode.ERROR else None)

    @property
    def events(self) -> "tuple[Event, ...]":
        """Its events, in their order."""
        from opentelemetry.sdk.trace import Event

        return tuple(Event(event.name, event.attributes, event.timestamp) for event in self.span.events)

    @property
    def links(self) -> "tuple[Link, ...]":
        """Its links, in their order."""
        from opentelemetry.trace import Link

        return tuple(
            Link(_sdk_context(link.context.trace_id, link.context.span_id), link.attributes) for link in self.span.links
        )

    @property
    def resource(self) -> "Resource":
        """Where it comes from."""
        return (self._resource or _NO_RESOURCE).sdk_resource

    @property
    def instrumentation_scope(self) -> "InstrumentationScope":
        """What has made it: this project."""
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        return InstrumentationScope(SCOPE_NAME)

    @property
    def instrumentation_info(self) -> None:
        """The scope's predecessor in OpenTelemetry, long deprecated there."""
        return

    def to_readable_span(self) -> "ReadableSpan":
        """The same as an object of OpenTelemetry's own class."""
        from opentelemetry.sdk.trace import ReadableSpan

        parent = self.parent
        return ReadableSpan(
            name=self.name,
            context=_sdk_context(*self.context[:2]),
            parent=None if parent is None else _sdk_context(*parent[:2]),
            resource=self.resource,
            attributes={key: plain(value) for key, value in self.attributes.items() if value is not None},
            events=self.events,
            links=self.links,
            kind=self.kind,
            status=self.status,
            start_time=self.start_time,
            end_time=self.end_time,
            instrumentation_scope=self.instrumentation_scope,
        )

    def to_json(self, indent: int | None = 4) -> str:
        """What OpenTelemetry's console exporter prints."""
        return str(self.to_readable_span().to_json(indent))

    def __repr__(self) -> str:
        context = self.context
        return f"OtelSpan({self.name!r}, trace_id=0x{context.trace_id:032x}, span_id=0x{context.span_id:016x})"


_NO_RESOURCE = OtelResource({})


def _sdk_context(trace_id: int, span_id: int) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


register_codec(OtelSpan, "OtelSpan", lambda view: view.span, OtelSpan)
