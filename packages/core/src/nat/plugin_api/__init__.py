"""The front door for authors of exporters and processors: everything a plugin needs, from one place.

from nat.plugin_api import RawExporter, TelemetryExporterBaseConfig, register_telemetry_exporter
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.builder.context import Context, ContextState
    from nat.data_models.intermediate_step import IntermediateStep, IntermediateStepPayload, IntermediateStepType
    from nat.data_models.span import Span, SpanContext, SpanEvent, SpanStatus, SpanStatusCode
    from nat.data_models.telemetry_exporter import (
        BatchConfigMixin,
        DeliveryConfigMixin,
        TelemetryExporterBaseConfig,
    )
    from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
    from nat.observability.delivery.causes import Cause
    from nat.observability.delivery.errors import (
        ItemTooLargeError,
        PartialExportError,
        PermanentExportError,
        TransientExportError,
    )
    from nat.observability.exporter.base_exporter import BaseExporter, IsolatedAttribute
    from nat.observability.exporter.processing_exporter import ProcessingExporter
    from nat.observability.exporter.raw_exporter import RawExporter
    from nat.observability.exporter.span_exporter import SpanExporter
    from nat.observability.processor.batching_processor import BatchingProcessor
    from nat.observability.processor.callback_processor import CallbackProcessor
    from nat.observability.processor.intermediate_step_serializer import IntermediateStepSerializer
    from nat.observability.processor.processor import Processor
    from nat.observability.registry import register_telemetry_exporter, register_telemetry_processor

_HOMES = {
    "Builder": "nat.builder.builder",
    "Context": "nat.builder.context",
    "ContextState": "nat.builder.context",
    "register_telemetry_exporter": "nat.observability.registry",
    "register_telemetry_processor": "nat.observability.registry",
    "IntermediateStep": "nat.data_models.intermediate_step",
    "IntermediateStepPayload": "nat.data_models.intermediate_step",
    "IntermediateStepType": "nat.data_models.intermediate_step",
    "Span": "nat.data_models.span",
    "SpanContext": "nat.data_models.span",
    "SpanEvent": "nat.data_models.span",
    "SpanStatus": "nat.data_models.span",
    "SpanStatusCode": "nat.data_models.span",
    "BatchConfigMixin": "nat.data_models.telemetry_exporter",
    "DeliveryConfigMixin": "nat.data_models.telemetry_exporter",
    "TelemetryExporterBaseConfig": "nat.data_models.telemetry_exporter",
    "TelemetryProcessorBaseConfig": "nat.data_models.telemetry_processor",
    "Cause": "nat.observability.delivery.causes",
    "ItemTooLargeError": "nat.observability.delivery.errors",
    "PartialExportError": "nat.observability.delivery.errors",
    "PermanentExportError": "nat.observability.delivery.errors",
    "TransientExportError": "nat.observability.delivery.errors",
    "BaseExporter": "nat.observability.exporter.base_exporter",
    "IsolatedAttribute": "nat.observability.exporter.base_exporter",
    "ProcessingExporter": "nat.observability.exporter.processing_exporter",
    "RawExporter": "nat.observability.exporter.raw_exporter",
    "SpanExporter": "nat.observability.exporter.span_exporter",
    "BatchingProcessor": "nat.observability.processor.batching_processor",
    "CallbackProcessor": "nat.observability.processor.callback_processor",
    "IntermediateStepSerializer": "nat.observability.processor.intermediate_step_serializer",
    "Processor": "nat.observability.processor.processor",
}

__all__ = [
    "BaseExporter",
    "BatchConfigMixin",
    "BatchingProcessor",
    "Builder",
    "CallbackProcessor",
    "Cause",
    "Context",
    "ContextState",
    "DeliveryConfigMixin",
    "IntermediateStep",
    "IntermediateStepPayload",
    "IntermediateStepSerializer",
    "IntermediateStepType",
    "IsolatedAttribute",
    "ItemTooLargeError",
    "PartialExportError",
    "PermanentExportError",
    "ProcessingExporter",
    "Processor",
    "RawExporter",
    "Span",
    "SpanContext",
    "SpanEvent",
    "SpanExporter",
    "SpanStatus",
    "SpanStatusCode",
    "TelemetryExporterBaseConfig",
    "TelemetryProcessorBaseConfig",
    "TransientExportError",
    "register_telemetry_exporter",
    "register_telemetry_processor",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
