"""The codec: what leaves a pipeline as bytes for the disk, and back, exactly.

A record is two lines of UTF-8 JSON: the header (`exporter`, `trace_id`, `accepted_at`, `count`) and the value. JSON's own
types stand for themselves; anything else is an object with the key `$`, which names its type, and its content under `v`
(of models the fields; `s` names those that were set, if not all were):

| value | on disk |
|---|---|
| spans, steps and their parts, their enumerations | `{"$": "Span", "v": {…}}` |
| integers beyond 64 bits | `{"$": "int", "v": "0x…"}` |
| NaN, infinities | `{"$": "float", "v": "nan"}` |
| text with lone surrogates | `{"$": "text", "v": …}`, Base64 of UTF-16 |
| bytes | `{"$": "bytes", "v": …}`, Base64 |
| tuples, sets, frozen sets | `{"$": "tuple", "v": […]}` |
| mappings with other keys than text, or with the key `$` | `{"$": "map", "v": [[key, value], …]}` |
| types of `register_codec` | `{"$": name, "v": …}` |

Reading runs no code that the file names: it can only make values of these types.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel

from nat.builder.framework_enum import LLMFrameworkEnum
from nat.data_models.intermediate_step import (
    IntermediateStep,
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
    TraceMetadata,
    UsageInfo,
)
from nat.data_models.invocation_node import InvocationNode
from nat.data_models.span import (
    MimeTypes,
    Span,
    SpanContext,
    SpanEvent,
    SpanKind,
    SpanLink,
    SpanStatus,
    SpanStatusCode,
)
from nat.data_models.token_usage import TokenUsageBaseModel

__all__ = [
    "NotSpoolableError",
    "Record",
    "RecordHeader",
    "UndecodableError",
    "decode",
    "encode",
    "header",
    "item_count",
    "register_codec",
]

ValueT = TypeVar("ValueT")

_MODELS: tuple[type[BaseModel], ...] = (
    *(Span, SpanContext, SpanEvent, SpanLink, SpanStatus),
    *(IntermediateStep, IntermediateStepPayload, StreamEventData, TraceMetadata, UsageInfo),
    *(InvocationNode, TokenUsageBaseModel),
)
_ENUMERATIONS: tuple[type[Enum], ...] = (SpanStatusCode, SpanKind, MimeTypes, IntermediateStepType, LLMFrameworkEnum)


class NotSpoolableError(TypeError):
    """A value that cannot be written so that the same value is read back."""


class UndecodableError(ValueError):
    """Bytes that are no record, or hold a type that this process does not know."""


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """What is known of a record without reading its content.

    Attributes:
        exporter: Name of the exporter that it is for.
        trace_id: The run it belongs to; `None` if it mixes runs.
        accepted_at: When it was taken in, in seconds since the epoch.
        count: How many accepted items it stands for.
    """

    exporter: str
    trace_id: int | None
    accepted_at: float
    count: int


@dataclass(frozen=True, slots=True)
class Record(RecordHeader):
    """A record as it was encoded.

    Attributes:
        value: The item, or a list of items.
    """

    value: Any


def encode(value: Any, *, exporter: str, trace_id: int | None, accepted_at: float, count: int = 1) -> bytes:
    """A record's bytes.

    What is read back equals `value`: same ids, times and values. A span's `parent` is left out, its `parent_span_id` kept;
    values of subclasses of `str`, `int`, `float`, `list`, `tuple` and `dict` come back as the plain type.

    Raises:
        NotSpoolableError: `value` is, or holds, something of another type, or itself.
    """
    first_line = orjson.dumps(
        {
            "exporter": exporter,
            "trace_id": None if trace_id is None else f"{trace_id:032x}",
            "accepted_at": accepted_at,
            "count": count,
        }
    )
    return b"%s\n%s\n" % (first_line, _encode_value(value))


def decode(data: bytes) -> Record:
    """The record of these bytes.

    Raises:
        UndecodableError: They are no record, or its type is not registered in this process.
    """
    known = header(data)
    try:
        value = _unpacked(orjson.loads(data[data.index(b"\n") + 1 :]))
    except UndecodableError:
        raise
    except Exception as exc:  # whatever the content of a damaged or foreign file leads to
        raise UndecodableError(f"record of exporter {known.exporter!r} cannot be read: {type(exc).__name__}") from exc
    return Record(known.exporter, known.trace_id, known.accepted_at, known.count, value)


def header(data: bytes) -> RecordHeader:
    """What a record says of itself; its content is not looked at, so its beginning suffices.

    Raises:
        UndecodableError: These bytes are no record.
    """
    try:
        fields = orjson.loads(data[: data.index(b"\n")])
        trace_id = fields["trace_id"]
        return RecordHeader(
            str(fields["exporter"]),
            None if trace_id is None else int(trace_id, 16),
            float(fields["accepted_at"]),
            int(fields["count"]),
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise UndecodableError("not a record: its first line is no header") from exc


def item_count(data: bytes) -> int:
    """How many accepted items a record stands for; 1 for what is no record."""
    try:
        return header(data).count
    except UndecodableError:
        return 1


def register_codec(
    kind: type[ValueT], name: str, to_plain: Callable[[ValueT], Any], from_plain: Callable[[Any], ValueT]
) -> None:
    """Teach the codec one more type, for this process.

    Args:
        kind: The class; its subclasses are not included.
        name: What it is called on disk; must never mean anything else.
        to_plain: Gives something that the codec can write.
        from_plain: Makes the value again.

    Raises:
        ValueError: Name or class belong to another registration.
    """
    known = _BY_NAME.get(name)
    if known is not None and known.kind is not kind:
        raise ValueError(f"codec name {name!r} belongs to {known.kind.__qualname__}")
    if kind in _BY_KIND and _BY_KIND[kind].name != name:
        raise ValueError(f"{kind.__qualname__} is registered as {_BY_KIND[kind].name!r}")
    codec = _Codec(kind, name, lambda value: {"$": name, "v": _packed(to_plain(value))}, _content_of(from_plain))
    _BY_KIND[kind] = _BY_NAME[name] = codec


# -- writing ---------------------------------------------------------------------------------------------------------------


def _encode_value(value: Any) -> bytes:
    try:
        packed = _packed(value)
        try:
            return orjson.dumps(packed)
        except TypeError:  # nested deeper than orjson writes
            return json.dumps(packed, ensure_ascii=False, separators=(",", ":")).encode()
    except RecursionError:
        raise NotSpoolableError("a value that is nested too deeply, or holds itself") from None


def _packed(value: Any) -> Any:
    """`value` in JSON's types."""
    kind = type(value)
    if kind is str:
        return value if _is_clean(value) else {"$": "text", "v": _base64(value.encode("utf-16-le", "surrogatepass"))}
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**64 else {"$": "int", "v": hex(value)}
    if kind is float:
        return value if isfinite(value) else {"$": "float", "v": str(value)}
    if kind is list:
        return [_packed(item) for item in value]
    if kind is dict:
        return _packed_dict(value)
    codec = _BY_KIND.get(kind)
    if codec is not None:
        return codec.pack(value)
    return _packed_subclass(value)


