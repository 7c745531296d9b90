"""OpenTelemetry's own exporters, over HTTP and gRPC, send our spans to a real collector just as we do."""

import asyncio
from pathlib import Path
from typing import Any, Literal

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from nat.observability.delivery.errors import PermanentExportError
from nat.plugins.opentelemetry.otel_span import OtelSpan
from nat.plugins.opentelemetry.otel_span_exporter import OtelSpanExporter
from nat.testing import recorded_runs
from tests.products.rotel import Rotel, as_printed
from tests.products.sending import send
from tests.products.shown import assert_arrived
from tests.support.chats import recorded_chats
from tests.support.collecting import registered


class ThroughTheirs(OtelSpanExporter):
    """Hands spans as they are to one of OpenTelemetry's exporters."""

    def __init__(self, theirs: SpanExporter) -> None:
        super().__init__()
        self._theirs = theirs

    async def export_otel_spans(self, spans: list[OtelSpan]) -> None:
        taken: Any = spans  # not of their class, which is what is tested
        if await asyncio.to_thread(self._theirs.export, taken) is not SpanExportResult.SUCCESS:
            raise PermanentExportError("OpenTelemetry's exporter has failed")

    async def _cleanup(self) -> None:
        await asyncio.to_thread(self._theirs.shutdown)
        await super()._cleanup()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_their_exporter_sends_our_spans_as_they_are(
    rotel: Rotel, protocol: Literal["http", "grpc"], tmp_path: Path
) -> None:
    def exporter() -> ThroughTheirs:
        if protocol == "grpc":
            return ThroughTheirs(GrpcExporter(endpoint=rotel.grpc_url))
        return ThroughTheirs(HttpExporter(endpoint=f"{rotel.url}/v1/traces"))

    sent = send([*recorded_runs(), *recorded_chats()[:5]], registered(exporter)(), tmp_path)

    assert_arrived(sent, rotel.finish(), as_printed)
