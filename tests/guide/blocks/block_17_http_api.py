import aiohttp

from nat.data_models.span import Span
from nat.observability.exporter.span_exporter import SpanExporter


class HttpApiExporter(SpanExporter[Span, dict]):
    def __init__(self, endpoint: str, api_key: str, **kwargs):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.headers = {"Authorization": f"Bearer {api_key}"}
        self.session = aiohttp.ClientSession()

    async def export_processed(self, item: dict):
        async with self.session.post(self.endpoint, json=item, headers=self.headers) as response:
            response.raise_for_status()

    async def _cleanup(self):
        await self.session.close()
        await super()._cleanup()
