import aiohttp

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.plugins.opentelemetry.otel_span import OtelSpan


class OwnProtocolMixin:
    """Posts spans in a form of its own."""

    def __init__(self, *args, endpoint: str, api_key: str, **kwargs):
        super().__init__(*args, **kwargs)
        self.endpoint = endpoint
        self.headers = {"Authorization": f"Bearer {api_key}"}
        self.session = aiohttp.ClientSession()

    async def export_otel_spans(self, spans: list[OtelSpan]):
        documents = [self._document(span) for span in spans]
        async with self.session.post(self.endpoint, json=documents, headers=self.headers) as response:
            response.raise_for_status()

    def _document(self, span: OtelSpan) -> dict:
        context = span.get_span_context()
        return {
            "name": span.name,
            "span_id": format(context.span_id, "016x"),
            "trace_id": format(context.trace_id, "032x"),
            "start_time": span.start_time,
            "end_time": span.end_time,
            "attributes": dict(span.attributes or {}),
        }

    async def _cleanup(self):
        await self.session.close()
        await super()._cleanup()


@register_telemetry_exporter(config_type=FullCustomConfig)
async def own_protocol_exporter(config: FullCustomConfig, builder: Builder):
    from nat.plugins.opentelemetry.otel_span_exporter import OtelSpanExporter

    class OwnProtocolExporter(OwnProtocolMixin, OtelSpanExporter):
        pass

    yield OwnProtocolExporter(
        endpoint=config.endpoint,
        api_key=config.api_key,
        batch_size=config.batch_size,
    )
