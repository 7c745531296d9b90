from pydantic import Field

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.telemetry_exporter import BatchConfigMixin


class MyOtlpConfig(BatchConfigMixin, MyExporterConfig, name="my_exporter"):
    """Block 14's, with the fields that the registration reads."""

    api_key: str = Field(default="", description="Key of the service")


@register_telemetry_exporter(config_type=MyOtlpConfig)
async def my_otlp_exporter(config: MyOtlpConfig, builder: Builder):
    from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter

    yield OTLPSpanAdapterExporter(
        endpoint=config.endpoint,
        headers={"Authorization": f"Bearer {config.api_key}"},
        batch_size=config.batch_size,
    )
