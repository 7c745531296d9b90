import uuid
from collections import deque

import aiohttp

from nat.data_models.span import Span
from nat.observability.exporter.base_exporter import IsolatedAttribute
from nat.observability.exporter.span_exporter import SpanExporter


class TrackingExporter(SpanExporter[Span, dict]):
    _queue: IsolatedAttribute[deque] = IsolatedAttribute(deque)
    _active_requests: IsolatedAttribute[set] = IsolatedAttribute(set)
    _metrics: IsolatedAttribute[dict] = IsolatedAttribute(lambda: {"sent": 0, "failed": 0})

    def __init__(self, endpoint: str, api_key: str, **kwargs):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.headers = {"Authorization": f"Bearer {api_key}"}
        self.session = aiohttp.ClientSession()

    async def export_processed(self, item: dict):
        request_id = str(uuid.uuid4())
        self._queue.append(item)
        self._active_requests.add(request_id)
        try:
            async with self.session.post(self.endpoint, json=item, headers=self.headers) as response:
                response.raise_for_status()
            self._metrics["sent"] += 1
        except Exception:
            self._metrics["failed"] += 1
            raise
        finally:
            self._active_requests.discard(request_id)
            self._queue.remove(item)

    async def _cleanup(self):
        await self.session.close()
        await super()._cleanup()
