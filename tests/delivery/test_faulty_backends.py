"""Backends that fail, over real sockets: what arrives, how often it is tried, and what the agent feels of it."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nat.observability import Telemetry, step
from nat.observability.delivery.breaker import BreakerPolicy
from nat.observability.delivery.errors import TransientExportError, classify
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.retry import RetryPolicy
from nat.observability.exporter.base_exporter import BaseExporter
from nat.observability.ledger import Counts
from tests.support.collecting import Received, SpanCollector, emit, registered
from tests.support.fault_backend import (
    HANGS,
    RESETS,
    TRICKLES,
    Answer,
    FaultBackend,
    PostLists,
    PostSpans,
    PostSteps,
    answer,
    closed_port,
    retry_later,
)
from tests.support.waiting import PATIENCE_S, wait_for

_QUICK = RetryPolicy(initial_interval_s=0.05, max_interval_s=0.2)
_BREAKER = BreakerPolicy(open_for_s=0.3)


def assert_balanced(counts: Counts) -> None:
    fates = counts.delivered + counts.rejected + sum(counts.dropped.values()) + counts.dead_lettered + counts.spooled
    assert counts.accepted + counts.recovered == fates + counts.pending
    assert min(counts.accepted, counts.delivered, counts.rejected, counts.pending, *counts.dropped.values()) >= 0


class Quick(PostSpans):
    @property
    def delivery_options(self) -> DeliveryOptions:
        return replace(super().delivery_options, retry=_QUICK, breaker=_BREAKER)


class QuickLists(PostLists):
    @property
    def delivery_options(self) -> DeliveryOptions:
        return replace(super().delivery_options, retry=_QUICK, breaker=_BREAKER)


class QuickSteps(PostSteps):
    @property
    def delivery_options(self) -> DeliveryOptions:
        return replace(super().delivery_options, retry=_QUICK, breaker=_BREAKER)


def run_of(telemetry: Telemetry, steps: int) -> None:
    with telemetry.run("run"):
        for number in range(steps):
            emit(f"work {number:03}")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("aiohttp.client_exceptions", "ClientConnectionError"),
        ("httpx", "NetworkError"),
        ("httpx", "RemoteProtocolError"),
        ("httpx", "TimeoutException"),
        ("urllib3.exceptions", "ProtocolError"),
        ("http.client", "IncompleteRead"),
    ],
)
def test_a_lost_connection_is_transient_whichever_client_says_so(module: str, name: str) -> None:
    """These derive from neither `ConnectionError` nor `OSError`; a subclass counts, too."""
    base = type(name, (Exception,), {"__module__": module})

    assert classify(base()).is_transient
    assert classify(type("Special", (base,), {})()).is_transient
    assert not classify(type(name, (Exception,), {"__module__": "mine"})()).is_transient


@pytest.mark.parametrize("exporter", [Quick, QuickLists])
@pytest.mark.parametrize("fault", [answer(503), answer(429), RESETS], ids=["503", "429", "reset"])
def test_an_outage_costs_nothing(backend: FaultBackend, fault: Answer, exporter: type[PostSpans]) -> None:
    """Whatever the backend does for a while: afterwards it has every span exactly once."""
    backend.from_now_on(fault)

    with Telemetry({"backend": registered(lambda: exporter(backend.url))()}) as telemetry:
        run_of(telemetry, 99)
        backend.wait_for(10 if exporter is Quick else 2)
        assert telemetry.status().exporters["backend"].delivered == 0
        backend.recover()
        status = telemetry.flush(PATIENCE_S).exporters["backend"]

    assert (status.accepted, status.delivered, status.lost, status.pending) == (100, 100, 0, 0)
    assert len(backend.taken) == 100
    if fault is not RESETS:
        assert backend.duplicates == []


def test_a_backend_that_refuses_for_long_is_tried_no_more_often_than_configured(backend: FaultBackend) -> None:
    backend.from_now_on(answer(503))

    class Thrice(PostSpans):
        @property
        def delivery_options(self) -> DeliveryOptions:
            options = super().delivery_options
            return replace(options, retry=replace(_QUICK, max_retries=2), breaker=BreakerPolicy(failures=0))

    with Telemetry({"backend": registered(lambda: Thrice(backend.url))()}) as telemetry:
        run_of(telemetry, 19)
        status = telemetry.flush(PATIENCE_S).exporters["backend"]

    assert len(backend.attempts()) == 20
    assert max(backend.attempts().values()) <= 3
    assert status.delivered == 0
    assert status.lost + status.dead_lettered == 20
    assert_balanced(status)


def test_steps_keep_their_order_through_an_outage(backend: FaultBackend) -> None:
    backend.plan(answer(503), answer(503), answer(200), answer(200), answer(503), RESETS, answer(429))

    with Telemetry({"backend": registered(lambda: QuickSteps(backend.url))()}) as telemetry:
        run_of(telemetry, 20)
        status = telemetry.flush(PATIENCE_S).exporters["backend"]

    order = [arrival.names[0] for arrival in backend.arrivals if arrival.answer.status == 200]
    order = list(dict.fromkeys(order))
    work = [f"work {number:03} {event}" for number in range(20) for event in ("FUNCTION_START", "FUNCTION_END")]
    assert order == ["run WORKFLOW_START", *work, "run WORKFLOW_END"]
    assert (status.delivered, status.lost) == (42, 0)


def test_no_attempt_comes_before_the_time_that_the_backend_has_named(backend: FaultBackend) -> None:
    backend.plan(retry_later(429, 3))

    with Telemetry({"backend": registered(lambda: QuickLists(backend.url))()}) as telemetry:
        run_of(telemetry, 5)
        status = telemetry.flush(PATIENCE_S).exporters["backend"]

    first, second = (
        backend.arrivals[0],
        next(arrival for arrival in backend.arrivals[1:] if set(arrival.span_ids) & set(backend.arrivals[0].span_ids)),
    )
    assert second.time_s - first.time_s >= 3.0
    assert (status.delivered, status.lost) == (6, 0)


def test_the_end_does_not_make_the_named_time_come_earlier(backend: FaultBackend) -> None:
    backend.plan(retry_later(429, 2))

    with Telemetry({"backend": registered(lambda: QuickLists(backend.url))()}) as telemetry:
        run_of(telemetry, 0)
        backend.wait_for(1)

    first, second = backend.arrivals
    assert second.time_s - first.time_s >= 2.0
    assert len(backend.taken) == 1


def test_a_final_answer_is_one_attempt_and_one_message(backend: FaultBackend, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "nat.observability")
    backend.from_now_on(answer(400))

    with Telemetry({"backend": registered(lambda: PostSpans(backend.url))()}) as telemetry:
        run_of(telemetry, 29)
        status = telemetry.flush(PATIENCE_S).exporters["backend"]

    assert set(backend.attempts().values()) == {1}
    assert len(backend.attempts()) == 30
    assert status.rejected + status.dead_lettered == 30
    assert_balanced(status)
    assert len(caplog.records) == 1
    assert "400" in caplog.text


def test_a_span_over_the_limit_does_not_take_its_neighbours_along(backend: FaultBackend) -> None:
    """One by one: 413 for one span is that span's alone."""
    backend.limit_bytes = 100_000

    with Telemetry({"backend": registered(lambda: PostSpans(backend.url))()}) as telemetry:
        with telemetry.run("run"):
            for number in range(20):
                with step(f"work {number}", input="x" * (200_000 if number == 7 else 10)):
                    pass
        status = telemetry.flush(PATIENCE_S).exporters["backend"]

    assert status.accepted == 21
    assert status.delivered >= 20
    assert_balanced(status)
    assert len(backend.taken) == status.delivered


