"""The processor `sample`: a share of the runs, each whole, and those that rules keep."""

import contextvars
import gc
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.errors import ConfigurationError
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span, SpanContext
from nat.observability import Telemetry, exporter_entry, step
from nat.observability.events import Run
from nat.observability.processor.deciding_processor import Verdict
from nat.observability.processor.sample_processor import KeepRules, SampleProcessor
from nat.plugins.sample.register import SampleConfig
from nat.runtime.loader import load_workflow
from tests.support.collecting import SpanCollector, StepCollector, emit, registered

RUNS = 10_000
_KNOWN_TRACES = [(index * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128 for index in range(1, RUNS + 1)]

_PASSED = """
import asyncio, json, sys
from nat.data_models.span import Span, SpanContext
from nat.observability.processor.sample_processor import KeepRules, SampleProcessor

async def passed(trace_ids):
    sample = SampleProcessor(0.1, KeepRules(), max_held_items=1, max_held_bytes=1)
    spans = [Span(name="s", context=SpanContext(trace_id=trace_id, span_id=1)) for trace_id in trace_ids]
    return [span.context.trace_id for span in spans if await sample.process(span)]

print(json.dumps(asyncio.run(passed(json.load(sys.stdin)))))
"""


def config(ratio: float = 0.0, **settings: Any) -> SampleConfig:
    return SampleConfig.model_validate({"ratio": ratio, **settings})


def telemetry_to(exporter: Any, *processors: SampleConfig) -> Telemetry:
    return Telemetry(exporter_entry(registered(lambda: exporter)(), name="mine", processors=processors))


def traces_of(spans: Iterable[Span]) -> Counter[int]:
    """How many spans of each trace there are."""
    return Counter(span.context.trace_id for span in spans)


def test_a_tenth_of_ten_thousand_runs_each_whole_and_every_failed_one() -> None:
    """Three exporters: a share, all, and a share with `keep: errors`; what is left out is counted."""
    share, everything, failed = SpanCollector(), SpanCollector(), SpanCollector()
    failed_traces = set()

    with Telemetry(
        exporter_entry(registered(lambda: share)(), name="share", processors=[config(0.1)]),
        exporter_entry(registered(lambda: everything)(), name="everything"),
        exporter_entry(registered(lambda: failed)(), name="failed", processors=[config(0.1, keep="errors")]),
    ) as telemetry:
        for number in range(RUNS):
            run = telemetry.run("run")
            try:
                with run, step("first"), step("second"):
                    if number % 50 == 0:
                        failed_traces.add(run.trace_id)
                        raise ValueError("no")
            except ValueError:
                pass
            if number % 500 == 499:
                telemetry.flush(60)
    status = telemetry.status().exporters

    seen, kept = traces_of(share.received.items), traces_of(failed.received.items)
    assert len(traces_of(everything.received.items)) == RUNS
    assert 0.09 <= len(seen) / RUNS <= 0.11
    assert set(seen.values()) == set(kept.values()) == {3}
    assert len(failed_traces) == RUNS // 50
    assert kept.keys() == seen.keys() | failed_traces
    assert status["share"].accepted == 3 * RUNS
    assert status["share"].dropped == {"sampled_out": 3 * (RUNS - len(seen))}
    assert status["failed"].dropped == {"sampled_out": 3 * (RUNS - len(kept))}
    assert {one.pending for one in status.values()} == {0}


def test_the_same_traces_in_two_processes() -> None:
    """The low 56 bits of the trace id decide, as said in W3C Trace Context, level 2."""
    given = json.dumps(_KNOWN_TRACES)

    passed = [
        subprocess.run([sys.executable, "-c", _PASSED], input=given, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]

    assert passed[0] == passed[1]
    assert json.loads(passed[0]) == [one for one in _KNOWN_TRACES if one % 2**56 < 2**56 // 10 + 1]
    assert 900 <= len(json.loads(passed[0])) <= 1100


def outcomes(telemetry: Telemetry) -> None:
    """Runs that differ: nothing of note, a failed step, many tokens, a high cost."""
    with telemetry.run("plain"), step("work"):
        pass
    with telemetry.run("failed"), pytest.raises(ValueError, match="no"), step("work"):
        raise ValueError("no")
    with telemetry.run("hungry"):
        for _ in range(2):
            with step("model", kind="llm") as llm:
                llm.usage(prompt_tokens=300, completion_tokens=200)
    with telemetry.run("dear"), step("model", kind="llm") as llm:
        llm.set_attribute("llm.cost.total", 0.5)


@pytest.mark.parametrize(
    ("keep", "names"),
    [
        ({}, set()),
        ("errors", {"failed"}),
        ({"errors": True, "min_tokens": 1000}, {"failed", "hungry"}),
        ({"min_tokens": 1001}, set()),
        ({"min_cost": 0.5}, {"dear"}),
        ({"min_cost": 0.6}, set()),
        ({"min_duration_s": 3600}, set()),
        ({"min_duration_s": 1e-9}, {"plain", "failed", "hungry", "dear"}),
        ({"first_per_minute": 2}, {"plain", "failed"}),
        ({"first_per_minute": 1, "min_tokens": 10}, {"plain", "hungry"}),
    ],
)
def test_rules_keep_runs(keep: Any, names: set[str]) -> None:
    """Each one whole, whatever came before the span that shows it."""
    exporter = SpanCollector()

    with telemetry_to(exporter, config(keep=keep)) as telemetry:
        outcomes(telemetry)
    status = telemetry.status().exporters["mine"]

    sizes = {"plain": 2, "failed": 2, "hungry": 3, "dear": 2}
    roots = {
        span.context.trace_id: span.name for span in exporter.received.items if span.context.parent_span_id is None
    }
    assert set(roots.values()) == names
    assert {roots[trace]: size for trace, size in traces_of(exporter.received.items).items()} == {
        name: sizes[name] for name in names
    }
    assert status.dropped.get("sampled_out", 0) == sum(size for name, size in sizes.items() if name not in names)
    assert (status.accepted, status.pending) == (9, 0)


@pytest.mark.parametrize(("keep", "names"), [("errors", {"failed"}), ({"min_tokens": 1000}, {"hungry"})])
def test_steps_keep_their_order(keep: Any, names: set[str]) -> None:
    """For an exporter of steps: all of a run, START before END, none of another one."""
    exporter, everything = StepCollector(), StepCollector()

    with Telemetry(
        exporter_entry(registered(lambda: exporter)(), name="mine", processors=[config(keep=keep)]),
        exporter_entry(registered(lambda: everything)(), name="everything"),
    ) as telemetry:
        outcomes(telemetry)

    received, offered = exporter.received.items, everything.received.items
    starts = [index for index, item in enumerate(offered) if str(item.event_type) == "WORKFLOW_START"]
    runs = [offered[start:end] for start, end in zip(starts, [*starts[1:], len(offered)], strict=True)]
    wanted: list[IntermediateStep] = [item for run in runs if run[0].name in names for item in run]
    assert [(item.UUID, item.event_type) for item in received] == [(item.UUID, item.event_type) for item in wanted]


@pytest.mark.parametrize("is_failed", [True, False])
def test_nested_runs_and_late_steps_meet_the_fate_of_their_trace(is_failed: bool) -> None:
    exporter = SpanCollector()

    with telemetry_to(exporter, config(keep="errors")) as telemetry:
        with telemetry.run("outer") as outer:
            with telemetry.run("inner"), step("inside"):
                pass
            telemetry.flush(60.0)
            assert exporter.received.items == []
            inside = contextvars.copy_context()
            if is_failed:
                emit("bad", metadata={"error": "no"})
        telemetry.flush(60.0)
        inside.run(emit, "late")
        telemetry.flush(60.0)
        open_after = telemetry.status().exporters["mine"].pending
    names = {span.name for span in exporter.received.items}

    assert open_after == 0
    assert names == ({"outer", "inner", "inside", "late", "bad"} if is_failed else set())
    assert traces_of(exporter.received.items).keys() == ({outer.trace_id} if is_failed else set())


def test_what_is_held_waits_for_its_run_and_is_sent_at_the_end() -> None:
    """A flush does not decide; a close keeps what may still fail."""
    exporter = SpanCollector()
    telemetry = telemetry_to(exporter, config(keep="errors")).start()
    with telemetry.run("open"):
        emit("work")
        telemetry.flush(60.0)
        assert telemetry.status().exporters["mine"].pending == 1
        assert exporter.received.items == []

        result = telemetry.close(60.0).exporters["mine"]

    assert {span.name for span in exporter.received.items} >= {"work"}
    assert result.pending == 0


def span_of(trace_id: int) -> Span:
    return Span(name="work", context=SpanContext(trace_id=trace_id, span_id=1), end_time=1, start_time=0)


class Tickets:
    """A processor's callbacks, as lists."""

    def __init__(self, sample: SampleProcessor[Any]) -> None:
        self.passed: list[Any] = []
        self.dropped: list[Any] = []
        sample.connect(self.passed.append, self.dropped.append)


@pytest.mark.parametrize(
    "limits", [{"max_held_items": 2, "max_held_bytes": 1000}, {"max_held_items": 9, "max_held_bytes": 20}]
)
def test_beyond_its_limits_the_oldest_run_is_kept_whole(limits: dict[str, int]) -> None:
    """It may still fail, so it is not dropped; and what comes of it later is passed as well."""
    items, size_bytes = limits["max_held_items"], limits["max_held_bytes"]
    rules = KeepRules(errors=True)
    sample: SampleProcessor[Span] = SampleProcessor(0.0, rules, max_held_items=items, max_held_bytes=size_bytes)
    tickets = Tickets(sample)
    old, new = Run(trace_id=1), Run(trace_id=2)

    verdicts = [
        sample.take(span_of(run.trace_id), run, ticket, 10) for run, ticket in ((old, "a"), (new, "b"), (old, "c"))
    ]

    assert verdicts == [Verdict.HOLD] * 3
    assert tickets.passed == ["a", "c"]
    assert sample.take(span_of(1), old, "d", 10) is Verdict.PASS
    sample.end_run(new)
    assert tickets.dropped == ["b"]
    assert sample.discard() == 0


def test_runs_that_are_gone_leave_nothing_behind() -> None:
    """A decision lives as long as items of its run may come, and no longer."""
    sample: SampleProcessor[Span] = SampleProcessor(0.5, KeepRules(errors=True), max_held_items=9, max_held_bytes=999)
    Tickets(sample)
    for trace_id in range(1, 1000):
        run = Run(trace_id=trace_id * 2**50)
        sample.take(span_of(run.trace_id), run, "ticket", 1)
        sample.end_run(run)
    del run
    gc.collect()

    assert (len(sample._traces), len(sample._open), sample.discard()) == (0, 0, 0)


def test_runs_of_a_telemetry_are_forgotten() -> None:
    exporter = SpanCollector()

    with telemetry_to(exporter, config(0.5, keep="errors")) as telemetry:
        for _ in range(50):
            with telemetry.run("run"), step("work"):
                pass
        telemetry.flush(60.0)
        gc.collect()
        alive = [len(one._traces) for one in gc.get_objects() if type(one) is SampleProcessor]

    assert alive
    assert max(alive) <= 2


def test_the_first_ones_of_each_minute() -> None:
    now = [0.0]
    sample: SampleProcessor[Span] = SampleProcessor(
        0.0, KeepRules(first_per_minute=2), max_held_items=9, max_held_bytes=999, clock=lambda: now[0]
    )
    verdicts = []
    runs = [Run(trace_id=index + 1) for index in range(8)]

    for index, run in enumerate(runs):
        now[0] = index * 15.0
        verdicts.append(sample.take(span_of(run.trace_id), run, index, 1) is Verdict.PASS)

    assert verdicts == [True, True, False, False, True, True, False, False]


def test_one_that_an_author_adds_is_refused() -> None:
    sample: SampleProcessor[Span] = SampleProcessor(0.5, KeepRules(), max_held_items=1, max_held_bytes=1)

    with pytest.raises(TypeError, match="SampleProcessor decides on runs; configure it under processors:"):
        SpanCollector().add_processor(sample)


def test_cost_is_of_spans() -> None:
    exporter = StepCollector()

    with telemetry_to(exporter, config(keep={"min_cost": 1})) as telemetry:
        outcomes(telemetry)

    assert "takes Span, but exporter 'mine' is given every step" in (telemetry.status().exporters["mine"].reason or "")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("keep: errors", "ratio: is missing"),
        ("ratio: 1.5", "ratio: should be less than or equal to 1, got 1.5"),
        ("ratio: 0.1, keep: slow", "keep: "),
        ("ratio: 0.1, keep: {error: true}", "keep.error: unknown key 'error'; did you mean 'errors'?"),
        ("ratio: 0.1, keep: {min_tokens: 0}", "keep.min_tokens: should be greater than 0"),
        ("ratio: 0.1, max_held_items: 0", "max_held_items: should be greater than or equal to 1, got 0"),
    ],
)
def test_mistakes_are_told_with_their_place(settings: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "workflow.yaml"
    entry = f"{{_type: console, processors: [{{_type: sample, {settings}}}]}}"
    file.write_text(f"general: {{telemetry: {{tracing: {{tree: {entry}}}}}}}")

    with pytest.raises(ConfigurationError) as told:
        load_workflow(file, entrypoint="optional")

    assert f"general.telemetry.tracing.tree.processors[0].{message}" in str(told.value)
