"""Content as a processor: how much of what was said in a span or step goes on."""

import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from nat.data_models.intermediate_step import IntermediateStep, StreamEventData
from nat.data_models.span import Span, SpanEvent, SpanStatus
from nat.data_models.span_names import SpanAttributes
from nat.observability.processor.cutting import cut_value
from nat.observability.processor.looking_processor import LookingProcessor
from nat.observability.processor.offload import Offload, OffloadedParts
from nat.observability.processor.step_metadata import metadata_of, with_contents
from nat.observability.snapshot import encode, parsed, snapshot, text
from nat.observability.spans import conventions as names
from nat.observability.spans.content import Part, is_content_field, part_of, part_of_event

__all__ = ["ContentMode", "ContentProcessor"]

_MIME_TYPES = {names.INPUT_VALUE: names.INPUT_MIME_TYPE, names.OUTPUT_VALUE: names.OUTPUT_MIME_TYPE}
_ERROR, _EVALUATIONS, _EXPLANATION = "error", "evaluations", "explanation"
_OFFLOADED = SpanAttributes.NAT_CONTENT_OFFLOADED.value
_REMOVED: Any = object()


class ContentMode(NamedTuple):
    """How much of content goes on: all, texts up to `max_chars` code points, what is said about it, or nothing."""

    name: Literal["full", "truncate", "metadata", "none"]
    max_chars: int = 0

    @classmethod
    def of(cls, text: str) -> "ContentMode":
        """What `full`, `truncate:N`, `metadata` or `none` says.

        Raises:
            ValueError: It is none of them.
        """
        if text in ("full", "metadata", "none"):
            return cls(text)  # type: ignore[arg-type]  # one of the literals
        match = re.fullmatch(r"truncate:([1-9]\d{0,11})", text)
        if match is None:
            raise ValueError("expected full, truncate:N with a number of characters, metadata or none")
        return cls("truncate", int(match[1]))


class ContentProcessor(LookingProcessor[Span | IntermediateStep, Span | IntermediateStep]):
    """Passes on items with as much of their content as a mode says; what has been cut, stored or left out is said in them.

    Args:
        mode: How much.
        offload: Stores large and binary parts; may block.
    """

    def __init__(self, mode: ContentMode, offload: Offload | None = None) -> None:
        self._mode = mode
        self._offload = offload

    async def process(self, item: Span | IntermediateStep) -> Span | IntermediateStep:
        """The item, or a copy with less in it."""
        if self._mode.name == "full" and self._offload is None:
            return item
        parts = None if self._offload is None else self._offload.begin(self.look)
        change = _Change(self._mode, parts)
        return _changed_span(item, change) if isinstance(item, Span) else _changed_step(item, change)


