"""OTLP as a backend reads it: requests of both encodings to plain span values, and the answers to them.

In JSON, ids are hexadecimal, 64-bit integers may be decimal text, and unknown fields are ignored (OTLP specification, "JSON
Protobuf Encoding").
"""

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from nat.testing.received import ReceivedEvent, ReceivedLink, ReceivedSpan, Request, Scope, StatusCode

__all__ = [
    "JSON",
    "PROTOBUF",
    "UnreadableError",
    "answer",
    "decode",
    "decode_json",
    "encode_answer",
    "spans_of",
]

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

_STATUS_CODES: dict[int, StatusCode] = {
    Status.STATUS_CODE_UNSET: "UNSET",
    Status.STATUS_CODE_OK: "OK",
    Status.STATUS_CODE_ERROR: "ERROR",
}
_ID_FIELDS = ("traceId", "spanId", "parentSpanId")


class UnreadableError(ValueError):
    """A body is not what its content type says."""


def decode(body: bytes) -> ExportTraceServiceRequest:
    """Read a request in binary protobuf.

    Raises:
        UnreadableError: It is none.
    """
    try:
        return ExportTraceServiceRequest.FromString(body)
    except DecodeError as exc:
        raise UnreadableError("the body is no ExportTraceServiceRequest in binary protobuf") from exc


def decode_json(document: Any) -> ExportTraceServiceRequest:
    """Read a request from what its JSON says.

    Raises:
        UnreadableError: It is none.
    """
    try:
        fields = json.loads(json.dumps(document))  # the caller's stays as it is
        for span in _json_spans(fields):
            for holder in (span, *span.get("links", ())):
                for name in _ID_FIELDS:
                    if holder.get(name):
                        holder[name] = base64.b64encode(bytes.fromhex(holder[name])).decode()
        return json_format.ParseDict(fields, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError) as exc:
        raise UnreadableError(f"the body is no ExportTraceServiceRequest in JSON: {exc}") from exc


def spans_of(message: ExportTraceServiceRequest, request: Request) -> Iterator[ReceivedSpan]:
    """The spans of a message, in its order, as those of the request that brought it.

    Raises:
        UnreadableError: An id is not of its length, or zero.
    """
    for resource_spans in message.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            scope = Scope(scope_spans.scope.name, scope_spans.scope.version)
            for span in scope_spans.spans:
                yield _received(span, resource, scope, request)


def answer(rejected_count: int = 0, message: str = "") -> ExportTraceServiceResponse:
    """What a backend answers that has taken a request but for `rejected_count` spans."""
    response = ExportTraceServiceResponse()
    if rejected_count or message:
        response.partial_success.rejected_spans = rejected_count
        response.partial_success.error_message = message
    return response


def encode_answer(response: Message, content_type: str) -> bytes:
    """The body of an answer, in the encoding of its request."""
    if content_type == PROTOBUF:
        return response.SerializeToString()
    return json_format.MessageToJson(response).encode()


def _json_spans(document: Any) -> Iterator[dict[str, Any]]:
    for resource_spans in document.get("resourceSpans", ()):
        for scope_spans in resource_spans.get("scopeSpans", ()):
            yield from scope_spans.get("spans", ())


def _received(span: Span, resource: dict[str, Any], scope: Scope, request: Request) -> ReceivedSpan:
    return ReceivedSpan(
        trace_id=_id(span.trace_id, 16, "trace id"),
        span_id=_id(span.span_id, 8, "span id"),
        parent_id=_id(span.parent_span_id, 8, "parent span id") if span.parent_span_id else None,
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        events=tuple(
            ReceivedEvent(event.name, event.time_unix_nano, _attributes(event.attributes)) for event in span.events
        ),
        links=tuple(
            ReceivedLink(
                _id(link.trace_id, 16, "trace id"), _id(link.span_id, 8, "span id"), _attributes(link.attributes)
            )
            for link in span.links
        ),
        status=_STATUS_CODES[span.status.code],
        status_message=span.status.message,
        resource=resource,
        scope=scope,
        request=request,
    )


def _id(value: bytes, length: int, what: str) -> str:
    if len(value) != length or not any(value):
        raise UnreadableError(f"a {what} must be {length} bytes that are not all zero, got {value.hex() or 'none'}")
    return value.hex()


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case field:
            return getattr(value, field)
