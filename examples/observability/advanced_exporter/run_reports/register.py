"""Registration: the settings of `run_reports`, and how it is built from them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, SecretStr

from nat.plugin_api import Builder, TelemetryExporterBaseConfig, register_telemetry_exporter

if TYPE_CHECKING:
    from run_reports.exporter import RunReportExporter


class RunReportsConfig(TelemetryExporterBaseConfig, name="run_reports"):
    """One report for each run: to an archive, and to an alert channel if somebody should look at it."""

    archive_url: str = Field(description="Gets the report of every run, as JSON.")
    alert_url: str = Field(description="Gets those that have something under `alerts`.")
    api_key: SecretStr = Field(default=SecretStr(""), description="Sent to both as a bearer token; none if empty.")
    dead_letters: Path = Field(
        default=Path("run-reports.dead.jsonl"), description="File for reports that a target did not take."
    )
    token_budget: int | None = Field(default=None, ge=1, description="Tokens beyond which a run is alerted.")
    repeats: int = Field(
        default=3, ge=2, description="Calls of one tool with the same input, in one run, that are taken for a loop."
    )
    timeout: float = Field(default=10.0, gt=0, description="Seconds that one request may take.")
    breaker_failures: int = Field(
        default=3, ge=1, description="Failures of a target in a row after which it is left alone."
    )
    breaker_open_for: float = Field(
        default=30.0, gt=0, description="Seconds for which it is, until one request tries again."
    )


@register_telemetry_exporter(config_type=RunReportsConfig)
async def run_reports(config: RunReportsConfig, builder: Builder) -> "AsyncIterator[RunReportExporter]":
    from run_reports.exporter import RunReportExporter

    yield RunReportExporter(config)
