"""Spans as plain dicts and as lines of JSON."""

from typing import Any

from nat.data_models.span import Span, SpanContext
from nat.observability.processor.processor import Processor
from nat.observability.snapshot import encode_line, plain

__all__ = ["SpanToDict", "span_to_dict", "span_to_line"]


class SpanToDict(Processor[Span, dict[str, Any]]):
    """Turn a span into a dict that any JSON library can write; what `SpanExporter[Span, dict]` uses of itself.

    Its keys are those of `span_to_dict`.
    """

    async def process(self, item: Span) -> dict[str, Any]:
        """The span as a dict."""
        return span_to_dict(item)


def span_to_dict(span: Span) -> dict[str, Any]:
    """A span in plain JSON terms, sharing nothing with it.

    Keys: `trace_id` (32 lower-case hex digits), `span_id`, `parent_span_id` (16; `None` for a root), `name`,
    `start_time`, `end_time`, `duration` (integer nanoseconds; the latter two `None` while the span is open), `status`
    (`code`, `message`), `attributes` (one flat dict), `events` (each `name`, `timestamp`, `attributes`), `links` (each
    `trace_id`, `span_id`, `attributes`).
    """
    fields: dict[str, Any] = plain(_fields(span))
    return fields


def span_to_line(span: Span) -> str:
    """A span as one line of JSON: the dict of `span_to_dict` without `duration`, which its times say already."""
    fields = _fields(span)
    del fields["duration"]
    return encode_line(fields)


def _fields(span: Span) -> dict[str, Any]:
    """The dict of a span, with its attribute values as they are."""
    return {
        **_ids(span.context),
        "name": span.name,
        "start_time": span.start_time,
        "end_time": span.end_time,
        "duration": span.duration,
        "status": {"code": span.status.code, "message": span.status.message},
        "attributes": span.attributes,
        "events": [
            {"name": event.name, "timestamp": event.timestamp, "attributes": event.attributes} for event in span.events
        ],
        "links": [{**_link_ids(link.context), "attributes": link.attributes} for link in span.links],
    }


def _ids(context: SpanContext | None) -> dict[str, str | None]:
    if context is None:  # only on a span that user code has made
        return {"trace_id": None, "span_id": None, "parent_span_id": None}
    parent = context.parent_span_id
    return {**_link_ids(context), "parent_span_id": None if parent is None else f"{parent:016x}"}


def _link_ids(context: SpanContext) -> dict[str, str | None]:
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
