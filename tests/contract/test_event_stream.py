"""From a pushed step to an exporter that user code started itself."""

import asyncio
import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nat.builder.context import Context, ContextState
from nat.builder.intermediate_step_manager import IntermediateStepManager
from nat.data_models.intermediate_step import IntermediateStep
from nat.observability import Telemetry
from nat.observability.exporter.raw_exporter import RawExporter
from nat.utils.reactive.subject import Subject
from tests.support.collecting import (
    Received,
    SpanCollector,
    StepCollector,
    emit,
    push,
    registered,
    step,
    types_and_names,
)


@pytest.mark.contract("S51", "S53", "S56", "S58", "S157")
async def test_a_raw_exporter_gets_every_event_in_order() -> None:
    exporter = StepCollector(context_state=ContextState.get())

    async with exporter.start():
        uuid = push("LLM_START", "gpt", input="q")
        push("LLM_NEW_TOKEN", "gpt", uuid=uuid, chunk="a")
        push("LLM_END", "gpt", uuid=uuid, output="a")

    received = exporter.received.items
    assert types_and_names(received) == [("LLM_START", "gpt"), ("LLM_NEW_TOKEN", "gpt"), ("LLM_END", "gpt")]
    assert [item.UUID for item in received] == [uuid] * 3
    assert [item.parent_id for item in received] == ["root"] * 3
    assert [item.data.model_dump() if item.data else None for item in received] == [
        {"input": "q", "output": None, "chunk": None},
        {"input": None, "output": None, "chunk": "a"},
        {"input": None, "output": "a", "chunk": None},
    ]


@pytest.mark.contract("S1", "S3", "S56", "S59")
async def test_several_exporters_of_different_kinds_see_the_same_events() -> None:
    steps, spans = StepCollector(), SpanCollector()

    async with steps.start(), spans.start():
        emit("search", "TOOL", input="q", output="found")

    assert types_and_names(steps.received.items) == [("TOOL_START", "search"), ("TOOL_END", "search")]
    assert [span.name for span in spans.received.items] == ["search"]


@pytest.mark.contract("S59")
async def test_no_span_is_added_for_the_implicit_run() -> None:
    exporter = SpanCollector()

    async with exporter.start():
        emit("first")
        emit("second")

    spans = exporter.by_name()
    assert set(spans) == {"first", "second"}
    assert [span.context.parent_span_id for span in spans.values()] == [None, None]


@pytest.mark.contract("S19")
def test_steps_may_be_pushed_where_nobody_listens() -> None:
    assert isinstance(ContextState.get().event_stream.get(), Subject)
    assert isinstance(Context.get().intermediate_step_manager, IntermediateStepManager)

    uuid = emit("unseen", input={"a": 1})

    assert uuid


@pytest.mark.contract("S56")
async def test_a_stopped_exporter_gets_nothing_more() -> None:
    exporter = StepCollector()

    async with exporter.start():
        emit("during")
    emit("after")

    assert types_and_names(exporter.received.items) == [("FUNCTION_START", "during"), ("FUNCTION_END", "during")]


@pytest.mark.contract("S9")
async def test_the_parent_is_the_enclosing_step() -> None:
    exporter = StepCollector()

    async with exporter.start():
        outer = push("FUNCTION_START", "outer")
        inner = push("TOOL_START", "inner")
        push("TOOL_END", "inner", uuid=inner)
        second = push("LLM_START", "second")
        push("LLM_END", "second", uuid=second)
        push("FUNCTION_END", "outer", uuid=outer)

    parents = {(str(item.event_type), item.name): item.parent_id for item in exporter.received.items}
    assert parents == {
        ("FUNCTION_START", "outer"): "root",
        ("TOOL_START", "inner"): outer,
        ("TOOL_END", "inner"): outer,
        ("LLM_START", "second"): outer,
        ("LLM_END", "second"): outer,
        ("FUNCTION_END", "outer"): "root",
    }


@pytest.mark.contract("S9", "S111")
async def test_tasks_have_parents_of_their_own() -> None:
    exporter = SpanCollector()
    both_open = asyncio.Barrier(2)

    async def branch(name: str) -> None:
        uuid = push("TOOL_START", name)
        await both_open.wait()
        emit(f"{name}.child")
        push("TOOL_END", name, uuid=uuid)

    async with exporter.start():
        outer = push("FUNCTION_START", "outer")
        await asyncio.gather(branch("left"), branch("right"))
        push("FUNCTION_END", "outer", uuid=outer)

    spans = exporter.by_name()
    parents = {
        name: next(
            (other.name for other in spans.values() if other.context.span_id == span.context.parent_span_id), None
        )
        for name, span in spans.items()
    }
    assert parents == {
        "outer": None,
        "left": "outer",
        "right": "outer",
        "left.child": "left",
        "right.child": "right",
    }


@pytest.mark.contract("D20", "S123")
async def test_events_from_other_threads_arrive() -> None:
    """Threads without an event loop, while the loop of the exporter is busy elsewhere."""
    exporter = StepCollector()

    async with exporter.start():
        with ThreadPoolExecutor(8) as pool:
            uuids = list(pool.map(lambda number: emit(f"work {number}"), range(200)))

    assert len(set(uuids)) == 200
    assert sorted(item.UUID for item in exporter.received.items) == sorted(uuids * 2)
    for uuid in uuids:
        events = [str(item.event_type) for item in exporter.received.items if uuid == item.UUID]
        assert events == ["FUNCTION_START", "FUNCTION_END"]


