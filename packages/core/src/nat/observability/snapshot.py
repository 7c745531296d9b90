"""Snapshots: what a value was at the moment it was captured, whatever the workflow does with it afterwards.

`snapshot` runs on the workflow's own thread, everything else later. Scalars are kept as they are; anything that could
still change becomes JSON text at once. No value makes it raise, and nothing of the value is consumed, so what JSON
cannot say is written as text that says what was there:

| value | becomes |
|---|---|
| NaN, infinities | `"NaN"`, `"Infinity"`, `"-Infinity"` |
| integers beyond 64 bits | their digits as text; `"<int of 20000 bits>"` where Python itself refuses to write them |
| lone surrogates in text | U+FFFD; a pair of them the character that it stands for |
| bytes | their text if they are UTF-8 without control characters, else `"base64:"` and the Base64 text |
| sets | a list, sorted where the elements can be, else by their `repr` |
| pydantic models, dataclasses, named tuples | objects of their fields; a model's own serialisers and exclusions apply |
| numpy arrays and scalars | lists and numbers |
| enumerations | their values |
| dates, times, UUIDs, paths, decimals | text, dates and times in ISO 8601 |
| secrets (`SecretStr`, `SecretBytes`) | `"**********"` |
| exceptions | `"ValueError: message"` |
| keys that are not text | text: `"1"`, `"true"`, `"null"`, the `repr` of others |
| a container inside itself | `"<cycle>"` |
| what lies deeper than 250 levels | `"<too deep>"` |
| any other object, iterators and generators included | its `repr`, cut at 8,192 characters |
| an object whose `repr` raises | `"<unprintable Name: ValueError>"` |

Where memory or stack do not suffice even for that, the whole is `"<unserializable>"` or `"<too deep>"`.
`KeyboardInterrupt` and `SystemExit` raised by a value's own code go on to the caller; nothing else does.
"""

import base64
import enum
import math
import sys
from collections import deque
from collections.abc import Collection
from dataclasses import fields as dataclass_fields
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, TypeAlias
from uuid import UUID

import orjson

from nat.data_models.span_names import MimeTypes

__all__ = ["Snapshot", "clean", "encode", "encode_line", "parsed", "plain", "restore", "snapshot", "text"]

_MAX_DEPTH = 250  # orjson writes 254 levels and reads 1,024
_MAX_REPR_CHARS = 8_192
_ROOMY_BYTES = 64 * 1024  # below, what orjson returns may hold several times its size: 4 KiB at least (3.13, measured)
_QUICKLY_SEARCHED_BYTES = 512  # of JSON text; looking through the value itself takes longer
_FEW_ITEMS = 200  # of one container; searching the text for more takes less time than looking at each
_MAX_DIGITS_BITS = 14_000  # 4,214 digits; Python refuses to write 4,300 and more (sys.set_int_max_str_digits)

_CYCLE = "<cycle>"
_TOO_DEEP = "<too deep>"
_SECRET = "**********"
_UNSERIALIZABLE = b'"<unserializable>"'
_INTERRUPTS = (KeyboardInterrupt, SystemExit)

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY
_OBJECT, _ARRAY = b"{["
_DICT_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


Snapshot: TypeAlias = str | int | float | bool | bytes | None
"""A scalar; or the JSON text of a list or mapping in UTF-8, as `bytes`. Bytes that were captured are text, so they are no
`bytes` here.
"""


def snapshot(value: Any) -> Snapshot:
    """What `value` is now: scalars as they are, anything else as JSON text (see the table above).

    Never raises, never waits. A string is kept, not copied, and may still hold lone surrogates.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool or kind is int or kind is float:
        return value  # type: ignore[no-any-return]  # one of Snapshot's own types
    try:
        data = encode(value)
        if (first := data[0]) == _OBJECT or first == _ARRAY:
            return data if len(data) > _ROOMY_BYTES else b"%b" % data  # a copy of just that size
        scalar: str | int | float | bool | None = orjson.loads(data)
        return scalar
    except RecursionError:  # the caller's stack is all but exhausted
        return _TOO_DEEP


def restore(captured: Snapshot) -> Any:
    """A Python value of a snapshot's content; lists and mappings are new ones at each call."""
    return orjson.loads(captured) if type(captured) is bytes else captured


def parsed(written: str) -> Any:
    """What a JSON text says; `None` if it is none. Never raises."""
    try:
        return orjson.loads(written)
    except ValueError:
        return None


def text(captured: Snapshot) -> tuple[str, MimeTypes]:
    """A snapshot as text, with the MIME type of that text; a string stays as it is, everything else is JSON."""
    if type(captured) is bytes:
        return captured.decode(), MimeTypes.JSON
    if type(captured) is str:
        return clean(captured), MimeTypes.TEXT
    return encode(captured).decode(), MimeTypes.JSON


def plain(value: Any) -> Any:
    """`value` in plain JSON terms: dicts with text keys, lists, finite numbers, clean text. Never raises."""
    kind = type(value)
    if kind is str:
        return clean(value)
    if value is None or kind is bool:
        return value
    return orjson.loads(encode(value))


