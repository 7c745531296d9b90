from pydantic import Field

from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig


class CustomConfig(TelemetryExporterBaseConfig, name="custom"):
    """Sends to a service of our own."""

    endpoint: str = Field(description="Where the service listens")
    api_key: str = Field(default="", description="Key of the service")