def _packed_dict(value: dict[Any, Any]) -> Any:
    if "$" in value:
        return _packed_map(value)
    packed: dict[str, Any] = {}
    for key, item in value.items():
        if type(key) is not str or not (key.isascii() or _is_clean(key)):
            return _packed_map(value)
        is_plain = (type(item) is str and item.isascii()) or item is None  # most are, so without a call
        packed[key] = item if is_plain else _packed(item)
    return packed


def _packed_map(value: dict[Any, Any]) -> dict[str, Any]:
    return {"$": "map", "v": [[_packed(key), _packed(item)] for key, item in value.items()]}


def _packed_subclass(value: Any) -> Any:
    if isinstance(value, str):
        return _packed(str.__str__(value))
    if isinstance(value, int):
        return _packed(int.__int__(value))
    if isinstance(value, float):
        return _packed(float.__float__(value))
    if isinstance(value, list):
        return _packed(list(value))
    if isinstance(value, tuple):
        return _packed(tuple(value))
    if isinstance(value, dict):
        return _packed(dict(value))
    kind = type(value)
    raise NotSpoolableError(
        f"values of type {kind.__module__}.{kind.__qualname__} cannot be written to disk; register_codec teaches how"
    )


def _is_clean(text: str) -> bool:
    """Whether UTF-8 can hold it."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _packed_model(value: BaseModel) -> dict[str, Any]:
    """A model's fields as they are, unvalidated ones too, and which of them were set: exporters leave out what was not."""
    fields = value.__dict__
    if type(value) is Span and value.parent is not None:
        fields = {**fields, "parent": None}
    written: dict[str, Any] = {"$": type(value).__name__, "v": _packed_dict(fields)}
    extra = value.__pydantic_extra__
    if extra:
        written["x"] = _packed_dict(extra)
    known = value.__pydantic_fields_set__
    if len(known) != len(fields) + len(extra or ()):
        written["s"] = sorted(known)
    return written


