"""Spans as OTLP requests in protobuf, written directly.

What comes out is what the protobuf library would write for an `ExportTraceServiceRequest`, in a fraction of the time: no
message objects are made. Source: opentelemetry-proto 1.x, `collector/trace/v1/trace_service.proto`, `trace/v1/trace.proto`,
`common/v1/common.proto`; protobuf's "Encoding" page. Times are fixed64, ids big-endian bytes. What a value that is no
attribute becomes is decided by `plain`, the same as in OTLP/JSON.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from struct import Struct
from typing import Any

from nat.data_models.span import Span, SpanEvent, SpanLink, SpanStatus, SpanStatusCode
from nat.observability.snapshot import clean, plain
from nat.observability.spans.capture import CapturedSpan
from nat.observability.spans.describe import Description, description_of
from nat.observability.spans.genai import Said
from nat.observability.spans.genai_names import EVALUATION_EVENT
from nat.observability.spans.otlp_json import SCOPE_NAME

__all__ = ["encode_captured", "encode_description", "encode_request", "encode_span", "varint"]

_fixed64 = Struct("<Q").pack
_double = Struct("<d").pack
_start_and_end = Struct("<BQBQ").pack

_MIN_INT64, _MAX_INT64 = -(2**63), 2**63 - 1
_MOST_KEPT = 32_768  # keys, and beginnings of their texts, that are kept encoded: 4 MB
_SHORT = 128  # characters of a name that is kept encoded
_TABLED = 2_048  # numbers whose encoding is looked up

_OF_RESOURCE, _OF_SPAN, _OF_EVENT, _OF_LINK = b"\x0a", b"\x4a", b"\x1a", b"\x22"  # tags of their attributes
_KIND_INTERNAL = b"\x30\x01"
_FLAGS = b"\x85\x01\x01\x01\x00\x00"  # sampled, and known not to be remote (SpanFlags)
_LINK_FLAGS = b"\x35\x00\x01\x00\x00"
_STATUS_CODES = {SpanStatusCode.UNSET: b"", SpanStatusCode.OK: b"\x18\x01", SpanStatusCode.ERROR: b"\x18\x02"}
_FAILED = _STATUS_CODES[SpanStatusCode.ERROR]
_DONE = b"\x7a\x02" + _STATUS_CODES[SpanStatusCode.OK]
_EXCEPTION = b"\x12\x09exception"
_TRUE, _FALSE = b"\x10\x01", b"\x10\x00"


def encode_request(spans: Iterable[bytes], resource: Mapping[str, Any], scope: str = SCOPE_NAME) -> bytes:
    """A request of encoded spans, made by a resource with these attributes. It copies them once, and does no more."""
    resource_field = _field(b"\x0a", b"".join(_attributes(_OF_RESOURCE, resource)))
    scope_field = _field(b"\x0a", _field(b"\x0a", scope.encode()))
    parts = [scope_field, *spans]
    size = sum(map(len, parts))
    scope_head = b"\x12" + varint(size)
    size += len(resource_field) + len(scope_head)
    return b"".join([b"\x0a", varint(size), resource_field, scope_head, *parts])


def encode_captured(captured: CapturedSpan) -> bytes:
    """A captured span as it stands in a request: encoded once, for all exporters that send the same."""
    known = captured.encoded
    if known is None:
        known = captured.encoded = encode_description(description_of(captured))
    return known


def encode_description(span: Description, said: Said | None = None) -> bytes:
    """A described span as it stands in a request, said in another convention if that is given."""
    parts = [b"\x0a\x10", span.trace_id.to_bytes(16), b"\x12\x08", span.span_id.to_bytes(8)]
    if span.parent_span_id is not None:
        parts += (b"\x22\x08", span.parent_span_id.to_bytes(8))
    name = _name(span.name) if len(span.name) <= _SHORT else _text(b"\x2a", span.name)
    parts += (name, _KIND_INTERNAL, _start_and_end(0x39, span.start_ns, 0x41, span.end_ns))
    parts += _attributes(_OF_SPAN, span.attributes if said is None else said.attributes)
    if span.exception is not None:
        head = b"\x09" + _fixed64(span.end_ns) + _EXCEPTION
        parts.append(_field(b"\x5a", b"".join([head, *_attributes(_OF_EVENT, span.exception)])))
    if said is not None and said.evaluations:
        parts += _evaluations(said, span.end_ns)
    if span.is_failed:
        message = b"" if span.message is None else _text(b"\x12", span.message)
        parts.append(_field(b"\x7a", message + _FAILED))
    else:
        parts.append(_DONE)
    parts.append(_FLAGS)
    return _span_field(b"".join(parts))


def encode_span(span: Span, said: Said | None = None) -> bytes:
    """A span as it stands in a request, said in other words if those are given. Never raises."""
    context = span.context
    parts = [b"\x0a\x10", context.trace_id.to_bytes(16, "big"), b"\x12\x08", context.span_id.to_bytes(8, "big")]
    if context.parent_span_id is not None:
        parts += (b"\x22\x08", context.parent_span_id.to_bytes(8, "big"))
    parts += (_text(b"\x2a", span.name), _KIND_INTERNAL, b"\x39", _fixed64(span.start_time))
    if span.end_time is not None:
        parts += (b"\x41", _fixed64(span.end_time))
    parts += _attributes(_OF_SPAN, span.attributes if said is None else said.attributes)
    parts += [_field(b"\x5a", _event(event)) for event in span.events]
    if said is not None and said.evaluations:
        parts += _evaluations(said, span.end_time or span.start_time)
    parts += [_field(b"\x6a", _link(link)) for link in span.links]
    parts += (_field(b"\x7a", _status(span.status)), _FLAGS)
    return _span_field(b"".join(parts))


def _span_field(message: bytes) -> bytes:
    """A `Span` message as a field of `ScopeSpans`."""
    return b"\x12" + varint(len(message)) + message


def _evaluations(said: Said, time_ns: int) -> list[bytes]:
    head = b"\x09" + _fixed64(time_ns) + _text(b"\x12", EVALUATION_EVENT)
    return [_field(b"\x5a", b"".join([head, *_attributes(_OF_EVENT, one)])) for one in said.evaluations]


def _event(event: SpanEvent) -> bytes:
    head = b"\x09" + _fixed64(event.timestamp) + _text(b"\x12", event.name)
    return b"".join([head, *_attributes(_OF_EVENT, event.attributes)])


def _link(link: SpanLink) -> bytes:
    context = link.context
    ids = b"\x0a\x10%b\x12\x08%b" % (context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big"))
    return b"".join([ids, *_attributes(_OF_LINK, link.attributes), _LINK_FLAGS])


def _status(status: SpanStatus) -> bytes:
    message = b"" if status.message is None else _text(b"\x12", status.message)
    return message + _STATUS_CODES[status.code]


@lru_cache(maxsize=4_096)
def _name(name: str) -> bytes:
    """The name of a span, as a field of it: the same ones come again and again."""
    return _text(b"\x2a", name)


def _attributes(tag: bytes, attributes: Mapping[str, Any]) -> list[bytes]:
    """`KeyValue` fields under a tag; a value that is not known is left out."""
    parts: list[bytes] = []
    append, keys = parts.append, _KEYS[tag]
    for key, value in attributes.items():
        if type(value) is str:
            try:
                data = value.encode()
            except UnicodeEncodeError:  # a lone surrogate
                data = clean(value).encode()
            append(keys[key][len(data)])
            append(data)
        elif value is not None:
            head = keys[key].encoded
            is_count = type(value) is int and 0 <= value < _TABLED
            content = _COUNTS[value] if is_count else _field(b"\x12", _any_value(value))
            parts += (tag, varint(len(head) + len(content)), head, content)
    return parts


class _Heads(dict[int, bytes]):
    """What comes before a text of so many bytes under one key; the same keys and lengths come again and again.

    Attributes:
        encoded: The key's own field.
    """

    __slots__ = ("_keys", "encoded")

    def __init__(self, key: Any, keys: "_Keys") -> None:
        self._keys = keys
        self.encoded = _text(b"\x0a", key if type(key) is str else str(key))

    def __missing__(self, size: int) -> bytes:
        begin = _text_head(size)
        head = self._keys.tag + varint(len(self.encoded) + len(begin) + size) + self.encoded + begin
        if self._keys.has_room():
            self[size] = head
        return head


class _Keys(dict[str, _Heads]):
    """The keys of attributes under one tag, encoded."""

    __slots__ = ("_kept", "tag")

    def __init__(self, tag: bytes) -> None:
        self.tag = tag
        self._kept = 0

    def __missing__(self, key: Any) -> _Heads:
        heads = _Heads(key, self)
        if self.has_room():
            self[key] = heads
        return heads

    def has_room(self) -> bool:
        """Whether one more may be kept."""
        self._kept += 1
        return self._kept <= _MOST_KEPT


def _any_value(value: Any) -> bytes:
    """The content of an `AnyValue`."""
    kind = type(value)
    if kind is str:
        return _text(b"\x0a", value)
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is int:
        if _MIN_INT64 <= value <= _MAX_INT64:
            return b"\x18" + varint(value if value >= 0 else value + 2**64)
        return _text(b"\x0a", str(plain(value)))
    if kind is float:
        return b"\x21" + _double(value)
    if kind is list:
        return _field(b"\x2a", b"".join([_field(b"\x0a", _any_item(item)) for item in value]))
    if isinstance(value, bytes):
        return _field(b"\x3a", value)
    if isinstance(value, bool | int) and _MIN_INT64 <= value <= _MAX_INT64:
        return _any_value(int(value))
    if isinstance(value, float):
        return _any_value(float(value))
    return _plain_value(plain(value))


def _any_item(item: Any) -> bytes:
    """The content of an `AnyValue` in a list; what is nested in it is written in JSON's own types."""
    return _plain_value(plain(item)) if isinstance(item, list | tuple | dict) else _any_value(item)


