from collections import deque

import aiohttp

from nat.data_models.span import Span
from nat.observability.exporter.base_exporter import IsolatedAttribute
from nat.observability.exporter.span_exporter import SpanExporter


class IsolatedExporter(SpanExporter[Span, dict]):
    _processing_queue: IsolatedAttribute[deque] = IsolatedAttribute(deque)
    _metrics: IsolatedAttribute[dict] = IsolatedAttribute(dict)

    def __init__(self, endpoint: str, **kwargs):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.session = aiohttp.ClientSession()

    async def export_processed(self, item: dict):
        self._processing_queue.append(item["name"])
        self._metrics["seen"] = self._metrics.get("seen", 0) + 1

    async def _cleanup(self):
        await self.session.close()
        await super()._cleanup()
