"""Registers the processor type `filter`."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from nat.data_models.span_names import SpanKind
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability.registry import register_telemetry_processor

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.observability.processor.condition import Condition
    from nat.observability.processor.filter_processor import FilterProcessor

__all__ = ["FilterConfig", "WhenConfig", "filter_processor"]


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _kinds(value: Any) -> Any:
    return [kind.upper() if isinstance(kind, str) else kind for kind in _listed(value)]


_Patterns = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
_Kinds = Annotated[list[SpanKind], BeforeValidator(_kinds), Field(min_length=1)]


class WhenConfig(BaseModel):
    """Which items a rule is for: those that are all that is said. A list is for items that are any of it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    kind: _Kinds | None = Field(default=None, description="Its span kind is one of these.")
    name: _Patterns | None = Field(default=None, description="Its name matches one of these patterns.")
    tag: _Patterns | None = Field(default=None, description="One of its tags, or of its run's, does.")
    workflow: _Patterns | None = Field(default=None, description="The name of its run does.")
    tenant: _Patterns | None = Field(default=None, description="`tenant` in the metadata of its run does.")
    status: Literal["ok", "error"] | None = Field(
        default=None, description="It has failed, or has not; finished spans only."
    )
    min_duration_s: float | None = Field(
        default=None, ge=0, description="It took at least so long; finished spans only."
    )
    max_duration_s: float | None = Field(
        default=None, ge=0, description="It took at most so long; finished spans only."
    )
    attribute: dict[str, _Patterns] = Field(
        default_factory=dict, description="It has these attributes (a step: metadata), each with one of these patterns."
    )

    @model_validator(mode="after")
    def _check(self) -> "WhenConfig":
        if not self.model_dump(exclude_none=True, exclude_defaults=True):
            raise ValueError(f"is empty, expected at least one of: {', '.join(type(self).model_fields)}")
        least, most = self.min_duration_s, self.max_duration_s
        if least is not None and most is not None and least > most:
            raise ValueError(f"min_duration_s {least:g} is more than max_duration_s {most:g}, so nothing would match")
        return self

    @property
    def is_of_spans(self) -> bool:
        """Whether only a finished span says it."""
        return not (self.status is None and self.min_duration_s is None and self.max_duration_s is None)

    def condition(self) -> "Condition":
        """What it says, ready to be used."""
        from nat.observability.processor.condition import Condition, Globs

        def globs(patterns: list[str] | None) -> Globs | None:
            return None if patterns is None else Globs(patterns)

        return Condition(
            kinds=None if self.kind is None else frozenset(self.kind),
            name=globs(self.name),
            tag=globs(self.tag),
            workflow=globs(self.workflow),
            tenant=globs(self.tenant),
            is_failed=None if self.status is None else self.status == "error",
            min_duration_s=self.min_duration_s,
            max_duration_s=self.max_duration_s,
            attributes={key: Globs(patterns) for key, patterns in self.attribute.items()},
        )


class FilterConfig(TelemetryProcessorBaseConfig, name="filter"):
    """Drops spans or steps, or keeps only these: by kind, name, tag, workflow, tenant, status, duration or attribute."""

    action: Literal["keep", "drop"] = Field(
        description="drop: what `when` is for does not leave; keep: nothing else does.", examples=["drop"]
    )
    when: WhenConfig = Field(
        description="All that an item must be; patterns may hold * and ?, a list is for any of them.",
        examples=[{"kind": ["EMBEDDING"]}],
    )


@register_telemetry_processor(config_type=FilterConfig)
async def filter_processor(config: FilterConfig, builder: "Builder") -> "AsyncIterator[FilterProcessor[Any]]":
    """Build the processor."""
    from nat.data_models.intermediate_step import IntermediateStep
    from nat.data_models.span import Span
    from nat.observability.processor.filter_processor import FilterProcessor

    kind = FilterProcessor[Span] if config.when.is_of_spans else FilterProcessor[Span | IntermediateStep]
    yield kind(config.when.condition(), config.action)
