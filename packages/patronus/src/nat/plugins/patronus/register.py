"""Registers the exporter type `patronus`."""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.conventions import WITH_OPENINFERENCE, Conventions
from nat.plugins.opentelemetry.fields import IS_ADDRESS, IS_HEADER, from_variables
from nat.plugins.opentelemetry.settings import OtlpConfig

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.data_models.span import Span
    from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter

__all__ = ["PatronusConfig", "patronus_exporter"]

_GRPC, _HTTP = "https://otel.patronus.ai:4317", "https://otel.patronus.ai/v1/traces"


class PatronusConfig(OtlpConfig, name="patronus"):
    """Patronus, over gRPC or HTTP."""

    route_keys: ClassVar[frozenset[str]] = frozenset({"api_key", "app", "endpoint", "project", "resource_attributes"})

    endpoint: Annotated[str, from_variables("PATRONUS_OTEL_ENDPOINT", default=_GRPC), IS_ADDRESS] = Field(
        default="",
        validate_default=True,
        description="Where to send; over HTTP with or without the path /v1/traces. Empty: PATRONUS_OTEL_ENDPOINT, else "
        f"{_GRPC}, and over HTTP {_HTTP}.",
    )
    api_key: Annotated[str, from_variables("PATRONUS_API_KEY")] = Field(
        default="",
        validate_default=True,
        description="API key. Empty: PATRONUS_API_KEY. file:PATH is read for every request.",
    )
    project: Annotated[str, from_variables("PATRONUS_PROJECT_NAME", default="Global"), IS_HEADER] = Field(
        default="",
        validate_default=True,
        description="Project that the traces go to. Empty: PATRONUS_PROJECT_NAME, else Global.",
    )
    app: Annotated[str, from_variables("PATRONUS_APP", default="default")] = Field(
        default="", validate_default=True, description="App in the project. Empty: PATRONUS_APP, else default."
    )
    protocol: Annotated[
        Literal["grpc", "http", "http/protobuf"] | None,
        from_variables("PATRONUS_OTEL_EXPORTER_OTLP_PROTOCOL", default="grpc"),
    ] = Field(
        default=None,
        validate_default=True,
        description="http is http/protobuf. Unset: PATRONUS_OTEL_EXPORTER_OTLP_PROTOCOL, else grpc.",
    )

    def spoken_conventions(self) -> tuple[Conventions, ...]:
        """Return those with OpenInference's names in them: Patronus documents no others."""
        return WITH_OPENINFERENCE

    def own_words(self) -> "Callable[[Span], dict[str, Any]]":
        """Return what says a span in Patronus's own fields."""
        from functools import partial

        from nat.plugins.patronus.attributes import patronus_attributes

        return partial(patronus_attributes, project=self.project, app=self.app)


@register_telemetry_exporter(config_type=PatronusConfig)
async def patronus_exporter(config: PatronusConfig, builder: "Builder") -> "AsyncIterator[OTLPSpanAdapterExporter]":
    """Build the exporter: OTLP over gRPC or HTTP, with the key as metadata or header."""
    from nat.plugins.opentelemetry.preset import otlp_exporter

    protocol = config.protocol or "grpc"
    yield otlp_exporter(
        config,
        endpoint=_HTTP if protocol != "grpc" and config.endpoint == _GRPC else config.endpoint,
        headers={"x-api-key": config.api_key, "pat-project-name": config.project},
        protocol=protocol,
        translation=config.own_words(),
    )
