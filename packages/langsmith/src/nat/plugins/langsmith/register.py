"""Registers the exporter type `langsmith`."""

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

__all__ = ["LangsmithConfig", "langsmith_exporter"]

_CLOUD = "https://api.smith.langchain.com"
_PATH = "/otel/v1/traces"


class LangsmithConfig(OtlpConfig, name="langsmith"):
    """LangSmith, in its cloud or self-hosted."""

    route_keys: ClassVar[frozenset[str]] = frozenset(
        {"api_key", "endpoint", "project", "resource_attributes", "workspace_id"}
    )

    endpoint: Annotated[str, from_variables("LANGSMITH_ENDPOINT", "LANGCHAIN_ENDPOINT", default=_CLOUD), IS_URL] = (
        Field(
            default="",
            validate_default=True,
            description="Address of LangSmith's API, with or without the path for traces. Empty: LANGSMITH_ENDPOINT, "
            f"LANGCHAIN_ENDPOINT, else {_CLOUD}.",
        )
    )
    api_key: Annotated[str, from_variables("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY")] = Field(
        default="",
        validate_default=True,
        description="API key. Empty: LANGSMITH_API_KEY, LANGCHAIN_API_KEY. file:PATH is read for every request.",
    )
    project: Annotated[str, from_variables("LANGSMITH_PROJECT", "LANGCHAIN_PROJECT", default="default"), IS_HEADER] = (
        Field(
            default="",
            validate_default=True,
            description="Project that the traces go to; it is created if there is none. Empty: LANGSMITH_PROJECT, "
            "LANGCHAIN_PROJECT, else default.",
        )
    )
    workspace_id: Annotated[
        str, from_variables("LANGSMITH_WORKSPACE_ID", "LANGCHAIN_WORKSPACE_ID", default=""), IS_HEADER
    ] = Field(
        default="",
        validate_default=True,
        description="Workspace, for keys that are good for several. Empty: LANGSMITH_WORKSPACE_ID, LANGCHAIN_WORKSPACE_ID.",
    )

    def own_words(self) -> "Callable[[Span], dict[str, Any]]":
        """Return what says a span in LangSmith's own fields."""
        from functools import partial

        from nat.plugins.langsmith.attributes import langsmith_attributes

        process = {
            "environment": self.resource_attributes.get("deployment.environment.name"),
            "revision_id": self.resource_attributes.get("service.version"),
        }
        return partial(langsmith_attributes, project=self.project, process=process)


@register_telemetry_exporter(config_type=LangsmithConfig)
async def langsmith_exporter(config: LangsmithConfig, builder: "Builder") -> "AsyncIterator[OTLPSpanAdapterExporter]":
    """Build the exporter: OTLP over HTTP, with the key as a header."""
    from nat.plugins.opentelemetry.preset import otlp_exporter
    from nat.plugins.opentelemetry.vendor_url import vendor_url

    workspace = {"X-Tenant-Id": config.workspace_id} if config.workspace_id else {}
    yield otlp_exporter(
        config,
        endpoint=vendor_url(config.endpoint, _PATH),
        headers={"x-api-key": config.api_key, "Langsmith-Project": config.project, **workspace},
        translation=config.own_words(),
    )
