"""Registration: the settings of `duckdb`, and how the exporter is built from them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from nat.plugin_api import BatchConfigMixin, Builder, TelemetryExporterBaseConfig, register_telemetry_exporter

if TYPE_CHECKING:
    from nat_duckdb.exporter import DuckdbExporter


class DuckdbConfig(BatchConfigMixin, TelemetryExporterBaseConfig, name="duckdb"):
    """Traces in a DuckDB file: a table of spans, and one of their events."""

    path: Path = Field(default=Path("traces.duckdb"), description="The file; made, with its folder, if it is missing.")


@register_telemetry_exporter(config_type=DuckdbConfig)
async def duckdb(config: DuckdbConfig, builder: Builder) -> "AsyncIterator[DuckdbExporter]":
    from nat_duckdb.exporter import DuckdbExporter

    yield DuckdbExporter(config)
