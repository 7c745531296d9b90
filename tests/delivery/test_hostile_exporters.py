"""Exporters and processors that do what nobody expects: their lane counts it, and nobody else notices."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import pytest

from nat.builder.builder import Builder
from nat.builder.context import ContextState
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry, step
from nat.observability.delivery.errors import TransientExportError
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.exporter.base_exporter import BaseExporter
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.ledger import Counts
from nat.observability.manager import ExporterStatus
from nat.observability.processor.batching_processor import BatchingProcessor
from nat.observability.processor.callback_processor import CallbackProcessor
from nat.observability.processor.processor import Processor
from tests.support.collecting import DictCollector, Received, SpanCollector, StepCollector, emit, registered
from tests.support.collecting import step as make_step
from tests.support.waiting import PATIENCE_S, wait_for

_FLUSH_S = PATIENCE_S


class RustPanicError(BaseException):
    """What a panic in an extension module written in Rust is: no `Exception`."""


_BEYOND_EXCEPTION = [SystemExit, asyncio.CancelledError, GeneratorExit, RustPanicError]


def assert_balanced(counts: Counts) -> None:
    fates = counts.delivered + counts.rejected + sum(counts.dropped.values()) + counts.dead_lettered + counts.spooled
    assert counts.accepted + counts.recovered == fates + counts.pending
    assert min(counts.accepted, counts.delivered, counts.rejected, counts.pending, *counts.dropped.values()) >= 0


def run_beside_a_healthy_one(build: Callable[[], BaseException | BaseExporter], spans: int = 3) -> ExporterStatus:
    """One run through the exporter and, in the same telemetry, through one that must not notice anything."""
    received = Received[Span]()
    configs = {
        "hostile": registered(build)(),  # type: ignore[arg-type]  # a builder may raise instead
        "healthy": registered(lambda: SpanCollector(received))(),
    }
    telemetry = Telemetry(configs).start()
    with telemetry.run("run"):
        for number in range(spans - 1):
            emit(f"work {number}")
    started = time.monotonic()
    flushed = telemetry.flush(_FLUSH_S)
    assert time.monotonic() - started < _FLUSH_S - 1, flushed
    status = telemetry.close(PATIENCE_S)
    assert len(received) == spans
    assert status.exporters["healthy"].delivered == spans
    hostile = status.exporters["hostile"]
    assert_balanced(hostile)
    assert hostile.pending == 0, hostile
    return hostile


@pytest.mark.parametrize("error", _BEYOND_EXCEPTION)
def test_whatever_export_processed_raises_is_one_final_failure(error: type[BaseException]) -> None:
    class Raising(SpanCollector):
        async def export_processed(self, item: Span) -> None:
            if item.name == "work 0":
                raise error
            await super().export_processed(item)

    status = run_beside_a_healthy_one(Raising)

    assert (status.accepted, status.delivered, status.rejected) == (3, 2, 1)


@pytest.mark.parametrize("error", _BEYOND_EXCEPTION)
def test_whatever_a_processor_raises_costs_its_item_only(error: type[BaseException]) -> None:
    class Raising(Processor[Span, Span]):
        async def process(self, item: Span) -> Span:
            if item.name == "work 0":
                raise error
            return item

    def build() -> SpanCollector:
        exporter = SpanCollector()
        exporter.add_processor(Raising())
        return exporter

    status = run_beside_a_healthy_one(build)

    assert (status.accepted, status.delivered, status.dropped) == (3, 2, {"processor_error": 1})


@pytest.mark.parametrize("error", _BEYOND_EXCEPTION)
def test_whatever_an_own_export_raises_costs_its_item_only(error: type[BaseException]) -> None:
    class Raising(StepCollector):
        def export(self, event: IntermediateStep) -> None:
            if event.name == "work 0":
                raise error
            super().export(event)

    status = run_beside_a_healthy_one(Raising)

    assert (status.accepted, status.delivered, status.rejected) == (6, 4, 2)


@pytest.mark.parametrize("error", [ValueError, *_BEYOND_EXCEPTION])
def test_an_exporter_that_cannot_be_copied_loses_its_items_and_they_are_counted(
    error: type[BaseException],
) -> None:
    class Uncopyable(SpanCollector):
        def create_isolated_instance(self, context_state: ContextState) -> Self:
            raise error

    status = run_beside_a_healthy_one(Uncopyable)

    assert (status.accepted, status.delivered, status.lost) == (3, 0, 3)


def test_an_exporter_that_cannot_be_copied_once_loses_that_run_only() -> None:
    class Moody(SpanCollector):
        async def export_processed(self, item: Span) -> None:
            await super().export_processed(item)

        def create_isolated_instance(self, context_state: ContextState) -> Self:
            if context_state.run is not None and context_state.run.name == "bad":
                raise ValueError("not this one")
            return super().create_isolated_instance(context_state)

    received = Received[Span]()
    with Telemetry({"moody": registered(lambda: Moody(received))()}) as telemetry:
        for name in ("good", "bad", "good again"):
            with telemetry.run(name):
                emit(f"work in {name}")
        status = telemetry.flush(_FLUSH_S).exporters["moody"]

    assert sorted(span.name for span in received.items) == ["good", "good again", "work in good", "work in good again"]
    assert (status.accepted, status.delivered, status.lost, status.pending) == (6, 4, 2, 0)


@pytest.mark.parametrize("error", _BEYOND_EXCEPTION)
@pytest.mark.parametrize("hook", ["_flush", "_cleanup"])
def test_whatever_a_hook_raises_the_end_comes(hook: str, error: type[BaseException]) -> None:
    async def raising(self: object) -> None:
        raise error

    status = run_beside_a_healthy_one(type("Raising", (SpanCollector,), {hook: raising}))

    assert status.delivered == 3


@pytest.mark.parametrize("error", [ValueError, *_BEYOND_EXCEPTION])
def test_whatever_a_processors_shutdown_raises_the_end_comes(error: type[BaseException]) -> None:
    class Raising(BatchingProcessor[Span]):
        async def shutdown(self) -> None:
            raise error

    class Lists(SpanExporter[Span, list[Span]]):
        async def export_processed(self, item: list[Span]) -> None:
            """Take it."""

    def build() -> Lists:
        exporter = Lists()
        exporter.add_processor(Raising(batch_size=2, flush_interval=60.0))
        return exporter

    status = run_beside_a_healthy_one(build)

    assert status.delivered == 3


@pytest.mark.parametrize("error", [ValueError, *_BEYOND_EXCEPTION])
def test_whatever_a_processors_flush_raises_its_items_are_counted(error: type[BaseException]) -> None:
    class Raising(BatchingProcessor[Span]):
        async def force_flush(self) -> list[Span]:
            raise error

    class Lists(SpanExporter[Span, list[Span]]):
        async def export_processed(self, item: list[Span]) -> None:
            """Take it."""

    def build() -> Lists:
        exporter = Lists()
        exporter.add_processor(Raising(batch_size=2, flush_interval=60.0))
        return exporter

    status = run_beside_a_healthy_one(build)

    assert status.delivered == 3


@pytest.mark.parametrize("place", ["registration", "start"])
@pytest.mark.parametrize("error", _BEYOND_EXCEPTION)
def test_whatever_the_start_raises_disables_that_exporter_only(place: str, error: type[BaseException]) -> None:
    """`sys.exit("no key")` in a registration function ends neither the program nor anybody else's export."""

    class Config(TelemetryExporterBaseConfig, name=f"hostile_{place}_{error.__name__}"):
        """Of this test."""

    class RefusesToStart(SpanCollector):
        def _prepare(self) -> None:
            raise error

    @register_telemetry_exporter(config_type=Config)
    async def build(config: Config, builder: Builder) -> AsyncIterator[BaseExporter]:
        if place == "registration":
            raise error
        yield RefusesToStart()

    received = Received[Span]()
    telemetry = Telemetry({"hostile": Config(), "healthy": registered(lambda: SpanCollector(received))()}).start()
    with telemetry.run("run"):
        emit("work")
    telemetry.flush(_FLUSH_S)
    with telemetry.run("another"):
        emit("work")
    status = telemetry.close(PATIENCE_S).exporters

    assert len(received) == 4
    assert (status["hostile"].state, status["hostile"].dropped) == ("disabled", {"exporter_disabled": 4})
    assert_balanced(status["hostile"])


