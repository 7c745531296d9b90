"""`OtelSpan`: accepted wherever opentelemetry-sdk takes a `ReadableSpan`."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
)
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from nat.data_models.span import Span, SpanContext, SpanEvent, SpanLink, SpanStatus, SpanStatusCode
from nat.observability import Telemetry
from nat.plugins.opentelemetry.otel_span import OtelResource, OtelSpan
from nat.testing import FakeBackend, recorded_runs, replay
from tests.otlp.sending import sent
from tests.otlp.test_otel_span_exporter import Collector
from tests.support.collecting import registered

RESOURCE = OtelResource({"service.name": "shop", "replica": 3})


def view(*, is_failed: bool = False) -> Any:
    """A view with something of everything; typed as what the SDK's functions expect."""
    status = SpanStatus(code=SpanStatusCode.ERROR, message="no") if is_failed else SpanStatus(code=SpanStatusCode.OK)
    return OtelSpan(
        Span(
            name="work",
            context=SpanContext(trace_id=10, span_id=11, parent_span_id=12),
            start_time=1_700_000_000_000_000_001,
            end_time=1_700_000_001_000_000_002,
            attributes={"text": "a", "number": 3, "share": 0.5, "flag": True, "list": ["x", "y"]},
            events=[
                SpanEvent(name="exception", timestamp=1_700_000_000_500_000_000, attributes={"exception.type": "E"})
            ],
            links=[SpanLink(context=SpanContext(trace_id=20, span_id=21), attributes={"why": "retry"})],
            status=status,
        ),
        RESOURCE,
    )


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def public_names() -> Iterator[str]:
    return (name for name in dir(ReadableSpan) if not name.startswith("_"))


@pytest.mark.contract("S130")
@pytest.mark.parametrize("name", [*public_names()])
def test_everything_public_of_a_readable_span_is_there_and_says_the_same(name: str) -> None:
    ours = view(is_failed=True)
    theirs = ours.to_readable_span()
    if name == "instrumentation_info":  # asking theirs warns that it is deprecated
        assert ours.instrumentation_info is None
        return

    found, expected = getattr(ours, name), getattr(theirs, name)
    found, expected = (found(), expected()) if callable(found) else (found, expected)

    if name in ("context", "parent", "get_span_context"):
        assert tuple(found)[:4] == tuple(expected)[:4]
        assert (found.is_valid, found.is_remote, found.trace_flags.sampled) == (True, False, True)
        assert dict(found.trace_state) == dict(expected.trace_state)
    elif name == "events":
        assert [(event.name, event.timestamp, dict(event.attributes)) for event in found] == [
            (event.name, event.timestamp, dict(event.attributes)) for event in expected
        ]
    elif name == "links":
        assert [(link.context, dict(link.attributes)) for link in found] == [
            (link.context, dict(link.attributes)) for link in expected
        ]
    elif name == "status":
        assert (found.status_code, found.description) == (expected.status_code, expected.description)
    else:
        assert found == expected


def test_what_opentelemetry_has_classes_for_is_of_these() -> None:
    ours = view(is_failed=True)

    assert isinstance(ours.to_readable_span(), ReadableSpan)
    assert ours.kind is SpanKind.INTERNAL
    assert (ours.status.status_code, ours.status.description) == (StatusCode.ERROR, "no")
    assert ours.resource.attributes["service.name"] == "shop"
    assert ours.instrumentation_scope.name == "nat.observability"


@pytest.mark.contract("S129")
async def test_a_whole_run_is_encoded_by_their_encoder_as_by_ours() -> None:
    """Ten recorded runs, encoded by opentelemetry-exporter-otlp's encoder and by ours, are the same at a receiver."""
    collector = Collector(resource_attributes={"service.name": "shop"})
    async with Telemetry({"collector": registered(lambda: collector)()}) as telemetry:
        for run in recorded_runs():
            replay(run, telemetry)
    spans: list[Any] = [span for spans in collector.lists.items for span in spans]
    assert len(spans) > 40

    with FakeBackend() as ours, FakeBackend() as theirs:
        await sent(ours.url, *(span.span for span in spans), resource_attributes={"service.name": "shop"})
        exporter: Any = OTLPSpanExporter(endpoint=theirs.url)
        assert exporter.export(spans) is SpanExportResult.SUCCESS
        exporter.shutdown()

        assert [_comparable(span) for span in ours.spans] == [_comparable(span) for span in theirs.spans]
        assert len(encode_spans(spans).resource_spans) == 1


