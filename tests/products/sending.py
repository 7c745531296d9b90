"""Sending: recorded runs to a product, and into a file beside it that tells what was sent."""

from collections.abc import Iterable
from pathlib import Path

from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry
from nat.plugins.file.register import FileConfig
from nat.testing import RecordedRun, replay
from tests.products.shown import ShownSpan, read_spans

__all__ = ["send"]

_TIMEOUT_S = 90.0


def send(runs: Iterable[RecordedRun], config: TelemetryExporterBaseConfig, folder: Path) -> list[ShownSpan]:
    """Record runs and send them; returns what was sent, when the product has acknowledged all of it."""
    file = folder / "spans.jsonl"
    with Telemetry({"product": config, "file": FileConfig(output_path=str(file), format="spans")}) as telemetry:
        for run in runs:
            replay(run, telemetry)
        telemetry.flush(_TIMEOUT_S)
    sent = read_spans(file)
    status = telemetry.status().exporters["product"]
    assert status.delivered == status.accepted == len(sent), status
    return sent