@pytest.mark.parametrize("wish", ["3", "soon", float("nan"), float("-inf"), -1.0, object()])
def test_a_wish_for_a_pause_that_is_no_number_is_ignored(wish: Any) -> None:
    """`retry_after_s` comes from a header: an author may pass it on as it is."""

    class Wishing(SpanCollector):
        has_failed = False

        async def export_processed(self, item: Span) -> None:
            if not Wishing.has_failed:
                Wishing.has_failed = True
                raise TransientExportError("later", retry_after_s=wish)
            await super().export_processed(item)

    status = run_beside_a_healthy_one(Wishing)

    assert status.delivered == 3


def test_errors_that_name_each_other_as_cause_are_one_final_failure() -> None:
    class Circular(SpanCollector):
        async def export_processed(self, item: Span) -> None:
            first, second = ValueError("a"), ValueError("b")
            first.__cause__, second.__cause__ = second, first
            raise first

    status = run_beside_a_healthy_one(Circular)

    assert status.rejected == 3


def test_an_error_that_cannot_be_asked_is_one_final_failure() -> None:
    class UnspeakableError(Exception):
        @property
        def status(self) -> int:
            raise RuntimeError("no response yet")

    class Unspeakable(SpanCollector):
        async def export_processed(self, item: Span) -> None:
            raise UnspeakableError

    status = run_beside_a_healthy_one(Unspeakable)

    assert status.rejected == 3


