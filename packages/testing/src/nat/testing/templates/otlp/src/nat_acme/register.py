"""Registers the exporter type `acme`; nothing heavy is imported here."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from nat.plugin_api import Builder, register_telemetry_exporter
from nat.plugins.opentelemetry.settings import OtlpConfig
from pydantic import Field, SecretStr

if TYPE_CHECKING:
    from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter


class AcmeConfig(OtlpConfig, name="acme"):
    """Acme, over OTLP."""

    endpoint: str = Field(
        description="URL of the service; /v1/traces is appended.",
        examples=["http://localhost:4318"],
    )
    api_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key, sent as a bearer token; none is sent if it is empty.",
    )
    project: str = Field(default="default", description="Project that traces belong to.")


@register_telemetry_exporter(config_type=AcmeConfig)
async def build_acme(
    config: AcmeConfig,
    builder: Builder,
) -> "AsyncIterator[OTLPSpanAdapterExporter]":
    """Build the exporter: OTLP over HTTP."""
    from nat.plugins.opentelemetry.preset import otlp_exporter

    from nat_acme.attributes import acme_attributes

    key = config.api_key.get_secret_value()
    yield otlp_exporter(
        config,
        endpoint=config.endpoint,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        resource_attributes={"acme.project": config.project},
        translation=acme_attributes,
    )
