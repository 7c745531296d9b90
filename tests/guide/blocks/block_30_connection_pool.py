from contextlib import asynccontextmanager

import aiohttp

from nat.data_models.span import Span
from nat.observability.exporter.span_exporter import SpanExporter


class PooledExporter(SpanExporter[Span, dict]):
    def __init__(self, endpoint: str, **kwargs):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.session = None

    @asynccontextmanager
    async def start(self):
        connector = aiohttp.TCPConnector(limit=20, limit_per_host=5, ttl_dns_cache=300)
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as self.session, super().start():
            yield

    async def export_processed(self, item: dict):
        async with self.session.post(self.endpoint, json=item) as response:
            response.raise_for_status()
