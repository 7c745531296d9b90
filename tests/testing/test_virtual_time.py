"""Virtual time: an exporter's retries and pauses are exact to the second, and take none."""

import asyncio
import time
from typing import Any

import pytest

from nat.observability.delivery.breaker import BreakerPolicy
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.retry import RetryPolicy
from nat.plugin_api import RawExporter, TransientExportError
from nat.testing import virtual_time
from tests.support.collecting import push


class Failing(RawExporter[Any, Any]):
    """Notes when it was called; the first calls fail."""

    def __init__(self, failures: int, breaker: BreakerPolicy) -> None:
        super().__init__()
        self.failures = failures
        self.breaker = breaker
        self.times: list[float] = []

    @property
    def delivery_options(self) -> DeliveryOptions:
        retry = RetryPolicy(initial_interval_s=1.0, multiplier=2.0, max_elapsed_s=200.0, jitter=0.0)
        return DeliveryOptions(retry=retry, breaker=self.breaker)

    async def export_processed(self, item: Any) -> None:
        self.times.append(virtual_time.now())
        if len(self.times) <= self.failures:
            raise TransientExportError("not now")


def test_an_exporters_retries_and_pauses_are_exact() -> None:
    """Three attempts with growing waits, then the breaker's minute; no real time passes."""
    exporter = Failing(failures=4, breaker=BreakerPolicy(failures=3, open_for_s=60.0))

    async def scenario() -> None:
        async with exporter.start():
            push("FUNCTION_START", "work")
            await virtual_time.until(lambda: len(exporter.times) == 5)

    started_s = time.monotonic()
    virtual_time.run(scenario())

    assert exporter.times == pytest.approx([0.0, 1.0, 3.0, 63.0, 123.0], abs=0.2)
    assert time.monotonic() - started_s < 50.0


def test_an_exporter_gives_up_when_it_says() -> None:
    """The next attempt would come 30 s after 181 s, which is more than 200 s after the first."""
    exporter = Failing(failures=1_000, breaker=BreakerPolicy(failures=0))

    async def scenario() -> None:
        async with exporter.start():
            push("FUNCTION_START", "work")
            await virtual_time.sleep(1_000.0)

    virtual_time.run(scenario())

    assert exporter.times == pytest.approx([0, 1, 3, 7, 15, 31, 61, 91, 121, 151, 181], abs=0.2)


def test_what_never_happens_is_told() -> None:
    async def scenario() -> None:
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="every task waits for something that will never happen"):
        virtual_time.run(scenario())
