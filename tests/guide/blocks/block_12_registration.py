import logging

from pydantic import Field

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.telemetry_exporter import BatchConfigMixin, DeliveryConfigMixin

log = logging.getLogger("guide.custom")


class FullCustomConfig(BatchConfigMixin, DeliveryConfigMixin, CustomConfig, name="custom"):
    """Block 7's, with the fields that the registration reads."""

    project: str = Field(default="default", description="Which project the spans go to")


@register_telemetry_exporter(config_type=FullCustomConfig)
async def custom_exporter(config: FullCustomConfig, builder: Builder):
    try:
        yield CustomSpanExporter(
            endpoint=config.endpoint,
            api_key=config.api_key,
            project=config.project,
            batch_size=config.batch_size,
            timeout=config.timeout,
            retries=config.retries,
        )
    except Exception:
        log.exception("the custom exporter could not be made")
        raise
