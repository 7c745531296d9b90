"""What a product shows of a span, and what of it was sent, in one form."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["ShownEvent", "ShownSpan", "assert_arrived", "read_spans"]


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


def assert_arrived(
    sent: Sequence[ShownSpan], shown: Sequence[ShownSpan], as_shown: Callable[[ShownSpan], ShownSpan]
) -> None:
    """What was sent is shown, each span once and nothing else, as `as_shown` says of a span that was sent."""
    found = {(span.trace_id, span.span_id): span for span in shown}
    assert len(found) == len(shown), f"{len(shown) - len(found)} spans are there more than once"
    expected = {(span.trace_id, span.span_id): as_shown(span) for span in sent}
    missing = [span.name for key, span in expected.items() if key not in found]
    strange = [span.name for key, span in found.items() if key not in expected]
    assert not missing, f"{len(missing)} spans are missing: {missing[:10]}"
    assert not strange, f"{len(strange)} spans were not sent: {strange[:10]}"
    for key, span in expected.items():
        difference = _difference(asdict(found[key]), asdict(span))
        assert not difference, f"span {span.name!r}: shown, and what was expected: {difference}"


def _difference(shown: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """What two mappings have under a key where they differ, both in turn; of mappings inside, only what differs there."""
    differing = [key for key in {**shown, **expected} if shown.get(key, ...) != expected.get(key, ...)]
    pairs = {key: (shown.get(key, ...), expected.get(key, ...)) for key in differing}
    return {
        key: _difference(*pair) if all(isinstance(side, Mapping) for side in pair) else pair
        for key, pair in pairs.items()
    }


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
