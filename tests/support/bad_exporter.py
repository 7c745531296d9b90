"""Eight exporters, one of which misbehaves in some part of its life, and how long start, flush and close take then."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import FlushResult, Telemetry
from nat.observability.processor.processor import Processor
from tests.support.collecting import Received, SpanCollector, emit, registered
from tests.support.waiting import wait_for

__all__ = ["MANNERS", "PLACES", "SPANS", "Life", "Manners", "bad_config", "life_beside"]

PLACES = ["registration", "start", "processor", "export_processed", "_flush", "_cleanup"]
MANNERS = ["raises", "hangs", "blocks", "swallows_cancellation"]
SPANS = 50
TIMEOUT_S = 1.0
_GOOD = 7


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
        self.is_over.wait(600)

    async def swallows_cancellation(self) -> None:
        while not self.is_over.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue


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


@dataclass(frozen=True, slots=True)
class Life:
    """One telemetry from start to close.

    Attributes:
        start_delay_s: How much longer `start` took than with eight good exporters.
        flush_overrun_s: How long `flush` took beyond its timeout; negative if it was done before.
        close_overrun_s: The same for `close`.
        received: How many spans each of the good exporters got.
        flushed: What `flush` said.
        closed: What `close` said.
    """

    start_delay_s: float
    flush_overrun_s: float
    close_overrun_s: float
    received: list[int]
    flushed: FlushResult
    closed: FlushResult


def life_beside(bad: TelemetryExporterBaseConfig) -> Life:
    """Start, one run of `SPANS` spans, flush and close, with seven good exporters beside the bad one.

    The good ones have delivered when flush is called: how long that takes is a matter of the machine.
    """
    received = [Received[Span]() for _ in range(_GOOD)]

    def good(number: int) -> TelemetryExporterBaseConfig:
        return registered(lambda: SpanCollector(received[number]))()

    telemetry = Telemetry({"bad": bad, **{f"good {number}": good(number) for number in range(_GOOD)}})
    usual = Telemetry(*(registered(SpanCollector)() for _ in range(_GOOD + 1)))
    usual_s, _ = _timed(usual.start)
    usual.close()
    start_s, _ = _timed(telemetry.start)
    with telemetry.run("run"):
        for number in range(SPANS - 1):
            emit(str(number))
    wait_for(lambda: _good_delivered(telemetry) == _GOOD * SPANS, seen=telemetry.status)
    flush_s, flushed = _timed(lambda: telemetry.flush(TIMEOUT_S))
    close_s, closed = _timed(lambda: telemetry.close(TIMEOUT_S))
    return Life(
        start_delay_s=start_s - usual_s,
        flush_overrun_s=flush_s - TIMEOUT_S,
        close_overrun_s=close_s - TIMEOUT_S,
        received=[len(spans) for spans in received],
        flushed=flushed,
        closed=closed,
    )


def _good_delivered(telemetry: Telemetry) -> int:
    return sum(status.delivered for name, status in telemetry.status().exporters.items() if name != "bad")


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.monotonic()
    result = call()
    return time.monotonic() - started, result
