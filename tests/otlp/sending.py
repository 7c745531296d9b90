"""Short ways to send spans over OTLP, with and without a lane around it."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from nat.data_models.delivery import DeliveryConfig, RetryConfig
from nat.data_models.span import Span, SpanContext
from nat.observability import Telemetry
from nat.observability.manager import ExporterStatus
from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from tests.support.collecting import emit
from tests.support.waiting import PATIENCE_S

__all__ = ["QUICK", "delivered", "exporter_to", "sent", "span", "spans"]

QUICK = DeliveryConfig(retry=RetryConfig(initial_interval=0.02, max_interval=0.05, max_retries=20))
"""Tries again soon, and for long enough."""


def span(name: str = "work", **attributes: Any) -> Span:
    return Span(
        name=name,
        context=SpanContext(trace_id=random.getrandbits(128) | 1, span_id=random.getrandbits(64) | 1),
        start_time=1_700_000_000_000_000_000,
        end_time=1_700_000_001_000_000_000,
        attributes=attributes,
    )


def spans(count: int) -> list[Span]:
    return [span(f"work {number}") for number in range(count)]


@asynccontextmanager
async def exporter_to(endpoint: str, **options: Any) -> AsyncIterator[OTLPSpanAdapterExporter]:
    """An exporter without a lane: `export_processed` sends and says what came of it."""
    exporter = OTLPSpanAdapterExporter(endpoint=endpoint, **options)
    try:
        yield exporter
    finally:
        await exporter.stop()


async def sent(endpoint: str, *given: Span, **options: Any) -> None:
    """Send these spans, or one, at once."""
    async with exporter_to(endpoint, **options) as exporter:
        await exporter.export_processed(list(given) or [span()])


def delivered(
    endpoint: str, *, steps: int = 1, delivery: DeliveryConfig = QUICK, timeout_s: float = PATIENCE_S, **settings: Any
) -> ExporterStatus:
    """One run of that many steps, and its root, through a lane; what became of them."""
    config = OtelCollectorConfig(endpoint=endpoint, **settings)
    with Telemetry({"collector": config}, delivery=delivery) as telemetry:
        with telemetry.run("run"):
            for number in range(steps):
                emit(f"work {number}")
        return telemetry.flush(timeout_s).exporters["collector"]
