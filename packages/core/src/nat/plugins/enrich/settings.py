"""Settings of the processor `enrich`."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig

__all__ = ["EnrichConfig", "PriceConfig", "PricesConfig"]

_Value = str | bool | int | float | list[str] | list[bool] | list[int] | list[float]


class PriceConfig(BaseModel):
    """Prices of one model, each for a million tokens."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    input: float = Field(ge=0, allow_inf_nan=False, description="Tokens of the prompt.")
    output: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="Tokens of the completion; embeddings have none."
    )
    cached_input: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Tokens of the prompt that come from the provider's cache; null: as input.",
    )
    cache_write: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Tokens of the prompt that are written to that cache; null: as input.",
    )
    reasoning: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="Tokens spent on reasoning; null: as output."
    )


class PricesConfig(BaseModel):
    """What models cost."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    models: dict[str, PriceConfig] = Field(
        min_length=1, description="Prices by the model's name, or by a pattern, as gpt-4o-mini*."
    )
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="Of the prices, as ISO 4217 has it.")
    usd_rate: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="US dollars for one unit of another currency; llm.cost.* is in US dollars.",
    )

    @model_validator(mode="after")
    def _has_rate(self) -> Self:
        if self.currency == "USD" and self.usd_rate is not None:
            raise PydanticCustomError("no_rate", "usd_rate is for other currencies than USD; remove it")
        if self.currency != "USD" and self.usd_rate is None:
            raise PydanticCustomError(
                "no_rate", "prices in {currency} need usd_rate, US dollars for one of it", {"currency": self.currency}
            )
        return self


def _table(value: Any) -> Any:
    """What a file of prices holds, if the value names one."""
    if not isinstance(value, str):
        return value
    import yaml

    try:
        return yaml.safe_load(Path(value).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        message = "cannot read the prices in {file}: {reason}"
        raise PydanticCustomError("no_prices", message, {"file": repr(value), "reason": reason}) from None


class EnrichConfig(TelemetryProcessorBaseConfig, name="enrich"):
    """Adds attributes: environment, resource, git revision, values of your own, costs of model calls, totals of runs."""

    environment: str | None = Field(
        default=None, min_length=1, description="The deployment environment, as deployment.environment.name."
    )
    resource: bool = Field(
        default=False,
        description="Whether what identifies the process is added: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, host, process, "
        "Python.",
    )
    git: bool | str = Field(
        default=False,
        description="Whether the git revision is added, of the working directory, or of the directory that is named.",
    )
    attributes: dict[str, _Value] = Field(default_factory=dict, description="Values that every item gets.")
    computed: dict[str, str] = Field(
        default_factory=dict,
        description="Values made of others: texts with references in braces, as {metadata.tenant} or {llm.model_name:-none}.",
    )
    prices: Annotated[PricesConfig | None, BeforeValidator(_table)] = Field(
        default=None, description="What models cost, so that llm.cost.* is added: a mapping, or a YAML file with one."
    )
    roll_up: bool = Field(
        default=False, description="Whether a run's root gets its tokens, costs, calls and errors in sum, as nat.run.*."
    )

    @field_validator("attributes", "computed")
    @classmethod
    def _have_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        if not all(key.strip() for key in values):
            raise PydanticCustomError("no_name", "an attribute has no name")
        return values

    @field_validator("computed")
    @classmethod
    def _are_templates(cls, templates: dict[str, str]) -> dict[str, str]:
        from nat.observability.processor.template import Template

        for key, template in templates.items():
            try:
                Template(template)
            except ValueError as error:
                message = "{key}: {reason}"
                raise PydanticCustomError("bad_template", message, {"key": key, "reason": str(error)}) from None
        return templates

    @model_validator(mode="after")
    def _adds_something(self) -> Self:
        if not any(value for _, value in self):
            names = ", ".join(type(self).model_fields)
            raise PydanticCustomError(
                "adds_nothing", "adds nothing, expected at least one of: {names}", {"names": names}
            )
        return self
