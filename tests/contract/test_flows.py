"""What the guide draws and tells in steps: the flow, the kinds of exporter, batching, connections, and a whole exporter."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from nat.builder.builder import Builder
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry
from nat.observability.exporter.base_exporter import BaseExporter, IsolatedAttribute
from nat.observability.exporter.processing_exporter import ProcessingExporter
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.processor.batching_processor import BatchingProcessor
from nat.observability.processor.processor import Processor
from nat.observability.registry import register_telemetry_exporter
from nat.plugins.opentelemetry.otel_span import OtelSpan
from nat.plugins.opentelemetry.otel_span_exporter import OtelSpanExporter
from tests.support.collecting import emit, registered


class Noting(Processor[Any, Any]):
    """Notes what passes, before it is exported."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    async def process(self, item: Any) -> Any:
        self.notes.append(f"processed {_shown(item)}")
        return item


class StepNoting(Noting, Processor[IntermediateStep, IntermediateStep]):
    pass


class SpanNoting(Noting, Processor[Span, Span]):
    pass


def _shown(item: Any) -> str:
    kind = f"{item.event_type} " if isinstance(item, IntermediateStep) else ""
    return f"{type(item).__name__} {kind}{item.name}"


class RawKind(RawExporter[IntermediateStep, IntermediateStep]):
    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self.notes = notes
        self.add_processor(StepNoting(notes))

    async def export_processed(self, item: IntermediateStep) -> None:
        self.notes.append(f"exported {_shown(item)}")


class SpanKind(SpanExporter[Span, Span]):
    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self.notes = notes
        self.add_processor(SpanNoting(notes))

    async def export_processed(self, item: Span) -> None:
        self.notes.append(f"exported {_shown(item)}")


class OtelKind(OtelSpanExporter):
    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self.notes = notes
        self.add_processor(SpanNoting(notes))

    async def export_otel_spans(self, spans: list[OtelSpan]) -> None:
        self.notes.extend(f"exported {_shown(span)}" for span in spans)


class ToName(Processor[IntermediateStep, str]):
    async def process(self, item: IntermediateStep) -> str | None:
        return item.name if item.event_type == "TOOL_END" else None


class AdvancedKind(ProcessingExporter[IntermediateStep, str]):
    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self.notes = notes
        self.add_processor(StepNoting(notes))
        self.add_processor(ToName())

    async def export_processed(self, item: str) -> None:
        self.notes.append(f"exported {type(item).__name__} {item}")


STEPS = ["IntermediateStep TOOL_START search", "IntermediateStep TOOL_END search"]
FLOWS: dict[str, tuple[Callable[[list[str]], BaseExporter], list[str], list[str]]] = {
    "raw": (RawKind, STEPS, STEPS),
    "span": (SpanKind, ["Span search"], ["Span search"]),
    "opentelemetry": (OtelKind, ["Span search"], ["OtelSpan search"]),
    "advanced": (AdvancedKind, STEPS, ["str search"]),
}
"""By kind: the exporter, what passes its processor, and what it exports."""


def _assert_flow(kind: str, notes: list[str]) -> None:
    """These notes are what becomes of one step in an exporter of that kind; each item is processed before it is exported."""
    _, processed, exported = FLOWS[kind]
    assert [note for note in notes if note.startswith("processed")] == [f"processed {item}" for item in processed]
    assert [note for note in notes if note.startswith("exported")] == [f"exported {item}" for item in exported]
    assert notes[0].startswith("processed")
    assert notes[-1].startswith("exported")


@pytest.mark.contract("B5", "S57", "S58", "S59", "S60", "S61")
@pytest.mark.parametrize("kind", FLOWS)
async def test_each_kind_of_exporter_has_its_flow(kind: str) -> None:
    """Step, or step and span; pipeline; what comes out of it; export."""
    notes: list[str] = []

    async with FLOWS[kind][0](notes).start():
        emit("search", "TOOL", input="q", output="found")

    _assert_flow(kind, notes)


@pytest.mark.contract("B4", "S56")
def test_one_stream_feeds_all_kinds() -> None:
    """Workflow, event stream, exporters of every kind side by side, each with a pipeline of its own."""
    notes: dict[str, list[str]] = {kind: [] for kind in FLOWS}
    entries = {kind: registered(partial(build, notes[kind]))() for kind, (build, _, _) in FLOWS.items()}

    with Telemetry(entries) as telemetry, telemetry.run("agent"):
        emit("search", "TOOL", input="q", output="found")

    for kind in FLOWS:
        _assert_flow(kind, [note for note in notes[kind] if note.endswith("search")])


