"""Differences: what has become of a span or step, value by value."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.observability.processor.span_to_dict import span_to_dict
from nat.observability.snapshot import plain

__all__ = ["ABSENT", "Difference", "differences", "shortened"]

_LONGEST = 120  # characters of a value that are shown
_BEFORE = 30  # of these, what stands before the first difference


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
"""In place of a value that is not there."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not what it was; `ABSENT` where there is none."""

    key: str
    before: Any
    after: Any


def differences(before: Span | IntermediateStep, after: Span | IntermediateStep) -> list[Difference]:
    """What differs, by key: attributes under their own names, other fields with dots."""
    if before is after:
        return []
    old, new = _flat_fields(before), _flat_fields(after)
    return [
        Difference(key, old.get(key, ABSENT), new.get(key, ABSENT))
        for key in {**old, **new}
        if old.get(key, ABSENT) != new.get(key, ABSENT)
    ]


def shortened(before: Any, after: Any) -> tuple[str, str]:
    """Both values as JSON, no longer than fits a line, beginning shortly before they differ."""
    old, new = _text(before), _text(after)
    common = next((index for index, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), 0)
    start = max(common - _BEFORE, 0) if max(len(old), len(new)) > _LONGEST else 0
    return _cut(old, start), _cut(new, start)


def _cut(text: str, start: int) -> str:
    end = start + _LONGEST
    rest = f"… ({len(text):,} characters)" if len(text) > end else ""
    return f"{'…' if start else ''}{text[start:end]}{rest}"


def _text(value: Any) -> str:
    return "" if value is ABSENT else json.dumps(value, ensure_ascii=False)


def _flat_fields(item: Span | IntermediateStep) -> dict[str, Any]:
    if isinstance(item, Span):
        fields = span_to_dict(item)
        attributes = fields.pop("attributes")
        del fields["duration"]
        return {**dict(_flat(fields)), **attributes}
    return dict(_flat(plain(item)))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(inner, Mapping | list) for inner in value):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{index}]")
    elif value is not None:
        yield path, value
