"""Metrics: counters under OpenTelemetry's names that agree with the ledger, and distributions of each lane."""

from collections.abc import Callable
from typing import Any

import pytest

from nat.observability import HistogramReading, Measurement, Telemetry
from nat.observability.delivery.errors import PermanentExportError
from nat.observability.delivery.metrics import Histogram, LaneMetrics, measurements
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.ledger import Counts
from nat.observability.processor.processor import Processor
from nat.testing import virtual_time
from tests.support.collecting import SpanCollector, StepCollector, registered
from tests.support.lanes import Backend, lane_to


def _values(found: list[Measurement]) -> dict[str, Any]:
    """Values by name, with `error.type` behind it."""
    return {
        " ".join(filter(None, (one.name, one.attributes.get("error.type")))): one.value
        for one in found
        if not isinstance(one.value, HistogramReading)
    }


def test_a_histogram_counts_by_upper_bound() -> None:
    histogram = Histogram((1.0, 10.0))
    for value in (0.5, 1.0, 1.5, 10.0, 11.0, 100.0):
        histogram.record(value)

    reading = histogram.reading()

    assert reading == HistogramReading(bounds=(1.0, 10.0), counts=(2, 2, 2), total=124.0)
    assert reading.count == 6


def test_counters_have_opentelemetrys_names_and_add_up() -> None:
    """Processed and waiting is all there is; exported and in flight is all that was processed without an error."""
    counts = Counts(
        accepted=155,
        delivered=100,
        rejected=4,
        pending=20,
        spooled=11,
        dropped={
            "queue_full": 5,
            "shutdown": 6,
            "filtered": 7,
            "retries_exhausted": 8,
            "processor_error": 2,
            "too_large": 3,
        },
    )

    found = measurements(
        counts, LaneMetrics(in_flight=9), name="prod", type_name="langfuse", item="span", capacity=200_000
    )

    assert _values(found) == {
        "otel.sdk.processor.span.processed": 142,
        "otel.sdk.processor.span.processed queue_full": 5,
        "otel.sdk.processor.span.processed already_shutdown": 6,
        "otel.sdk.processor.span.processed processor_error": 2,
        "otel.sdk.processor.span.queue.size": 11,
        "otel.sdk.processor.span.queue.capacity": 200_000,
        "otel.sdk.exporter.span.exported": 100,
        "otel.sdk.exporter.span.exported rejected": 4,
        "otel.sdk.exporter.span.exported retries_exhausted": 8,
        "otel.sdk.exporter.span.exported too_large": 3,
        "otel.sdk.exporter.span.inflight": 9,
        "nat.delivery.spool.size": 11,
    }
    assert counts.accepted == 131 + 5 + 6 + 2 + 11
    assert {one.unit for one in found if one.kind == "counter"} == {"{span}"}
    assert dict(found[0].attributes) == {"otel.component.name": "prod", "otel.component.type": "langfuse"}


@pytest.mark.contract("S170")
def test_a_lane_measures_batches_and_times() -> None:
    """Three items in one list, a second in the processor each, two in the group, ten for sending."""
    backend = Backend(takes_s=10.0)

    async def scenario() -> LaneMetrics:
        options = DeliveryOptions(takes_lists=True, batch_size=3, flush_interval_s=60.0)
        async with lane_to(backend, options, [_Slow()]) as lane:
            for number in range(3):
                lane.submit(number)
            await virtual_time.until(lambda: bool(backend.attempts))
            assert lane.metrics.in_flight == 3
            await lane.flush()
            return lane.metrics

    metrics = virtual_time.run(scenario())

    assert (metrics.batch_size.reading().count, metrics.batch_size.reading().total) == (1, 3.0)
    assert (metrics.processor_time.reading().count, metrics.processor_time.reading().total) == (3, 3.0)
    assert (metrics.queue_time.reading().count, metrics.queue_time.reading().total) == (1, 2.0)
    assert (metrics.send_time.reading().count, metrics.send_time.reading().total) == (1, 10.0)
    assert metrics.in_flight == 0


class _Slow(Processor[Any, Any]):
    async def process(self, item: Any) -> Any:
        await virtual_time.sleep(1.0)
        return item


@pytest.mark.contract("S169", "S170")
def test_telemetry_gives_the_metrics_of_every_exporter() -> None:
    """Spans under OpenTelemetry's names, steps under ours, failures with their kind."""

    class Refusing(SpanCollector):
        async def export_processed(self, item: object) -> None:
            raise PermanentExportError("no")

    exporters: dict[str, Callable[[], Any]] = {"good": SpanCollector, "bad": Refusing, "steps": StepCollector}
    with Telemetry({name: registered(build)() for name, build in exporters.items()}) as telemetry:
        with telemetry.run("run"):
            pass
        telemetry.flush()
        found = telemetry.metrics()

    by_exporter = {
        name: _values([one for one in found if one.attributes["otel.component.name"] == name]) for name in exporters
    }
    assert by_exporter["good"]["otel.sdk.exporter.span.exported"] == 1
    assert by_exporter["bad"]["otel.sdk.exporter.span.exported"] == 0
    assert by_exporter["bad"]["otel.sdk.exporter.span.exported rejected"] == 1
    assert by_exporter["steps"]["nat.sdk.exporter.step.exported"] == 2
    durations = [one.value for one in found if one.name == "otel.sdk.exporter.operation.duration"]
    assert [value.count for value in durations if isinstance(value, HistogramReading)] == [1, 1, 2]
