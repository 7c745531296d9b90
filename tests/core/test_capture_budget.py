"""What a span costs the agent's thread, counted and not timed, so that it does not grow unnoticed.

Counted are calls of functions, Python's and C's, and the objects that are left for the garbage collector to look through while
a span waits. A budget is what the code takes today; one that is exceeded for a good reason is raised in the same commit.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from types import FrameType
from typing import Any

import pytest

from nat.builder.context import Context, ContextState, in_state
from nat.data_models.intermediate_step import IntermediateStepPayload, IntermediateStepType, StreamEventData, UsageInfo
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability import Telemetry, step
from nat.observability.events import CapturedStep, Run
from nat.observability.spans.capture import CapturedSpan, RunCapture
from tests.support.collecting import SpanCollector, registered

MESSAGES = [{"role": "system", "content": "s" * 200}, {"role": "user", "content": "u" * 760}]
PARAMETERS = {"temperature": 0.1}
SPANS = 50


def plain() -> None:
    with step("work"):
        pass


def model_call() -> None:
    with step("chat", "llm", input=MESSAGES, model="m", provider="p", parameters=PARAMETERS) as current:
        current.usage(prompt_tokens=250, completion_tokens=120)
        current.output = "o" * 512


def pushed_model_call() -> None:
    """With payloads that were built before."""
    manager = Context.get().intermediate_step_manager
    manager.push_intermediate_step(_START)
    manager.push_intermediate_step(_END)


_START = IntermediateStepPayload(
    event_type=IntermediateStepType.LLM_START,
    name="chat",
    metadata={"model": "m", "provider": "p", "parameters": PARAMETERS},
    data=StreamEventData(input=MESSAGES),
)
_END = IntermediateStepPayload(
    event_type=IntermediateStepType.LLM_END,
    name="chat",
    UUID=_START.UUID,
    data=StreamEventData(output="o" * 512),
    usage_info=UsageInfo(token_usage=TokenUsageBaseModel(prompt_tokens=250, completion_tokens=120, total_tokens=370)),
)


@contextmanager
def telemetry(exporters: int) -> Iterator[Telemetry]:
    """One whose exporters have started."""
    with Telemetry({f"exporter_{number}": registered(SpanCollector)() for number in range(exporters)}) as running:
        running.flush(60.0)
        yield running


class Keeping:
    """Keeps spans, as the intake does."""

    wants_steps = False

    def __init__(self) -> None:
        self.spans: list[CapturedSpan] = []

    def record_step(self, step: CapturedStep, run: Run) -> None:
        raise AssertionError("nobody wants steps")

    def record_span(self, span: CapturedSpan, run: Run) -> None:
        self.spans.append(span)

    def record_end(self, run: Run) -> None:
        """Not of interest."""


@contextmanager
def kept_spans() -> Iterator[list[CapturedSpan]]:
    run, keeping = Run(trace_id=1), Keeping()
    state = ContextState(run)
    state.stream.attach(RunCapture(run, keeping))
    with in_state(state):
        yield keeping.spans


def calls(work: Callable[[], object]) -> int:
    """Calls of functions on this thread in one round: the median of many, since some rounds wake the telemetry thread."""
    found: list[int] = []

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            found[-1] += 1

    before = sys.getprofile()
    for _ in range(SPANS):
        found.append(0)
        sys.setprofile(count)
        try:
            work()
        finally:
            sys.setprofile(before)
    return int(median(found))


def objects(work: Callable[[], object]) -> float:
    """Objects that the garbage collector looks through, left by one round: the median of many, since other threads go on."""
    work()
    gc.collect()
    gc.disable()
    found = []
    try:
        for _ in range(SPANS):
            before = len(gc.get_objects())
            work()
            found.append(len(gc.get_objects()) - before)
    finally:
        gc.enable()
    return median(found)


@pytest.mark.parametrize(("work", "budget"), [(plain, 38), (model_call, 63), (pushed_model_call, 70)])
def test_calls_of_a_span(work: Callable[[], None], budget: int) -> None:
    with telemetry(1) as running, running.run("assistant"):
        assert calls(work) <= budget


@pytest.mark.parametrize(("work", "budget"), [(plain, 0), (model_call, 0), (pushed_model_call, 0)])
def test_objects_that_a_waiting_span_holds(work: Callable[[], None], budget: int) -> None:
    with kept_spans() as spans:
        assert objects(work) <= budget
        assert len(spans) == SPANS + 1


@pytest.mark.parametrize("work", [plain, model_call, pushed_model_call])
def test_a_span_costs_the_same_with_eight_exporters_as_with_one(work: Callable[[], None]) -> None:
    found = []
    for exporters in (1, 8):
        with telemetry(exporters) as running, running.run("assistant"):
            found.append(calls(work))

    assert found[0] == found[1]


def test_calls_of_a_run_without_steps() -> None:
    with telemetry(3) as running:

        def run() -> None:
            with running.run("assistant", input="q") as current:
                current.output = "a"

        assert calls(run) <= 86


def test_nothing_is_captured_where_nobody_listens() -> None:
    assert calls(plain) <= 24
    assert objects(plain) == 0
