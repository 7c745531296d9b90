"""Registers the exporter type `langfuse`."""

import re
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from nat.cli.register_workflow import register_telemetry_exporter
from nat.plugins.opentelemetry.fields import IS_URL, from_variables
from nat.plugins.opentelemetry.settings import OtlpConfig
from nat.plugins.opentelemetry.vendor_url import vendor_url

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.data_models.span import Span
    from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter

__all__ = ["LangfuseConfig", "langfuse_exporter"]

_CLOUD = "https://cloud.langfuse.com"
_PATH = "/api/public/otel/v1/traces"
_ENVIRONMENT = re.compile(r"(?!langfuse)[a-z0-9_-]{0,40}")
_INGESTION_VERSION = "4"  # as the SDK 5.0.4 asks for: traces are there at once, not after minutes


class LangfuseConfig(OtlpConfig, name="langfuse"):
    """Langfuse, in its cloud or self-hosted."""

    route_keys: ClassVar[frozenset[str]] = frozenset(
        {"endpoint", "environment", "public_key", "resource_attributes", "secret_key"}
    )

    endpoint: Annotated[str, from_variables("LANGFUSE_BASE_URL", "LANGFUSE_HOST", default=_CLOUD), IS_URL] = Field(
        default="",
        validate_default=True,
        description="Address of Langfuse, with or without the path for traces. Empty: LANGFUSE_BASE_URL, LANGFUSE_HOST, "
        f"else {_CLOUD}.",
    )
    public_key: Annotated[str, from_variables("LANGFUSE_PUBLIC_KEY")] = Field(
        default="",
        validate_default=True,
        description="Public key of the project. Empty: LANGFUSE_PUBLIC_KEY. file:PATH is read for every request.",
    )
    secret_key: Annotated[str, from_variables("LANGFUSE_SECRET_KEY")] = Field(
        default="",
        validate_default=True,
        description="Secret key of the project. Empty: LANGFUSE_SECRET_KEY. file:PATH is read for every request.",
    )
    environment: Annotated[str, from_variables("LANGFUSE_TRACING_ENVIRONMENT", default="")] = Field(
        default="",
        validate_default=True,
        description="Environment of the traces: small letters, digits, - and _. Empty: LANGFUSE_TRACING_ENVIRONMENT.",
        examples=["production"],
    )
    release: Annotated[str, from_variables("LANGFUSE_RELEASE", default="")] = Field(
        default="", validate_default=True, description="Release of the application. Empty: LANGFUSE_RELEASE."
    )

    @field_validator("environment")
    @classmethod
    def _is_environment(cls, environment: str) -> str:
        if not _ENVIRONMENT.fullmatch(environment):
            raise PydanticCustomError(
                "no_environment",
                "is {environment}, expected up to 40 small letters, digits, - and _, not beginning with langfuse",
                {"environment": repr(environment)},
            )
        return environment

    def own_words(self) -> "Callable[[Span], dict[str, Any]]":
        """Return what says a span in Langfuse's own fields."""
        from functools import partial

        from nat.plugins.langfuse.attributes import langfuse_attributes

        return partial(langfuse_attributes, process=self.process_facts)

    @property
    def process_facts(self) -> dict[str, str]:
        """What is said of the process, as Langfuse has it."""
        facts = {"langfuse.environment": self.environment, "langfuse.release": self.release}
        return {name: value for name, value in facts.items() if value}


@register_telemetry_exporter(config_type=LangfuseConfig)
async def langfuse_exporter(config: LangfuseConfig, builder: "Builder") -> "AsyncIterator[OTLPSpanAdapterExporter]":
    """Build the exporter: OTLP over HTTP, with HTTP Basic authentication by the two keys."""
    from base64 import b64encode
    from importlib.metadata import version

    from nat.plugins.opentelemetry.credentials import FILE_PREFIX, resolved
    from nat.plugins.opentelemetry.preset import otlp_exporter

    software = {"x-langfuse-sdk-name": "nat-telemetry", "x-langfuse-sdk-version": version("nat-telemetry-langfuse")}

    def headers() -> dict[str, str]:
        public_key, secret_key = resolved(config.public_key), resolved(config.secret_key)
        return {
            "Authorization": f"Basic {b64encode(f'{public_key}:{secret_key}'.encode()).decode()}",
            "x-langfuse-public-key": public_key,
            "x-langfuse-ingestion-version": _INGESTION_VERSION,
            **software,
        }

    is_in_file = config.public_key.startswith(FILE_PREFIX) or config.secret_key.startswith(FILE_PREFIX)
    yield otlp_exporter(
        config,
        endpoint=vendor_url(config.endpoint, _PATH),
        headers=headers if is_in_file else headers(),  # files are read for each request, on another thread
        resource_attributes=config.process_facts,
        translation=config.own_words(),
    )