class _Change:
    """What becomes of the content of one item, and what there is to say about that."""

    def __init__(self, mode: ContentMode, parts: OffloadedParts | None) -> None:
        self._mode = mode
        self._parts = parts
        self._cut_chars = 0
        self._cut: list[str] = []
        self._lengths: dict[str, int] = {}

    def notes(self) -> dict[str, Any]:
        """Attributes, or fields of the metadata, to add; `nat.content.offloaded` is a list."""
        notes: dict[str, Any] = dict(self._lengths)
        if self._cut:
            notes[SpanAttributes.NAT_CONTENT_CUT_CHARS.value] = self._cut_chars
            notes[SpanAttributes.NAT_CONTENT_CUT_ATTRIBUTES.value] = self._cut
        if self._parts is not None and self._parts.references:
            notes[_OFFLOADED] = self._parts.references
        if self._parts is not None and self._parts.lost:
            notes[SpanAttributes.NAT_CONTENT_LOST_PARTS.value] = self._parts.lost
        return notes

    def measure(self, given: Any, made: Any) -> None:
        """Take note of how much went in and came out, if nothing else of it is shown."""
        if self._mode.name == "metadata":
            lengths = {
                SpanAttributes.NAT_CONTENT_INPUT_CHARS.value: given,
                SpanAttributes.NAT_CONTENT_OUTPUT_CHARS.value: made,
            }
            self._lengths = {key: _length(value) for key, value in lengths.items() if value is not None}

    def any_value(self, key: str, value: Any) -> Any:
        """What stands in place of any value, content or not: parts of it may be stored."""
        return value if self._parts is None else self._parts.taken_from(key, value)

    def part(self, key: str, value: Any, part: Part) -> Any:
        """What stands in place of a value of that part of an item; `_REMOVED`: nothing."""
        if part is Part.CONTENT:
            return self.content(key, value)
        if part is Part.OTHER:
            return self.any_value(key, value)
        return _REMOVED if self._mode.name == "none" else value

    def content(self, key: str, value: Any) -> Any:
        """What stands in place of a value that is content; `_REMOVED`: nothing."""
        if value is None:
            return None
        value = self.any_value(key, value)
        if self._mode.name == "full":
            return value
        if self._mode.name != "truncate":
            return _REMOVED
        shorter = cut_value(value, self._mode.max_chars, () if self._parts is None else self._parts.urls)
        if shorter is not value:
            self._cut_chars += _length(value) - _length(shorter)
            self._cut.append(key)
        return shorter

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Metadata of a step or span."""
        changed = _each(fields, self._field)
        if fields.get(_ERROR) and _ERROR not in changed:  # that it failed is no content
            changed[_ERROR] = fields.get("error_type") or "_OTHER"
        return changed

    def _field(self, key: str, value: Any) -> Any:
        if is_content_field(key):
            return self.content(key, value)
        if key == _EVALUATIONS and type(value) is list:
            new = [self._evaluation(one) if type(one) is dict else one for one in value]
            return value if all(after is before for after, before in zip(new, value, strict=True)) else new
        return self.any_value(key, value)

    def _evaluation(self, evaluation: dict[str, Any]) -> dict[str, Any]:
        return _each(evaluation, lambda key, value: self.content(key, value) if key == _EXPLANATION else value)


def _changed_span(span: Span, change: _Change) -> Span:
    given = span.attributes
    change.measure(given.get(names.INPUT_VALUE), given.get(names.OUTPUT_VALUE))
    attributes: dict[str, Any] = {}
    for key, value in given.items():
        new = _metadata(value, change) if key == names.METADATA else change.part(key, value, part_of(key))
        if new is not _REMOVED:
            attributes[key] = new
    for key, mime_type_key in _MIME_TYPES.items():
        value = attributes.get(key)
        if type(value) is not str or value is given.get(key):
            continue
        if attributes.get(mime_type_key) == names.JSON and parsed(value) is None:
            attributes[mime_type_key] = names.TEXT
    changes: dict[str, Any] = {"attributes": attributes}
    if span.events:
        changes["events"] = [_changed_event(event, change) for event in span.events]
    if span.status.message is not None:
        message = change.content("status.message", span.status.message)
        message = None if message is _REMOVED else message
        changes["status"] = SpanStatus.model_construct(code=span.status.code, message=message)
    attributes |= change.notes()
    if _OFFLOADED in attributes:
        attributes[_OFFLOADED] = encode(attributes[_OFFLOADED]).decode()
    return span.model_copy(update=changes)


def _metadata(value: Any, change: _Change) -> Any:
    """What stands in place of the attribute `metadata`."""
    fields = parsed(value) if type(value) is str else None
    if type(fields) is not dict:
        return change.any_value(names.METADATA, value)
    changed = change.fields(fields)
    return value if changed is fields else encode(changed).decode() if changed else _REMOVED


def _changed_event(event: SpanEvent, change: _Change) -> SpanEvent:
    attributes = _each(event.attributes, lambda key, value: change.part(key, value, part_of_event(key)))
    return event if attributes is event.attributes else event.model_copy(update={"attributes": attributes})


def _changed_step(step: IntermediateStep, change: _Change) -> IntermediateStep:
    data = step.data
    if data is not None:
        change.measure(data.input, data.output)
        fields = {**data.__dict__, **(data.model_extra or {})}
        changed = _each(fields, lambda key, value: change.content(f"data.{key}", value))
        if changed is not fields:
            data = StreamEventData.model_construct(**changed) if changed.keys() - _empty(changed) else None
    metadata = change.fields(metadata_of(step))
    return with_contents(step, {**metadata, **change.notes()}, data)


def _empty(fields: dict[str, Any]) -> set[str]:
    return {key for key, value in fields.items() if value is None}


def _each(fields: dict[str, Any], change: Callable[[str, Any], Any]) -> dict[str, Any]:
    """The fields, each changed, without what is removed; themselves if nothing changes."""
    changed = {key: change(key, value) for key, value in fields.items()}
    if all(new is fields[key] for key, new in changed.items()):
        return fields
    return {key: value for key, value in changed.items() if value is not _REMOVED}


def _length(value: Any) -> int:
    return len(text(snapshot(value))[0])
