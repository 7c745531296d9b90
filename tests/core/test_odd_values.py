"""Whatever a workflow puts into its steps, capture, describe and the serializer give clean JSON and never raise."""

import asyncio
import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from nat.data_models.intermediate_step import (
    IntermediateStep,
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
    TraceMetadata,
)
from nat.observability.events import Run
from nat.observability.processor.intermediate_step_serializer import IntermediateStepSerializer
from nat.observability.processor.span_to_dict import span_to_dict, span_to_line
from nat.observability.snapshot import clean, encode, plain, restore, snapshot, text
from nat.observability.spans.capture import CapturedSpan
from nat.observability.spans.describe import describe
from nat.observability.step_models import capture_payload, to_intermediate_step

_STARTS = [event_type for event_type in IntermediateStepType if event_type.value.endswith("_START")]


@dataclasses.dataclass
class Record:
    value: Any


class Model(BaseModel):
    value: Any = None


class Raising:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __repr__(self) -> str:
        raise self._error

    def __hash__(self) -> int:
        return 1


def cycle_of(value: Any) -> list[Any]:
    items: list[Any] = [value]
    items.append({"again": items, "record": Record(items), "model": Model(value=items)})
    return items


def nested(depth: int) -> Any:
    value: Any = float("nan")
    for level in range(depth):
        value = {"a": value} if level % 2 else [value]
    return value


any_text = st.text(st.characters(codec=None, categories=None), max_size=20)  # lone surrogates included
numbers = (
    st.integers()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.floats(width=32).map(np.float32)
    | st.integers(-128, 127).map(np.int8)
)
leaves = (
    st.none()
    | st.booleans()
    | numbers
    | any_text
    | st.binary(max_size=20)
    | st.datetimes(timezones=st.just(UTC))
    | st.builds(object)
    | st.sampled_from([ValueError("x"), RecursionError(), asyncio.CancelledError(), GeneratorExit()]).map(Raising)
    | st.builds(lambda: (number for number in (1, 2)))
    | st.lists(st.floats(), max_size=4).map(np.array)
    | st.sampled_from([0, 1]).map(nested)
)
# Shapes that describe looks into, with anything in their places.
words = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "source",
        "input_audio",
        "tool_calls",
        "function",
        "arguments",
        "name",
        "id",
        "messages",
        "choices",
        "message",
        "generations",
        "data",
        "kwargs",
        "lc",
        "human",
        "ai",
        "user",
        "tool_result",
        "tool_use",
        "constructor",
        "output",
        "object",
        "response",
        "model",
        "tools",
        "documents",
        "page_content",
        "score",
        "metadata",
        "query",
        "top_k",
        "evaluations",
        "parameters",
        "chat_inputs",
        "tools_schema",
        "finish_reason",
    ]
)
hashables = any_text | words | st.integers() | st.floats() | st.none() | st.binary(max_size=5) | st.tuples(any_text)


def containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(children, max_size=4)
        | st.tuples(children, children)
        | st.dictionaries(hashables, children, max_size=4)
        | st.dictionaries(words, children | words, max_size=6)
        | st.sets(hashables, max_size=4)
        | st.frozensets(hashables, max_size=4)
        | children.map(Record)
        | children.map(lambda value: Model(value=value))
    )


shallow = st.recursive(leaves | words, containers, max_leaves=12)
# Around 250 levels, reading back cuts what writing did not. One such value takes as long as a hundred others, so that
# most are shallow; two of these in one value show no more than one.
endless = st.sampled_from([50, 200, 300, 400]).map(nested) | shallow.map(cycle_of)
values = st.sampled_from([*[shallow] * 4, endless, containers(endless)]).flatmap(lambda strategy: strategy)
metadata = st.dictionaries(words | any_text, values, max_size=4)
relaxed = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def strict(written: str | bytes) -> Any:
    """Read JSON as the strictest reader would: no NaN, no bytes that are not UTF-8, no lone surrogates."""
    read = json.loads(written, parse_constant=pytest.fail)
    json.dumps(read, ensure_ascii=False).encode()
    return read


