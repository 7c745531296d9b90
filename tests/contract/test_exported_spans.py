"""What a run's exported data tell its reader."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nat.builder.context import Context
from nat.data_models.intermediate_step import IntermediateStep, UsageInfo
from nat.data_models.span import Span
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability import Telemetry
from nat.observability.exporter.processing_exporter import ProcessingExporter
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.exporter.span_exporter import SpanExporter
from tests.support.collecting import Received, SpanCollector, StepCollector, emit, push, registered, types_and_names


def _spans_of(workflow: Callable[[Telemetry], None]) -> dict[str, Span]:
    received = Received[Span]()
    with Telemetry({"spans": registered(lambda: SpanCollector(received))()}) as telemetry:
        workflow(telemetry)
    return {span.name: span for span in received.items}


def _agent(telemetry: Telemetry) -> None:
    usage = UsageInfo(
        token_usage=TokenUsageBaseModel(prompt_tokens=11, completion_tokens=5, total_tokens=16), num_llm_calls=1
    )
    with telemetry.run(
        "support",
        input="Where is my parcel?",
        session_id="s-1",
        user_id="u-1",
        tags=["beta"],
        metadata={"tier": "gold"},
    ) as run:
        agent = push("AGENT_START", "planner", input="Where is my parcel?")
        found = {"parcel": 7, "place": "Lyon"}
        emit("track", "TOOL", input={"order": 7}, output=found)
        emit("gpt", "LLM", input=found, output="In Lyon.", usage_info=usage, metadata={"model": "gpt-4o"})
        push("AGENT_END", "planner", uuid=agent, output="In Lyon.")
        run.output = "In Lyon."


@pytest.mark.contract("S3", "S9", "S59", "S78")
def test_a_run_is_one_trace_with_an_unbroken_parent_chain() -> None:
    spans = _spans_of(_agent)

    assert len({span.context.trace_id for span in spans.values()}) == 1
    ids = {span.context.span_id: name for name, span in spans.items()}
    parents = {name: ids.get(span.context.parent_span_id or 0) for name, span in spans.items()}
    assert parents == {"support": None, "planner": "support", "track": "planner", "gpt": "planner"}


@pytest.mark.contract("S4", "S7", "S79")
def test_every_step_has_start_end_and_duration() -> None:
    spans = _spans_of(_agent)

    for span in spans.values():
        assert span.end_time is not None
        assert span.duration == span.end_time - span.start_time >= 0
    root = spans["support"]
    assert root.end_time is not None
    for span in spans.values():
        assert span.end_time is not None
        assert root.start_time <= span.start_time <= span.end_time <= root.end_time


@pytest.mark.contract("S11", "S12")
def test_inputs_and_outputs_are_there_and_what_one_step_hands_to_the_next() -> None:
    spans = _spans_of(_agent)

    values = {
        name: (span.attributes.get("input.value"), span.attributes.get("output.value")) for name, span in spans.items()
    }
    assert values == {
        "support": ("Where is my parcel?", "In Lyon."),
        "planner": ("Where is my parcel?", "In Lyon."),
        "track": ('{"order":7}', '{"parcel":7,"place":"Lyon"}'),
        "gpt": ('{"parcel":7,"place":"Lyon"}', "In Lyon."),
    }


@pytest.mark.contract("S6", "S14")
def test_tokens_and_calls_are_on_the_llm_span_and_counted_once() -> None:
    spans = _spans_of(_agent)

    attributes = spans["gpt"].attributes
    assert attributes["llm.token_count.prompt"] == 11
    assert attributes["llm.token_count.completion"] == 5
    assert attributes["llm.token_count.total"] == 16
    assert attributes["nat.usage.llm_calls"] == 1
    assert attributes["llm.model_name"] == "gpt-4o"
    for name in ("support", "planner", "track"):
        assert not [key for key in spans[name].attributes if key.startswith("llm.token_count")]


@pytest.mark.contract("S13")
def test_session_and_user_are_on_every_span_tags_and_metadata_on_the_root() -> None:
    spans = _spans_of(_agent)

    assert {(span.attributes["session.id"], span.attributes["user.id"]) for span in spans.values()} == {("s-1", "u-1")}
    assert list(spans["support"].attributes["tag.tags"]) == ["beta"]
    assert spans["support"].attributes["metadata"] == '{"tier":"gold"}'
    assert "tag.tags" not in spans["planner"].attributes


@pytest.mark.contract("D29")
@pytest.mark.parametrize(
    ("category", "kind"),
    [
        ("LLM", "LLM"),
        ("TOOL", "TOOL"),
        ("WORKFLOW", "CHAIN"),
        ("TASK", "CHAIN"),
        ("FUNCTION", "CHAIN"),
        ("CUSTOM", "CHAIN"),
        ("AGENT", "AGENT"),
        ("RETRIEVER", "RETRIEVER"),
        ("EMBEDDER", "EMBEDDING"),
        ("RERANKER", "RERANKER"),
        ("GUARDRAIL", "GUARDRAIL"),
        ("EVALUATOR", "EVALUATOR"),
    ],
)
async def test_each_kind_of_step_has_its_span_kind(category: str, kind: str) -> None:
    exporter = SpanCollector()

    async with exporter.start():
        emit("work", category)

    [span] = exporter.received.items
    assert span.attributes["openinference.span.kind"] == kind
    assert span.attributes["nat.event_type"] == f"{category}_START"


@pytest.mark.contract("S5", "S8", "S10", "D9")
def test_a_failed_run_says_where_and_why_and_raises_unchanged() -> None:
    """Status ERROR, `error.type` and an `exception` event; a step that went well stays OK."""
    error = LookupError("no parcel 7")

    def workflow(telemetry: Telemetry) -> None:
        with telemetry.run("support"):
            emit("plan", output="ok")
            push("TOOL_START", "track")
            raise error

    def fail(telemetry: Telemetry) -> None:
        with pytest.raises(LookupError) as caught:
            workflow(telemetry)
        assert caught.value is error

    spans = _spans_of(fail)

    assert set(spans) == {"support", "plan", "track"}
    assert (spans["plan"].status.code, spans["plan"].status.message) == ("OK", None)
    root = spans["support"]
    assert root.status.code == "ERROR"
    assert "no parcel 7" in (root.status.message or "")
    assert root.attributes["error.type"] == "LookupError"
    [event] = [event for event in root.events if event.name == "exception"]
    assert event.attributes["exception.type"] == "LookupError"
    assert event.attributes["exception.message"] == "no parcel 7"
    open_step = spans["track"]
    assert open_step.status.code == "ERROR"
    assert open_step.end_time is not None
    assert open_step.attributes["nat.span.incomplete"] is True


@pytest.mark.contract("S5", "D9")
def test_a_run_that_went_well_is_ok() -> None:
    spans = _spans_of(_agent)

    assert {name: str(span.status.code) for name, span in spans.items()} == dict.fromkeys(spans, "OK")


@pytest.mark.contract("D9")
async def test_a_cancelled_run_is_exported_with_an_error() -> None:
    received = Received[Span]()
    has_begun = asyncio.Event()

    async with Telemetry({"spans": registered(lambda: SpanCollector(received))()}) as telemetry:

        async def workflow() -> None:
            async with telemetry.run("cancelled"):
                push("LLM_START", "gpt")
                has_begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(workflow())
        await has_begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    spans = {span.name: span for span in received.items}
    assert {name: str(span.status.code) for name, span in spans.items()} == {"cancelled": "ERROR", "gpt": "ERROR"}
    assert spans["cancelled"].attributes["error.type"].endswith("CancelledError")


@pytest.mark.contract("D9")
async def test_a_step_that_never_ends_is_exported_when_the_run_does() -> None:
    exporter = SpanCollector()

    async with exporter.start():
        push("LLM_START", "gpt", input="q")

    [span] = exporter.received.items
    assert span.status.code == "ERROR"
    assert span.status.message == "step never ended"
    assert span.attributes["nat.span.incomplete"] is True
    assert span.attributes["input.value"] == "q"
    assert (span.duration or 0) >= 0


@pytest.mark.contract("S8")
def test_a_failed_step_is_exported_before_the_run_ends() -> None:
    """A step is exported when it ends, not when the run does."""
    received = Received[Span]()

    with Telemetry({"spans": registered(lambda: SpanCollector(received))()}) as telemetry, telemetry.run("long"):
        emit("early")

        [span] = received.wait_for(1)

        assert span.name == "early"


@pytest.mark.contract("D15")
async def test_a_span_with_an_unknown_parent_is_exported() -> None:
    exporter = SpanCollector()
    steps = StepCollector()

    async with steps.start():
        emit("orphan", input="q")
    orphaned = [item.model_copy(update={"parent_id": "nobody-knows-me"}) for item in steps.received.items]
    async with exporter.start():
        Context.get().intermediate_step_manager.push_intermediate_steps(orphaned)

    [span] = exporter.received.items
    assert span.name == "orphan"
    assert span.context.parent_span_id is not None


@pytest.mark.contract("D15")
async def test_an_end_without_a_start_is_exported() -> None:
    exporter = SpanCollector()

    async with exporter.start():
        push("TOOL_END", "late", output="x", span_event_timestamp=1_000.0, event_timestamp=1_002.0)

    [span] = exporter.received.items
    assert (span.name, span.start_time, span.duration) == ("late", 1_000_000_000_000, 2_000_000_000)


@pytest.mark.contract("S7")
async def test_chunks_are_counted_not_exported_as_spans() -> None:
    exporter = SpanCollector()

    async with exporter.start():
        uuid = push("LLM_START", "gpt", event_timestamp=1_000.0)
        push("LLM_NEW_TOKEN", "gpt", uuid=uuid, chunk="a", event_timestamp=1_000.5)
        push("LLM_NEW_TOKEN", "gpt", uuid=uuid, chunk="b", event_timestamp=1_001.0)
        push("LLM_END", "gpt", uuid=uuid, output="ab", event_timestamp=1_002.0)

    [span] = exporter.received.items
    assert span.attributes["nat.stream.chunk_count"] == 2
    assert span.attributes["nat.stream.time_to_first_chunk_s"] == 0.5


@pytest.mark.contract("S64")
async def test_state_over_the_events_of_one_workflow_can_be_kept() -> None:
    """A raw exporter pairs starts and ends by itself."""

    class SlowSteps(RawExporter[IntermediateStep, IntermediateStep]):
        def __init__(self) -> None:
            super().__init__()
            self.started: dict[str, float] = {}
            self.durations: dict[str | None, float] = {}

        async def export_processed(self, item: IntermediateStep) -> None:
            if item.event_state == "START":
                self.started[item.UUID] = item.event_timestamp
            else:
                self.durations[item.name] = item.event_timestamp - self.started.pop(item.UUID)

    exporter = SlowSteps()

    async with exporter.start():
        uuid = push("TOOL_START", "slow", event_timestamp=10.0)
        push("TOOL_END", "slow", uuid=uuid, event_timestamp=12.5)

    assert exporter.durations == {"slow": 2.5}
    assert exporter.started == {}


@pytest.mark.contract("S17", "S76")
@pytest.mark.parametrize("base", [RawExporter, SpanExporter, ProcessingExporter])
def test_export_processed_is_all_that_must_be_written(base: Any) -> None:
    with pytest.raises(TypeError, match="export_processed"):
        base()
    assert base.__abstractmethods__ == {"export_processed"}


@pytest.mark.contract("S12")
async def test_both_events_of_a_step_keep_what_they_carry() -> None:
    exporter = StepCollector()

    async with exporter.start():
        emit("search", "TOOL", input={"q": "x"}, output=["hit"], tags=["t"], metadata={"k": 1})

    start, end = exporter.received.items
    assert types_and_names([start, end]) == [("TOOL_START", "search"), ("TOOL_END", "search")]
    assert start.data is not None
    assert end.data is not None
    assert (start.data.input, end.data.output) == ({"q": "x"}, ["hit"])
    assert (end.tags, end.metadata) == (["t"], {"k": 1})
