"""The intake's bounds: an exporter that does not keep up loses what the policy says, and the others lose nothing."""

import asyncio
import logging
import threading
import time
from pathlib import Path

import pytest

from nat.data_models.delivery import DeliveryConfig, IntakeConfig
from nat.data_models.errors import ConfigurationError
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry
from nat.observability.ledger import Counts
from nat.runtime.loader import load_workflow
from tests.support.collecting import Received, SpanCollector, emit, registered
from tests.support.waiting import PATIENCE_S

LIMIT = 2_000
SPANS = 3_000


class Gated(SpanCollector):
    """Sends nothing until the gate is open."""

    def __init__(self, received: Received[Span], gate: threading.Event) -> None:
        super().__init__(received)
        self._gate = gate

    async def export_processed(self, item: Span) -> None:
        while not self._gate.is_set():  # noqa: ASYNC110  (the gate belongs to another thread)
            await asyncio.sleep(0.01)
        await super().export_processed(item)


class Slow:
    """A telemetry with an exporter that waits for a gate, and one that does not."""

    def __init__(self, intake: IntakeConfig) -> None:
        self.gate = threading.Event()
        self.slow = Received[Span]()
        self.quick = Received[Span]()
        configs: dict[str, TelemetryExporterBaseConfig] = {
            "slow": registered(lambda: Gated(self.slow, self.gate))(),
            "quick": registered(lambda: SpanCollector(self.quick))(),
        }
        self.telemetry = Telemetry(configs, delivery=DeliveryConfig(intake=intake)).start()

    def emit(self, count: int, first: int = 0) -> None:
        """Spans at a pace that the quick exporter keeps."""
        for number in range(first, first + count):
            emit(str(number))
            if number % 50 == 49:
                self.quick.wait_for(number + 1)

    def counts(self, name: str) -> Counts:
        return self.telemetry.status().exporters[name]


def run(intake: IntakeConfig) -> tuple[Slow, list[int]]:
    """The numbers of the spans that the slow exporter sent in the end."""
    slow = Slow(intake)
    slow.emit(SPANS)
    held = slow.counts("slow").pending
    assert held <= LIMIT
    slow.gate.set()
    slow.telemetry.close(PATIENCE_S)
    assert len(slow.quick) == SPANS
    counts = slow.counts("slow")
    assert counts.accepted == SPANS == counts.delivered + counts.lost
    assert counts.dropped == {"queue_full": SPANS - counts.delivered}
    return slow, sorted(int(span.name) for span in slow.slow.items)


def test_drop_newest_keeps_what_came_first() -> None:
    _, kept = run(IntakeConfig(max_items=LIMIT))

    assert kept == list(range(LIMIT))


def test_drop_oldest_keeps_what_came_last() -> None:
    """But for what was being sent or about to be."""
    _, kept = run(IntakeConfig(max_items=LIMIT, overflow="drop_oldest"))

    assert len(kept) == LIMIT
    assert kept[-400:] == list(range(SPANS - 400, SPANS))


def test_wait_loses_nothing_while_room_is_made() -> None:
    slow = Slow(IntakeConfig(max_items=LIMIT, overflow="wait", wait_timeout=PATIENCE_S))
    slow.emit(LIMIT)
    taken_before: list[int] = []

    def open_gate() -> None:
        taken_before.append(len(slow.quick))
        slow.gate.set()

    threading.Timer(0.3, open_gate).start()
    slow.emit(500, first=LIMIT)
    slow.telemetry.close(PATIENCE_S)

    assert taken_before[0] <= LIMIT + 1  # the step after the last one that had room waited
    assert slow.counts("slow").delivered == LIMIT + 500
    assert slow.counts("slow").dropped == {}


def test_wait_ends_at_its_limit() -> None:
    slow = Slow(IntakeConfig(max_items=LIMIT, overflow="wait", wait_timeout=0.2))
    slow.emit(LIMIT)
    slow.telemetry.flush(0.2)

    started = time.monotonic()
    emit("one more")
    waited_s = time.monotonic() - started
    slow.gate.set()
    slow.telemetry.close(PATIENCE_S)

    assert 0.15 < waited_s < 30.0
    assert slow.counts("slow").dropped == {"queue_full": 1}
    assert len(slow.quick) == LIMIT + 1


def test_the_bound_in_bytes_holds_too() -> None:
    slow = Slow(IntakeConfig(max_bytes=2**20))

    for number in range(100):
        emit(str(number), input="x" * 100_000)
        slow.quick.wait_for(number + 1)
    pending = slow.counts("slow").pending
    slow.gate.set()
    slow.telemetry.close(PATIENCE_S)

    assert pending == 10
    assert len(slow.quick) == 100


def test_an_exporter_that_does_not_start_costs_the_others_nothing() -> None:
    """What is kept for it is bounded as well."""
    gate = threading.Event()
    quick = Received[Span]()

    def never() -> SpanCollector:
        gate.wait(PATIENCE_S)
        return SpanCollector()

    configs: dict[str, TelemetryExporterBaseConfig] = {
        "never": registered(never)(),
        "quick": registered(lambda: SpanCollector(quick))(),
    }
    telemetry = Telemetry(configs, delivery=DeliveryConfig(intake=IntakeConfig(max_items=LIMIT))).start()

    for number in range(SPANS):
        emit(str(number))
        if number % 20 == 19:
            quick.wait_for(number + 1)
    never_counts = telemetry.status().exporters["never"]
    gate.set()
    telemetry.close(60.0)

    assert (never_counts.pending, never_counts.dropped) == (LIMIT, {"queue_full": SPANS - LIMIT})
    assert len(quick) == SPANS


def test_a_loss_is_said_once_a_minute_and_in_full_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="nat.observability.manager"):
        run(IntakeConfig(max_items=LIMIT))

    said = [record.getMessage() for record in caplog.records if "queue_full" in record.getMessage()]
    assert len(said) == 2, said
    assert sum(int(message.split(": ")[1].split()[0]) for message in said) == SPANS - LIMIT


def test_one_exporter_cannot_have_an_intake_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "workflow.yaml"
    file.write_text(
        "general: {telemetry: {tracing: {here: {_type: console, delivery: {intake: {max_items: 5}}}}}}",
        encoding="utf-8",
    )

    with pytest.raises(ConfigurationError) as caught:
        load_workflow(file)

    (problem,) = caught.value.problems
    assert problem.message == "is for all exporters together; write it under general.telemetry.delivery"


def test_the_workflow_file_bounds_the_intake(tmp_path: Path) -> None:
    file = tmp_path / "workflow.yaml"
    file.write_text("general: {telemetry: {delivery: {intake: {max_items: 7, overflow: wait}}}}", encoding="utf-8")

    delivery = load_workflow(file).delivery

    assert delivery is not None
    assert (delivery.intake.max_items, delivery.intake.overflow) == (7, "wait")
