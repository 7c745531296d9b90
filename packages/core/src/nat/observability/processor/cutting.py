"""Cutting: texts of a limited length, in code points; JSON stays JSON where that is possible."""

from collections.abc import Collection, Iterator
from typing import Any

from nat.observability.snapshot import encode, parsed

__all__ = ["cut_text", "cut_value"]

_ELLIPSIS = "…"
_SHORTEST = 8  # characters that texts in JSON are cut to; where that is too long, the JSON is cut as a text
_STEP = 0.8  # by which a guess of what fits is lowered


def cut_text(text: str, limit: int, kept: Collection[str] = ()) -> str:
    """A text of at most `limit` code points, an ellipsis at its end if it is cut; JSON text becomes shorter JSON text.

    Texts that are `kept` are not cut.
    """
    if len(text) <= limit or text in kept:
        return text
    if text[0] in "{[":
        fitted = _fitted(parsed(text), limit, kept)
        if fitted is not None:
            return encode(fitted).decode()
    return _cut(text, limit)


def cut_value(value: Any, limit: int, kept: Collection[str] = ()) -> Any:
    """A value of any kind, as JSON at most `limit` code points long: its texts are cut, or else it becomes a text itself.

    Numbers and lists of numbers stay.
    """
    if type(value) is str:
        return cut_text(value, limit, kept)
    if type(value) not in (dict, list, tuple) or not any(True for _ in _texts(value)):
        return value
    written = encode(value).decode()
    if len(written) <= limit:
        return value
    fitted = _fitted(value, limit, kept)
    return _cut(written, limit) if fitted is None else fitted


def _fitted(value: Any, limit: int, kept: Collection[str]) -> Any:
    """A list or mapping whose texts are cut so that its JSON is no longer than that; `None` if it would be all the same."""
    if value is None:
        return None
    try:
        longest = max(map(len, _texts(value)), default=0)
        frame = len(encode(_with_texts(value, 0, kept)).decode())
        guess = min(longest, limit - frame)
        while guess >= _SHORTEST:
            fitted = _with_texts(value, guess, kept)
            if len(encode(fitted).decode()) <= limit:
                return fitted
            guess = int(guess * _STEP)
    except RecursionError:
        pass
    return None


def _texts(value: Any) -> Iterator[str]:
    if type(value) is str:
        yield value
    elif type(value) is dict:
        for item in value.values():
            yield from _texts(item)
    elif type(value) in (list, tuple):
        for item in value:
            yield from _texts(item)


def _with_texts(value: Any, limit: int, kept: Collection[str]) -> Any:
    """The value with each text of it cut."""
    if type(value) is str:
        return value if value in kept else _cut(value, limit)
    if type(value) is dict:
        return {key: _with_texts(item, limit, kept) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [_with_texts(item, limit, kept) for item in value]
    return value


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return text[: limit - 1] + _ELLIPSIS if limit > 1 else text[:limit]