def test_an_aggregate_that_a_processor_gives_by_itself_keeps_the_balance() -> None:
    """A processor that keeps all items to itself and gives one sum of them: nothing is counted twice."""

    class Summing(CallbackProcessor[Span, dict[str, Any]]):
        def __init__(self) -> None:
            self.count = 0
            self.give: Any = None

        async def process(self, item: Span) -> dict[str, Any] | None:  # None: nothing yet
            self.count += 1
            return None

        def set_done_callback(self, callback: Any) -> None:
            self.give = callback

        async def shutdown(self) -> None:
            await self.give({"count": self.count})

    received = Received[dict[str, Any]]()

    def build() -> DictCollector:
        exporter = DictCollector(received)
        exporter.add_processor(Summing())
        return exporter

    status = run_beside_a_healthy_one(build)

    assert received.items == [{"count": 3}]
    assert status.delivered == 1


def test_what_an_export_has_submitted_before_it_raises_is_counted() -> None:
    class Late(SpanCollector):
        def export(self, event: IntermediateStep) -> None:
            super().export(event)
            raise ValueError("too late")

    run_beside_a_healthy_one(Late)


def test_items_submitted_by_other_threads_are_not_taken_for_those_of_export() -> None:
    """`export` called by the author's own thread, while the lane is inside `export`, and while that raises."""
    started, go_on = threading.Event(), threading.Event()
    instances: list[Any] = []

    class Disturbed(StepCollector):
        def export(self, event: IntermediateStep) -> None:
            if event.name == "work 0" and not started.is_set():
                started.set()
                assert go_on.wait(PATIENCE_S)
                raise ValueError("and now this")
            super().export(event)

    def build() -> Disturbed:
        instances.append(Disturbed())
        return instances[-1]  # type: ignore[no-any-return]

    with Telemetry({"disturbed": registered(build)()}) as telemetry:
        with telemetry.run("run"):
            emit("work 0")
        assert started.wait(PATIENCE_S)
        item = instances[0]
        StepCollector.export(item, _a_step())
        StepCollector.export(item, _a_step())
        go_on.set()
        status = telemetry.flush(_FLUSH_S).exporters["disturbed"]

    assert_balanced(status)
    assert (status.accepted, status.delivered, status.rejected, status.pending) == (6, 5, 1, 0)


def _a_step() -> IntermediateStep:
    return make_step("FUNCTION_START", "from elsewhere")


@pytest.mark.parametrize("base", [SpanCollector, StepCollector])
def test_what_waits_for_an_own_export_when_the_end_comes_is_delivered(base: type[Any]) -> None:
    class Own(base):  # type: ignore[misc]  # one of two
        def export(self, event: Any) -> None:
            super().export(event)

    telemetry = Telemetry({"own": registered(Own)()}).start()
    with telemetry.run("run"):
        for number in range(499):
            emit(f"work {number}")
    status = telemetry.close(PATIENCE_S).exporters["own"]

    assert_balanced(status)
    items = 500 if base is SpanCollector else 1_000
    assert (status.accepted, status.delivered, status.lost) == (items, items, 0)


