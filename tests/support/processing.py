"""Processors under types of their own, for tests."""

import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_processor
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability.processor.processor import Processor

__all__ = ["SpanFunction", "StepFunction", "registered_processor"]

_numbers = itertools.count(1)


class SpanFunction(Processor[Span, Span]):
    """A function of a span."""

    def __init__(self, function: Callable[[Span], Any]) -> None:
        self._function = function

    async def process(self, item: Span) -> Span | None:
        result: Span | None = self._function(item)
        return result


class StepFunction(Processor[IntermediateStep, IntermediateStep]):
    """A function of a step."""

    def __init__(self, function: Callable[[IntermediateStep], Any]) -> None:
        self._function = function

    async def process(self, item: IntermediateStep) -> IntermediateStep | None:
        result: IntermediateStep | None = self._function(item)
        return result


def registered_processor(build: Callable[[], Processor[Any, Any]]) -> type[TelemetryProcessorBaseConfig]:
    """A config class of a type of its own, whose processor is what `build()` returns."""

    class Config(TelemetryProcessorBaseConfig, name=f"made_{next(_numbers)}"):
        """Made by a test."""

    @register_telemetry_processor(config_type=Config)
    async def build_processor(config: Config, builder: Builder) -> AsyncIterator[Processor[Any, Any]]:
        yield build()

    return Config
