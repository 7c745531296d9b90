"""OTLP/JSON: spans as `ExportTraceServiceRequest` objects and back.

Sources: OpenTelemetry's specification "OpenTelemetry Protocol File Exporter" (one request a line, `.jsonl`; read
2026-11-23), and section "JSON Protobuf Encoding" of the OTLP specification: ids in lower-case hex instead of Base64,
enumerations as numbers, 64-bit integers as decimal text.
"""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nat.data_models.span import Span, SpanContext, SpanEvent, SpanLink, SpanStatus, SpanStatusCode
from nat.observability.snapshot import clean, plain

__all__ = ["SCOPE_NAME", "request_of", "spans_of_request"]

SCOPE_NAME = "nat.observability"
_KIND_INTERNAL = 1
_STATUS_NUMBERS = {SpanStatusCode.UNSET: 0, SpanStatusCode.OK: 1, SpanStatusCode.ERROR: 2}
_STATUS_CODES = {number: code for code, number in _STATUS_NUMBERS.items()}
_MIN_INT64, _MAX_INT64 = -(2**63), 2**63 - 1


def request_of(spans: Iterable[Span], resource: Mapping[str, Any], scope: str = SCOPE_NAME) -> dict[str, Any]:
    """A request of these spans, made by a resource with these attributes."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": {"name": scope}, "spans": [_span(span) for span in spans]}],
            }
        ]
    }


def _span(span: Span) -> dict[str, Any]:
    context = span.context
    optional: dict[str, Any] = {}
    if context.parent_span_id is not None:
        optional["parentSpanId"] = f"{context.parent_span_id:016x}"
    if span.end_time is not None:
        optional["endTimeUnixNano"] = str(span.end_time)
    return {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "name": clean(span.name),
        "kind": _KIND_INTERNAL,
        "startTimeUnixNano": str(span.start_time),
        **optional,
        "attributes": _attributes(span.attributes),
        "events": [
            {
                "timeUnixNano": str(event.timestamp),
                "name": clean(event.name),
                "attributes": _attributes(event.attributes),
            }
            for event in span.events
        ],
        "links": [
            {
                "traceId": f"{link.context.trace_id:032x}",
                "spanId": f"{link.context.span_id:016x}",
                "attributes": _attributes(link.attributes),
            }
            for link in span.links
        ],
        "status": _status(span.status),
    }


def _status(status: SpanStatus) -> dict[str, Any]:
    code = {"code": _STATUS_NUMBERS[status.code]}
    return code if status.message is None else {**code, "message": clean(status.message)}


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": clean(str(key)), "value": _any_value(value)} for key, value in attributes.items() if value is not None
    ]


def _any_value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int() if _MIN_INT64 <= value <= _MAX_INT64:
            return {"intValue": str(int(value))}
        case float():
            return {"doubleValue": float(value) if math.isfinite(value) else _non_finite(value)}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case list():
            return {"arrayValue": {"values": [_any_item(item) for item in value]}}
        case _:
            return _any_plain(plain(value))


def _any_item(item: Any) -> dict[str, Any]:
    """The encoding of a list's item; what is nested in it is written in JSON's own types."""
    return _any_plain(plain(item)) if isinstance(item, list | tuple | dict) else _any_value(item)


def _any_plain(value: Any) -> dict[str, Any]:
    """The encoding of a value made of JSON's own types."""
    match value:
        case None:
            return {}
        case str():
            return {"stringValue": value}
        case list():
            return {"arrayValue": {"values": [_any_plain(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": [{"key": key, "value": _any_plain(item)} for key, item in value.items()]}}
        case bool() | float():
            return _any_value(value)
        case int() if _MIN_INT64 <= value <= _MAX_INT64:
            return _any_value(value)
        case _:  # OTLP has no integer so large
            return {"stringValue": str(value)}


def _non_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def spans_of_request(request: Mapping[str, Any]) -> list[Span]:
    """All spans of a request, in its order; attributes as Python values. Resource and scope are not part of a span.

    Raises:
        KeyError, TypeError, ValueError: It is not an `ExportTraceServiceRequest`.
    """
    return [
        _span_of(span)
        for resource_spans in request["resourceSpans"]
        for scope_spans in resource_spans.get("scopeSpans", ())
        for span in scope_spans.get("spans", ())
    ]


def _span_of(span: Mapping[str, Any]) -> Span:
    status = span.get("status", {})
    end_time = int(span.get("endTimeUnixNano", 0))
    return Span(
        name=span.get("name", ""),
        context=_context_of(span),
        start_time=int(span.get("startTimeUnixNano", 0)),
        end_time=end_time or None,
        status=SpanStatus(code=_STATUS_CODES[status.get("code", 0)], message=status.get("message")),
        attributes=_attributes_of(span.get("attributes", ())),
        events=[
            SpanEvent(
                name=event.get("name", ""),
                timestamp=int(event.get("timeUnixNano", 0)),
                attributes=_attributes_of(event.get("attributes", ())),
            )
            for event in span.get("events", ())
        ],
        links=[
            SpanLink(context=_context_of(link), attributes=_attributes_of(link.get("attributes", ())))
            for link in span.get("links", ())
        ],
    )


def _context_of(ids: Mapping[str, Any]) -> SpanContext:
    parent = ids.get("parentSpanId")
    return SpanContext(
        trace_id=int(ids["traceId"], 16),
        span_id=int(ids["spanId"], 16),
        parent_span_id=int(parent, 16) if parent else None,
    )


def _attributes_of(attributes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {attribute["key"]: _value_of(attribute["value"]) for attribute in attributes}


def _value_of(value: Mapping[str, Any]) -> Any:
    for kind, content in value.items():
        match kind:
            case "intValue":
                return int(content)
            case "doubleValue":
                return float(content)
            case "bytesValue":
                return base64.b64decode(content)
            case "arrayValue":
                values: Sequence[Mapping[str, Any]] = content.get("values", ())
                return [_value_of(item) for item in values]
            case "kvlistValue":
                return _attributes_of(content.get("values", ()))
            case "stringValue" | "boolValue":
                return content
            case _:
                raise ValueError(f"{kind!r} is not a kind of AnyValue")
    return None
