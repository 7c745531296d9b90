"""Exporters that no code of an author looks into encode what was captured, and lose nothing by it."""

import gc
import logging
import weakref
from pathlib import Path
from typing import Any

import pytest

from nat.builder.context import ContextState
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.delivery import BatchDeliveryConfig, DeadLettersConfig, DeliveryConfig, RetryConfig
from nat.data_models.step_types import IntermediateStepType
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry, step
from nat.observability.delivery.codec import decode
from nat.observability.events import CapturedError, CapturedStep, FunctionRef, Run, Usage
from nat.observability.snapshot import snapshot
from nat.observability.spans.capture import CapturedSpan
from nat.observability.spans.describe import describe
from nat.plugins.opentelemetry.encoding import encode_captured, encode_span
from nat.plugins.opentelemetry.otel_span import OtelSpan
from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.testing import FakeBackend
from nat.testing.faults import status

MESSAGES = [{"role": "user", "content": "Wohin?"}, {"role": "assistant", "content": "Ä\ud800"}]
STEP_ID, PARENT_ID = "0" * 31 + "2", "0" * 31 + "1"


def captured(end: dict[str, Any] | None, **start: Any) -> CapturedSpan:
    run = Run(trace_id=7, name="assistant", session_id="s", tags=("a",), metadata=snapshot({"k": 1}), root_id=STEP_ID)
    kind = IntermediateStepType.LLM_START
    span = CapturedSpan(CapturedStep(kind, STEP_ID, PARENT_ID, "chat", 1_000, run=run, **start), run)
    if end is not None:
        span.end = CapturedStep(IntermediateStepType.LLM_END, STEP_ID, PARENT_ID, "chat", 2_000, run=run, **end)
    span.end_ns = 2_000
    return span


@pytest.mark.parametrize(
    "span",
    [
        captured(
            {"output": "Nach Rom.", "usage": Usage(1, 2, 3)},
            input=snapshot(MESSAGES),
            metadata=snapshot({"model": "m"}),
        ),
        captured({"error": CapturedError("ValueError", "no", "Traceback"), "attributes": snapshot({"x": [1.5, None]})}),
        captured({"error": CapturedError("ValueError", ""), "extra": snapshot({"more": 2**70})}, tags=("b",)),
        captured(None, function=FunctionRef("f", "plan", None, None), input=snapshot({"a": b"\xff"})),
    ],
)
def test_the_bytes_are_those_of_the_described_span(span: CapturedSpan) -> None:
    """Also of failed ones and of those that never ended."""
    assert encode_captured(span) == encode_span(describe(span))


class Seeing(OTLPSpanAdapterExporter):
    """An exporter with code of an author."""

    async def export_otel_spans(self, spans: list[OtelSpan]) -> None:
        for span in spans:
            span.set_attribute("seen", True)
        await super().export_otel_spans(spans)


class SeeingConfig(TelemetryExporterBaseConfig, name="seeing"):
    endpoint: str


@register_telemetry_exporter(config_type=SeeingConfig)
async def seeing(config: SeeingConfig, builder: object) -> Any:
    yield Seeing(endpoint=config.endpoint)


def record(telemetry: Telemetry, *inputs: str) -> None:
    with telemetry.run("assistant"):
        for text in inputs:
            with step("search", "tool", input=text) as current:
                current.output = "found"


def test_what_one_exporter_changes_another_does_not_send() -> None:
    with FakeBackend() as plain, FakeBackend() as changed:
        configs = {"plain": OtelCollectorConfig(endpoint=plain.url), "changed": SeeingConfig(endpoint=changed.url)}
        with Telemetry(configs) as telemetry:
            record(telemetry, "a", "b")
        sent, seen = plain.wait_for_spans(3), changed.wait_for_spans(3)

    assert {span.span_id for span in sent} == {span.span_id for span in seen}
    assert all("seen" not in span.attributes for span in sent)
    assert all(span.attributes["seen"] is True for span in seen)


def test_what_is_refused_for_good_is_kept_as_spans(tmp_path: Path) -> None:
    delivery = DeliveryConfig(
        dead_letters=DeadLettersConfig(enabled=True, directory=str(tmp_path)), retry=RetryConfig(max_retries=0)
    )
    with FakeBackend() as backend:
        backend.from_now_on(status(400))
        with Telemetry(OtelCollectorConfig(endpoint=backend.url), delivery=delivery) as telemetry:
            record(telemetry, "a", "b")

    counts = telemetry.status().exporters["otelcollector"]
    (letter,) = [path for path in tmp_path.rglob("*") if path.is_file() and b'"Span"' in path.read_bytes()]
    kept = decode(letter.read_bytes().partition(b"\n")[2]).value  # without the letter's own line
    assert (counts.dead_lettered, counts.lost) == (3, 0)
    assert [span.attributes.get("input.value") for span in kept] == ["a", "b", None]


def test_a_list_that_is_too_large_is_halved_and_a_large_item_cut(caplog: pytest.LogCaptureFixture) -> None:
    with FakeBackend() as backend, caplog.at_level(logging.ERROR):
        backend.limit_bytes = 200_000
        with Telemetry(OtelCollectorConfig(endpoint=backend.url)) as telemetry:
            record(telemetry, "x" * 300_000, "b")
        spans = {span.attributes.get("input.value", "")[-40:]: span for span in backend.wait_for_spans(3)}

    assert telemetry.status().exporters["otelcollector"].delivered == 3
    assert "b" in spans
    assert any("300000 characters before" in text for text in spans)


def test_lists_are_as_long_as_they_may_be() -> None:
    delivery = DeliveryConfig(batch=BatchDeliveryConfig(size=10))
    with FakeBackend() as backend:
        with Telemetry(OtelCollectorConfig(endpoint=backend.url), delivery=delivery) as telemetry:
            record(telemetry, *map(str, range(34)))
        backend.wait_for_spans(35)
        sizes = [len(request.spans) for request in backend.requests]

    assert sum(sizes) == 35
    assert max(sizes) == 10


def test_beyond_its_queue_an_exporter_drops_and_counts() -> None:
    """With `drop_on_overflow`, what waits to be sent is bounded by `max_queue_size`."""
    with FakeBackend() as backend:
        config = OtelCollectorConfig(
            endpoint=backend.url, batch_size=5, max_queue_size=8, drop_on_overflow=True, flush_interval=60
        )
        with Telemetry(config) as telemetry:
            record(telemetry, *map(str, range(199)))
        counts = telemetry.status().exporters["otelcollector"]

    assert counts.accepted == 200 == counts.delivered + counts.lost
    assert counts.dropped == {"queue_full": counts.lost}
    assert 0 < counts.delivered < 200


def test_a_run_leaves_nothing_to_the_garbage_collector() -> None:
    """Where no code of an author runs in its context, what belonged to it is free as soon as it was sent."""
    with FakeBackend() as backend, Telemetry(OtelCollectorConfig(endpoint=backend.url)) as telemetry:
        telemetry.flush(60.0)
        gc.collect()
        gc.disable()
        try:
            with telemetry.run("assistant"), step("search", "tool"):
                state = weakref.ref(ContextState.get())
            telemetry.flush(60.0)
            assert state() is None
        finally:
            gc.enable()
