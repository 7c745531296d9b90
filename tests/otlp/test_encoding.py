"""The direct encoder writes what the protobuf library writes, and says the same as OTLP/JSON."""

import math
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from nat.data_models.span import Span, SpanContext, SpanEvent, SpanLink, SpanStatus, SpanStatusCode
from nat.observability.spans.otlp_json import request_of
from nat.plugins.opentelemetry.encoding import encode_request, encode_span, varint
from nat.plugins.opentelemetry.otel_span import OtelResource, OtelSpan
from nat.plugins.opentelemetry.otel_span_exporter import OtelSpanExporter

RESOURCE = {"service.name": "shop", "replica": 3}

_texts = st.text(min_size=1, max_size=40)
_scalars = st.one_of(_texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
_attribute_values = st.one_of(
    _scalars,
    st.lists(_texts, max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    st.lists(st.booleans(), max_size=3),
)
_attributes = st.dictionaries(st.text(min_size=1, max_size=20), _attribute_values, max_size=6)
_trace_ids = st.integers(1, 2**128 - 1)
_span_ids = st.integers(1, 2**64 - 1)
_times = st.integers(1, 2**63 - 1)


@st.composite
def spans(draw: st.DrawFn, values: st.SearchStrategy[dict[str, Any]] = _attributes) -> Span:
    context = SpanContext(
        trace_id=draw(_trace_ids), span_id=draw(_span_ids), parent_span_id=draw(st.none() | _span_ids)
    )
    code = draw(st.sampled_from(list(SpanStatusCode)))
    return Span(
        name=draw(_texts),
        context=context,
        start_time=draw(_times),
        end_time=draw(_times),
        status=SpanStatus(code=code, message=draw(_texts) if code is SpanStatusCode.ERROR else None),
        attributes=draw(values),
        events=[SpanEvent(name=draw(_texts), timestamp=draw(_times), attributes=draw(values))],
        links=[
            SpanLink(
                context=SpanContext(trace_id=draw(_trace_ids), span_id=draw(_span_ids)), attributes=draw(_attributes)
            )
        ],
    )


def parsed(*encoded: Span) -> ExportTraceServiceRequest:
    request: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(
        encode_request(map(encode_span, encoded), RESOURCE)
    )
    return request


@given(st.lists(spans(), max_size=3))
def test_bytes_are_those_of_the_protobuf_library(given_spans: list[Span]) -> None:
    """Parsed and written again by protobuf, they are the same bytes: nothing is out of order, doubled or unknown."""
    body = encode_request(map(encode_span, given_spans), RESOURCE)

    assert ExportTraceServiceRequest.FromString(body).SerializeToString() == body


@given(spans())
def test_a_request_is_the_one_of_opentelemetrys_own_exporter(span: Span) -> None:
    """OpenTelemetry's encoder, given the same span as an `OtelSpan`, makes the same message, but for the sampled flag."""
    ours = parsed(span)
    theirs = encode_spans([OtelSpan(span, OtelResource(RESOURCE))])  # type: ignore[list-item]  # what this test is about

    for message in ours.resource_spans[0].scope_spans[0].spans:
        assert message.flags & 0xFF == 1
        message.flags &= ~0xFF
    assert ours == theirs


_odd_values = st.recursive(
    st.one_of(
        _scalars.filter(lambda value: value not in (math.inf, -math.inf)),
        st.none(),
        st.binary(max_size=8),
        st.integers(),
        st.text(st.characters(), max_size=8),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(spans(st.dictionaries(st.text(st.characters(), min_size=1, max_size=10), _odd_values, max_size=4)))
def test_protobuf_and_json_say_the_same(span: Span) -> None:
    """Also of values that are no attributes: nested, mixed, too large, no text, unknown."""
    in_json = ParseDict(_with_base64_ids(request_of([span], RESOURCE)), ExportTraceServiceRequest())

    in_protobuf = parsed(span)
    _forget_flags(in_protobuf)
    assert MessageToDict(in_protobuf) == MessageToDict(in_json)


def test_non_finite_numbers_and_lone_surrogates_are_written() -> None:
    span = Span(
        name="\ud800",
        context=SpanContext(trace_id=1, span_id=2),
        start_time=1,
        attributes={"nan": math.nan, "inf": math.inf, "text\udfff": "a\ud800b", "set": {1}},
    )

    (message,) = parsed(span).resource_spans[0].scope_spans[0].spans

    values = {attribute.key: attribute.value for attribute in message.attributes}
    assert message.name == "\N{REPLACEMENT CHARACTER}"
    assert math.isnan(values["nan"].double_value)
    assert values["inf"].double_value == math.inf
    assert values["text\N{REPLACEMENT CHARACTER}"].string_value == "a\N{REPLACEMENT CHARACTER}b"
    assert values["set"].array_value.values[0].int_value == 1
    assert message.end_time_unix_nano == 0


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_read_back(number: int) -> None:
    value = 0
    for index, byte in enumerate(varint(number)):
        value |= (byte & 127) << 7 * index
    assert value == number


def test_the_resource_says_who_has_made_the_spans() -> None:
    class Kept(OtelSpanExporter):
        async def export_otel_spans(self, spans: list[OtelSpan]) -> None: ...

    attributes = Kept(resource_attributes={"service.version": "1", "unknown": None}).resource_attributes

    assert attributes["service.name"].startswith("unknown_service:")
    assert attributes["telemetry.sdk.name"] == "nat-telemetry"
    assert attributes["service.version"] == "1"
    assert "unknown" not in attributes


def _with_base64_ids(request: dict[str, Any]) -> dict[str, Any]:
    """OTLP/JSON writes ids in hex where protobuf's own JSON has Base64."""
    import base64

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: base64.b64encode(bytes.fromhex(item)).decode()
                if key in ("traceId", "spanId", "parentSpanId")
                else convert(item)
                for key, item in value.items()
            }
        return [convert(item) for item in value] if isinstance(value, list) else value

    converted: dict[str, Any] = convert(request)
    return converted


def _forget_flags(request: ExportTraceServiceRequest) -> None:
    """OTLP/JSON of the file exporter leaves them out."""
    for message in request.resource_spans[0].scope_spans[0].spans:
        message.ClearField("flags")
        for link in message.links:
            link.ClearField("flags")
