import os

import aiohttp
from pydantic import Field

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability.exporter.base_exporter import IsolatedAttribute
from nat.observability.exporter.span_exporter import SpanExporter


class ExampleConfig(TelemetryExporterBaseConfig, name="example"):
    """Sends spans to an example service."""

    endpoint: str = Field(description="Where the service listens")
    api_key: str = Field(default="", description="Key, else EXAMPLE_API_KEY is taken")
    project: str = Field(default="default", description="Which project the spans go to")


class ExampleExporter(SpanExporter[Span, dict]):
    _counters: IsolatedAttribute[dict] = IsolatedAttribute(lambda: {"sent": 0, "failed": 0})

    def __init__(self, endpoint: str, api_key: str, project: str, context_state=None):
        super().__init__(context_state=context_state)
        self.endpoint = endpoint
        self.project = project
        self.session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {api_key}"})

    async def export_processed(self, item: dict):
        try:
            async with self.session.post(self.endpoint, json={"project": self.project, "span": item}) as response:
                response.raise_for_status()
            self._counters["sent"] += 1
        except Exception:
            self._counters["failed"] += 1
            raise

    async def _cleanup(self):
        await self.session.close()
        await super()._cleanup()


@register_telemetry_exporter(config_type=ExampleConfig)
async def example_exporter(config: ExampleConfig, builder: Builder):
    api_key = config.api_key or os.environ.get("EXAMPLE_API_KEY", "")
    yield ExampleExporter(endpoint=config.endpoint, api_key=api_key, project=config.project)
