"""The codec: what is read back is what was written, and nothing else can be made by reading."""

import math
from collections import OrderedDict
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from nat.data_models.span import Span, SpanContext, SpanEvent, SpanLink, SpanStatus, SpanStatusCode
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability.delivery.codec import (
    NotSpoolableError,
    RecordHeader,
    UndecodableError,
    decode,
    encode,
    header,
    item_count,
    register_codec,
)


def round_trip(value: Any) -> Any:
    return decode(encode(value, exporter="prod", trace_id=None, accepted_at=0.0)).value


def a_span(**attributes: Any) -> Span:
    context = SpanContext(trace_id=2**128 - 1, span_id=2**64 - 1, parent_span_id=1)
    return Span(
        name="généré\n",
        context=context,
        start_time=1_700_000_000_123_456_789,
        end_time=1_700_000_001_123_456_789,
        status=SpanStatus(code=SpanStatusCode.ERROR, message="no"),
        attributes=attributes,
        events=[SpanEvent(name="exception", timestamp=1_700_000_000_500_000_001, attributes={"a": [1, 2.5]})],
        links=[SpanLink(context=SpanContext(trace_id=5, span_id=6), attributes={"why": "retry"})],
    )


def a_step() -> IntermediateStep:
    return IntermediateStep(
        parent_id="p",
        function_ancestry=InvocationNode(function_id="f", function_name="answer", parent_id="root"),
        payload=IntermediateStepPayload(
            event_type=IntermediateStepType.LLM_END,
            event_timestamp=1_700_000_000.123457,
            span_event_timestamp=1_700_000_000.000001,
            framework=LLMFrameworkEnum.LANGCHAIN,
            name="model",
            tags=["x"],
            metadata=TraceMetadata.model_validate({"chat_inputs": [{"role": "user"}], "_fields_set": {"own": 1}}),
            data=StreamEventData.model_validate({"input": {"q": 1}, "output": "a", "score": 0.1}),
            usage_info=UsageInfo(token_usage=TokenUsageBaseModel(prompt_tokens=3), num_llm_calls=1),
            UUID="u",
        ),
    )


def test_a_span_comes_back_as_it_was() -> None:
    span = a_span(count=3, ratio=0.1, tags=["a", "b"], ids=(1, 2), big=2**70, odd=math.inf, nested={"$": 1, "x": None})

    back = round_trip(span)

    assert back == span
    assert back.model_fields_set == span.model_fields_set
    assert type(back.status.code) is SpanStatusCode
    assert type(back.context.trace_id) is int
    assert back.attributes["ids"] == (1, 2)


def test_a_spans_parent_is_left_out_and_its_id_kept() -> None:
    span = a_span().model_copy(update={"parent": a_span()})

    back = round_trip(span)

    assert back.parent is None
    assert back == span.model_copy(update={"parent": None})


def test_a_span_that_was_made_without_a_context_is_no_obstacle() -> None:
    span = Span.model_construct(name="odd", context=None)  # type: ignore[arg-type]  # as user code may

    assert round_trip(span) == span


def test_a_step_comes_back_as_it_was() -> None:
    step = a_step()

    back = round_trip(step)

    assert back == step
    assert type(back.event_type) is IntermediateStepType
    assert back.usage_info.token_usage.model_fields_set == {"prompt_tokens"}
    assert back.usage_info.model_fields_set == {"token_usage", "num_llm_calls"}
    assert back.metadata.model_extra == {"_fields_set": {"own": 1}}
    assert back.model_dump() == step.model_dump()


def test_lists_of_spans_and_steps_come_back() -> None:
    values = [a_span(a=1), a_step(), {"plain": True}]

    assert round_trip(values) == values


def test_a_record_says_whose_it_is() -> None:
    data = encode([1, 2], exporter="a\nb", trace_id=2**127 + 1, accepted_at=1_700_000_000.1234567, count=2)

    expected = RecordHeader("a\nb", 2**127 + 1, 1_700_000_000.1234567, 2)
    record = decode(data)

    assert header(data) == expected
    assert RecordHeader(record.exporter, record.trace_id, record.accepted_at, record.count) == expected
    assert record.value == [1, 2]
    assert item_count(data) == 2


