"""Registers the exporter type `console`."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability.registry import register_telemetry_exporter

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.plugins.console.exporter import ConsoleExporter

__all__ = ["ConsoleConfig", "console_exporter"]


class ConsoleConfig(TelemetryExporterBaseConfig, name="console"):
    """Draws each run as a tree: live on a terminal, as plain lines elsewhere."""

    prefix: str = Field(default="", description="Text in front of every line.")
    stream: Literal["stderr", "stdout"] = Field(default="stderr", description="Where to draw.")
    live: bool = Field(
        default=True, description="Whether trees are drawn while they grow; only where they can be, on a terminal."
    )
    color: Literal["auto", "always", "never"] = Field(
        default="auto", description="auto: on a terminal, unless NO_COLOR is set; always: in files and pipes too."
    )
    max_content_chars: int = Field(
        default=0, ge=0, description="Characters of each step's input and output that are shown; 0 shows none."
    )

    def item_kind(self) -> Literal["steps"]:
        """Return what it is given."""
        return "steps"


@register_telemetry_exporter(config_type=ConsoleConfig)
async def console_exporter(config: ConsoleConfig, builder: "Builder") -> "AsyncIterator[ConsoleExporter]":
    """Build the exporter."""
    from nat.plugins.console.exporter import ConsoleExporter

    yield ConsoleExporter(
        prefix=config.prefix,
        stream=config.stream,
        live=config.live,
        color=config.color,
        max_content_chars=config.max_content_chars,
    )
