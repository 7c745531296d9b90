"""Registers the exporter type `acme`; nothing heavy is imported here."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from nat.plugin_api import Builder, TelemetryExporterBaseConfig, register_telemetry_exporter
from pydantic import Field

if TYPE_CHECKING:
    from nat_acme.exporter import AcmeExporter


class AcmeConfig(TelemetryExporterBaseConfig, name="acme"):
    """Acme: every step as a line of JSON, in a file."""

    path: Path = Field(description="File that lines are appended to.", examples=["acme.jsonl"])


@register_telemetry_exporter(config_type=AcmeConfig)
async def build_acme(
    config: AcmeConfig,
    builder: Builder,
) -> "AsyncIterator[AcmeExporter]":
    """Build the exporter."""
    from nat_acme.exporter import AcmeExporter

    yield AcmeExporter(config.path)
