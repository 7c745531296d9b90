"""The contract's first example, executed as it stands; the second one is in `test_isolation.py`."""

from typing import Any

import pytest

from nat.data_models.span import Span
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.processor.batching_processor import BatchingProcessor
from nat.observability.processor.processor import Processor
from tests.support.collecting import push


class OnlySlow(Processor[Span, Span]):
    async def process(self, item: Span) -> Span | None:
        return item if (item.duration or 0) > 1_000_000_000 else None


class ListSink(SpanExporter[Span, Span]):
    def __init__(self, sink: list[Span], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sink = sink
        self.add_processor(OnlySlow())
        self.add_processor(BatchingProcessor[Span](batch_size=50, flush_interval=1.0))

    async def export_processed(self, item):  # type: ignore[no-untyped-def]  # as it stands in the contract
        self.sink.extend(item if isinstance(item, list) else [item])


@pytest.mark.contract("S66", "S94", "S136")
async def test_a_filter_and_a_batch() -> None:
    sink: list[Span] = []

    async with ListSink(sink).start():
        for name, seconds in (("slow", 2.5), ("fast", 0.5), ("slower", 60.0), ("exact", 1.0)):
            uuid = push("TOOL_START", name, event_timestamp=1_000.0)
            push("TOOL_END", name, uuid=uuid, event_timestamp=1_000.0 + seconds)

    assert [(span.name, span.duration_s) for span in sink] == [("slow", 2.5), ("slower", 60.0)]
