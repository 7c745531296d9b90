"""Many runs at once, through several exporters."""

import asyncio
import gc
import threading
import weakref
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Any

from nat.builder.builder import Builder
from nat.builder.context import ContextState
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry, step
from nat.observability.exporter.base_exporter import IsolatedAttribute
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.processor.batching_processor import BatchingProcessor
from tests.support.left_behind import LeftBehind

RUNS = 200
STEPS = 5


class Single(SpanExporter[Span, Span]):
    """Takes single spans; each copy sees one run only."""

    _traces: IsolatedAttribute[set[int]] = IsolatedAttribute(set)

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Span] = []
        self.copies: list[weakref.ref[Single]] = []
        self.flushed: list[set[int]] = []
        self.wrong_context = 0

    def create_isolated_instance(self, context_state: ContextState) -> "Single":
        isolated = super().create_isolated_instance(context_state)
        self.copies.append(weakref.ref(isolated))
        return isolated

    async def export_processed(self, item: Span) -> None:
        await asyncio.sleep(0)
        run = ContextState.get().run
        self.wrong_context += run is None or run.trace_id != item.context.trace_id
        self._traces.add(item.context.trace_id)
        self.spans.append(item)

    async def _flush(self) -> None:
        if self.is_isolated_instance:
            self.flushed.append(set(self._traces))


class Batches(SpanExporter[Span, Span]):
    """Takes batches that mix runs."""

    def __init__(self) -> None:
        super().__init__()
        self.add_processor(BatchingProcessor[Span](batch_size=50, flush_interval=60.0))
        self.batches: list[list[Span]] = []

    async def export_processed(self, item: Any) -> None:
        self.batches.append(item)


class Steps(RawExporter[IntermediateStep, IntermediateStep]):
    """Takes steps; each copy sees one run only, in order."""

    _seen: IsolatedAttribute[list[str]] = IsolatedAttribute(list)

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[list[str]] = []

    async def export_processed(self, item: IntermediateStep) -> None:
        self._seen.append(f"{item.event_type} {item.name}")

    async def _flush(self) -> None:
        if self.is_isolated_instance:
            self.runs.append(self._seen)


async def work(telemetry: Telemetry, number: int) -> None:
    with telemetry.run(f"run {number}"):
        for index in range(STEPS):
            with step(f"step {number} {index}"):
                await asyncio.sleep(0)
                with step(f"tool {number} {index}", kind="tool"):
                    await asyncio.sleep(0)


def expected_steps(number: int) -> list[str]:
    steps = [f"WORKFLOW_START run {number}"]
    for index in range(STEPS):
        name = f"{number} {index}"
        steps += [f"FUNCTION_START step {name}", f"TOOL_START tool {name}", f"TOOL_END tool {name}"]
        steps += [f"FUNCTION_END step {name}"]
    return [*steps, f"WORKFLOW_END run {number}"]


def test_two_hundred_runs_through_three_exporters() -> None:
    """No span is in the wrong trace, batches are full, and nothing is left alive."""
    exporters: dict[str, Any] = {"single": Single(), "batches": Batches(), "steps": Steps()}

    class ConcurrentRunsConfig(TelemetryExporterBaseConfig, name="concurrent_runs"):
        """Picks one of the exporters above."""

        exporter: str

    @register_telemetry_exporter(config_type=ConcurrentRunsConfig)
    async def build(config: ConcurrentRunsConfig, builder: Builder) -> AsyncIterator[Any]:
        yield exporters[config.exporter]

    async def main() -> None:
        configs = {name: ConcurrentRunsConfig(exporter=name) for name in exporters}
        async with Telemetry(configs) as telemetry:
            await asyncio.gather(*(work(telemetry, number) for number in range(RUNS)))

    before = LeftBehind()
    asyncio.run(main())

    span_count = RUNS * (2 * STEPS + 1)
    single: Single = exporters["single"]
    numbers: dict[int, set[str]] = defaultdict(set)
    for span in single.spans:
        numbers[span.context.trace_id].add(span.name.split()[1])
    assert len(single.spans) == span_count
    assert len(numbers) == RUNS
    assert all(len(of_trace) == 1 for of_trace in numbers.values())
    assert single.wrong_context == 0
    assert sorted(single.flushed, key=min) == [{trace_id} for trace_id in sorted(numbers)]
    sizes = Counter(len(batch) for batch in exporters["batches"].batches)
    assert sizes == {50: span_count // 50}
    assert sorted(exporters["steps"].runs) == sorted(expected_steps(number) for number in range(RUNS))
    gc.collect()
    assert [copy for reference in single.copies if (copy := reference()) is not None] == []
    assert len(single.copies) == RUNS
    before.assert_nothing()


def test_a_run_that_ends_beside_one_that_goes_on() -> None:
    """The end of one run leaves the exporter of another one alone."""
    single = Single()

    class BesideConfig(TelemetryExporterBaseConfig, name="beside"):
        """One exporter for two runs."""

    @register_telemetry_exporter(config_type=BesideConfig)
    async def build(config: BesideConfig, builder: Builder) -> AsyncIterator[Any]:
        yield single

    def short_run() -> None:
        with telemetry.run("short"):
            pass

    with Telemetry(BesideConfig()) as telemetry, telemetry.run("long"):
        with step("before"):
            pass
        worker = threading.Thread(target=short_run)
        worker.start()
        worker.join()
        telemetry.flush()
        with step("after"):
            pass

    names = {span.name for span in single.spans}
    assert names == {"long", "before", "short", "after"}
    assert len({span.context.trace_id for span in single.spans}) == 2
