"""`IntermediateStepSerializer`: one line of JSON, whatever it gets."""

import dataclasses
import datetime
import json
import math
from typing import Any

import pytest
from pydantic import BaseModel

from nat.data_models.intermediate_step import IntermediateStep, StreamEventData, UsageInfo
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.processor.intermediate_step_serializer import IntermediateStepSerializer
from nat.observability.processor.processor import Processor
from tests.support.collecting import Received, emit, push, step


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Model(BaseModel):
    name: str


@dataclasses.dataclass
class Point:
    x: int


def _cycle() -> list[Any]:
    items: list[Any] = [1]
    items.append(items)
    return items


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(2_000):
        deep = [deep]
    return deep


@pytest.mark.contract("S108", "S98")
async def test_a_step_becomes_one_line_of_json() -> None:
    serializer = IntermediateStepSerializer()
    item = step(
        "LLM_END",
        "gpt",
        UUID="u-1",
        event_timestamp=1_000.5,
        data=StreamEventData(input="a\nb", output={"k": [1, None, True]}),
        metadata={"model": "gpt"},
        usage_info=UsageInfo(token_usage=TokenUsageBaseModel(prompt_tokens=3), num_llm_calls=1),
    )

    text = await serializer.process(item)

    assert isinstance(serializer, Processor)
    assert isinstance(text, str)
    assert "\n" not in text
    loaded = json.loads(text)
    assert loaded["parent_id"] == "root"
    payload = loaded["payload"]
    assert (payload["event_type"], payload["name"], payload["UUID"]) == ("LLM_END", "gpt", "u-1")
    assert payload["event_timestamp"] == 1_000.5
    assert payload["data"]["input"] == "a\nb"
    assert payload["data"]["output"] == {"k": [1, None, True]}
    assert payload["metadata"] == {"model": "gpt"}
    assert payload["usage_info"]["token_usage"]["prompt_tokens"] == 3


@pytest.mark.contract("D17", "S108")
@pytest.mark.parametrize(
    "value",
    [
        _cycle(),
        _deep(),
        math.nan,
        math.inf,
        10**400,
        "\ud800 lone",
        b"\xff\x00",
        {1, 2},
        {("a", "b"): 1, None: 2, 3: 4},
        Unprintable(),
        [Unprintable()],
        Model(name="m"),
        Point(1),
        datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC),
        ValueError("an exception"),
        print,
        object,
        iter([1]),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_odd_values_give_valid_json_all_the_same(value: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    item = step("TOOL_END", "odd", data=StreamEventData(output=value), metadata={"odd": value})

    text = await IntermediateStepSerializer().process(item)

    assert isinstance(text, str)
    assert "\n" not in text
    text.encode("utf-8")
    assert json.loads(text, parse_constant=refuse)["payload"]["name"] == "odd"


@pytest.mark.contract("D17")
async def test_a_step_without_payload_breaks_nothing() -> None:
    bare = IntermediateStep.model_construct(parent_id="root", payload=None)  # type: ignore[arg-type]  # on purpose

    text = await IntermediateStepSerializer().process(bare)

    assert isinstance(text, str)
    assert json.loads(text)["payload"] is None


@pytest.mark.contract("S66", "S107", "S108")
async def test_a_raw_exporter_with_the_serializer_gets_strings_in_order() -> None:
    class Lines(RawExporter[IntermediateStep, str]):
        def __init__(self) -> None:
            super().__init__()
            self.received = Received[str]()
            self.add_processor(IntermediateStepSerializer())

        async def export_processed(self, item: str) -> None:
            self.received.add(item)

    exporter = Lines()

    async with exporter.start():
        emit("work", output={"a": {1}})
        push("LLM_START", None)

    loaded = [json.loads(line)["payload"] for line in exporter.received.items]
    assert [(payload["event_type"], payload["name"]) for payload in loaded] == [
        ("FUNCTION_START", "work"),
        ("FUNCTION_END", "work"),
        ("LLM_START", None),
    ]
    assert loaded[1]["data"]["output"] == {"a": [1]}