@pytest.mark.parametrize("swallows", [False, True], ids=["obeys", "swallows"])
@pytest.mark.parametrize("batches", [False, True], ids=["single", "batches"])
def test_a_processor_that_hangs_when_the_end_comes_costs_what_waits_and_no_more(
    *, batches: bool, swallows: bool
) -> None:
    """Whatever is between two processors at that moment, a batch too, is counted once."""

    class Hanging(Processor[Any, Any]):
        async def process(self, item: Any) -> Any:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if not swallows:
                    raise
            await asyncio.sleep(0)
            raise ValueError("after all")

    class Lists(SpanExporter[Span, list[Span]]):
        async def export_processed(self, item: list[Span]) -> None:
            """Take it."""

    def build() -> BaseExporter:
        exporter: Any = Lists() if batches else SpanCollector()
        if batches:
            exporter.add_processor(BatchingProcessor[Span](batch_size=4, flush_interval=60.0))
        exporter.add_processor(Hanging())
        return exporter  # type: ignore[no-any-return]

    telemetry = Telemetry({"hanging": registered(build)()}).start()
    with telemetry.run("run"):
        for number in range(9):
            emit(f"work {number}")
    status = telemetry.close(0.5).exporters["hanging"]

    assert_balanced(status)
    assert (status.accepted, status.delivered, status.pending) == (10, 0, 0)


def test_steps_that_exports_make_at_the_end_are_counted_when_the_end_comes_in_between() -> None:
    """One step that becomes three items: the first hangs in a processor when the deadline comes."""

    class Tripling(StepCollector):
        def export(self, event: IntermediateStep) -> None:
            for _ in range(3):
                super().export(event)

    class Hanging(Processor[IntermediateStep, IntermediateStep]):
        async def process(self, item: IntermediateStep) -> IntermediateStep:
            await asyncio.sleep(3600)
            return item

    def build() -> Tripling:
        exporter = Tripling()
        exporter.add_processor(Hanging())
        return exporter

    telemetry = Telemetry({"hanging": registered(build)()}).start()
    with telemetry.run("run"):
        emit("work")
    status = telemetry.close(0.5).exporters["hanging"]

    assert_balanced(status)
    assert (status.delivered, status.pending) == (0, 0)


def test_an_exporter_whose_own_code_reports_steps_does_not_feed_itself() -> None:
    """Steps made inside an exporter or processor are nobody's: else each export would make the next one."""

    class Instrumented(SpanCollector):
        async def export_processed(self, item: Span) -> None:
            await super().export_processed(item)
            if len(self.received) < 200:
                with step("my own http call", kind="tool"):
                    await asyncio.sleep(0)
                emit("pushed")

    status = run_beside_a_healthy_one(Instrumented)

    assert status.delivered == 3


def test_an_exporter_that_flushes_inside_export_processed_goes_on() -> None:
    class Flushing(SpanCollector):
        async def export_processed(self, item: Span) -> None:
            await super().export_processed(item)
            await self.wait_for_tasks(timeout=0.1)

    status = run_beside_a_healthy_one(Flushing)

    assert status.delivered == 3


def test_an_exporter_that_stops_itself_loses_nothing_uncounted() -> None:
    """`await self.stop()` inside `export_processed`: a lane cannot wait for its own sender."""

    class Stopping(SpanCollector):
        async def export_processed(self, item: Span) -> None:
            await super().export_processed(item)
            async with asyncio.timeout(0.2):
                await self.stop()

    telemetry = Telemetry({"stopping": registered(Stopping)()}).start()
    with telemetry.run("run"):
        emit("work")
    status = telemetry.close(2.0).exporters["stopping"]

    assert_balanced(status)
    assert status.pending == 0


@pytest.mark.parametrize("ends", [False, True], ids=["flush", "close"])
@pytest.mark.parametrize("blocks", [False, True], ids=["in a thread", "on its loop"])
def test_an_exporter_that_flushes_or_closes_the_whole_telemetry_stops_nobody(*, blocks: bool, ends: bool) -> None:
    """It waits for itself, until its own deadline; on its own loop it stops nothing but that."""
    received = Received[Span]()
    made: list[Telemetry] = []

    class Meddling(SpanCollector):
        async def export_processed(self, item: Span) -> None:
            call = made[0].close if ends else made[0].flush
            if blocks:
                call(0.1)
            else:
                await asyncio.to_thread(call, 0.1)
            await super().export_processed(item)

    telemetry = Telemetry(
        {"meddling": registered(Meddling)(), "healthy": registered(lambda: SpanCollector(received))()}
    ).start()
    made.append(telemetry)
    with telemetry.run("run"):
        pass
    received.wait_for(1)
    started = time.monotonic()
    telemetry.flush(PATIENCE_S)
    telemetry.close(PATIENCE_S)
    wait_for(lambda: not any(thread.name in ("nat meddling", "nat healthy") for thread in threading.enumerate()))
    status = telemetry.status().exporters

    assert time.monotonic() - started < PATIENCE_S - 1  # no deadline has come but its own, of a tenth of a second
    assert_balanced(status["meddling"])
    assert (status["healthy"].delivered, status["healthy"].pending) == (1, 0)


