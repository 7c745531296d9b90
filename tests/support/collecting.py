"""Exporters that keep what they get, and short ways to push steps at them."""

import itertools
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

from nat.builder.builder import Builder
from nat.builder.context import Context
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.intermediate_step import (
    IntermediateStep,
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
)
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability.exporter.base_exporter import BaseExporter
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.exporter.span_exporter import SpanExporter
from tests.support.waiting import PATIENCE_S

__all__ = [
    "DictCollector",
    "Received",
    "SpanCollector",
    "StepCollector",
    "emit",
    "push",
    "registered",
    "step",
    "types_and_names",
]


T = TypeVar("T")

_numbers = itertools.count(1)


class Received(Generic[T]):
    """Items in the order in which they came; can be waited for. Thread-safe."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._changed = threading.Condition()
        self._awaited: list[int] = []

    @property
    def items(self) -> list[T]:
        with self._changed:
            return list(self._items)

    def add(self, item: T) -> None:
        with self._changed:
            self._items.append(item)
            if len(self._items) in self._awaited:  # else whoever waits would be woken by every item
                self._changed.notify_all()

    def wait_for(self, count: int) -> list[T]:
        """Block until there are `count` items."""
        with self._changed:
            self._awaited.append(count)
            has_come = self._changed.wait_for(lambda: len(self._items) >= count, PATIENCE_S)
            self._awaited.remove(count)
            assert has_come, f"{len(self._items)} of {count} items came: {self._items!r}"
            return list(self._items)

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)


class StepCollector(RawExporter[IntermediateStep, IntermediateStep]):
    """Keeps steps."""

    def __init__(self, received: Received[IntermediateStep] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.received = Received[IntermediateStep]() if received is None else received

    async def export_processed(self, item: IntermediateStep) -> None:
        self.received.add(item)


class SpanCollector(SpanExporter[Span, Span]):
    """Keeps spans."""

    def __init__(self, received: Received[Span] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.received = Received[Span]() if received is None else received

    async def export_processed(self, item: Span) -> None:
        self.received.add(item)

    def by_name(self) -> dict[str, Span]:
        spans = {span.name: span for span in self.received.items}
        assert len(spans) == len(self.received), "span names are not unique"
        return spans


class DictCollector(SpanExporter[Span, dict[str, Any]]):
    """Keeps the dicts that spans are turned into; adds no processor of its own."""

    def __init__(self, received: Received[dict[str, Any]] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.received = Received[dict[str, Any]]() if received is None else received

    async def export_processed(self, item: dict[str, Any]) -> None:
        self.received.add(item)


def push(event_type: str, name: str | None = None, *, uuid: str | None = None, **fields: Any) -> str:
    """Push one event; `input=`, `output=` and `chunk=` go to its data. Returns the step's UUID."""
    data = {key: fields.pop(key) for key in ("input", "output", "chunk") if key in fields}
    if data:
        fields["data"] = StreamEventData(**data)
    if uuid is not None:
        fields["UUID"] = uuid
    payload = IntermediateStepPayload(event_type=IntermediateStepType(event_type), name=name, **fields)
    Context.get().intermediate_step_manager.push_intermediate_step(payload)
    return payload.UUID


def emit(name: str, category: str = "FUNCTION", **fields: Any) -> str:
    """Push a whole step: START with `input=`, END with everything else. Returns its UUID."""
    start = {"input": fields.pop("input")} if "input" in fields else {}
    uuid = push(f"{category}_START", name, **start)
    return push(f"{category}_END", name, uuid=uuid, **fields)


def step(event_type: str = "FUNCTION_START", name: str | None = "work", **fields: Any) -> IntermediateStep:
    """A step that nobody pushed."""
    payload = IntermediateStepPayload(event_type=IntermediateStepType(event_type), name=name, **fields)
    return IntermediateStep(parent_id="root", payload=payload)


def types_and_names(steps: list[IntermediateStep]) -> list[tuple[str, str | None]]:
    return [(str(item.event_type), item.name) for item in steps]


def registered(build: Callable[[], BaseExporter]) -> type[TelemetryExporterBaseConfig]:
    """A config class of a type of its own, whose exporter is what `build()` returns."""

    class Config(TelemetryExporterBaseConfig, name=f"contract_{next(_numbers)}"):
        """Made by a test."""

    @register_telemetry_exporter(config_type=Config)
    async def build_exporter(config: Config, builder: Builder) -> AsyncIterator[BaseExporter]:
        yield build()

    return Config