def _plain_value(value: Any) -> bytes:
    """The content of an `AnyValue` for a value made of JSON's own types."""
    if value is None:
        return b""
    if type(value) is dict:
        return _field(b"\x32", b"".join(_pairs(value)))
    if type(value) is list:
        return _field(b"\x2a", b"".join([_field(b"\x0a", _plain_value(item)) for item in value]))
    return _any_value(value)


def _pairs(mapping: Mapping[str, Any]) -> Iterable[bytes]:
    for key, value in mapping.items():
        yield _field(b"\x0a", _text(b"\x0a", key) + _field(b"\x12", _plain_value(value)))


def _text(tag: bytes, text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        data = clean(text).encode()
    return b"%b%b%b" % (tag, varint(len(data)), data)


def _field(tag: bytes, content: bytes) -> bytes:
    return b"%b%b%b" % (tag, varint(len(content)), content)


def varint(number: int) -> bytes:
    """A non-negative integer in protobuf's variable length."""
    if number < 128:
        return _SMALL[number]
    if number < 16_384:
        return bytes((number & 127 | 128, number >> 7))
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _text_head(size: int) -> bytes:
    """What comes before a text of so many bytes that is the value of a `KeyValue`."""
    head = b"\x0a" + varint(size)
    return b"\x12" + varint(len(head) + size) + head


_SMALL = [bytes((number,)) for number in range(128)]
_COUNTS = [_field(b"\x12", b"\x18" + varint(number)) for number in range(_TABLED)]
_KEYS = {tag: _Keys(tag) for tag in (_OF_RESOURCE, _OF_SPAN, _OF_EVENT, _OF_LINK)}
