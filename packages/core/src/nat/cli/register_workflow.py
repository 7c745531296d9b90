"""Registration of exporters and processors, under the import path that their authors know."""

from nat.observability.registry import register_telemetry_exporter, register_telemetry_processor

__all__ = ["register_telemetry_exporter", "register_telemetry_processor"]