def test_their_own_http_exporter_takes_it() -> None:
    with FakeBackend() as backend:
        exporter: Any = OTLPSpanExporter(endpoint=backend.url)
        result = exporter.export([view(), view(is_failed=True)])
        exporter.shutdown()

        first, second = backend.spans

    assert result is SpanExportResult.SUCCESS
    assert (first.name, first.parent_id, first.kind) == ("work", f"{12:016x}", "INTERNAL")
    assert (first.start_ns, first.end_ns) == (1_700_000_000_000_000_001, 1_700_000_001_000_000_002)
    assert first.attributes == {"text": "a", "number": 3, "share": 0.5, "flag": True, "list": ["x", "y"]}
    assert [event.name for event in first.events] == ["exception"]
    assert [link.attributes for link in first.links] == [{"why": "retry"}]
    assert (first.status, second.status, second.status_message) == ("OK", "ERROR", "no")
    assert first.resource == {"service.name": "shop", "replica": 3}


@pytest.mark.parametrize("make", [SimpleSpanProcessor, BatchSpanProcessor])
def test_their_processors_take_it(make: Any, memory: InMemorySpanExporter) -> None:
    processor = make(memory)

    processor.on_end(view())
    processor.force_flush()
    processor.shutdown()

    assert [span.name for span in memory.get_finished_spans()] == ["work"]


@pytest.mark.parametrize("make", [SynchronousMultiSpanProcessor, ConcurrentMultiSpanProcessor])
def test_their_multi_processors_take_it(make: Any, memory: InMemorySpanExporter) -> None:
    seen: list[str] = []

    class Watch(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            seen.append(span.name)

    processor = make()
    processor.add_span_processor(SimpleSpanProcessor(memory))
    processor.add_span_processor(Watch())

    processor.on_end(view())
    processor.shutdown()

    assert seen == ["work"]
    assert len(memory.get_finished_spans()) == 1


def test_their_console_exporter_prints_it() -> None:
    out = StringIO()

    result = ConsoleSpanExporter(out=out).export([view(is_failed=True)])

    assert result is SpanExportResult.SUCCESS
    printed = json.loads(out.getvalue())
    assert printed == json.loads(view(is_failed=True).to_readable_span().to_json())
    assert printed["context"]["trace_id"] == f"0x{10:032x}"
    assert printed["parent_id"] == f"0x{12:016x}"
    assert printed["status"] == {"status_code": "ERROR", "description": "no"}


def test_an_exporter_that_keeps_nothing_but_asks_for_everything() -> None:
    """As exporters of others do: every property of every span, more than once."""

    class Curious(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            for span in spans:
                for name in public_names():
                    if name != "instrumentation_info":
                        getattr(span, name)
                        getattr(span, name)
            return SpanExportResult.SUCCESS

    assert Curious().export([view()]) is SpanExportResult.SUCCESS


def test_odd_values_are_printed_as_text() -> None:
    """A processor may have put anything there."""
    span = view()
    span.set_attribute("when", datetime(2026, 1, 1, tzinfo=UTC))
    span.set_attribute("raw", b"x")
    span.set_attribute("nothing", None)

    printed = json.loads(span.to_json())

    assert printed["attributes"]["when"] == "2026-01-01T00:00:00+00:00"
    assert "nothing" not in printed["attributes"]


def test_a_root_has_no_parent_and_an_open_span_no_end() -> None:
    root: Any = OtelSpan(Span(name="r", context=SpanContext(trace_id=1, span_id=2), start_time=3))

    assert (root.parent, root.end_time, root.to_readable_span().parent) == (None, None, None)
    assert json.loads(root.to_json())["end_time"] is None
    assert root.resource.attributes == {}
    assert repr(root) == f"OtelSpan('r', trace_id=0x{1:032x}, span_id=0x{2:016x})"


def _comparable(span: Any) -> tuple[Any, ...]:
    return (
        *(span.trace_id, span.span_id, span.parent_id, span.name, span.kind, span.start_ns, span.end_ns),
        *(span.attributes, span.events, span.links, span.status, span.status_message, span.resource, span.scope),
    )
