"""Metrics of delivery: what a lane measures, and how it is named to the world.

Names and meanings are OpenTelemetry's for SDK self-observation, where it has one (semantic conventions, "SDK metrics", read
2026-11-23, status: development); ours begin with `nat.`. Exporters of steps count under `nat.sdk.….step.…`, since those names
of OpenTelemetry's count spans.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nat.observability.ledger import Counts

__all__ = ["Histogram", "HistogramReading", "LaneMetrics", "Measurement", "measurements"]

_SECONDS = (0.00001, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_ITEMS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)

_ERROR_TYPES = {"shutdown": "already_shutdown"}  # where OpenTelemetry has another word for our reason
_DROPPED_ON_PURPOSE = frozenset({"filtered", "sampled_out", "unrouted"})
_DROPPED_BY_DELIVERY = frozenset({"retries_exhausted", "too_large", "expired", "corrupt", "spool_lost"})


@dataclass(frozen=True, slots=True)
class HistogramReading:
    """A distribution: `counts[i]` values were at most `bounds[i]` and above the bound before; the last one has no bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


class Histogram:
    """Counts values in fixed buckets; one thread records, any may read.

    Args:
        bounds: Upper bounds of the buckets, rising.
    """

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def record(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def reading(self) -> HistogramReading:
        """The distribution so far."""
        return HistogramReading(self._bounds, tuple(self._counts), self._total)


@dataclass(slots=True)
class LaneMetrics:
    """What one lane measures.

    Attributes:
        batch_size: Items of each attempt.
        queue_time: Seconds from the pipeline's end to the first attempt.
        processor_time: Seconds that an item spends in the processors.
        send_time: Seconds of each attempt.
        in_flight: Items given to the exporter that have not met their fate.
        unkept: Items that could not be written to the spool or as dead letters, by reason.
    """

    batch_size: Histogram = field(default_factory=lambda: Histogram(_ITEMS))
    queue_time: Histogram = field(default_factory=lambda: Histogram(_SECONDS))
    processor_time: Histogram = field(default_factory=lambda: Histogram(_SECONDS))
    send_time: Histogram = field(default_factory=lambda: Histogram(_SECONDS))
    in_flight: int = 0
    unkept: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One metric of one exporter now.

    Attributes:
        name: Of the metric.
        kind: The instrument that it comes from.
        unit: In UCUM notation.
        value: A count, or a distribution.
        attributes: Which exporter, and for failures `error.type`.
    """

    name: str
    kind: Literal["counter", "updowncounter", "histogram"]
    unit: str
    value: int | HistogramReading
    attributes: Mapping[str, str]


def measurements(
    counts: Counts, lane: LaneMetrics, *, name: str, type_name: str, item: Literal["span", "step"], capacity: int
) -> list[Measurement]:
    """All metrics of one exporter: its entry's name and type, what it takes, and how many items its lane holds at most."""
    attributes = {"otel.component.name": name, "otel.component.type": type_name}
    return [*_counted(counts, lane, attributes, item, capacity), *_measured(lane, attributes, item)]


def _counted(
    counts: Counts, lane: LaneMetrics, attributes: dict[str, str], item: str, capacity: int
) -> Iterator[Measurement]:
    head = "otel.sdk" if item == "span" else "nat.sdk"
    unit = f"{{{item}}}"
    processor, exporter = f"{head}.processor.{item}", f"{head}.exporter.{item}"
    in_flight = min(lane.in_flight, counts.pending)
    given = min(lane.in_flight, counts.pending + counts.spooled)
    for error, value in _processed(counts, in_flight).items():
        yield Measurement(f"{processor}.processed", "counter", unit, value, _with_error(attributes, error))
    yield Measurement(f"{processor}.queue.size", "updowncounter", unit, counts.pending - in_flight, attributes)
    yield Measurement(f"{processor}.queue.capacity", "updowncounter", unit, capacity, attributes)
    for error, value in _exported(counts).items():
        yield Measurement(f"{exporter}.exported", "counter", unit, value, _with_error(attributes, error))
    yield Measurement(f"{exporter}.inflight", "updowncounter", unit, given, attributes)
    yield Measurement("nat.delivery.spool.size", "updowncounter", unit, counts.spooled, attributes)
    for error, value in lane.unkept.items():
        yield Measurement("nat.delivery.unkept", "counter", unit, value, _with_error(attributes, error))


def _measured(lane: LaneMetrics, attributes: dict[str, str], item: str) -> Iterator[Measurement]:
    for name, unit, histogram in (
        ("otel.sdk.exporter.operation.duration", "s", lane.send_time),
        ("nat.delivery.queue.duration", "s", lane.queue_time),
        ("nat.delivery.processor.duration", "s", lane.processor_time),
        ("nat.delivery.batch.size", f"{{{item}}}", lane.batch_size),
    ):
        yield Measurement(name, "histogram", unit, histogram.reading(), attributes)


def _processed(counts: Counts, in_flight: int) -> dict[str, int]:
    """Items that are through the pipeline, by what went wrong there; an item given to the exporter counts as processed."""
    processed = {"": sum(_exported(counts).values()) + counts.spooled + in_flight}
    for reason, count in counts.dropped.items():
        if reason in _DROPPED_ON_PURPOSE:
            processed[""] += count
        elif reason not in _DROPPED_BY_DELIVERY:
            processed[_ERROR_TYPES.get(reason, reason)] = count
    return processed


def _exported(counts: Counts) -> dict[str, int]:
    """Items that the exporter is done with, by what went wrong."""
    exported = {"": counts.delivered}
    if counts.rejected or counts.dead_lettered:
        exported["rejected"] = counts.rejected + counts.dead_lettered
    return exported | {reason: count for reason, count in counts.dropped.items() if reason in _DROPPED_BY_DELIVERY}


def _with_error(attributes: dict[str, str], error: str) -> dict[str, str]:
    return {**attributes, "error.type": error} if error else attributes
