"""What becomes of items that a backend takes, refuses, or leaves waiting."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from tenacity import retry, stop_after_attempt, wait_exponential

from nat.data_models.span import Span
from nat.observability import Telemetry
from nat.observability.delivery.errors import PermanentExportError, TransientExportError
from nat.observability.exporter.base_exporter import BaseExporter
from nat.observability.exporter.span_exporter import SpanExporter
from tests.support.collecting import Received, SpanCollector, StepCollector, emit, registered
from tests.support.http_backend import HttpBackend


class Post(SpanExporter[Span, dict[str, Any]]):
    """Posts each span; an HTTP error raises."""

    def __init__(self, endpoint: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.session = aiohttp.ClientSession(headers={"Authorization": "Bearer s3cr3t-key"})

    async def export_processed(self, item: dict[str, Any]) -> None:
        async with self.session.post(self.endpoint, json=item) as response:
            response.raise_for_status()

    async def _cleanup(self) -> None:
        await self.session.close()
        await super()._cleanup()


class Attempts(SpanExporter[Span, Span]):
    """Does what it is told, attempt by attempt, and writes down when."""

    def __init__(self, outcomes: list[BaseException | None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.outcomes = outcomes
        self.times: list[float] = []

    async def export_processed(self, item: Span) -> None:
        self.times.append(time.monotonic())
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome


def _run_once(build: Callable[[], BaseExporter], *, step: bool = False) -> tuple[Any, Any]:
    """One run through one exporter; gives the status after the flush, and the workflow's result."""
    with Telemetry({"backend": registered(build)()}) as telemetry:
        with telemetry.run("run") as run:
            if step:
                emit("work", input="4111 1111 1111 1111")
            run.output = result = "the workflow's own result"
        status = telemetry.flush(60.0).exporters["backend"]
    return status, result


@pytest.mark.contract("S105", "S169")
def test_every_request_carries_the_bearer_header_and_is_counted(backend: HttpBackend) -> None:
    status, _ = _run_once(lambda: Post(backend.url), step=True)

    assert [request.headers["authorization"] for request in backend.requests] == ["Bearer s3cr3t-key"] * 2
    assert sorted(body["name"] for body in backend.bodies) == ["run", "work"]
    assert (status.accepted, status.delivered, status.rejected, status.dropped, status.pending) == (2, 2, 0, {}, 0)
    assert status.lost == 0


