"""Telemetry for agents: `Telemetry`, `step`, `observe`, `carry_context`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nat.data_models.delivery import DeliveryConfig, IntakeConfig
    from nat.observability.api import Step, StepKind, Telemetry, carry_context, observe, step
    from nat.observability.delivery.metrics import HistogramReading, Measurement
    from nat.observability.manager import ExporterStatus, FlushResult, RunScope, TelemetryStatus
    from nat.observability.redaction.settings import RedactConfig
    from nat.observability.registry import exporter_entry

__all__ = [
    "DeliveryConfig",
    "ExporterStatus",
    "FlushResult",
    "HistogramReading",
    "IntakeConfig",
    "Measurement",
    "RedactConfig",
    "RunScope",
    "Step",
    "StepKind",
    "Telemetry",
    "TelemetryStatus",
    "carry_context",
    "exporter_entry",
    "observe",
    "step",
]

_HOMES = {
    "DeliveryConfig": "nat.data_models.delivery",
    "ExporterStatus": "nat.observability.manager",
    "FlushResult": "nat.observability.manager",
    "HistogramReading": "nat.observability.delivery.metrics",
    "IntakeConfig": "nat.data_models.delivery",
    "Measurement": "nat.observability.delivery.metrics",
    "RedactConfig": "nat.observability.redaction.settings",
    "RunScope": "nat.observability.manager",
    "TelemetryStatus": "nat.observability.manager",
    "exporter_entry": "nat.observability.registry",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "nat.observability.api")), name)
