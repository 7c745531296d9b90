"""Paths: fields of an item that are redacted whatever they hold, found by where they are."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from nat.observability.redaction.scanner import compiled
from nat.observability.redaction.settings import RedactAction

__all__ = ["REMOVED", "PathRules"]

REMOVED: Any = object()
"""In place of a value that goes with its key."""

Hide = Callable[[Any, RedactAction], Any]


class PathRules:
    """Globs for paths, each with what is done with what they name: `input.value.customer.*`, `llm.**.content`.

    A path begins with the name of an attribute, which may have dots itself, and goes on in mappings and lists, also in those
    that are JSON text. `*` is one part of it, `**` any number of parts.

    Args:
        rules: Globs with their actions; the first that names a field counts.
        hide: Makes what stands in place of a value.
    """

    def __init__(self, rules: Sequence[tuple[str, RedactAction]], hide: Hide) -> None:
        self._rules = [(compiled(_pattern(glob), is_text=True), action) for glob, action in rules]
        self._hide = hide

    def applied(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields, without what a rule names; themselves if it names nothing."""
        result = self._mapping(fields, "")
        return fields if result is None else result

    def _mapping(self, value: dict[str, Any], prefix: str) -> dict[str, Any] | None:
        changed = False
        result = {}
        for key, item in value.items():
            new = self._value(item, f"{prefix}{key}")
            changed = changed or new is not item
            if new is not REMOVED:
                result[key] = new
        return result if changed else None

    def _value(self, value: Any, path: str) -> Any:
        encoded = path.encode("utf-8", "replace")
        for pattern, action in self._rules:
            if pattern.fullmatch(encoded):
                return REMOVED if action == "remove" else self._hide(value, action)
        if type(value) is dict:
            mapping = self._mapping(value, f"{path}.")
            return value if mapping is None else mapping
        if type(value) is list:
            items = [self._value(item, f"{path}.{index}") for index, item in enumerate(value)]
            is_same = all(new is old for new, old in zip(items, value, strict=True))
            return value if is_same else [item for item in items if item is not REMOVED]
        if type(value) is str and value[:1] in ("{", "["):
            return self._text(value, path)
        return value

    def _text(self, value: str, path: str) -> str:
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return value
        new = self._value(parsed, path)
        if new is parsed:
            return value
        return json.dumps(new, ensure_ascii=False, separators=(",", ":"))


def _pattern(glob: str) -> str:
    """A glob as a pattern of RE2; `[0]` and `[*]` are parts of a path, too."""
    parts = re.sub(r"\[(\d+|\*)\]", r".\1", glob)
    return "".join({"**": ".*", "*": r"[^.]*"}.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*)", parts))
