"""Rows: spans and their events as the tables have them."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from nat.data_models.span import Span, SpanAttributes

__all__ = ["EVENTS", "SPANS", "event_rows", "span_row"]

_Names = SpanAttributes

SPANS: Mapping[str, str] = {
    "trace_id": "VARCHAR",
    "span_id": "VARCHAR",
    "parent_span_id": "VARCHAR",
    "name": "VARCHAR",
    "kind": "VARCHAR",
    "workflow": "VARCHAR",
    "session_id": "VARCHAR",
    "user_id": "VARCHAR",
    "started": "TIMESTAMP_NS",
    "ended": "TIMESTAMP_NS",
    "duration_ms": "DOUBLE",
    "status": "VARCHAR",
    "status_message": "VARCHAR",
    "error_type": "VARCHAR",
    "model": "VARCHAR",
    "provider": "VARCHAR",
    "prompt_tokens": "BIGINT",
    "completion_tokens": "BIGINT",
    "cached_tokens": "BIGINT",
    "cost": "DOUBLE",
    "input": "VARCHAR",
    "output": "VARCHAR",
    "attributes": "JSON",
    "links": "JSON",
}
"""Columns of `spans`. Times are UTC; ids are hexadecimal digits; `attributes` has all but input and output."""

EVENTS: Mapping[str, str] = {
    "trace_id": "VARCHAR",
    "span_id": "VARCHAR",
    "name": "VARCHAR",
    "happened": "TIMESTAMP_NS",
    "attributes": "JSON",
}
"""Columns of `events`, such as the `exception` of a step that failed."""

_MAX_INTEGER = 2**63 - 1


def span_row(span: Span) -> Sequence[Any]:
    """A span in the order of `SPANS`; times in nanoseconds. What is not known is `None`."""
    attributes = span.attributes
    context, ended = span.context, span.end_time
    others = {key: value for key, value in attributes.items() if key not in (_Names.INPUT_VALUE, _Names.OUTPUT_VALUE)}
    return (
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
        None if context.parent_span_id is None else f"{context.parent_span_id:016x}",
        _text(span.name),
        _text(attributes.get(_Names.SPAN_KIND)),
        _text(attributes.get(_Names.NAT_WORKFLOW_NAME)),
        _text(attributes.get(_Names.SESSION_ID)),
        _text(attributes.get(_Names.USER_ID)),
        span.start_time,
        ended,
        None if ended is None else (ended - span.start_time) / 1e6,
        str(span.status.code),
        _text(span.status.message),
        _text(attributes.get(_Names.ERROR_TYPE)),
        _text(attributes.get(_Names.LLM_MODEL_NAME, attributes.get(_Names.EMBEDDING_MODEL_NAME))),
        _text(attributes.get(_Names.LLM_PROVIDER)),
        _integer(attributes.get(_Names.LLM_TOKEN_COUNT_PROMPT)),
        _integer(attributes.get(_Names.LLM_TOKEN_COUNT_COMPLETION)),
        _integer(attributes.get(_Names.LLM_TOKEN_COUNT_CACHE_READ)),
        _number(attributes.get(_Names.LLM_COST_TOTAL)),
        _text(attributes.get(_Names.INPUT_VALUE)),
        _text(attributes.get(_Names.OUTPUT_VALUE)),
        _json(others),
        _json([_link(link) for link in span.links]) if span.links else None,
    )


def event_rows(span: Span) -> list[Sequence[Any]]:
    """The events of a span in the order of `EVENTS`."""
    ids = f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"
    return [(*ids, _text(event.name), event.timestamp, _json(event.attributes)) for event in span.events]


def _link(link: Any) -> dict[str, Any]:
    return {
        "trace_id": f"{link.context.trace_id:032x}",
        "span_id": f"{link.context.span_id:016x}",
        "attributes": link.attributes,
    }


def _text(value: Any) -> str | None:
    """A text that is valid Unicode."""
    return None if value is None else str(value).encode("utf-8", "replace").decode()


def _integer(value: Any) -> int | None:
    is_one = isinstance(value, int) and not isinstance(value, bool)
    return value if is_one and abs(value) <= _MAX_INTEGER else None


def _number(value: Any) -> float | None:
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_one and math.isfinite(value) else None


def _json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """A value of any kind in what JSON has; a number that it does not have becomes its text."""
    if isinstance(value, Mapping):
        return {_text(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else _text(value)
