"""The `delivery:` block of a workflow file, from the file to the backend."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat.data_models.span import Span
from nat.observability import DeliveryConfig, Telemetry
from nat.observability.delivery.errors import TransientExportError
from nat.observability.registry import default_registry
from tests.support.collecting import SpanCollector, registered

FILE = """
general:
  telemetry:
    delivery:
      timeout: 0.05
      retry: {initial_interval: 0.01, max_retries: 2}
      concurrency: 3
      breaker: {failures: 0}
    tracing:
      backend:
        _type: TYPE
        delivery: {retry: {max_retries: 1}}
"""


@pytest.fixture(autouse=True)
def _registry_as_before() -> Iterator[None]:
    with default_registry.preserved():
        yield


class Attempts:
    """How many there were, and how many at the same time."""

    def __init__(self) -> None:
        self.count = self.now = self.most_at_once = 0


class Hanging(SpanCollector):
    """Never answers; counts, over all runs."""

    def __init__(self, attempts: Attempts) -> None:
        super().__init__()
        self.attempts = attempts

    async def export_processed(self, item: Span) -> None:
        self.attempts.count += 1
        self.attempts.now += 1
        self.attempts.most_at_once = max(self.attempts.most_at_once, self.attempts.now)
        try:
            await asyncio.Event().wait()
        finally:
            self.attempts.now -= 1


@pytest.mark.contract("S160", "S176")
def test_timeout_concurrency_and_retries_of_a_file_take_effect(tmp_path: Path) -> None:
    """Nine spans, two attempts each, three at the same time, none longer than 50 ms."""
    attempts = Attempts()
    file = tmp_path / "w.yaml"
    file.write_text(FILE.replace("TYPE", registered(lambda: Hanging(attempts))().type), encoding="utf-8")
    with Telemetry.from_file(file) as telemetry:
        for number in range(9):
            with telemetry.run(f"run {number}"):
                pass
        status = telemetry.flush(60.0).exporters["backend"]

    assert (status.accepted, status.dropped) == (9, {"retries_exhausted": 9})
    assert (attempts.count, attempts.most_at_once) == (18, 3)


def test_python_users_say_the_same() -> None:
    """No repetition at all."""
    attempts: list[str] = []

    class Failing(SpanCollector):
        async def export_processed(self, item: Span) -> None:
            attempts.append(item.name)
            raise TransientExportError("later")

    delivery = DeliveryConfig.model_validate({"retry": {"max_retries": 0}})
    with Telemetry(registered(Failing)(), delivery=delivery) as telemetry, telemetry.run("run"):
        pass

    assert attempts == ["run"]
