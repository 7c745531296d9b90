import datetime

from nat.data_models.span import Span
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.processor.processor import Processor


class CustomFieldProcessor(Processor[dict, dict]):
    async def process(self, item: dict) -> dict:
        attributes = {**item["attributes"], "service.tier": "gold"}
        return {**item, "attributes": attributes, "processed_at": self._now()}

    def _now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)


class PipelinedSpanExporter(SpanExporter[Span, dict]):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.sent = []
        self.add_processor(SpanToDictProcessor())
        self.add_processor(CustomFieldProcessor())

    async def export_processed(self, item: dict):
        self.sent.append(item)