def assert_is_attribute(value: Any) -> None:
    """A value that every backend takes: text, bool, 64-bit int, float, or a list of one of these."""
    items = value if type(value) is list else [value]
    assert len(set(map(type, items))) <= 1
    for item in items:
        assert type(item) in (str, bool, int, float)
        if type(item) is str:
            item.encode()
        if type(item) is int:
            assert -(2**63) <= item < 2**63


@relaxed
@given(values)
def test_any_value_can_be_captured(value: Any) -> None:
    """A snapshot is clean JSON, reads back as what it says, and is the same each time."""
    captured = snapshot(value)

    strict(encode(value))
    strict(json.dumps(plain(value), allow_nan=False))
    text(captured)[0].encode()
    assert plain(restore(captured)) == restore(captured)
    assert captured.__sizeof__() > 0
    if type(value) is str:
        assert captured is value


@relaxed
@given(event_type=st.sampled_from(_STARTS), given_=values, output=values, start=metadata, end=metadata, name=any_text)
def test_any_step_can_be_described(
    event_type: IntermediateStepType,
    given_: Any,
    output: Any,
    start: dict[str, Any],
    end: dict[str, Any],
    name: str,
) -> None:
    """A span of attributes that every backend takes, the same each time, whatever is in the step."""
    ended = IntermediateStepType(event_type.value.replace("_START", "_END"))
    run = Run(trace_id=1, name=name, session_id=name, root_id="a", metadata=snapshot(end), tags=(name,))
    opening = IntermediateStepPayload(
        event_type=event_type, UUID="a", name=name, metadata=start, data=StreamEventData(input=given_)
    )
    closing = IntermediateStepPayload(
        event_type=ended, UUID="a", name=name, metadata=end, data=StreamEventData(output=output)
    )
    span = CapturedSpan(capture_payload(opening, parent_id="root", function=None, run=run), run)
    span.end = capture_payload(closing, parent_id="root", function=None, run=run)
    span.end.attributes = snapshot(start)
    span.end_ns = span.end.time_ns

    described = describe(span)

    for key, item in described.attributes.items():
        assert clean(key) == key
        assert_is_attribute(item)
    described.name.encode()
    line = strict(span_to_line(described))
    assert {**line, "duration": described.duration} == span_to_dict(described)
    assert describe(span) == described


@relaxed
@given(given_=values, chunk=values, fields=metadata, is_model=st.booleans(), name=any_text)
def test_any_step_can_be_serialised(given_: Any, chunk: Any, fields: dict[str, Any], is_model: bool, name: str) -> None:
    """One line of clean JSON, for steps that user code makes and for those that went through capture."""
    payload = IntermediateStepPayload(
        event_type=IntermediateStepType.CUSTOM_START,
        name=name,
        tags=[name],
        metadata=TraceMetadata(provided_metadata=fields, chat_inputs=given_) if is_model else fields,
        data=StreamEventData(input=given_, chunk=chunk),
    )
    step = IntermediateStep(payload=payload)
    replayed = to_intermediate_step(capture_payload(payload, parent_id="root", function=None, run=None))

    for item in (step, replayed):
        line = asyncio.run(IntermediateStepSerializer().process(item))
        assert len(line.splitlines()) == 1
        assert strict(line)["payload"]["UUID"] == payload.UUID


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: "x" * 50_000_000, id="text"),
        pytest.param(lambda: ["é" * 10_000_000, float("nan")], id="text in a list that has to be walked"),
        pytest.param(lambda: datetime.now(UTC), id="time"),
    ],
)
def test_huge_values_go_through(make: Callable[[], Any]) -> None:
    """50 MB in a step are 50 MB in its span and its line."""
    value = make()
    payload = IntermediateStepPayload(event_type=IntermediateStepType.TOOL_START, data=StreamEventData(input=value))
    step = capture_payload(payload, parent_id="root", function=None, run=None)
    span = CapturedSpan(step, Run(trace_id=1))

    written = describe(span).attributes["input.value"]
    line = asyncio.run(IntermediateStepSerializer().process(to_intermediate_step(step)))

    assert written == text(snapshot(value))[0]
    assert json.loads(line)["payload"]["data"]["input"] == restore(snapshot(value))