# -- reading ---------------------------------------------------------------------------------------------------------------


def _unpacked(plain: Any) -> Any:
    kind = type(plain)
    if kind is list:
        return [_unpacked(item) for item in plain]
    if kind is not dict:
        return plain
    name = plain.get("$")
    if name is None:
        return {key: _unpacked(item) for key, item in plain.items()}
    codec = _BY_NAME.get(name)
    if codec is None:
        raise UndecodableError(f"a record holds a {name!r}, which nothing installed here can read")
    return codec.unpack(plain)


def _content_of(make: Callable[[Any], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda plain: make(_unpacked(plain["v"]))


def _model_reader(kind: type[BaseModel]) -> Callable[[dict[str, Any]], BaseModel]:
    def read(plain: dict[str, Any]) -> BaseModel:
        fields = {key: _unpacked(item) for key, item in plain["v"].items()}
        extra = _unpacked(plain["x"]) if "x" in plain else {} if kind.model_config.get("extra") == "allow" else None
        known = set(plain["s"]) if "s" in plain else {*fields, *(extra or ())}
        made = kind.__new__(kind)  # not `model_construct`: a field may be called `_fields_set`
        object.__setattr__(made, "__dict__", fields)
        object.__setattr__(made, "__pydantic_fields_set__", known)
        object.__setattr__(made, "__pydantic_extra__", extra)
        object.__setattr__(made, "__pydantic_private__", None)
        return made

    return read


# -- the types -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Codec:
    kind: type
    name: str
    pack: Callable[[Any], Any]
    unpack: Callable[[dict[str, Any]], Any]


def _collection(kind: type) -> _Codec:
    name = kind.__name__
    return _Codec(kind, name, lambda value: {"$": name, "v": [_packed(item) for item in value]}, _content_of(kind))


def _enumeration(kind: type[Enum]) -> _Codec:
    name = kind.__name__
    return _Codec(kind, name, lambda value: {"$": name, "v": value.value}, _content_of(kind))


def _text(data: str) -> str:
    return base64.b64decode(data).decode("utf-16-le", "surrogatepass")


def _pairs(pairs: list[list[Any]]) -> dict[Any, Any]:
    return {key: item for key, item in pairs}  # noqa: C416  (each pair is a list, which dict() takes as well, mypy not)


_BUILT_IN = (
    *(_Codec(kind, kind.__name__, _packed_model, _model_reader(kind)) for kind in _MODELS),
    *(_enumeration(kind) for kind in _ENUMERATIONS),
    *(_collection(kind) for kind in (tuple, set, frozenset)),
    _Codec(bytes, "bytes", lambda value: {"$": "bytes", "v": _base64(value)}, _content_of(base64.b64decode)),
    _Codec(int, "int", _packed, _content_of(lambda text: int(text, 16))),
    _Codec(float, "float", _packed, _content_of(float)),
    _Codec(str, "text", _packed, _content_of(_text)),
    _Codec(dict, "map", _packed, _content_of(_pairs)),
)
_BY_KIND = {codec.kind: codec for codec in _BUILT_IN}
_BY_NAME = {codec.name: codec for codec in _BUILT_IN}