@pytest.mark.parametrize("number", range(10))
def test_offers_from_many_threads_while_closing_are_all_counted(number: int) -> None:
    """Four threads go on working while telemetry is closed, in any of ten rounds: nothing is offered without a fate."""
    telemetry = Telemetry({"spans": registered(SpanCollector)(), "steps": registered(StepCollector)()}).start()
    stop = threading.Event()
    made: list[int] = []

    def work() -> None:
        count = 0
        with telemetry.run("run"):
            while not stop.wait(0.0005):  # else closing takes as long as it may: there is always more
                for _ in range(10):
                    emit("work")
                count += 10
        made.append(count)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: telemetry.status().exporters["spans"].accepted > 20 * number)
    telemetry.close(PATIENCE_S)
    stop.set()
    for thread in threads:
        thread.join()
    status = telemetry.status().exporters

    assert_balanced(status["spans"])
    assert_balanced(status["steps"])
    assert (status["spans"].pending, status["steps"].pending) == (0, 0)
    assert status["spans"].accepted == sum(made) + 4
    assert status["steps"].accepted == 2 * (sum(made) + 4)


def test_every_reading_is_true_while_items_move() -> None:
    """Two thousand readings under load: what was accepted never goes back, and is never more than what was made."""
    telemetry = Telemetry({"spans": registered(SpanCollector)()}).start()
    stop = threading.Event()
    made = [1]  # with the run's own span; counted before it is offered

    def work() -> None:
        with telemetry.run("run"):
            while not stop.is_set():
                made[0] += 1
                with step("work"):
                    pass

    worker = threading.Thread(target=work)
    worker.start()
    readings = []
    for _ in range(2_000):
        status = telemetry.status().exporters["spans"]
        readings.append((status.accepted, made[0]))
        assert_balanced(status)
    stop.set()
    worker.join()
    telemetry.close(60.0)

    assert [accepted for accepted, _ in readings] == sorted(accepted for accepted, _ in readings)
    assert all(accepted <= most for accepted, most in readings)


def test_a_run_leaves_nothing_behind() -> None:
    """A thousand runs, some with late steps: no copy, capture or state of theirs is kept."""
    instances: list[Any] = []

    def build() -> SpanCollector:
        instances.append(SpanCollector())
        return instances[0]  # type: ignore[no-any-return]

    with Telemetry({"spans": registered(build)()}) as telemetry:
        for number in range(1_000):
            with telemetry.run("run"):
                emit("work")
                late = step("late")
                if number % 10 == 0:
                    late.__enter__()
            if number % 10 == 0:
                late.__exit__(None, None, None)
        telemetry.flush(_FLUSH_S)
        lane = instances[0]._life.lane

        assert lane._runs == {}
        assert not telemetry._manager._captures
        assert (lane._sender._unsent, lane._sender._senders, list(lane._sender._send_queue)) == ({}, {}, [])


def test_flushes_that_time_out_leave_nothing_behind() -> None:
    """A program that flushes after every run while the backend hangs does not pile up waiters."""
    instances: list[Any] = []
    release = threading.Event()

    class Hanging(SpanCollector):
        async def export_processed(self, item: Span) -> None:
            await asyncio.to_thread(release.wait)

    def build() -> Hanging:
        instances.append(Hanging())
        return instances[0]  # type: ignore[no-any-return]

    telemetry = Telemetry({"hanging": registered(build)()}).start()
    with telemetry.run("run"):
        emit("work")
    for _ in range(20):
        telemetry.flush(0.01)
    lane = instances[0]._life.lane

    def waiting() -> int:
        return len([waiter for _, waiter in lane._sender._waiters if not waiter.done()]) + len(lane._flushes)

    wait_for(lambda: waiting() == 0)
    release.set()
    telemetry.close(PATIENCE_S)


def test_lists_are_given_up_whole_and_counted_by_item() -> None:
    class Lists(SpanExporter[Span, Span]):
        @property
        def delivery_options(self) -> DeliveryOptions:
            return DeliveryOptions(takes_lists=True, batch_size=10, concurrency=1)

        async def export_processed(self, item: Any) -> None:
            raise SystemExit(1)

    status = run_beside_a_healthy_one(Lists, spans=25)

    assert (status.accepted, status.rejected) == (25, 25)
