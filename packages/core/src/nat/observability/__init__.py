"""Telemetry for agents: `Telemetry`, `step`, `observe`, `carry_context`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nat.data_models.delivery import DeliveryConfig
    from nat.observability.api import Step, StepKind, Telemetry, carry_context, observe, step
    from nat.observability.manager import ExporterStatus, RunScope, TelemetryStatus

__all__ = [
    "DeliveryConfig",
    "ExporterStatus",
    "RunScope",
    "Step",
    "StepKind",
    "Telemetry",
    "TelemetryStatus",
    "carry_context",
    "observe",
    "step",
]

_OF_MANAGER = {"ExporterStatus", "RunScope", "TelemetryStatus"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "DeliveryConfig":
        return getattr(import_module("nat.data_models.delivery"), name)
    home = "manager" if name in _OF_MANAGER else "api"
    return getattr(import_module(f"{__name__}.{home}"), name)
