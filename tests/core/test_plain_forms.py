"""Steps and spans as JSON: `IntermediateStepSerializer`, `SpanToDict`, `span_to_line`."""

import json
from typing import Any

import pytest

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
from nat.observability.processor.intermediate_step_serializer import IntermediateStepSerializer
from nat.observability.processor.span_to_dict import SpanToDict, span_to_dict, span_to_line


def payload(**fields: Any) -> IntermediateStepPayload:
    return IntermediateStepPayload(
        **{
            "event_type": IntermediateStepType.LLM_END,
            "event_timestamp": 1_700_000_001.5,
            "UUID": "s1",
            **fields,
        }
    )


def unchecked(**fields: Any) -> IntermediateStep:
    return IntermediateStep.model_construct(**fields)


async def test_a_step_is_one_line_with_all_of_its_fields() -> None:
    """The line has the shape of the model, and the model reads it back."""
    step = IntermediateStep(
        parent_id="s0",
        function_ancestry=InvocationNode(function_id="f1", function_name="plan", parent_id="f0", parent_name="main"),
        payload=payload(
            name="gpt-4o",
            span_event_timestamp=1_700_000_000.0,
            framework="langchain",
            tags=["a"],
            metadata={"attempt": 2},
            data=StreamEventData(input=[{"role": "user", "content": "two\nlines\u2028three"}], output="x", more=1),
            usage_info=UsageInfo(token_usage=TokenUsageBaseModel(prompt_tokens=3), num_llm_calls=1),
        ),
    )

    line = await IntermediateStepSerializer().process(step)

    assert len(line.splitlines()) == 1
    assert json.loads(line) == {
        "parent_id": "s0",
        "function_ancestry": {
            "function_id": "f1",
            "function_name": "plan",
            "parent_id": "f0",
            "parent_name": "main",
        },
        "payload": {
            "event_type": "LLM_END",
            "event_timestamp": 1_700_000_001.5,
            "span_event_timestamp": 1_700_000_000.0,
            "framework": "langchain",
            "name": "gpt-4o",
            "tags": ["a"],
            "metadata": {"attempt": 2},
            "data": {
                "input": [{"role": "user", "content": "two\nlines\u2028three"}],
                "output": "x",
                "chunk": None,
                "more": 1,
            },
            "usage_info": {
                "token_usage": {
                    "prompt_tokens": 3,
                    "completion_tokens": 0,
                    "total_tokens": 0,
                    "cached_tokens": 0,
                    "cache_write_tokens": 0,
                    "reasoning_tokens": 0,
                },
                "num_llm_calls": 1,
                "seconds_between_calls": 0,
            },
            "UUID": "s1",
        },
    }
    assert IntermediateStep.model_validate_json(line) == step


async def test_a_step_of_live_objects_is_one_line() -> None:
    """One odd value costs itself, not the step."""

    class Unprintable:
        def __repr__(self) -> str:
            raise ValueError

    cycle: list[Any] = []
    cycle.append(cycle)
    step = IntermediateStep(
        payload=payload(
            metadata=TraceMetadata(chat_inputs=cycle, own=Unprintable()),
            data=StreamEventData(input=float("nan"), output={"s": {2, 1}, "b": b"\xff", "t": "\ud800", 1: 2**70}),
        )
    )

    line = await IntermediateStepSerializer().process(step)

    written = json.loads(line, parse_constant=pytest.fail)["payload"]
    assert written["data"] == {
        "input": "NaN",
        "output": {"s": [1, 2], "b": "base64:/w==", "t": "\ufffd", "1": str(2**70)},
        "chunk": None,
    }
    assert written["metadata"]["chat_inputs"] == ["<cycle>"]
    assert written["metadata"]["own"] == "<unprintable Unprintable: ValueError>"
    assert written["UUID"] == "s1"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (unchecked(payload=None), {"parent_id": "root", "payload": None}),
        (
            unchecked(payload={"event_type": object}, parent_id=5),
            {"parent_id": 5, "payload": {"event_type": "<class 'object'>"}},
        ),
        (unchecked(), {"parent_id": "root"}),
    ],
)
async def test_a_step_that_was_never_validated_is_one_line(step: IntermediateStep, expected: dict[str, Any]) -> None:
    """A step without payload, or with something else there, is written as it is."""
    written = json.loads(await IntermediateStepSerializer().process(step))

    assert written.pop("function_ancestry")["function_id"] == "root"
    assert written == expected


