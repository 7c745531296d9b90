"""Exporters that take whole runs: a list holds one trace, whatever happens at the same time."""

import contextvars
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.delivery import DeliveryConfig
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry, step
from nat.observability.delivery.errors import ItemTooLargeError, TransientExportError
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.registry import default_registry
from tests.support.collecting import emit


class WholeRuns(SpanExporter[Span, Span]):
    """Keeps the lists that it is given."""

    def __init__(self) -> None:
        super().__init__(batch_size=1000)
        self.lists: list[list[Span]] = []
        self.failures: list[Exception] = []

    @property
    def delivery_options(self) -> DeliveryOptions:
        return replace(super().delivery_options, takes_lists=True, groups_runs=True)

    async def export_processed(self, item: Any) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.lists.append(item)

    @property
    def names(self) -> list[list[str]]:
        return [[span.name for span in spans] for spans in self.lists]


class WholeRunsConfig(TelemetryExporterBaseConfig, name="whole_runs"):
    """For these tests."""


@pytest.fixture
def exporter() -> Iterator[WholeRuns]:
    exporter = WholeRuns()
    with default_registry.preserved():

        @register_telemetry_exporter(config_type=WholeRunsConfig)
        async def build(config: WholeRunsConfig, builder: Builder) -> AsyncIterator[WholeRuns]:
            yield exporter

        yield exporter


def test_a_run_comes_as_one_list_when_it_ends(exporter: WholeRuns) -> None:
    with Telemetry(WholeRunsConfig()) as telemetry:
        for name in ("first", "second"):
            with telemetry.run(name):
                emit(f"{name} a")
                emit(f"{name} b")
                assert telemetry.flush(60.0).outcomes["whole_runs"].left == 2
        telemetry.flush(60.0)
        lists = list(exporter.names)

    assert lists == [["first a", "first b", "first"], ["second a", "second b", "second"]]


def test_a_run_in_a_run_is_part_of_its_list(exporter: WholeRuns) -> None:
    """Also if the outer one's last span is taken before the inner one's, or comes long before it."""
    with Telemetry(WholeRunsConfig()) as telemetry:
        with telemetry.run("outer"), telemetry.run("inner"):
            emit("work")
        telemetry.flush(60.0)

    assert [sorted(names) for names in exporter.names] == [["inner", "outer", "work"]]


def test_runs_at_the_same_time_stay_apart(exporter: WholeRuns) -> None:
    with Telemetry(WholeRunsConfig()) as telemetry:

        def work(number: int) -> None:
            with telemetry.run(f"run {number}"):
                for _ in range(50):
                    emit(f"work {number}")

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(40)))

    assert sorted(len(names) for names in exporter.names) == [51] * 40
    assert all(len({span.context.trace_id for span in spans}) == 1 for spans in exporter.lists)


def test_steps_outside_any_run_come_one_by_one(exporter: WholeRuns) -> None:
    with Telemetry(WholeRunsConfig()) as telemetry:
        with step("outside"), step("inside"):
            pass
        telemetry.flush(60.0)
        lists = list(exporter.names)

    assert lists == [["inside", "outside"]]


def test_what_comes_after_the_end_of_its_run_comes_alone(exporter: WholeRuns) -> None:
    """A task that the run has left behind."""
    with Telemetry(WholeRunsConfig()) as telemetry:
        with telemetry.run("run"):
            context = contextvars.copy_context()
        telemetry.flush(60.0)
        context.run(emit, "late")
        telemetry.flush(60.0)
        lists = list(exporter.names)

    assert lists == [["run"], ["late"]]


def test_a_run_that_fails_to_be_sent_is_sent_again_as_a_whole(exporter: WholeRuns) -> None:
    exporter.failures = [TransientExportError("not yet")]
    delivery = DeliveryConfig.model_validate({"retry": {"initial_interval": 0.01}})

    with Telemetry(WholeRunsConfig(), delivery=delivery) as telemetry:
        with telemetry.run("run"):
            emit("work")
        status = telemetry.flush(60.0).exporters["whole_runs"]

    assert exporter.names == [["work", "run"]]
    assert (status.delivered, status.lost) == (2, 0)


def test_a_run_that_is_too_large_comes_in_parts(exporter: WholeRuns) -> None:
    """Of the size that the user allows; or in halves, if the backend says so."""
    delivery = DeliveryConfig.model_validate({"batch": {"size": 3}})
    exporter.failures = [ItemTooLargeError("too large")]

    with Telemetry(WholeRunsConfig(), delivery=delivery) as telemetry:
        with telemetry.run("run"):
            for number in range(4):
                emit(f"work {number}")
        status = telemetry.flush(60.0).exporters["whole_runs"]

    assert sorted(exporter.names) == [["work 0"], ["work 1", "work 2"], ["work 3", "run"]]
    assert (status.delivered, status.lost) == (5, 0)


async def test_an_exporter_that_user_code_starts_takes_whole_runs_too() -> None:
    """A trace is over there with its root."""
    exporter = WholeRuns()

    async with exporter.start():
        with step("outside"), step("inside"):
            pass
        await exporter.wait_for_tasks()
        lists = list(exporter.names)

    assert lists == [["inside", "outside"]]