@pytest.mark.contract("D20")
def test_a_program_without_a_loop_exports() -> None:
    received = Received[IntermediateStep]()

    with Telemetry({"steps": registered(lambda: StepCollector(received))()}) as telemetry, telemetry.run("sync"):
        emit("work")

    assert types_and_names(received.items) == [
        ("WORKFLOW_START", "sync"),
        ("FUNCTION_START", "work"),
        ("FUNCTION_END", "work"),
        ("WORKFLOW_END", "sync"),
    ]


@dataclasses.dataclass
class Note:
    text: str
    tags: list[str]


@pytest.mark.contract("S11", "S58")
async def test_values_are_those_of_the_moment_of_the_push() -> None:
    """Changing a list, dict or object afterwards changes nothing, in raw and in span exporters."""
    steps, spans = StepCollector(), SpanCollector()
    question: dict[str, Any] = {"text": "before", "parts": [1, 2]}
    answer = Note("before", ["a"])
    metadata: dict[str, Any] = {"labels": ["before"]}
    tags = ["before"]

    async with steps.start(), spans.start():
        uuid = push("FUNCTION_START", "work", input=question, metadata=metadata, tags=tags)
        question["text"] = "after"
        question["parts"].append(3)
        metadata["labels"].append("after")
        tags.append("after")
        push("FUNCTION_END", "work", uuid=uuid, output=answer)
        answer.text = "after"
        answer.tags.clear()

    start, end = steps.received.items
    assert start.data is not None
    assert end.data is not None
    assert start.data.input == {"text": "before", "parts": [1, 2]}
    assert end.data.output == {"text": "before", "tags": ["a"]}
    assert start.metadata == {"labels": ["before"]}
    assert start.tags == ["before"]
    [span] = spans.received.items
    assert span.attributes["input.value"] == '{"text":"before","parts":[1,2]}'
    assert span.attributes["output.value"] == '{"text":"before","tags":["a"]}'
    assert "after" not in str(span)


@pytest.mark.contract("S56")
async def test_finished_steps_are_replayed_as_they_are() -> None:
    """`push_intermediate_steps` keeps ids, parents and times of the past."""
    steps, spans = StepCollector(), SpanCollector()
    recorded = [
        step("FUNCTION_START", "outer", UUID="a", event_timestamp=1_000.0),
        step("LLM_START", "inner", UUID="b", event_timestamp=1_001.0).model_copy(update={"parent_id": "a"}),
        step("LLM_END", "inner", UUID="b", event_timestamp=1_003.5).model_copy(update={"parent_id": "a"}),
        step("FUNCTION_END", "outer", UUID="a", event_timestamp=1_004.0),
    ]

    async with steps.start(), spans.start():
        Context.get().intermediate_step_manager.push_intermediate_steps(recorded)

    assert steps.received.items == recorded
    replayed = spans.by_name()
    assert replayed["outer"].start_time == 1_000_000_000_000
    assert replayed["outer"].duration == 4_000_000_000
    assert replayed["inner"].duration == 2_500_000_000
    assert replayed["inner"].context.parent_span_id == replayed["outer"].context.span_id
    assert replayed["inner"].context.trace_id == replayed["outer"].context.trace_id


@pytest.mark.contract("S152")
async def test_a_subscriber_that_raises_disturbs_nobody() -> None:
    class Broken(RawExporter[IntermediateStep, IntermediateStep]):
        def export(self, event: Any) -> None:
            raise RuntimeError("broken export")

        async def export_processed(self, item: IntermediateStep) -> None:
            raise AssertionError("never reached")

    sound = StepCollector()

    async with Broken().start(), sound.start():
        emit("work")

    assert types_and_names(sound.received.items) == [("FUNCTION_START", "work"), ("FUNCTION_END", "work")]


def test_the_stream_passes_values_to_those_who_subscribed() -> None:
    """`Subject`: subscribe, unsubscribe, errors and completion, from several threads."""
    subject: Subject[int] = Subject()
    seen: list[object] = []
    first = subject.subscribe(seen.append)
    subject.subscribe(
        lambda value: seen.append(-value), lambda exc: seen.append(str(exc)), lambda: seen.append("complete")
    )

    subject.on_next(1)
    first.unsubscribe()
    subject.on_next(2)
    subject.on_error(ValueError("bad"))
    subject.on_complete()
    subject.on_next(3)

    assert seen == [1, -1, -2, "bad", "complete"]


def test_the_stream_is_thread_safe() -> None:
    subject: Subject[int] = Subject()
    seen = Received[int]()
    subject.subscribe(seen.add)
    together = threading.Barrier(4)

    def push_many() -> None:
        together.wait(10)
        for number in range(500):
            subscription = subject.subscribe(lambda value: None)
            subject.on_next(number)
            subscription.unsubscribe()

    threads = [threading.Thread(target=push_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(seen.items) == sorted(list(range(500)) * 4)


@pytest.mark.contract("S124")
def test_the_context_works_without_workflow_and_loop() -> None:
    state = ContextState.get()

    assert isinstance(state, ContextState)
    assert StepCollector(context_state=state).name
    assert StepCollector().create_isolated_instance(state).is_isolated_instance
    assert isinstance(Context.get(), Context)
    assert list(state.active_span_id_stack.get() or []) in ([], ["root"])
