"""Telemetry for agents: `Telemetry`, `step`, `observe`, `carry_context`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nat.observability.api import (
        ExporterStatus,
        Step,
        StepKind,
        Telemetry,
        TelemetryStatus,
        carry_context,
        observe,
        step,
    )

__all__ = [
    "ExporterStatus",
    "Step",
    "StepKind",
    "Telemetry",
    "TelemetryStatus",
    "carry_context",
    "observe",
    "step",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("nat.observability.api"), name)
