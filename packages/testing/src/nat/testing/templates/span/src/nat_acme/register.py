"""Registers the exporter type `acme`; nothing heavy is imported here."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from nat.plugin_api import (
    Builder,
    DeliveryConfigMixin,
    TelemetryExporterBaseConfig,
    register_telemetry_exporter,
)
from pydantic import Field, SecretStr

if TYPE_CHECKING:
    from nat_acme.exporter import AcmeExporter


class AcmeConfig(DeliveryConfigMixin, TelemetryExporterBaseConfig, name="acme"):
    """Acme: each span as JSON, over HTTP."""

    endpoint: str = Field(
        description="URL that spans are posted to.",
        examples=["http://localhost:8080/spans"],
    )
    api_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key, sent as a bearer token; none is sent if it is empty.",
    )


@register_telemetry_exporter(config_type=AcmeConfig)
async def build_acme(
    config: AcmeConfig,
    builder: Builder,
) -> "AsyncIterator[AcmeExporter]":
    """Build the exporter."""
    from nat_acme.exporter import AcmeExporter

    yield AcmeExporter(config.endpoint, config.api_key.get_secret_value())