async def test_steps_of_subclasses_are_written_whole() -> None:
    """A user's own kind of step keeps its further fields."""

    class OwnStep(IntermediateStep):
        shard: int = 3

    written = json.loads(await IntermediateStepSerializer().process(OwnStep(payload=payload(data={"input": {1, 2}}))))

    assert written["shard"] == 3
    assert written["payload"]["data"]["input"] == [1, 2]


def make_span(**fields: Any) -> Span:
    return Span(
        **{
            "name": "add",
            "context": SpanContext(trace_id=0xABC, span_id=0xDEF, parent_span_id=0x123),
            "start_time": 1_700_000_000_000_000_000,
            "end_time": 1_700_000_000_000_000_005,
            "status": SpanStatus(code=SpanStatusCode.ERROR, message="no"),
            "attributes": {"input.value": "x\u2028", "n": 1, "tags": ["a"]},
            "events": [SpanEvent(name="exception", timestamp=7, attributes={"exception.type": "ValueError"})],
            "links": [SpanLink(context=SpanContext(trace_id=1, span_id=2), attributes={"why": "retry"})],
            **fields,
        }
    )


WHOLE = {
    "trace_id": "00000000000000000000000000000abc",
    "span_id": "0000000000000def",
    "parent_span_id": "0000000000000123",
    "name": "add",
    "start_time": 1_700_000_000_000_000_000,
    "end_time": 1_700_000_000_000_000_005,
    "duration": 5,
    "status": {"code": "ERROR", "message": "no"},
    "attributes": {"input.value": "x\u2028", "n": 1, "tags": ["a"]},
    "events": [{"name": "exception", "timestamp": 7, "attributes": {"exception.type": "ValueError"}}],
    "links": [
        {"trace_id": "0" * 31 + "1", "span_id": "0" * 15 + "2", "attributes": {"why": "retry"}},
    ],
}


async def test_a_span_as_a_dict() -> None:
    """All of a span, in plain terms."""
    assert await SpanToDict().process(make_span()) == WHOLE


def test_a_span_as_a_line() -> None:
    """The same without the duration, on one line."""
    line = span_to_line(make_span())

    assert len(line.splitlines()) == 1
    assert json.loads(line) == {key: value for key, value in WHOLE.items() if key != "duration"}


def test_an_open_root_span() -> None:
    """What is not there is null."""
    fields = span_to_dict(make_span(end_time=None, context=SpanContext(trace_id=1, span_id=2)))

    assert (fields["parent_span_id"], fields["end_time"], fields["duration"]) == (None, None, None)
    assert span_to_dict(make_span().model_copy(update={"context": None}))["trace_id"] is None


def test_a_dict_shares_nothing_with_its_span() -> None:
    """Changing the dict changes no other exporter's span; values that JSON cannot say are written as text."""
    odd: dict[Any, Any] = {"odd": {float("nan")}, "none": None, 5: object}
    span = make_span(attributes={"list": [1]})
    span.attributes.update(odd)

    fields = span_to_dict(span)
    fields["attributes"]["list"].append(2)
    fields["events"][0]["attributes"].clear()

    assert span.attributes["list"] == [1]
    assert span.events[0].attributes == {"exception.type": "ValueError"}
    assert fields["attributes"] == {"list": [1, 2], "odd": ["NaN"], "none": None, "5": "<class 'object'>"}
    json.dumps(fields, allow_nan=False)