@pytest.mark.contract("S106", "S147", "S152", "S161", "S162", "S166", "S169", "S172")
def test_a_final_http_error_is_counted_said_once_and_leaves_the_workflow_alone(
    backend: HttpBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """400 is final: one attempt. Neither payload nor key is logged."""
    caplog.set_level(logging.DEBUG, "nat.observability")
    backend.answer(400, 400)

    status, result = _run_once(lambda: Post(backend.url), step=True)

    assert result == "the workflow's own result"
    assert len(backend.requests) == 2
    assert (status.accepted, status.delivered, status.rejected) == (2, 0, 2)
    assert status.lost == 2
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "400" in warnings[0].getMessage()
    assert "backend" in warnings[0].getMessage()
    assert "s3cr3t" not in caplog.text
    assert "4111" not in caplog.text


@pytest.mark.contract("S152", "S160", "D4")
def test_a_transient_http_error_is_retried(backend: HttpBackend) -> None:
    backend.answer(503)

    status, _ = _run_once(lambda: Post(backend.url))

    assert [body["name"] for body in backend.bodies] == ["run", "run"]
    assert (status.accepted, status.delivered, status.lost) == (1, 1, 0)


@pytest.mark.contract("S190", "S147", "S160", "D4")
def test_retries_given_through_kwargs_bound_the_attempts_which_back_off(backend: HttpBackend) -> None:
    exporters: list[Attempts] = []

    def build() -> Attempts:
        outcomes: list[BaseException | None] = [TransientExportError("away")] * 9
        exporters.append(Attempts(outcomes, batch_size=10, timeout=5.0, retries=2))
        return exporters[-1]

    status, _ = _run_once(build)

    [first, second, third] = exporters[0].times
    assert second - first > 0.1
    assert third - second > 0.1
    assert (status.accepted, status.delivered, status.lost) == (1, 0, 1)


@pytest.mark.contract("S190", "D4")
def test_no_retries_means_one_attempt() -> None:
    exporters: list[Attempts] = []

    def build() -> Attempts:
        exporters.append(Attempts([TransientExportError("away")], retries=0))
        return exporters[-1]

    status, _ = _run_once(build)

    assert len(exporters[0].times) == 1
    assert (status.delivered, status.lost) == (0, 1)


@pytest.mark.contract("S190", "D4")
def test_timeout_given_through_kwargs_bounds_one_call() -> None:
    cancelled = Received[str]()

    class Hanging(SpanExporter[Span, Span]):
        async def export_processed(self, item: Span) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.add(item.name)

    status, _ = _run_once(lambda: Hanging(timeout=0.05, retries=0))

    assert cancelled.items == ["run"]
    assert (status.accepted, status.delivered, status.lost) == (1, 0, 1)


@pytest.mark.contract("S190", "D4")
def test_batch_size_never_turns_single_items_into_lists() -> None:
    received = Received[Span]()

    status, _ = _run_once(lambda: SpanCollector(received, batch_size=50), step=True)

    assert sorted(span.name for span in received.items) == ["run", "work"]
    assert status.delivered == 2


@pytest.mark.contract("D19", "S190")
@pytest.mark.parametrize("options", [{"batch_size": 0}, {"timeout": 0}, {"timeout": -1.0}, {"retries": -1}])
def test_delivery_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        SpanCollector(**options)


@pytest.mark.contract("S147", "S160")
@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (TransientExportError("later"), 2),
        (ConnectionRefusedError("refused"), 2),
        (TimeoutError(), 2),
        (PermanentExportError("never"), 1),
        (ValueError("a bug"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_may_pass_is_tried_again_what_is_final_is_not(error: BaseException, attempts: int) -> None:
    exporters: list[Attempts] = []

    def build() -> Attempts:
        exporters.append(Attempts([error, None]))
        return exporters[-1]

    status, _ = _run_once(build)

    assert len(exporters[0].times) == attempts
    assert (status.delivered, status.lost) == ((1, 0) if attempts == 2 else (0, 1))


@pytest.mark.contract("S146", "S147")
def test_a_retry_librarys_decorator_works_and_its_final_error_is_counted() -> None:
    """Three attempts of the decorator's own, then `RetryError`, which names what it wraps as final."""
    exporters: list[Any] = []

    class Retrying(SpanExporter[Span, Span]):
        def __init__(self, fails: int) -> None:
            super().__init__()
            self.fails = fails
            self.attempts = 0
            exporters.append(self)

        @retry(stop=stop_after_attempt(3), wait=wait_exponential(multiplier=0.001, max=0.002))
        async def export_processed(self, item: Span) -> None:
            self.attempts += 1
            if self.attempts <= self.fails:
                raise ValueError("no")

    passing, _ = _run_once(lambda: Retrying(2))
    failing, _ = _run_once(lambda: Retrying(9))

    assert [exporter.attempts for exporter in exporters if not exporter.is_isolated_instance] == [0, 0] or [
        exporter.attempts for exporter in exporters
    ] == [3, 3]
    assert (passing.delivered, passing.lost) == (1, 0)
    assert (failing.delivered, failing.lost) == (0, 1)


@pytest.mark.contract("S152", "S106")
def test_a_backend_that_is_away_harms_neither_the_workflow_nor_other_exporters() -> None:
    received = Received[Span]()
    nobody_listens = "http://127.0.0.1:9/v1/traces"

    telemetry = Telemetry(
        {
            "away": registered(lambda: Post(nobody_listens, retries=0))(),
            "there": registered(lambda: SpanCollector(received))(),
        }
    )
    with telemetry:
        with telemetry.run("run") as run:
            emit("work")
            run.output = "fine"
        status = telemetry.flush(60.0).exporters

    assert sorted(span.name for span in received.items) == ["run", "work"]
    assert (status["there"].delivered, status["away"].delivered, status["away"].lost) == (2, 0, 2)


@pytest.mark.contract("S152", "S8")
def test_a_hanging_backend_does_not_delay_the_workflow(backend: HttpBackend) -> None:
    backend.hold()

    with Telemetry({"backend": registered(lambda: Post(backend.url))()}) as telemetry:
        with telemetry.run("run"):
            for number in range(50):
                emit(f"work {number}")
        backend.wait_for(1)  # the run is over, and nothing has been answered yet
        assert telemetry.status().exporters["backend"].delivered == 0
        backend.release()

    assert len(backend.requests) == 51


@pytest.mark.contract("S169", "S141", "S65")
def test_every_item_has_one_counted_fate() -> None:
    class Picky(SpanExporter[Span, Span]):
        async def export_processed(self, item: Span) -> None:
            if item.name == "refused":
                raise PermanentExportError("not this one")

    with Telemetry({"backend": registered(Picky)()}) as telemetry:
        with telemetry.run("run"):
            emit("refused")
            emit("taken")
        status = telemetry.flush(60.0).exporters["backend"]

    assert (status.accepted, status.recovered) == (3, 0)
    fates = status.delivered + status.rejected + sum(status.dropped.values()) + status.dead_lettered
    assert fates + status.spooled + status.pending == 3
    assert (status.delivered, status.rejected, status.pending) == (2, 1, 0)


@pytest.mark.contract("S58")
def test_raw_steps_keep_their_order_also_across_retries() -> None:
    class Flaky(StepCollector):
        def __init__(self) -> None:
            super().__init__(received)
            self.has_failed: list[bool] = []

        async def export_processed(self, item: Any) -> None:
            if item.name == "first" and not self.has_failed:
                self.has_failed.append(True)
                raise TransientExportError("once")
            await super().export_processed(item)

    received = Received[Any]()

    _, _ = _run_once(Flaky, step=True)
    with Telemetry({"backend": registered(Flaky)()}) as telemetry, telemetry.run("second"):
        emit("first")
        emit("then")

    assert [item.name for item in received.items[4:]] == ["second", "first", "first", "then", "then", "second"]


@pytest.mark.contract("S143")
def test_thousands_of_spans_are_posted_one_by_one(backend: HttpBackend) -> None:
    """An exporter that posts one span at a time must not crawl: it sends several at once."""
    with Telemetry({"backend": registered(lambda: Post(backend.url))()}) as telemetry, telemetry.run("run"):
        for number in range(999):
            emit(f"work {number}")

    assert len(backend.requests) == 1_000


@pytest.mark.contract("S151", "S176")
def test_pool_timeouts_and_dns_cache_are_the_authors_choice(backend: HttpBackend) -> None:
    class Tuned(Post):
        def __init__(self) -> None:
            SpanExporter.__init__(self)
            self.endpoint = backend.url
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=2, limit_per_host=1, ttl_dns_cache=60),
                timeout=aiohttp.ClientTimeout(total=5),
            )

    status, _ = _run_once(Tuned, step=True)

    assert status.delivered == 2
