"""What registration functions get beside their config."""

from collections.abc import Mapping

from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig

__all__ = ["Builder"]


class Builder:
    """Gives access to the other components of the same configuration.

    Args:
        exporters: Configs of all telemetry exporters of the configuration, by entry name.
    """

    def __init__(self, exporters: Mapping[str, TelemetryExporterBaseConfig] | None = None) -> None:
        self._exporters = dict(exporters or {})

    def get_telemetry_exporter_config(self, name: str) -> TelemetryExporterBaseConfig:
        """The config of another exporter entry.

        Raises:
            KeyError: No entry has that name; the message lists those there are.
        """
        try:
            return self._exporters[name]
        except KeyError:
            raise KeyError(
                f"no telemetry exporter {name!r}; configured: {', '.join(self._exporters) or 'none'}"
            ) from None
