"""Registers the exporter type `galileo`."""

import os
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from nat.cli.register_workflow import register_telemetry_exporter
from nat.plugins.opentelemetry.fields import IS_HEADER, IS_URL, from_variables
from nat.plugins.opentelemetry.settings import OtlpConfig

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.data_models.span import Span
    from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter

__all__ = ["GalileoConfig", "galileo_exporter"]

_CLOUD, _CONSOLE = "https://api.galileo.ai", "app.galileo.ai"
_PATH = "/otel/traces"


def _api_of_console() -> str | None:
    """The API that belongs to the console in GALILEO_CONSOLE_URL, found as Galileo's SDK does."""
    console = os.environ.get("GALILEO_CONSOLE_URL", "").strip()
    return _CLOUD if _CONSOLE in console else console.replace("console", "api") or None


class GalileoConfig(OtlpConfig, name="galileo"):
    """Galileo, in its cloud or a deployment of one's own."""

    route_keys: ClassVar[frozenset[str]] = frozenset(
        {"api_key", "endpoint", "logstream", "project", "resource_attributes"}
    )

    endpoint: Annotated[str, from_variables("GALILEO_API_URL", default=_CLOUD, derived=_api_of_console), IS_URL] = (
        Field(
            default="",
            validate_default=True,
            description="Address of Galileo's API, with or without the path for traces. Empty: GALILEO_API_URL, the API of "
            f"GALILEO_CONSOLE_URL, else {_CLOUD}.",
        )
    )
    api_key: Annotated[str, from_variables("GALILEO_API_KEY")] = Field(
        default="",
        validate_default=True,
        description="API key. Empty: GALILEO_API_KEY. file:PATH is read for every request.",
    )
    project: Annotated[str, from_variables("GALILEO_PROJECT", default="default"), IS_HEADER] = Field(
        default="",
        validate_default=True,
        description="Project that the traces go to. Empty: GALILEO_PROJECT, else default.",
    )
    logstream: Annotated[str, from_variables("GALILEO_LOG_STREAM", default="default"), IS_HEADER] = Field(
        default="",
        validate_default=True,
        description="Log stream in the project. Empty: GALILEO_LOG_STREAM, else default.",
    )

    def own_words(self) -> "Callable[[Span], dict[str, Any]]":
        """Return what says a span in Galileo's own fields."""
        from functools import partial

        from nat.plugins.galileo.attributes import galileo_attributes

        return partial(galileo_attributes, project=self.project, logstream=self.logstream)


@register_telemetry_exporter(config_type=GalileoConfig)
async def galileo_exporter(config: GalileoConfig, builder: "Builder") -> "AsyncIterator[OTLPSpanAdapterExporter]":
    """Build the exporter: OTLP over HTTP in protobuf, with key, project and log stream as headers."""
    from nat.plugins.opentelemetry.preset import otlp_exporter
    from nat.plugins.opentelemetry.vendor_url import vendor_url

    yield otlp_exporter(
        config,
        endpoint=vendor_url(config.endpoint, _PATH),
        headers={"Galileo-API-Key": config.api_key, "project": config.project, "logstream": config.logstream},
        resource_attributes={"galileo.project.name": config.project, "galileo.logstream.name": config.logstream},
        translation=config.own_words(),
    )
