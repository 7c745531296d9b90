"""Registers the processor type `acme`; nothing heavy is imported here."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from nat.plugin_api import Builder, TelemetryProcessorBaseConfig, register_telemetry_processor
from pydantic import Field

if TYPE_CHECKING:
    from nat_acme.processor import AcmeProcessor


class AcmeConfig(TelemetryProcessorBaseConfig, name="acme"):
    """Acme: says on every span which team it belongs to."""

    team: str = Field(description="Name of the team.", examples=["search"])


@register_telemetry_processor(config_type=AcmeConfig)
async def build_acme(
    config: AcmeConfig,
    builder: Builder,
) -> "AsyncIterator[AcmeProcessor]":
    """Build the processor."""
    from nat_acme.processor import AcmeProcessor

    yield AcmeProcessor(config.team)
