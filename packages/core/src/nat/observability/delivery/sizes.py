"""Sizes: how much an item carries, and cutting its biggest texts until it fits."""

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

__all__ = ["UNKNOWN_LIMIT_BYTES", "size_of", "truncated"]

UNKNOWN_LIMIT_BYTES = 256 * 1024  # what an item is cut down to when a backend refuses it and nobody knows its limit

_NUMBER_BYTES = 8
_KEPT_BYTES = 64  # of a text, at least
_MARKER_BYTES = 64  # at most
_MAX_DEPTH = 60


def size_of(value: Any) -> int:
    """Bytes of the texts, keys and numbers in an item, without what an encoding adds."""
    return sum(_sizes(value, 0))


def truncated(value: Any, limit_bytes: int) -> Any | None:
    """A copy that is no larger than `limit_bytes`, its biggest texts cut and marked; `None` if that is not enough.

    Understands text, lists, tuples, mappings and pydantic models; what else there is stays as it is.
    """
    texts = sorted((len_bytes(text) for text in _texts(value, 0)), reverse=True)
    excess = size_of(value) - limit_bytes
    if excess <= 0:
        return value
    longest = _longest(texts, excess)
    return None if longest is None else _rebuilt(value, lambda text: _cut(text, longest), 0)


def len_bytes(text: str) -> int:
    """Length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _longest(sizes: list[int], excess: int) -> int | None:
    """The greatest length in bytes to which all longer texts must be cut to save `excess`."""

    def saved(length: int) -> int:
        return sum(size - length - _MARKER_BYTES for size in sizes if size > length + _MARKER_BYTES)

    low, high = _KEPT_BYTES, max(sizes, default=0)
    if saved(low) < excess:
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if saved(middle) >= excess:
            low = middle
        else:
            high = middle - 1
    return low


def _cut(text: str, length: int) -> str:
    if len_bytes(text) <= length + _MARKER_BYTES:
        return text
    head = text[:length].encode("utf-8", "surrogatepass")[:length].decode("utf-8", "ignore")
    return f"{head}… [truncated, {len(text)} characters before]"


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    """What a value is made of, by key."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif isinstance(value, BaseModel):
        fields = type(value).model_fields
        yield from ((key, part) for key, part in value.__dict__.items() if key in fields and not fields[key].exclude)


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < _MAX_DEPTH:
        for _, part in _children(value):
            yield from _texts(part, depth + 1)


def _sizes(value: Any, depth: int) -> Iterator[int]:
    if isinstance(value, str):
        yield len_bytes(value)
    elif isinstance(value, bytes | bytearray):
        yield len(value)
    elif isinstance(value, dict | list | tuple | BaseModel):
        if depth < _MAX_DEPTH:
            for key, part in _children(value):
                yield len_bytes(key) if isinstance(key, str) else 0
                yield from _sizes(part, depth + 1)
    else:
        yield _NUMBER_BYTES


def _rebuilt(value: Any, cut: Callable[[str], str], depth: int) -> Any:
    """The value with every text replaced; parts that do not change are shared."""
    if isinstance(value, str):
        return cut(value)
    if depth >= _MAX_DEPTH:
        return value
    changes = {}
    for key, part in _children(value):
        new = _rebuilt(part, cut, depth + 1)
        if new is not part:
            changes[key] = new
    if not changes:
        return value
    if isinstance(value, BaseModel):
        return BaseModel.model_copy(value, update=changes)
    if isinstance(value, dict):
        return {**value, **changes}
    return [changes.get(index, part) for index, part in enumerate(value)]
