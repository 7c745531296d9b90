import aiohttp

from nat.data_models.span import Span
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.processor.processor import Processor


class SpanToDictProcessor(Processor[Span, dict]):
    async def process(self, item: Span) -> dict:
        return {
            "span_id": item.context.span_id if item.context else None,
            "trace_id": item.context.trace_id if item.context else None,
            "parent_span_id": item.context.parent_span_id if item.context else None,
            "name": item.name,
            "start_time": item.start_time,
            "end_time": item.end_time,
            "duration": item.duration,
            "status": item.status,
            "attributes": item.attributes,
            "events": item.events,
            "links": item.links,
        }


class CustomSpanExporter(SpanExporter[Span, dict]):
    def __init__(self, endpoint: str, api_key: str, project: str, **kwargs):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.api_key = api_key
        self.project = project
        self.add_processor(SpanToDictProcessor())

    async def export_processed(self, item: dict):
        await self._send_to_service({"project": self.project, "span": item})

    async def _send_to_service(self, payload: dict):
        headers = {"Authorization": f"Bearer {self.api_key}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(self.endpoint, json=payload) as response,
        ):
            response.raise_for_status()

    async def _cleanup(self):
        await super()._cleanup()
