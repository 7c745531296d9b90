"""Records are the same with msgspec and without it."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from nat.utils import records

_RUN = """
import json, sys
if sys.argv[1] == "without":
    sys.modules["msgspec"] = None
from nat.builder.context import Context, ContextState, in_state
from nat.data_models.intermediate_step import IntermediateStepPayload, IntermediateStepType, StreamEventData
from nat.observability import step
from nat.observability.events import Run
from nat.observability.redaction.guard import guard_of
from nat.observability.redaction.rules import Rules
from nat.observability.redaction.switches import Switches
from nat.observability.spans.capture import RunCapture
from nat.observability.spans.describe import description_of


class Keeping(list):
    wants_steps = False

    def record_span(self, span, run):
        self.append(span)


run, kept = Run(trace_id=1), Keeping()
state = ContextState(run)
state.stream.attach(RunCapture(run, kept))
with in_state(state), step("work", input={"q": 1}) as work:
    with step("chat", "llm", input=[{"role": "user", "content": "hi"}], model="m") as chat:
        chat.usage(prompt_tokens=1, completion_tokens=2)
        chat.output = "the password is sk-proj-a8Kd93mXz0QpL27vBn51"
        assert "hi" not in repr(chat)
    start = IntermediateStepPayload(event_type=IntermediateStepType.TOOL_START, name="t", data=StreamEventData(input="i"))
    Context.get().intermediate_step_manager.push_intermediate_step(start)
assert "hi" not in repr(kept)
guard = guard_of(Rules(), Switches(outputs=False, inputs=True))
said = [description_of(one(span)).attributes for span in kept for one in (lambda span: span, guard.span)]
print(json.dumps([{key: value for key, value in one.items() if key != "nat.step.id"} for one in said]))
"""


@pytest.fixture(params=["installed", "without msgspec"])
def variant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    if request.param == "installed":
        yield records
        return
    monkeypatch.setitem(sys.modules, "msgspec", None)
    spec = importlib.util.spec_from_file_location("plain_records", records.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "plain_records", module)
    spec.loader.exec_module(module)
    yield module


def test_fields_defaults_and_copies(variant: ModuleType) -> None:
    class Point(variant.Record, gc=False):  # type: ignore[misc,name-defined,call-arg]  # the base is found at run time
        x: int
        y: int = 2

    point = Point(1)
    point.y += 1

    assert (point.x, point.y) == (1, 3)
    assert point == Point(1, 3)
    assert variant.replaced(point, x=5) == Point(5, 3)
    assert variant.values_of(point) == (1, 3)


def test_records_that_are_only_themselves(variant: ModuleType) -> None:
    class Step(variant.Record, eq=False):  # type: ignore[misc,name-defined,call-arg]  # the base is found at run time
        x: int

    first = Step(1)

    assert first != Step(1)
    assert {first: "found"}[first] == "found"


def test_spans_are_the_same_with_msgspec_and_without_it() -> None:
    """Captured, redacted and described in a process of its own each."""
    said = []
    for which in ("with", "without"):
        told = subprocess.run([sys.executable, "-c", _RUN, which], capture_output=True, text=True, check=True)
        said.append(json.loads(told.stdout))

    assert said[0] == said[1]
    assert len(said[0]) == 4