def clean(value: str) -> str:
    """`value` without lone surrogates, which no UTF-8 text can hold: U+FFFD in their place, pairs joined."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def encode(value: Any) -> bytes:
    """JSON text of any value, in UTF-8, without line breaks outside strings. Never raises."""
    try:
        data = orjson.dumps(value, _default, _OPTIONS)
        if len(data) > _QUICKLY_SEARCHED_BYTES and _is_finite((value,)):
            return data
        if b"null" not in data or not _hides_a_number(value, data.count(b"null")):
            return data
    except Exception as error:  # what orjson refuses, and what a value's own code raises through it
        if isinstance(error.__cause__, _INTERRUPTS):
            raise error.__cause__ from None
    try:
        return orjson.dumps(_walk(value, set(), 0))
    except Exception:  # out of memory or of stack, so nothing more is called
        return _UNSERIALIZABLE


def encode_line(value: Any) -> str:
    """JSON text of any value on one line, also for readers that break lines at U+0085, U+2028 or U+2029."""
    line = encode(value).decode()
    if line.isascii():
        return line
    return line.replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _default(value: Any) -> Any:
    """What orjson cannot write, one level of it opened."""
    opened = _open(value)
    if type(opened) is not str and _hides_a_number(opened, None):
        return _walk(opened, {id(value)}, 0)
    return opened


def _is_finite(items: Collection[Any]) -> bool:
    """Whether a container is seen to hold no NaN or infinity: it is plain, and no list in it is long."""
    if len(items) > _FEW_ITEMS:
        return False
    for item in items:
        kind = type(item)
        if kind is str or item is None or kind is int or kind is bool:
            continue
        if kind is dict:
            if not _is_finite(item.values()):
                return False
        elif kind is list or kind is tuple:
            if not _is_finite(item):
                return False
        elif kind is not float or not math.isfinite(item):
            return False
    return True


def _hides_a_number(value: Any, nulls: int | None) -> bool:
    """Whether a NaN or an infinity is, or may be, in `value`: orjson writes each as `null` and says nothing.

    `nulls` is how often that word is in the text, so the search ends when so many `None`s are found. What `_default`
    opens is not searched again.
    """
    stack: list[tuple[Any, int]] = [((value,), 0)]
    while stack:
        items, depth = stack.pop()
        if depth > _MAX_DEPTH:
            return True  # a cycle, for `_walk` to end
        depth += 1
        for item in items:
            kind = type(item)
            if kind is str or kind is int or kind is bool:
                continue
            if item is None:
                if nulls is not None:
                    nulls -= 1
                    if nulls == 0:
                        return False
            elif kind is dict:
                stack.append((item.values(), depth))
            elif kind is list or kind is tuple:
                stack.append((item, depth))
            elif kind is float:
                if not math.isfinite(item):
                    return True
            elif issubclass(kind, dict):
                stack.append((dict.values(item), depth))
            elif issubclass(kind, list):
                stack.append((list.__iter__(item), depth))
            elif issubclass(kind, str) or _is_model(kind):
                continue
            elif issubclass(kind, (float, enum.Enum)) or _is_numpy(kind) or _is_dataclass(kind):
                stack.append(((_open(item),), depth))
    return False


def _walk(value: Any, path: set[int], depth: int) -> Any:
    """`value` in plain JSON terms, opened level by level; `path` holds the ids of what it lies in."""
    kind = type(value)
    if kind is str:
        return clean(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return _number(value)
    if kind is float:
        return value if math.isfinite(value) else _not_finite(value)
    if depth >= _MAX_DEPTH:
        return _TOO_DEEP
    if id(value) in path:
        return _CYCLE
    path.add(id(value))
    try:
        if issubclass(kind, dict):
            mapping: dict[str, Any] = {}
            for key, item in list(dict.items(value)):
                name = _key(key)
                if name in mapping:
                    name = f"{name} <{_type_name(key)}>"
                mapping[name] = _walk(item, path, depth + 1)
            return mapping
        if issubclass(kind, list):
            return [_walk(item, path, depth + 1) for item in list.__iter__(value)]
        if kind is tuple:
            return [_walk(item, path, depth + 1) for item in value]
        return _walk(_open(value), path, depth + 1)
    except RecursionError:
        return _TOO_DEEP
    finally:
        path.discard(id(value))


def _open(value: Any) -> Any:
    """A value that is not JSON, one level opened: text, a number, a list or a dict. Its own code runs guarded."""
    kind = type(value)
    try:
        if _is_model(kind):
            return _model(value)
        if _is_secret(kind):
            return _SECRET
        for known, opener in _OPENERS:
            if issubclass(kind, known):
                return opener(value)
        if _is_numpy(kind):
            opened = value.tolist()
            return opened if type(opened) is not kind else _bounded_repr(value)
        if _is_dataclass(kind):
            return _fields_of_dataclass(value)
        return _bounded_repr(value)
    except _INTERRUPTS:
        raise
    except BaseException as error:  # the value's own code may raise anything
        return f"<unprintable {_type_name(value)}: {_type_name(error)}>"


def _number(value: int) -> int | str:
    if -(2**63) <= value < 2**64:
        return value
    bits = value.bit_length()
    return str(value) if bits <= _MAX_DIGITS_BITS else f"<int of {bits} bits>"


def _not_finite(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _key(key: Any) -> str:
    kind = type(key)
    if kind is str:
        return clean(key)
    if kind is int:
        return str(_number(key))
    if issubclass(kind, enum.Enum):
        return _key(key._value_)
    if issubclass(kind, (bool, type(None))):
        return str(orjson.dumps(key), "ascii")
    if issubclass(kind, float):
        number = float.__float__(key)
        return repr(number) if math.isfinite(number) else _not_finite(number)
    if issubclass(kind, (str, int, bytes, date, time, UUID, PurePath)):
        return str(_walk(key, set(), 0))
    try:
        return clean(_bounded_repr(key))
    except _INTERRUPTS:
        raise
    except BaseException as error:  # the key's own code may raise anything
        return f"<unprintable {_type_name(key)}: {_type_name(error)}>"


def _type_name(value: Any) -> str:
    return str(type.__dict__["__name__"].__get__(type(value)))  # past metaclasses, whose own code may raise


def _is_model(kind: type) -> bool:
    """Whether a class is a pydantic model, found past pydantic's own check, which takes longer and runs the class's code."""
    pydantic = sys.modules.get("pydantic.main")  # no value is a model where that has not been imported
    base = getattr(pydantic, "BaseModel", None)  # None also while another thread is importing it
    return base is not None and type.__subclasscheck__(base, kind)


def _is_secret(kind: type) -> bool:
    types = sys.modules.get("pydantic.types")
    return issubclass(kind, (getattr(types, "SecretStr", ()), getattr(types, "SecretBytes", ())))


def _is_numpy(kind: type) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(kind, (getattr(numpy, "ndarray", ()), getattr(numpy, "generic", ())))


def _is_dataclass(kind: type) -> bool:
    return hasattr(kind, "__dataclass_fields__")


def _bounded_repr(value: Any) -> str:
    written = str.__str__(repr(value))
    if len(written) <= _MAX_REPR_CHARS:
        return written
    return f"{written[:_MAX_REPR_CHARS]}… <{len(written)} characters>"


def _bytes(value: bytes | bytearray | memoryview) -> str:
    data = bytes(value)
    try:
        written = data.decode()
    except UnicodeDecodeError:
        written = None
    if written is not None and written.translate({9: None, 10: None, 13: None}).isprintable():
        return written
    return "base64:" + base64.b64encode(data).decode("ascii")


def _set(value: set[Any]) -> list[Any]:
    return _sorted(list(set.__iter__(value)))


def _frozenset(value: frozenset[Any]) -> list[Any]:
    return _sorted(list(frozenset.__iter__(value)))


def _sorted(items: list[Any]) -> list[Any]:
    try:
        return sorted(items)
    except Exception:  # elements that do not compare, each with code of its own
        return sorted(items, key=lambda item: (_type_name(item), _key(item)))


def _tuple(value: tuple[Any, ...]) -> Any:
    items = list(tuple.__iter__(value))
    names = getattr(type(value), "_fields", None)
    return dict(zip(names, items, strict=True)) if names else items


def _model(value: Any) -> Any:
    try:
        return value.model_dump(warnings="none", serialize_as_any=True)
    except Exception:  # a serialiser of the model's own, a cycle, or a value that pydantic cannot walk
        return _fields_of_model(value)


def _fields_of_model(value: Any) -> dict[str, Any]:
    excluded = {name for name, field in type(value).model_fields.items() if field.exclude}
    extra = value.__pydantic_extra__ or {}
    return {name: item for name, item in {**value.__dict__, **extra}.items() if name not in excluded}


def _fields_of_dataclass(value: Any) -> dict[str, Any]:
    missing = object()
    found = ((field.name, getattr(value, field.name, missing)) for field in dataclass_fields(value))
    return {name: item for name, item in found if item is not missing and not name.startswith("_")}


def _exception(value: BaseException) -> str:
    message = str.__str__(str(value))
    return f"{_type_name(value)}: {message}" if message else _type_name(value)


# Order matters where a type is a subclass of two of them. The built-in types' own methods are called, so that a
# subclass that overrides them is still read as what it holds.
_OPENERS: tuple[tuple[Any, Any], ...] = (
    (enum.Enum, lambda value: value._value_),
    (str, str.__str__),
    (bool, bool),
    (int, int.__int__),
    (float, float.__float__),
    (dict, lambda value: dict(dict.items(value))),
    (list, lambda value: list(list.__iter__(value))),
    (tuple, _tuple),
    (set, _set),
    (frozenset, _frozenset),
    ((bytes, bytearray, memoryview), _bytes),
    (BaseException, _exception),
    ((datetime, date, time), lambda value: value.isoformat()),
    ((UUID, PurePath, Decimal, timedelta, complex), str),
    (deque, lambda value: list(deque.__iter__(value))),
    (MappingProxyType, dict),
    (_DICT_VIEWS, list),
)