@pytest.mark.contract("B25", "S133", "S134", "S137", "S144")
async def test_batching_in_its_five_steps() -> None:
    """Items come in, are collected, leave as a list by size, pass later processors, and the rest leaves at the end."""
    notes: list[Any] = []

    class Collected(Processor[Span, Span]):
        async def process(self, item: Span) -> Span:
            notes.append(f"came {item.name}")
            return item

    class Later(Processor[list[Span], list[Span]]):
        async def process(self, item: list[Span]) -> list[Span]:
            notes.append(f"batch of {len(item)}")
            return item

    class Batched(SpanExporter[Span, Span]):
        def __init__(self) -> None:
            super().__init__()
            self.add_processor(Collected())
            self.add_processor(BatchingProcessor[Span](batch_size=2, flush_interval=3_600.0))
            self.add_processor(Later())

        async def export_processed(self, item: Span | list[Span]) -> None:
            assert isinstance(item, list)
            notes.append([span.name for span in item])

        async def _cleanup(self) -> None:
            notes.append("cleaned up")
            await super()._cleanup()

    async with Batched().start():
        for name in ("a", "b", "c"):
            emit(name)

    assert [note for note in notes if str(note).startswith("came")] == ["came a", "came b", "came c"]
    rest = [note for note in notes if not str(note).startswith("came")]
    assert rest == ["batch of 2", ["a", "b"], "batch of 1", ["c"], "cleaned up"]
    assert notes.index(["a", "b"]) > notes.index("came b")


@pytest.mark.contract("B29", "S148", "S149", "S150")
async def test_connections_in_their_five_steps() -> None:
    """A pool is opened, the exporter starts inside it, exports share it, the drain comes first, then it is closed."""
    notes: list[str] = []

    class Pool:
        async def __aenter__(self) -> "Pool":
            notes.append("opened")
            return self

        async def __aexit__(self, *exc: object) -> None:
            notes.append("closed")

    class Pooled(SpanExporter[Span, Span]):
        pool: Pool | None = None

        @asynccontextmanager
        async def start(self) -> AsyncIterator[None]:
            async with Pool() as self.pool:
                async with super().start():
                    notes.append("started")
                    yield

        async def export_processed(self, item: Span) -> None:
            notes.append(f"sent {item.name} through {type(self.pool).__name__}")

        async def _cleanup(self) -> None:
            notes.append("cleaned up")
            await super()._cleanup()

    async with Pooled().start():
        emit("a")
        emit("b")

    assert notes == ["opened", "started", "sent a through Pool", "sent b through Pool", "cleaned up", "closed"]


@pytest.mark.contract("B33", "S84", "S87", "S163", "S182", "S183")
def test_a_whole_exporter_in_its_outline() -> None:
    """Configuration, exporter with counters of each run, registration: what is called when, and what is shared."""
    notes: list[str] = []

    class OutlineConfig(TelemetryExporterBaseConfig, name="contract_outline"):
        """A whole exporter."""

        project: str = "default"

    class Outlined(SpanExporter[Span, dict[str, Any]]):
        _sent: IsolatedAttribute[list[str]] = IsolatedAttribute(list)

        def __init__(self, project: str) -> None:
            super().__init__()
            self.project = project

        async def export_processed(self, item: dict[str, Any]) -> None:
            self._sent.append(item["name"])

        async def _flush(self) -> None:
            if self._sent:
                notes.append(f"{self.project} has sent {sorted(self._sent)}")

        async def _cleanup(self) -> None:
            notes.append("cleaned up")
            await super()._cleanup()

    @register_telemetry_exporter(config_type=OutlineConfig)
    async def outlined(config: OutlineConfig, builder: Builder) -> AsyncIterator[Outlined]:
        notes.append("built")
        yield Outlined(config.project)
        notes.append("torn down")

    with Telemetry(OutlineConfig(project="shop")) as telemetry:
        for run, step in (("first", "a"), ("second", "b")):
            with telemetry.run(run):
                emit(step)
            telemetry.flush()

    assert notes == [
        "built",
        "shop has sent ['a', 'first']",
        "shop has sent ['b', 'second']",
        "cleaned up",
        "torn down",
    ]
    assert telemetry.status().exporters["contract_outline"].delivered == 4
