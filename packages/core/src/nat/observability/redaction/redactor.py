"""The redactor: values of any kind without what rules say must not be in them."""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel

from nat.data_models.intermediate_step import IntermediateStep, IntermediateStepPayload
from nat.data_models.span import Span, SpanContext, SpanEvent
from nat.observability.redaction.checks import random_looking
from nat.observability.redaction.detectors import (
    DETECTORS,
    PERSONAL_NAME,
    SECRET_NAME,
    WEAK_SECRET_NAME,
    Detector,
)
from nat.observability.redaction.paths import REMOVED, PathRules
from nat.observability.redaction.rules import Rules, is_mark
from nat.observability.redaction.scanner import Scanner, TooManyFindingsError, compiled
from nat.observability.redaction.settings import RedactAction

__all__ = ["Redactor"]

_DEEPEST = 16  # texts within texts; each level doubles the backslashes of the one below
_LARGEST_JSON_BYTES = 256 * 1024  # texts beyond are not parsed: patterns see what is in them, too
_LEAST_CARD = 10**11  # a number with fewer digits is nothing that is looked for
_MOST_NUMBER_BITS = 1024
_DATA_FIELDS = ("input", "output", "chunk")
_SHORTEST_WEAK_SECRET = 16
_TOO_MUCH = "[REDACTED:too_much]"
_ESCAPE = re.compile(r"\\u00([2-7][0-9A-Fa-f])")
_FRAME_OF_MESSAGE = frozenset({"role", "type", "id", "name", "tool_call_id"})
_NOT_JSON = object()
_WEAK = "weak"

ModelT = TypeVar("ModelT", bound=BaseModel)


