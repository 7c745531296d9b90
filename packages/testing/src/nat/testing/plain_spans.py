"""Spans in the form of nat-telemetry's own dicts, as many exporters post them: to received spans."""

from collections.abc import Iterator, Mapping
from typing import Any

from nat.testing.received import ReceivedEvent, ReceivedLink, ReceivedSpan, Request, Scope

__all__ = ["plain_spans_of"]

_REQUIRED = {"trace_id", "span_id", "name", "start_time"}
_NO_REQUEST = Request(
    time_s=0.0, protocol="json", method="", path="", query="", headers={}, content_type="application/json", body=b""
)


def plain_spans_of(document: Any, request: Request = _NO_REQUEST) -> Iterator[ReceivedSpan]:
    """The spans in a document, in the form of `span_to_dict`, wherever they stand in it; what is none is passed over.

    Without a request, they were read from a file.
    """
    if isinstance(document, Mapping):
        if document.keys() >= _REQUIRED:
            yield _received(document, request)
            return
        document = list(document.values())
    if isinstance(document, list):
        for item in document:
            yield from plain_spans_of(item, request)


def _received(span: Mapping[str, Any], request: Request) -> ReceivedSpan:
    status = span.get("status") or {}
    return ReceivedSpan(
        trace_id=span["trace_id"],
        span_id=span["span_id"],
        parent_id=span.get("parent_span_id"),
        name=span["name"],
        kind="UNSPECIFIED",
        start_ns=span["start_time"],
        end_ns=span.get("end_time") or 0,
        attributes=dict(span.get("attributes") or {}),
        events=tuple(
            ReceivedEvent(event["name"], event["timestamp"], event["attributes"]) for event in span.get("events") or ()
        ),
        links=tuple(
            ReceivedLink(link["trace_id"], link["span_id"], link["attributes"]) for link in span.get("links") or ()
        ),
        status=status.get("code") or "UNSET",
        status_message=status.get("message") or "",
        resource={},
        scope=Scope(),
        request=request,
    )
