"""The processor `filter`: which spans and steps an exporter gets."""

import gc
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.errors import ConfigurationError
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.step_types import IntermediateStepState
from nat.observability import Telemetry, exporter_entry, step
from nat.observability.events import Run
from nat.observability.processor.condition import Condition, Globs
from nat.observability.processor.filter_processor import FilterProcessor
from nat.plugins.filter.register import FilterConfig
from nat.runtime.loader import load_workflow
from tests.support.collecting import SpanCollector, StepCollector, push, registered
from tests.support.collecting import step as made_step


def config(action: str, **when: Any) -> FilterConfig:
    return FilterConfig.model_validate({"action": action, "when": when})


def record(telemetry: Telemetry) -> None:
    """A run with four steps below it: a model call, two tools of which one fails, and a search."""
    with telemetry.run("shop", tags=["live"], metadata={"tenant": "acme"}):
        with step("gpt-large", kind="llm", model="m-1", tags=["billed"]):
            pass
        with step("look_up", kind="tool"):
            pass
        with pytest.raises(ValueError, match="no"), step("pay", kind="tool"):
            raise ValueError("no")
        with step("search", kind="retriever", metadata={"index": 7}):
            pass


ALL = {"shop", "gpt-large", "look_up", "pay", "search"}


@pytest.mark.parametrize(
    ("when", "names"),
    [
        ({"kind": "tool"}, {"look_up", "pay"}),
        ({"kind": ["LLM", "RETRIEVER"]}, {"gpt-large", "search"}),
        ({"name": "gpt-*"}, {"gpt-large"}),
        ({"name": ["look_?p", "se[xy]rch"]}, {"look_up"}),
        ({"tag": "billed"}, {"gpt-large"}),
        ({"tag": "live"}, ALL),
        ({"workflow": "sh*"}, ALL),
        ({"workflow": "other"}, set()),
        ({"tenant": "acme"}, ALL),
        ({"tenant": ["globex", "initech"]}, set()),
        ({"status": "error"}, {"pay"}),
        ({"status": "ok"}, ALL - {"pay"}),
        ({"min_duration_s": 0}, ALL),
        ({"min_duration_s": 3600}, set()),
        ({"max_duration_s": 3600}, ALL),
        ({"attribute": {"llm.model_name": "m-*"}}, {"gpt-large"}),
        ({"attribute": {"nat.workflow.name": "shop", "openinference.span.kind": ["TOOL", "LLM"]}}, ALL - {"search", "shop"}),
        ({"attribute": {"no.such": "*"}}, set()),
        ({"kind": "tool", "status": "error"}, {"pay"}),
    ],
)  # fmt: skip
def test_spans_that_are_all_of_it(when: dict[str, Any], names: set[str]) -> None:
    """`keep` sends just these, `drop` just the others; what is not sent is counted as `filtered`."""
    kept, others = SpanCollector(), SpanCollector()
    keep = exporter_entry(registered(lambda: kept)(), name="keep", processors=[config("keep", **when)])
    drop = exporter_entry(registered(lambda: others)(), name="drop", processors=[config("drop", **when)])

    with Telemetry(keep, drop) as telemetry:
        record(telemetry)
    status = telemetry.status().exporters

    assert kept.by_name().keys() == names
    assert others.by_name().keys() == ALL - names
    assert status["keep"].dropped.get("filtered", 0) == len(ALL - names)
    assert status["drop"].dropped.get("filtered", 0) == len(names)
    assert {(one.accepted, one.pending) for one in status.values()} == {(5, 0)}