def test_the_header_can_be_read_alone() -> None:
    data = encode("x" * 10_000, exporter="prod", trace_id=7, accepted_at=1.0)

    assert header(data[:200]) == RecordHeader("prod", 7, 1.0, 1)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
)
keys = st.text(st.characters(exclude_categories=())) | st.integers() | st.just("$")
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner) | st.dictionaries(keys, inner) | st.tuples(inner, inner) | st.sets(st.integers() | st.text())
    ),
    max_leaves=20,
)


@given(values)
def test_any_value_of_these_types_comes_back(value: Any) -> None:
    back = round_trip(value)

    assert back == value
    assert repr(back) == repr(value) or "{" in repr(value)  # 1, 1.0 and True are equal; sets have no order


@given(st.dictionaries(st.text(), values), st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1))
def test_any_span_comes_back(attributes: dict[str, Any], trace_id: int, span_id: int) -> None:
    span = Span(name="s", context=SpanContext(trace_id=trace_id, span_id=span_id), attributes=attributes)

    assert round_trip(span) == span


def test_not_a_number_comes_back() -> None:
    assert math.isnan(round_trip([math.nan])[0])


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Point(1, 2), (1, 2)),
        (OrderedDict(a=1), {"a": 1}),
        (type("Half", (float,), {})(0.5), 0.5),
        (type("Items", (list,), {})([1]), [1]),
    ],
)
def test_subclasses_of_plain_types_come_back_as_the_plain_type(value: Any, expected: Any) -> None:
    back = round_trip(value)

    assert back == value == expected
    assert type(back) is type(expected)


def test_what_nests_as_deep_as_a_snapshot_can_comes_back() -> None:
    value: Any = "bottom"
    for _ in range(250):
        value = [value]
    step = a_step()
    step.payload.data = StreamEventData(input=value)

    assert round_trip(step) == step


def test_other_types_are_refused_by_name() -> None:
    with pytest.raises(NotSpoolableError, match=r"values of type builtins\.object cannot be written to disk"):
        round_trip(a_span(odd=object()))


def test_what_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(NotSpoolableError, match="holds itself"):
        round_trip(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"{}\n{}\n",
        b"[]\n1\n",
        b'{"exporter":"a","trace_id":"x","accepted_at":1,"count":1}\n1\n',
        b'{"exporter":"a","trace_id":null,"accepted_at":1,"count":1}\n',
        b'{"exporter":"a","trace_id":null,"accepted_at":1,"count":1}\n{"$":"SpanStatusCode","v":"no"}\n',
        b'{"exporter":"a","trace_id":null,"accepted_at":1,"count":1}\n{"$":"Span"}\n',
        b'{"exporter":"a","trace_id":null,"accepted_at":1,"count":1}\n{"$":[]}\n',
    ],
)
def test_what_is_no_record_is_told_so(data: bytes) -> None:
    with pytest.raises(UndecodableError):
        decode(data)


def test_a_type_that_nobody_registered_is_named() -> None:
    data = encode(1, exporter="a", trace_id=None, accepted_at=0.0).replace(b"\n1\n", b'\n{"$":"os.system","v":"x"}\n')

    with pytest.raises(UndecodableError, match=r"holds a 'os\.system'"):
        decode(data)


class Coordinates:
    def __init__(self, x: int) -> None:
        self.x = x


def test_further_types_can_be_registered() -> None:
    register_codec(
        Coordinates, "tests.Coordinates", lambda value: (value.x, a_span()), lambda plain: Coordinates(plain[0])
    )

    back = round_trip({"at": Coordinates(3)})["at"]

    assert type(back) is Coordinates
    assert back.x == 3


def test_a_name_means_one_type() -> None:
    with pytest.raises(ValueError, match="codec name 'Span' belongs to Span"):
        register_codec(Coordinates, "Span", lambda value: value.x, Coordinates)
    with pytest.raises(ValueError, match="Span is registered as 'Span'"):
        register_codec(Span, "other", lambda value: value.name, lambda plain: a_span())
