"""Templates: attributes made of other attributes, metadata and the run."""

import re
from collections.abc import Callable
from typing import Any

from nat.observability.snapshot import encode

__all__ = ["Template"]

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_OF_STEPS = ("name", "kind")
_OF_RUNS = ("name", "session_id", "user_id")


class Template:
    """A text with references in braces: `{llm.model_name}`, `{metadata.tenant}`, `{run.name}`, `{step.name}`.

    `{name:-default}` has a default for what is not known; `{{` and `}}` are braces. Nothing in it is evaluated.

    Args:
        text: The template.

    Raises:
        ValueError: A brace stands alone, or a reference names nothing that can be known.
    """

    def __init__(self, text: str) -> None:
        self._parts: list[tuple[str, str | None, bool]] = []  # a text; or a name, its default, and that it is one
        end = 0
        for match in _PART.finditer(text):
            self._add_text(text[end : match.start()])
            end = match.end()
            if match[0] in ("{{", "}}"):
                self._add_text(match[0][0])
            elif match[1] is None:
                raise ValueError(f"{text!r} has a {match[0]} without its counterpart; write {match[0] * 2} for a brace")
            else:
                name, separator, default = match[1].partition(":-")
                _check(name, text)
                self._parts.append((name, default if separator else None, True))
        self._add_text(text[end:])
        if not self._parts:
            raise ValueError("is empty, expected a text with references in braces, as {metadata.tenant}")

    def value(self, lookup: Callable[[str], Any]) -> Any:
        """What it says with the values that `lookup` knows; `None` if one is not known and has no default.

        A template that is one reference gives the value itself if an attribute can hold it, else its JSON.
        """
        values = []
        for name, default, is_reference in self._parts:
            value = lookup(name) if is_reference else name
            if value is None:
                value = default
            if value is None:
                return None
            values.append(value)
        return values[0] if len(values) == 1 and _is_plain(values[0]) else "".join(map(_text, values))

    def _add_text(self, text: str) -> None:
        if text:
            self._parts.append((text, None, False))


def _check(name: str, text: str) -> None:
    first, _, rest = name.partition(".")
    known = {"step": _OF_STEPS, "run": _OF_RUNS}.get(first)
    if not name.strip() or (known is not None and rest not in known) or (first == "metadata" and not rest):
        choices = [f"step.{one}" for one in _OF_STEPS] + [f"run.{one}" for one in _OF_RUNS]
        raise ValueError(
            f"{text!r} refers to {name!r}, expected the name of an attribute, metadata.KEY, {', '.join(choices)}"
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()


def _is_plain(value: Any) -> bool:
    """Whether it is text, a number, true or false, or a list of one of them."""
    kinds = {type(value)} if type(value) is not list else set(map(type, value))
    return len(kinds) <= 1 and kinds <= {str, bool, int, float}
