from collections import deque
from unittest.mock import AsyncMock, patch

import pytest

from nat.builder.context import ContextState
from nat.data_models.span import Span, SpanContext
from nat.observability.exporter.base_exporter import IsolatedAttribute
from nat.observability.exporter.span_exporter import SpanExporter


class CustomSpanExporter(SpanExporter[Span, dict]):
    """Block 9's, with the isolated attributes of block 21."""

    _queue: IsolatedAttribute[deque] = IsolatedAttribute(deque)
    _metrics: IsolatedAttribute[dict] = IsolatedAttribute(dict)

    def __init__(self, endpoint: str, api_key: str, project: str, **kwargs):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.api_key = api_key
        self.project = project

    async def export_processed(self, item: dict):
        await self._send_to_service({"project": self.project, "span": item})

    async def _send_to_service(self, payload: dict):
        raise NotImplementedError("the tests patch it")


@pytest.fixture
def exporter():
    return CustomSpanExporter(endpoint="https://traces.example.com", api_key="key", project="guide")


@pytest.mark.asyncio
async def test_a_span_is_sent_with_its_project(exporter):
    span = Span(name="work", context=SpanContext(trace_id=7, span_id=8), start_time=1, end_time=3)
    item = {"span_id": span.context.span_id, "name": span.name, "duration": span.duration}

    with patch.object(exporter, "_send_to_service", new_callable=AsyncMock) as send:
        await exporter.export_processed(item)

    send.assert_awaited_once()
    sent_data = send.await_args.args[0]
    assert sent_data["project"] == "guide"
    assert sent_data["span"]["span_id"] == 8
    assert sent_data["span"]["duration"] == 2


def test_copies_are_isolated(exporter):
    exporter._queue.append("waiting")
    exporter._metrics["sent"] = 1

    first = exporter.create_isolated_instance(ContextState.get())
    second = exporter.create_isolated_instance(ContextState.get())
    first._queue.append("of the first")
    second._metrics["sent"] = 5

    assert list(exporter._queue) == ["waiting"]
    assert list(first._queue) == ["of the first"]
    assert len(second._queue) == 0
    assert exporter._metrics == {"sent": 1}
    assert first._metrics == {}
    assert first.endpoint is second.endpoint is exporter.endpoint
