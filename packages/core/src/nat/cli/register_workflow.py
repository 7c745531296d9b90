"""Registration of exporters, under the import path that exporter authors know."""

from nat.observability.registry import register_telemetry_exporter

__all__ = ["register_telemetry_exporter"]
