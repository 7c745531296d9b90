"""Values that no exporter expects: they never break a run, and every line stays JSON."""

import dataclasses
import json
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from nat.builder.context import Context
from nat.data_models.intermediate_step import (
    IntermediateStep,
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
)
from nat.observability import Telemetry, step
from nat.plugins.file.register import FileConfig
from tests.support.collecting import Received, StepCollector, registered
from tests.support.waiting import PATIENCE_S


class Model(BaseModel):
    """Any model of a user's."""

    name: str = "m"
    key: SecretStr = SecretStr("hunter2")
    inner: Any = None


@dataclasses.dataclass
class Record:
    """Any dataclass of a user's."""

    value: Any


class Broken:
    """Everything one can ask of it raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__

    def __iter__(self) -> Any:
        raise RuntimeError("no iteration")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __hash__(self) -> int:
        return 1

    def model_dump(self) -> Any:
        raise RuntimeError("no dump")


def cycle() -> Any:
    items: list[Any] = [1]
    items.append({"again": items})
    return items


def deep() -> Any:
    value: Any = "bottom"
    for _ in range(5_000):
        value = [value]
    return value


MAKERS: list[Callable[[], Any]] = [
    cycle, deep, Broken, Model, lambda: Model(inner=Broken()), lambda: Record(cycle()), lambda: {1, "a", (2, 3)},
    lambda: frozenset({"x"}), lambda: b"\xff\x00", lambda: bytearray(b"text"), lambda: math.nan, lambda: -math.inf,
    lambda: 2**100, lambda: "\ud800 lone", lambda: {"\udfff": "\ud800"}, lambda: {(1, 2): 3, None: 4, 1.5: 5},
    lambda: np.float32(1.5), lambda: np.int64(7), lambda: np.array([[1, 2], [3, 4]]), lambda: np.array([object()]),
    lambda: np.float64("nan"), threading.Lock, lambda: (number for number in range(3)), lambda: [print],
    lambda: ValueError("\ud800"), lambda: complex(1, 2), lambda: type, lambda: json,
]  # fmt: skip

odd = st.sampled_from(MAKERS).map(lambda make: make())
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20) | st.binary()
values = st.recursive(
    odd | plain,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


def strict_json(line: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(line, parse_constant=refuse)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(value=values, text=st.text(st.characters(), max_size=10))
def test_any_value_in_any_place_reaches_every_format(
    tmp_path_factory: pytest.TempPathFactory, value: Any, text: str
) -> None:
    """Capture, serializer and file take it; the run goes on and all of its steps and spans are there."""
    folder = tmp_path_factory.mktemp("odd")
    formats = ("steps", "spans", "otlp_json")
    configs = {name: FileConfig.model_validate({"output_path": str(folder / name), "format": name}) for name in formats}

    with Telemetry(configs) as telemetry, telemetry.run(text, input=value, tags=[text], metadata={text: value}) as run:
        for kind in ("llm", "tool", "retriever", "embedder", "reranker", "evaluator"):
            with step(text, kind=kind, input=value, tags=[text], metadata={"x": value}, model=text) as current:
                current.chunk(value)
                current.set_attribute(text, value)
                current.output = [value, {"role": "user", "content": value}]
        payload = IntermediateStepPayload(
            event_type=IntermediateStepType.CUSTOM_START,
            name=text,
            data=StreamEventData.model_validate({"input": value, "more": value}),
        )
        Context.get().intermediate_step_manager.push_intermediate_step(payload)
        end = IntermediateStepPayload(
            event_type=IntermediateStepType.CUSTOM_END,
            UUID=payload.UUID,
            metadata={"deep": value, "error": value, "error_type": value},
        )
        Context.get().intermediate_step_manager.push_intermediate_step(end)
        run.output = value

    lines = {name: (folder / name).read_text(encoding="utf-8").split("\n")[:-1] for name in formats}
    assert {name: len(found) for name, found in lines.items()} == {"steps": 22, "spans": 8, "otlp_json": 8}
    for found in lines.values():
        for line in found:
            strict_json(line)
    assert "hunter2" not in "".join(lines["spans"])


def test_a_huge_text_arrives_whole(tmp_path: Path) -> None:
    text = "0123456789" * 5_000_000
    file = tmp_path / "spans.jsonl"

    with Telemetry(FileConfig(output_path=str(file), format="spans")) as telemetry:
        with telemetry.run("run", input=text):
            pass
        telemetry.flush(PATIENCE_S)

    [line] = file.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["attributes"]["input.value"] == text


@pytest.mark.parametrize("pushes", [False, True], ids=["step", "push"])
def test_a_value_that_changes_afterwards_changes_no_output(tmp_path: Path, pushes: bool) -> None:
    """Lists, dicts and objects are seen as they were at the push, by span and raw exporters alike."""
    file = tmp_path / "spans.jsonl"
    received = Received[IntermediateStep]()
    steps_config = registered(lambda: StepCollector(received))
    messages: list[Any] = [{"role": "user", "content": "before"}]
    record = Record(["before"])
    model = Model(inner=["before"])

    def change() -> None:
        messages[0]["content"] = "after"
        messages.append("after")
        record.value.append("after")
        model.inner.append("after")

    with (
        Telemetry(FileConfig(output_path=str(file), format="spans"), steps_config()) as telemetry,
        telemetry.run("run", input={"m": messages}),
    ):
        if pushes:
            start = IntermediateStepPayload(
                event_type=IntermediateStepType.LLM_START,
                name="call",
                data=StreamEventData(input=messages),
                metadata={"record": record, "model_object": model},
            )
            Context.get().intermediate_step_manager.push_intermediate_step(start)
            change()
            end = IntermediateStepPayload(event_type=IntermediateStepType.LLM_END, name="call", UUID=start.UUID)
            Context.get().intermediate_step_manager.push_intermediate_step(end)
        else:
            with step("call", kind="llm", input=messages, metadata={"record": record, "model_object": model}):
                change()

    assert "after" not in file.read_text(encoding="utf-8")
    assert "after" not in "".join(item.model_dump_json() for item in received.items)
    [call] = [item for item in received.items if item.event_type is IntermediateStepType.LLM_START]
    assert call.data is not None
    assert call.data.input == [{"role": "user", "content": "before"}]
