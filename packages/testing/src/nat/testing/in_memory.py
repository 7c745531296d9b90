"""In memory: an exporter that keeps spans, and a recording of what an agent does, for tests of agents."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry, exporter_entry
from nat.observability.exporter.base_exporter import BaseExporter
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.registry import ExporterEntry, register_telemetry_exporter
from nat.testing.facts import Tree, tree_of

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
    from nat.observability.manager import RunScope
    from nat.observability.redaction.settings import RedactConfig, RedactProfile

__all__ = ["InMemoryConfig", "InMemoryExporter", "InMemoryStepConfig", "InMemoryStepExporter", "Recording", "entry_of"]

_FLUSH_S = 20.0


class InMemoryConfig(TelemetryExporterBaseConfig, name="in_memory"):
    """Keeps spans in memory, for tests."""

    route_keys: ClassVar[frozenset[str]] = frozenset({"project"})

    project: str = Field(default="", description="Whose they are; nothing is made of it.")


class InMemoryStepConfig(TelemetryExporterBaseConfig, name="in_memory_steps"):
    """Keeps steps in memory, for tests."""

    route_keys: ClassVar[frozenset[str]] = frozenset({"project"})

    project: str = Field(default="", description="Whose they are; nothing is made of it.")


class InMemoryExporter(SpanExporter[Span, Span]):
    """Keeps spans. `Telemetry(InMemoryExporter().entry())` sends to it; or a test starts it itself."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[Span] = []

    @property
    def items(self) -> list[Span]:
        """What it was given so far, in that order."""
        return list(self._kept)

    @property
    def spans(self) -> list[Span]:
        """The same by start time."""
        return sorted(self._kept, key=lambda span: span.start_time)

    def clear(self) -> None:
        """Forget them."""
        self._kept.clear()

    def entry(self, name: str = "memory", **settings: Any) -> ExporterEntry:
        """This exporter for `Telemetry`; settings as those of `nat.observability.exporter_entry`."""
        return entry_of(self, name, **settings)

    async def export_processed(self, item: Span) -> None:
        """Keep a span."""
        self._kept.append(item)


class InMemoryStepExporter(RawExporter[IntermediateStep, IntermediateStep]):
    """Keeps steps, as `InMemoryExporter` does spans."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[IntermediateStep] = []

    @property
    def items(self) -> list[IntermediateStep]:
        """What it was given so far, in that order."""
        return list(self._kept)

    async def export_processed(self, item: IntermediateStep) -> None:
        """Keep a step."""
        self._kept.append(item)


@register_telemetry_exporter(config_type=InMemoryConfig)
async def in_memory(config: InMemoryConfig, builder: "Builder") -> AsyncIterator[InMemoryExporter]:
    """Build an exporter of spans."""
    yield InMemoryExporter()


@register_telemetry_exporter(config_type=InMemoryStepConfig)
async def in_memory_steps(config: InMemoryStepConfig, builder: "Builder") -> AsyncIterator[InMemoryStepExporter]:
    """Build an exporter of steps."""
    yield InMemoryStepExporter()


def entry_of(exporter: BaseExporter, name: str, **settings: Any) -> ExporterEntry:
    """An exporter that exists already, for `Telemetry`, which uses copies of it that share what it holds."""
    entry = exporter_entry(InMemoryConfig(), name=name, **settings)

    def build(config: Any, builder: Any = None) -> Any:
        return nullcontext(copy(exporter))

    return replace(entry, registration=replace(entry.registration, build=build))  # type: ignore[arg-type]


class Recording:
    """What an agent does, recorded: runs, and steps outside of any, as spans. Use it with `with`.

    Args:
        redact: What is taken out: as in production `"secrets"`, unless given.
        processors: Configs of processors that spans pass first.

    Attributes:
        telemetry: What it records with.
    """

    def __init__(
        self,
        *,
        redact: "RedactConfig | RedactProfile | None" = None,
        processors: "Sequence[TelemetryProcessorBaseConfig]" = (),
    ) -> None:
        self._exporter = InMemoryExporter()
        self.telemetry = Telemetry(self._exporter.entry(redact=redact, processors=processors))

    def run(self, name: str = "test", **settings: Any) -> "RunScope":
        """A run, as `Telemetry.run` opens it; not needed around code that opens one itself with `self.telemetry`."""
        return self.telemetry.run(name, **settings)

    @property
    def spans(self) -> list[Span]:
        """The spans of all steps that have ended, by start time; waits until they are here.

        Raises:
            AssertionError: They do not come.
        """
        status = self.telemetry.flush(_FLUSH_S).exporters["memory"]
        assert status.pending == 0, f"{status.pending} spans are still on their way after {_FLUSH_S:g} s"
        return self._exporter.spans

    def span(self, name: str) -> Span:
        """The span of that name.

        Raises:
            AssertionError: There is none, or more than one.
        """
        spans = self.spans
        named = [span for span in spans if span.name == name]
        assert len(named) == 1, f"{len(named)} spans are called {name!r}; there are: {[span.name for span in spans]}"
        return named[0]

    @property
    def trees(self) -> list[Tree]:
        """The names of the spans as trees, one for each trace, in the order in which they began."""
        by_trace: dict[int, list[_Named]] = defaultdict(list)
        for span in self.spans:
            by_trace[span.context.trace_id].append(_Named(span))
        return [tree_of(spans) for spans in by_trace.values()]

    @property
    def tree(self) -> Tree:
        """The names of the spans of the only trace, as a tree: `("run", (("step", ()),))`.

        Raises:
            AssertionError: There is not just one trace.
        """
        trees = self.trees
        assert len(trees) == 1, f"there are {len(trees)} traces, expected one: {trees}"
        return trees[0]

    def clear(self) -> None:
        """Forget what was recorded so far."""
        self.telemetry.flush(_FLUSH_S)
        self._exporter.clear()

    def __enter__(self) -> Self:
        self.telemetry.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.telemetry.close(_FLUSH_S)


@dataclass(frozen=True, slots=True)
class _Named:
    """A span as a node of a tree."""

    span: Span

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def span_id(self) -> str:
        return f"{self.span.context.span_id:016x}"

    @property
    def parent_id(self) -> str | None:
        parent_id = self.span.context.parent_span_id
        return None if parent_id is None else f"{parent_id:016x}"