class Redactor:
    """Takes out of values what rules say. Never changes a value it is given; returns it itself if nothing was in it.

    Thread-safe.

    Args:
        rules: What is redacted, and what is put in its place.
    """

    def __init__(self, rules: Rules) -> None:
        names = list(_names(rules))
        globs = [_glob(name) for name, _ in rules.names]
        self._rules = rules
        self._names = [(name, compiled(rf"(?:{pattern})\z")) for name, pattern in names]
        self._own_names = [(compiled(glob), action) for glob, (_, action) in zip(globs, rules.names, strict=True)]
        self._allowed = compiled("|".join(map(_glob, rules.allow))) if rules.allow else None
        self._paths = (
            PathRules(rules.paths, lambda item, action: self._hidden(item, "field", action)) if rules.paths else None
        )
        self._scanner = Scanner(_detectors(rules), [*(pattern for _, pattern in names), *globs])
        self._name_of = lru_cache(4096)(self._find_name)

    def is_clean(self, data: bytes) -> bool:
        """Whether there is nothing to redact in texts, or in JSON text; if not, there may be something."""
        return self._scanner.is_clean(data)

    def text(self, value: str, depth: int = 0) -> str:
        """A text; if it is JSON, also by the names of its fields."""
        data = value.encode("utf-8", "replace")
        hits = self._scanner.hits(data)
        if not hits:
            return value
        try:
            return self._redacted(value, data, hits, depth)
        except (TooManyFindingsError, RecursionError):
            return _TOO_MUCH

    def value(self, value: Any, depth: int = 0) -> Any:
        """A value of any kind: text, mapping, list, model, span, bytes; other objects stay as they are.

        Raises:
            ValueError: Something is in bytes that are no text.
        """
        kind = type(value)
        if kind is str:
            return self.text(value, depth)
        if value is None or kind is bool or kind is float:
            return value
        if kind is int:
            return self._number(value)
        if kind is dict:
            return self.mapping(value, depth)
        if kind is list or kind is tuple or kind is set or kind is frozenset:
            return self._items(value, depth)
        if isinstance(value, Span):
            return self.span(value)
        if isinstance(value, IntermediateStep):
            return self.step(value)
        if isinstance(value, SpanContext):
            return value
        if isinstance(value, SpanEvent):
            return self._event(value, depth)
        if isinstance(value, BaseModel):
            return self._model(value, depth)
        return self._other(value, depth)

    def mapping(self, value: dict[Any, Any], depth: int = 0) -> dict[Any, Any]:
        """A mapping: its keys, and its values by themselves and by their keys."""
        changed = False
        result: dict[Any, Any] = {}
        is_hidden = self._has_hidden_role(value)
        for key, item in value.items():
            new_key = self.text(key, depth) if type(key) is str else key
            if is_hidden and key not in _FRAME_OF_MESSAGE:
                new_item = REMOVED if self._rules.action == "remove" else self._hidden(item, "role", self._rules.action)
            else:
                new_item = self._field(key, item, depth) if type(key) is str else self.value(item, depth)
            changed = changed or new_item is not item or new_key is not key
            if new_item is not REMOVED:
                result[_free(result, new_key) if new_key is not key else new_key] = new_item
        return result if changed else value

    def look(self, value: Any) -> Any:
        """As `value`; faster where nothing is in it."""
        parts: list[bytes] = []
        _collect(value, parts)
        is_clean = not self._rules.roles and self._paths is None and self.is_clean(b"\n".join(parts))
        return value if is_clean else self.value(value)

    def identity(self, value: str) -> str:
        """An id without what must not be in it: the same for the same id."""
        if self.text(value) == value:
            return value
        return hashlib.blake2b(value.encode("utf-8", "replace"), key=_ID_KEY, digest_size=16).hexdigest()

    def span(self, span: Span) -> Span:
        """A span: name, status, attributes, events and links; ids and times stay."""
        attributes = span.attributes if self._paths is None else self._paths.applied(span.attributes)
        attributes = self._without_flat_roles(attributes) if self._rules.roles else attributes
        changes: dict[str, Any] = {
            "name": self.text(span.name),
            "status": self._model(span.status, 0),
            "attributes": self.mapping(attributes),
            "events": self._items(span.events, 0),
            "links": self._items(span.links, 0),
        }
        changes = {name: new for name, new in changes.items() if new is not getattr(span, name)}
        return span.model_copy(update=changes) if changes else span

    def step(self, step: IntermediateStep) -> IntermediateStep:
        """A step: everything it says; ids that have to be redacted still say what belongs together."""
        payload = self._model(self._without_paths(step.payload), 0, ids=("UUID",))
        ancestry = self._model(step.function_ancestry, 0, ids=("function_id", "parent_id"))
        parent_id = self.identity(step.parent_id)
        if payload is step.payload and ancestry is step.function_ancestry and parent_id == step.parent_id:
            return step
        return step.model_copy(update={"payload": payload, "function_ancestry": ancestry, "parent_id": parent_id})

    def _without_paths(self, payload: IntermediateStepPayload) -> IntermediateStepPayload:
        """Paths in a step begin as in a span: with `input.value`, `output.value`, `metadata`; and `chunk.value`."""
        data = payload.data
        if self._paths is None:
            return payload
        fields = {} if data is None else {f"{name}.value": getattr(data, name) for name in _DATA_FIELDS}
        applied = self._paths.applied({**fields, "metadata": payload.metadata})
        changes: dict[str, Any] = {}
        if data is not None:
            contents = {name: applied.get(f"{name}.value") for name in _DATA_FIELDS}
            changed = {name: item for name, item in contents.items() if item is not getattr(data, name)}
            if changed:
                changes["data"] = data.model_copy(update=changed)
        if applied.get("metadata") is not payload.metadata:
            changes["metadata"] = applied.get("metadata")
        return payload.model_copy(update=changes) if changes else payload

    def _without_flat_roles(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Attributes without those of messages of a role that is hidden."""
        prefixes = tuple(
            key.removesuffix("role")
            for key, role in attributes.items()
            if key.endswith(".message.role") and role in self._rules.roles
        )
        if not prefixes:
            return attributes
        action = self._rules.action
        result = {}
        for key, value in attributes.items():
            if not key.startswith(prefixes) or key.endswith(".message.role"):
                result[key] = value
            elif action != "remove":
                result[key] = self._hidden(value, "role", action)
        return result

    # -- texts ---------------------------------------------------------------------------------------------------------

    def _redacted(self, value: str, data: bytes, hits: Sequence[int], depth: int) -> str:
        if depth < _DEEPEST and len(data) <= _LARGEST_JSON_BYTES:
            parsed = _parsed(value)
            if parsed is not _NOT_JSON:
                redacted = self.value(parsed, depth + 1)
                return value if redacted is parsed else _written(redacted, value)
        if self._scanner.has_escapes(hits):
            unescaped = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), value)
            if unescaped != value:
                redacted = self.text(unescaped, depth + 1) if depth < _DEEPEST else _TOO_MUCH
                return value if redacted == unescaped else redacted
        return self._without_findings(value, data, hits)

    def _without_findings(self, value: str, data: bytes, hits: Sequence[int]) -> str:
        parts: list[bytes] = []
        end = 0
        for finding in self._scanner.findings(data, hits):
            secret = data[finding.start : finding.end]
            if self._allowed is not None and self._allowed.fullmatch(secret):
                continue
            mark = self._rules.mark(finding.detector.name, secret.decode("utf-8", "replace"))
            parts += (data[end : finding.start], mark.encode())
            end = finding.end
        if not parts:
            return value
        return b"".join((*parts, data[end:])).decode("utf-8", "replace")

    def _number(self, value: int) -> Any:
        if value < _LEAST_CARD or value.bit_length() > _MOST_NUMBER_BITS:
            return value
        text = str(value)
        redacted = self.text(text)
        return value if redacted == text else redacted

    # -- containers ----------------------------------------------------------------------------------------------------

    def _field(self, key: str, item: Any, depth: int) -> Any:
        """The value of a key: as a whole if the key says so."""
        name, action = self._name_of(key)
        if name and not (name == _WEAK and not _looks_random(item)):
            return REMOVED if action == "remove" else self._hidden(item, "secret" if name == _WEAK else name, action)
        return self.value(item, depth)

    def _find_name(self, key: str) -> tuple[str, RedactAction]:
        """What a field of that name holds, empty if nothing in particular, and what is done with it."""
        data = key.encode("utf-8", "replace")
        for pattern, action in self._own_names:
            if pattern.fullmatch(data):
                return "field", action
        found = next((name for name, pattern in self._names if pattern.search(data)), "")
        return found, self._rules.action

    def _has_hidden_role(self, message: Mapping[Any, Any]) -> bool:
        role = message.get("role", message.get("type"))
        return bool(self._rules.roles) and type(role) is str and role in self._rules.roles

    def _hidden(self, item: Any, name: str, action: RedactAction) -> Any:
        """A value of which nothing is shown, in its shape."""
        kind = type(item)
        if item is None or kind is bool or item == "":
            return item
        if kind is dict:
            return {key: self._hidden(inner, name, action) for key, inner in item.items()}
        if kind is list or kind is tuple:
            return kind(self._hidden(inner, name, action) for inner in item)
        text = item if kind is str else str(item)
        if is_mark(text) or (self._allowed is not None and self._allowed.fullmatch(text.encode("utf-8", "replace"))):
            return item
        return self._rules.mark(name, text, action)

    def _items(self, value: Any, depth: int) -> Any:
        items = [self.value(item, depth) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return type(value)(items)

    def _model(self, value: ModelT, depth: int, ids: Collection[str] = ()) -> ModelT:
        changes: dict[str, Any] = {}
        for name, item in (*value.__dict__.items(), *(value.model_extra or {}).items()):
            if name in ids:
                new = self.identity(item) if type(item) is str and self.identity(item) != item else item
            else:
                new = self._field(name, item, depth)
            if new is not item:
                changes[name] = None if new is REMOVED else new
        return value.model_copy(update=changes) if changes else value

    def _event(self, event: SpanEvent, depth: int) -> SpanEvent:
        """An event: its time is no number that is looked for."""
        name, attributes = self.text(event.name), self.mapping(event.attributes, depth)
        if name == event.name and attributes is event.attributes:
            return event
        return event.model_copy(update={"name": name, "attributes": attributes})

    def _other(self, value: Any, depth: int) -> Any:
        if isinstance(value, bytes | bytearray):
            if self.is_clean(bytes(value)):
                return value
            text = bytes(value).decode()  # a UnicodeDecodeError is a ValueError
            redacted = self.text(text, depth)
            return value if redacted == text else redacted.encode()
        if isinstance(value, str):  # an enumeration, or a class of the author's
            redacted = self.text(str(value), depth)
            return value if redacted == str(value) else redacted
        if isinstance(value, Mapping):
            copied = dict(value)
            redacted_mapping = self.mapping(copied, depth)
            return value if redacted_mapping is copied else redacted_mapping
        if is_dataclass(value) and not isinstance(value, type):
            return self._dataclass(value, depth)
        return value

    def _dataclass(self, value: Any, depth: int) -> Any:
        changes = {}
        for field in dataclass_fields(value):
            item = getattr(value, field.name)
            new = self._field(field.name, item, depth)
            if new is not item and field.init:
                changes[field.name] = None if new is REMOVED else new
        return replace(value, **changes) if changes else value


_UNKNOWN = b"-----BEGIN PRIVATE KEY-----"  # what is no text is looked at by itself
_ID_KEY = os.urandom(16)


def _collect(value: Any, parts: list[bytes]) -> None:
    kind = type(value)
    if kind is str:
        parts.append(value.encode("utf-8", "replace"))
    elif kind is dict:
        for key, item in value.items():
            if item is not None and item is not True and item is not False:
                parts.append(f'"{key}":'.encode("utf-8", "replace"))
                _collect(item, parts)
    elif kind is list or kind is tuple:
        for item in value:
            _collect(item, parts)
    elif isinstance(value, BaseModel):
        if kind is not SpanContext:
            _collect(value.__dict__, parts)
            _collect(value.model_extra, parts)
    elif kind is int:
        if value >= _LEAST_CARD and value.bit_length() <= _MOST_NUMBER_BITS:
            parts.append(str(value).encode())
    elif value is not None and kind is not bool and kind is not float:
        parts.append(_UNKNOWN)


def _names(rules: Rules) -> Iterator[tuple[str, str]]:
    """What fields hold, and how their names end."""
    if rules.profile != "none" and "secret" not in rules.without:
        yield "secret", SECRET_NAME
        yield _WEAK, rf"\A{WEAK_SECRET_NAME}"
    if rules.profile == "pii" and "personal" not in rules.without:
        yield "personal", PERSONAL_NAME


def _looks_random(item: Any) -> bool:
    is_text = type(item) is str and len(item) >= _SHORTEST_WEAK_SECRET and not re.search(r"\s", item)
    return is_text and random_looking(item.encode("utf-8", "replace"), b"") is not None


def _detectors(rules: Rules) -> Iterable[Detector]:
    for detector in DETECTORS:
        is_wanted = rules.profile == "pii" or detector.profile == rules.profile
        if is_wanted and detector.name not in rules.without:
            yield detector
    for name, pattern in rules.patterns:
        yield Detector(name, "own", f"({pattern})")  # all of it, whatever groups it has


def _glob(glob: str) -> str:
    """A glob as a pattern of RE2: `*` stands for any characters."""
    return ".*".join(re.escape(part) for part in glob.split("*"))


def _parsed(value: str) -> Any:
    """What a JSON text says; other texts, also JSON numbers, are `_NOT_JSON`."""
    if value.lstrip()[:1] not in ("{", "[", '"'):
        return _NOT_JSON
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _written(value: Any, original: str) -> str:
    """JSON text, with blanks where the original has them."""
    separators = (", ", ": ") if '": ' in original else (",", ":")
    return json.dumps(value, ensure_ascii=False, separators=separators)


def _free(result: Mapping[Any, Any], key: str) -> str:
    """A key that is not taken: two may have become the same."""
    number, free = 2, key
    while free in result:
        free, number = f"{key} {number}", number + 1
    return free
