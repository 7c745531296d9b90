"""What a product shows of a span, and what of it was sent, in one form."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ShownEvent", "ShownSpan", "by_id", "read_spans"]


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An event of a span; time in nanoseconds since the epoch."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ShownSpan:
    """A span; ids in hexadecimal digits, times in nanoseconds since the epoch, status as `OK`, `ERROR` or `UNSET`."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    status: str
    status_message: str
    attributes: Mapping[str, Any]
    events: tuple[ShownEvent, ...]


def by_id(spans: Iterable[ShownSpan]) -> dict[tuple[str, str], ShownSpan]:
    """Spans by trace and span id; each id must be there once."""
    listed = list(spans)
    found = {(span.trace_id, span.span_id): span for span in listed}
    assert len(found) == len(listed), f"{len(listed) - len(found)} spans have arrived more than once"
    return found


def read_spans(file: Path) -> list[ShownSpan]:
    """The spans in a file that the exporter `file` has written with `format: spans`."""
    with file.open(encoding="utf-8") as lines:
        return [_read(json.loads(line)) for line in lines]


def _read(span: dict[str, Any]) -> ShownSpan:
    return ShownSpan(
        trace_id=span["trace_id"],
        span_id=span["span_id"],
        parent_id=span["parent_span_id"],
        name=span["name"],
        start_ns=span["start_time"],
        end_ns=span["end_time"],
        status=span["status"]["code"],
        status_message=span["status"]["message"] or "",
        attributes=span["attributes"],
        events=tuple(ShownEvent(event["name"], event["timestamp"], event["attributes"]) for event in span["events"]),
    )
