"""Registers the processor type `sample`."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability.registry import register_telemetry_processor

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.observability.processor.sample_processor import SampleProcessor

__all__ = ["KeepConfig", "SampleConfig", "sample_processor"]


class KeepConfig(BaseModel):
    """Which runs are kept whatever the ratio: those that are any of it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    errors: bool = Field(default=False, description="Runs in which something failed.")
    min_duration_s: float | None = Field(default=None, gt=0, description="Runs that took at least so long.")
    min_tokens: int | None = Field(default=None, gt=0, description="Runs with at least so many tokens in all.")
    min_cost: float | None = Field(
        default=None,
        gt=0,
        description="Runs whose spans' llm.cost.total adds up to so much or more; for exporters of spans only.",
    )
    first_per_minute: int = Field(
        default=0, ge=0, description="So many first runs of each minute, for each process and exporter."
    )


def _errors_alone(value: Any) -> Any:
    return {"errors": True} if value == "errors" else value


def _not_a_flag(value: Any) -> Any:
    """`sample: off` is a mistake, and not a share of 0."""
    if isinstance(value, bool):
        raise ValueError(f"is {str(value).lower()}, expected a share from 0 to 1; leave it out to send all runs")
    return value


class SampleConfig(TelemetryProcessorBaseConfig, name="sample"):
    """Sends a share of the runs, each run whole, and those that failed, were slow or expensive, or came first."""

    ratio: Annotated[float, BeforeValidator(_not_a_flag)] = Field(
        ge=0, le=1, description="Share of runs that are sent, the same ones in all processes.", examples=[0.1]
    )
    keep: Annotated[KeepConfig, BeforeValidator(_errors_alone)] = Field(
        default_factory=KeepConfig,
        description="Which others are sent, too: `errors`, or a mapping; its numbers are the least for which a run is kept.",
    )  # fmt: skip
    max_held_items: int = Field(
        default=20_000, ge=1, description="Items that wait for the end of their runs; beyond, the oldest run is sent."
    )
    max_held_bytes: int = Field(default=64 * 1024 * 1024, ge=1, description="The same in bytes of what was captured.")


@register_telemetry_processor(config_type=SampleConfig)
async def sample_processor(config: SampleConfig, builder: "Builder") -> "AsyncIterator[SampleProcessor[Any]]":
    """Build the processor."""
    from nat.data_models.intermediate_step import IntermediateStep
    from nat.data_models.span import Span
    from nat.observability.processor.sample_processor import KeepRules, SampleProcessor

    rules = KeepRules(**config.keep.model_dump())
    kind = SampleProcessor[Span | IntermediateStep] if rules.min_cost is None else SampleProcessor[Span]
    yield kind(config.ratio, rules, max_held_items=config.max_held_items, max_held_bytes=config.max_held_bytes)
