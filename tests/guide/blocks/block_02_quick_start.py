from pydantic import Field

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability.exporter.raw_exporter import RawExporter


class ConsoleConfig(TelemetryExporterBaseConfig, name="console"):
    """Prints one line per event."""

    prefix: str = Field(default="[TRACE]", description="What each line begins with")


class ConsoleExporter(RawExporter[IntermediateStep, IntermediateStep]):
    def __init__(self, prefix: str = "[TRACE]", context_state=None):
        super().__init__(context_state=context_state)
        self.prefix = prefix

    async def export_processed(self, item: IntermediateStep):
        print(f"{self.prefix} {item.event_type}: {item.name}")


@register_telemetry_exporter(config_type=ConsoleConfig)
async def console_exporter(config: ConsoleConfig, builder: Builder):
    yield ConsoleExporter(prefix=config.prefix)