@pytest.mark.parametrize(
    ("when", "names"),
    [
        ({"kind": "tool"}, {"look_up", "pay"}),
        ({"name": "gpt-*"}, {"gpt-large"}),
        ({"tag": "billed"}, {"gpt-large"}),
        ({"tag": "live"}, ALL),
        ({"workflow": "shop"}, ALL),
        ({"tenant": "acme"}, ALL),
        ({"attribute": {"index": "7"}}, {"search"}),
    ],
)
def test_steps_are_there_from_start_to_end_or_not_at_all(when: dict[str, Any], names: set[str]) -> None:
    """Also where only the START says what is asked for."""
    exporter = StepCollector()
    entry = exporter_entry(registered(lambda: exporter)(), processors=[config("keep", **when)])

    with Telemetry(entry) as telemetry:
        record(telemetry)

    states = {name: [item.event_state for item in exporter.received.items if item.name == name] for name in names}
    assert {item.name for item in exporter.received.items} == names
    assert all(seen == [IntermediateStepState.START, IntermediateStepState.END] for seen in states.values())


def test_chunks_and_end_meet_the_fate_of_their_start() -> None:
    exporter = StepCollector()
    entry = exporter_entry(registered(lambda: exporter)(), processors=[config("drop", tag="private")])

    with Telemetry(entry) as telemetry, telemetry.run("run"):
        uuid = push("LLM_START", "model", tags=["private"])
        push("LLM_NEW_TOKEN", "model", uuid=uuid, chunk="a")
        push("LLM_END", "model", uuid=uuid)
        push("LLM_NEW_TOKEN", "model", uuid=uuid, chunk="late")

    assert [str(item.event_type) for item in exporter.received.items] == [
        "WORKFLOW_START",
        "LLM_NEW_TOKEN",
        "WORKFLOW_END",
    ]


async def test_nothing_is_kept_of_steps_that_never_end_once_their_run_is_gone() -> None:
    processor: FilterProcessor[IntermediateStep] = FilterProcessor(Condition(name=Globs(["work"])), "keep")
    run = Run(trace_id=1)

    assert await processor.process_in(made_step("FUNCTION_START"), run) is not None
    assert len(processor._begun) == 1
    del run
    gc.collect()

    assert len(processor._begun) == 0


async def test_a_step_of_no_known_run_is_decided_by_itself() -> None:
    processor: FilterProcessor[IntermediateStep] = FilterProcessor(Condition(name=Globs(["work"])), "drop")

    assert await processor.process(made_step("FUNCTION_START", "work")) is None
    assert await processor.process(made_step("FUNCTION_END", "other")) is not None


def test_status_and_duration_are_of_spans() -> None:
    """A step's START cannot say how it will end, so an exporter of steps does not start with such a filter."""
    exporter = StepCollector()
    entry = exporter_entry(registered(lambda: exporter)(), name="steps", processors=[config("keep", status="error")])

    with Telemetry(entry) as telemetry:
        record(telemetry)

    assert exporter.received.items == []
    assert telemetry.status().exporters["steps"].reason == (
        "ConfigurationError: steps.processors[0] (filter): takes Span, but exporter 'steps' is given every step "
        "(IntermediateStep); configure it for exporters of spans only"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("action: drop", "when: is missing"),
        ("action: drop, when: {}", "when: is empty, expected at least one of: kind, name, tag, workflow"),
        ("action: drop, when: {knid: TOOL}", "when.knid: unknown key 'knid'; did you mean 'kind'?"),
        ("action: drop, when: {kind: TOOLS}", "when.kind[0]: should be 'AGENT', 'CHAIN'"),
        ("action: remove, when: {kind: TOOL}", "action: should be 'keep' or 'drop', got 'remove'"),
        ("action: keep, when: {name: []}", "when.name: Value should have at least 1 item"),
        (
            "action: keep, when: {min_duration_s: 2, max_duration_s: 1}",
            "when: min_duration_s 2 is more than max_duration_s 1",
        ),
        ("action: keep, when: {min_duration_s: -1}", "when.min_duration_s: should be greater than or equal to 0"),
    ],
)
def test_mistakes_are_told_with_their_place(settings: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "workflow.yaml"
    entry = f"{{_type: console, processors: [{{_type: filter, {settings}}}]}}"
    file.write_text(f"general: {{telemetry: {{tracing: {{tree: {entry}}}}}}}")

    with pytest.raises(ConfigurationError) as told:
        load_workflow(file, entrypoint="optional")

    assert f"general.telemetry.tracing.tree.processors[0].{message}" in str(told.value)
