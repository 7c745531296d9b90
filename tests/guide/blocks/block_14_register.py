from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig


class MyExporterConfig(TelemetryExporterBaseConfig, name="my_exporter"):
    """The exporter of the module beside this one."""

    endpoint: str


@register_telemetry_exporter(config_type=MyExporterConfig)
async def my_exporter(config: MyExporterConfig, builder: Builder):
    from .exporters import MyExporter

    yield MyExporter(endpoint=config.endpoint)