@pytest.mark.parametrize("fault", ["healthy", "hangs", "refuses", "503", "resets", "trickles"])
def test_a_faulty_backend_changes_nothing_for_the_agent(backend: FaultBackend, fault: str) -> None:
    """An agent on an event loop, 2,000 spans a second: same result, no stall, and the other exporter gets everything.

    The stall is a coarse bound that a loaded machine keeps, too; benchmarks/event_loop_delay.py measures the real one.
    """
    faults = {"hangs": HANGS, "503": answer(503), "resets": RESETS, "trickles": TRICKLES}
    backend.from_now_on(faults.get(fault, answer(200)))
    url = closed_port() if fault == "refuses" else backend.url
    received = Received[Any]()
    build: dict[str, Callable[[], BaseExporter]] = {
        "faulty": lambda: PostSpans(url),
        "lists": lambda: PostLists(url),
        "healthy": lambda: SpanCollector(received),
    }

    async def agent(telemetry: Telemetry) -> str:
        async with telemetry.run("run") as run:
            for _ in range(20):
                for _ in range(50):
                    async with step("work", input="question"):
                        pass
                await asyncio.sleep(0.025)
            run.output = "the result"
        return "the result"

    async def watched(telemetry: Telemetry) -> tuple[str, float]:
        work = asyncio.create_task(agent(telemetry))
        longest_s, before = 0.0, time.monotonic()
        while not work.done():
            await asyncio.sleep(0.005)
            now = time.monotonic()
            longest_s, before = max(longest_s, now - before - 0.005), now
        return await work, longest_s

    telemetry = Telemetry({name: registered(maker)() for name, maker in build.items()}).start()
    result, longest_s = asyncio.run(watched(telemetry))
    wait_for(lambda: telemetry.status().exporters["healthy"].delivered == 1_001)
    started = time.monotonic()
    status = telemetry.close(1.0).exporters
    closing_s = time.monotonic() - started

    assert result == "the result"
    assert longest_s < 10.0
    assert closing_s < 20.0
    assert (status["healthy"].delivered, status["healthy"].lost) == (1_001, 0)
    for name in ("faulty", "lists"):
        assert status[name].accepted == 1_001
        assert_balanced(status[name])
        assert status[name].pending == 0
    if fault not in ("healthy", "resets"):
        assert status["faulty"].delivered == 0


def test_an_exporter_that_passes_on_a_date_says_so_in_seconds(backend: FaultBackend) -> None:
    """The contract is seconds: `TransientExportError(retry_after_s=…)`; here the author has done the sum."""
    backend.plan(answer(429))

    class Dated(PostSpans):
        async def export_processed(self, item: Any) -> None:
            async with self.session.post(self.endpoint, json=item) as response:
                if response.status == 429:
                    raise TransientExportError("HTTP 429", retry_after_s=1.5)

    with Telemetry({"backend": registered(lambda: Dated(backend.url))()}) as telemetry:
        run_of(telemetry, 0)
        telemetry.flush(PATIENCE_S)

    first, second = backend.arrivals
    assert second.time_s - first.time_s >= 1.5
