"""Eight exporters, one of which misbehaves in some part of its life: the other seven deliver everything, on time."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry
from nat.observability.processor.processor import Processor
from tests.support.collecting import Received, SpanCollector, emit, registered

PLACES = ["registration", "start", "processor", "export_processed", "_flush", "_cleanup"]
SPANS = 50
TIMEOUT_S = 1.0
LOAD_S = 3.0  # what a machine under load may add; who waited for the bad one would wait for ever


class RaisedError(Exception):
    """What the bad exporter raises."""


class Manners:
    """Ways to misbehave; `end` releases what is blocked."""

    def __init__(self) -> None:
        self.is_over = threading.Event()

    async def raises(self) -> None:
        raise RaisedError("no")

    async def hangs(self) -> None:
        await asyncio.Event().wait()

    async def blocks(self) -> None:
        self.is_over.wait(60)

    async def swallows_cancellation(self) -> None:
        while not self.is_over.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue


@pytest.fixture
def manners() -> Iterator[Manners]:
    manners = Manners()
    yield manners
    manners.is_over.set()


class _Misbehaving(Processor[Span, Span]):
    def __init__(self, act: Callable[[], Awaitable[None]]) -> None:
        self._act = act

    async def process(self, item: Span) -> Span:
        await self._act()
        return item


class Bad(SpanCollector):
    """Acts in one place."""

    def __init__(self, place: str, act: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._place = place
        self._act = act
        if place == "processor":
            self.add_processor(_Misbehaving(act))

    async def _misbehave_at(self, place: str) -> None:
        if place == self._place:
            await self._act()

    @asynccontextmanager
    async def start(self) -> AsyncIterator[None]:
        await self._misbehave_at("start")
        async with super().start():
            yield

    async def export_processed(self, item: Span) -> None:
        await self._misbehave_at("export_processed")
        await super().export_processed(item)

    async def _flush(self) -> None:
        await self._misbehave_at("_flush")
        await super()._flush()

    async def _cleanup(self) -> None:
        await self._misbehave_at("_cleanup")
        await super()._cleanup()


def bad_config(place: str, act: Callable[[], Awaitable[None]]) -> TelemetryExporterBaseConfig:
    class Config(TelemetryExporterBaseConfig, name=f"bad_{place}_{id(act)}"):
        """Made by a test."""

    @register_telemetry_exporter(config_type=Config)
    async def build(config: Config, builder: Builder) -> AsyncIterator[Bad]:
        if place == "registration":
            await act()
        yield Bad(place, act)

    return Config()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("manner", ["raises", "hangs", "blocks", "swallows_cancellation"])
@pytest.mark.parametrize("place", PLACES)
def test_the_other_seven_deliver_everything_and_deadlines_are_kept(manners: Manners, place: str, manner: str) -> None:
    """Start is not delayed by more than 100 ms; flush and close keep their deadline to within half a second."""
    received = [Received[Span]() for _ in range(7)]

    def good(number: int) -> TelemetryExporterBaseConfig:
        return registered(lambda: SpanCollector(received[number]))()

    configs: dict[str, Any] = {f"good {number}": good(number) for number in range(7)}
    telemetry = Telemetry({"bad": bad_config(place, getattr(manners, manner)), **configs})

    usual = Telemetry(*(registered(SpanCollector)() for _ in range(8)))
    started = time.monotonic()
    usual.start()
    usual_s = time.monotonic() - started
    usual.close()
    started = time.monotonic()
    telemetry.start()
    start_s = time.monotonic() - started
    with telemetry.run("run"):
        for number in range(SPANS - 1):
            emit(str(number))
    started = time.monotonic()
    flushed = telemetry.flush(TIMEOUT_S)
    flush_s = time.monotonic() - started
    started = time.monotonic()
    closed = telemetry.close(TIMEOUT_S)
    close_s = time.monotonic() - started

    assert start_s < usual_s + LOAD_S
    assert flush_s < TIMEOUT_S + LOAD_S
    assert close_s < TIMEOUT_S + LOAD_S
    assert [len(spans) for spans in received] == [SPANS] * 7
    for number in range(7):
        assert flushed.outcomes[f"good {number}"].left == 0
        assert closed.exporters[f"good {number}"].delivered == SPANS
    bad = closed.exporters["bad"]
    assert bad.accepted == SPANS == bad.delivered + bad.lost
    assert bad.pending == 0


def test_flush_and_close_say_what_they_did(manners: Manners) -> None:
    """Delivered, left and lost within the call, exporter by exporter."""
    received = Received[Span]()
    configs = {
        "good": registered(lambda: SpanCollector(received))(),
        "dead": bad_config("export_processed", manners.hangs),
    }
    telemetry = Telemetry(configs).start()
    for number in range(10):
        emit(str(number))

    first = telemetry.flush(0.5)
    second = telemetry.flush(0.1)
    last = telemetry.close(0.1)

    assert first.outcomes["dead"].left == 10
    assert (second.outcomes["good"].delivered, second.outcomes["good"].left) == (0, 0)
    assert (last.outcomes["dead"].lost, last.outcomes["dead"].left) == (10, 0)
    assert last.exporters["good"].delivered == 10
    assert not first.is_complete
    assert not last.is_complete
