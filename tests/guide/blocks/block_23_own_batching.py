import aiohttp

from nat.data_models.span import Span
from nat.observability.exporter.base_exporter import IsolatedAttribute
from nat.observability.exporter.span_exporter import SpanExporter


class OwnBatchExporter(SpanExporter[Span, dict]):
    _batch: IsolatedAttribute[list] = IsolatedAttribute(list)
    _statistics: IsolatedAttribute[dict] = IsolatedAttribute(lambda: {"batches": 0, "spans": 0})

    def __init__(self, endpoint: str, group_size: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.group_size = group_size
        self.session = aiohttp.ClientSession()

    async def export_processed(self, item: dict):
        self._batch.append(item)
        if len(self._batch) >= self.group_size:
            await self._send_batch()

    async def _send_batch(self):
        batch, self._batch = self._batch, []
        if not batch:
            return
        async with self.session.post(self.endpoint, json=batch) as response:
            response.raise_for_status()
        self._statistics["batches"] += 1
        self._statistics["spans"] += len(batch)

    async def _flush(self):
        await self._send_batch()
        await super()._flush()

    async def _cleanup(self):
        await self._send_batch()
        await self.session.close()
        await super()._cleanup()
