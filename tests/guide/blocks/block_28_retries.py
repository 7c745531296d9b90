import logging

from tenacity import retry, stop_after_attempt, wait_exponential

from nat.data_models.span import Span
from nat.observability.exporter.span_exporter import SpanExporter

logger = logging.getLogger("guide.retries")


class RetryingExporter(SpanExporter[Span, dict]):
    def __init__(self, service, **kwargs):
        super().__init__(**kwargs)
        self.service = service

    @retry(stop=stop_after_attempt(3), wait=wait_exponential(multiplier=0.001, min=0.001, max=0.01))
    async def export_processed(self, item: dict):
        try:
            await self._export_to_service(item)
        except Exception as exc:
            logger.warning("attempt failed: %s", type(exc).__name__)
            raise

    async def _export_to_service(self, item: dict):
        await self.service(item)
