"""Configured processors: what passes them, in which order, and what becomes of it when they fail."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_processor
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability import Telemetry, exporter_entry, step
from nat.observability.exporter.base_exporter import BaseExporter
from nat.observability.manager import ExporterState
from nat.observability.processor.batching_processor import BatchingProcessor
from nat.observability.processor.callback_processor import CallbackProcessor
from nat.observability.processor.processor import Processor
from tests.support.collecting import Received, SpanCollector, StepCollector, registered
from tests.support.processing import SpanFunction, StepFunction, registered_processor


def collector() -> tuple[SpanCollector, TelemetryExporterBaseConfig]:
    """An exporter of spans, and what configures it."""
    exporter = SpanCollector()
    return exporter, registered(lambda: exporter)()


def marking(mark: str) -> TelemetryProcessorBaseConfig:
    """What configures a processor that puts a mark behind the name of spans."""
    return registered_processor(
        lambda: SpanFunction(lambda span: span.model_copy(update={"name": f"{span.name}{mark}"}))
    )()


def run(telemetry: Telemetry, *names: str) -> None:
    """One run with these steps."""
    with telemetry.run("run"):
        for name in names:
            with step(name):
                pass


def names_of(exporter: SpanCollector) -> list[str]:
    return sorted(span.name for span in exporter.received.items)


def test_general_ones_come_first_then_the_entrys_then_the_authors() -> None:
    first, first_config = collector()
    second, second_config = collector()
    first.add_processor(SpanFunction(lambda span: span.model_copy(update={"name": f"{span.name} author"})))
    entry = exporter_entry(first_config, processors=[marking(" own"), marking(" own too")])

    with Telemetry(entry, second_config, processors=[marking(" general")]) as telemetry:
        run(telemetry, "work")

    assert names_of(first) == ["run general own own too author", "work general own own too author"]
    assert names_of(second) == ["run general", "work general"]


def test_each_exporter_has_an_instance_of_its_own() -> None:
    built: list[object] = []

    def build() -> Processor[Any, Any]:
        built.append(SpanFunction(lambda span: span))
        return built[-1]  # type: ignore[return-value]  # the one just built

    _, first = collector()
    _, second = collector()

    with Telemetry(first, second, processors=[registered_processor(build)()]) as telemetry:
        run(telemetry, "work")

    assert len(set(map(id, built))) == 2


def test_they_live_as_long_as_their_exporter_on_its_loop() -> None:
    """The registration function runs in the exporter's thread, and its rest after the exporter's cleanup."""
    told: list[tuple[str, str]] = []

    def tell(what: str) -> None:
        told.append((what, threading.current_thread().name))

    class Telling(SpanCollector):
        async def export_processed(self, item: Span) -> None:
            tell(f"export {item.name}")

        async def _cleanup(self) -> None:
            await super()._cleanup()
            tell("cleanup")

    class Config(TelemetryProcessorBaseConfig, name="living"):
        """Made by a test."""

    @register_telemetry_processor(config_type=Config)
    async def build(config: Config, builder: Builder) -> AsyncIterator[SpanFunction]:
        tell("built")
        yield SpanFunction(lambda span: span)
        tell("torn down")

    with Telemetry({"mine": registered(Telling)()}, processors=[Config()]) as telemetry:
        run(telemetry)

    assert [what for what, _ in told] == ["built", "export run", "cleanup", "torn down"]
    assert {thread for _, thread in told} == {"nat mine"}


def test_processors_of_steps_serve_exporters_of_steps() -> None:
    """Also one whose author has overridden `export`, and one that makes spans of steps itself."""

    class Own(StepCollector):
        def export(self, event: IntermediateStep) -> None:
            super().export(event)

    class OwnSpans(SpanCollector):
        def export(self, event: IntermediateStep) -> None:
            super().export(event)

    exporters: list[Any] = [StepCollector(), Own(), OwnSpans()]

    def hidden(item: IntermediateStep) -> IntermediateStep | None:
        if item.name == "hide":
            return None
        return item.model_copy(update={"payload": item.payload.model_copy(update={"name": f"{item.name}!"})})

    configs = {f"to {index}": registered(partial(_itself, exporter))() for index, exporter in enumerate(exporters)}
    with Telemetry(configs, processors=[registered_processor(lambda: StepFunction(hidden))()]) as telemetry:
        run(telemetry, "work", "hide")
    status = telemetry.status().exporters

    assert [{item.name for item in exporter.received.items} for exporter in exporters] == [{"run!", "work!"}] * 3
    assert [(one.delivered, one.dropped, one.pending) for one in status.values()] == [
        (4, {"filtered": 2}, 0),
        (4, {"filtered": 2}, 0),
        (2, {"filtered": 2}, 0),
    ]


def _itself(exporter: BaseExporter) -> BaseExporter:
    return exporter


def test_a_union_goes_everywhere() -> None:
    class Both(Processor[Span | IntermediateStep, Span | IntermediateStep]):
        async def process(self, item: Span | IntermediateStep) -> Span | IntermediateStep | None:
            return None if item.name == "hide" else item

    spans, steps = SpanCollector(), StepCollector()

    with Telemetry(
        registered(lambda: spans)(), registered(lambda: steps)(), processors=[registered_processor(Both)()]
    ) as telemetry:
        run(telemetry, "work", "hide")

    assert (
        {item.name for item in spans.received.items} == {item.name for item in steps.received.items} == {"run", "work"}
    )


@pytest.mark.parametrize(
    ("exporter", "processor", "message"),
    [
        (
            StepCollector,
            lambda: SpanFunction(lambda span: span),
            "takes Span, but exporter 'mine' is given every step (IntermediateStep); configure it for exporters of spans only",
        ),
        (
            SpanCollector,
            lambda: StepFunction(lambda item: item),
            (
                "takes IntermediateStep, but exporter 'mine' is given finished spans (Span); "
                "configure it for exporters of steps only"
            ),
        ),
        (
            SpanCollector,
            BatchingProcessor[Span],
            "gives list[nat.data_models.span.Span], expected Span: what it is given, changed or not",
        ),
    ],
)  # fmt: skip
def test_one_that_does_not_take_what_the_exporter_is_given_keeps_it_from_starting(
    exporter: Callable[[], BaseExporter], processor: Callable[[], Processor[Any, Any]], message: str
) -> None:
    """Nothing leaves; the reason is the exporter's, and others go on."""
    other, other_config = collector()
    entry = exporter_entry(registered(exporter)(), name="mine", processors=[registered_processor(processor)()])

    with Telemetry(entry, {"other": other_config}) as telemetry:
        run(telemetry, "work")
    status = telemetry.status().exporters

    type_name = entry.processors[0].registration.type_name
    assert status["mine"].reason == f"ConfigurationError: mine.processors[0] ({type_name}): {message}"
    assert (status["mine"].state, status["mine"].delivered) == (ExporterState.DISABLED, 0)
    assert names_of(other) == ["run", "work"]


class Failing(Processor[Span, Span]):
    """Does with the span named `bad` what its function does, and passes on the others."""

    def __init__(self, fail: Callable[[Span], Awaitable[Any]]) -> None:
        self._fail = fail

    async def process(self, item: Span) -> Span | None:
        return await self._fail(item) if item.name == "bad" else item


async def raises(span: Span) -> Span:
    raise ValueError(f"no {span.attributes}")


async def hangs(span: Span) -> Span:
    await asyncio.Event().wait()
    return span


async def hangs_later(span: Span) -> Span:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.Event().wait()
    return span


async def gives_text(span: Span) -> Any:
    return f"{span.attributes}"


async def gives_a_list(span: Span) -> Any:
    return [span]


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (raises, "processor_error"),
        (hangs, "processor_timeout"),
        (hangs_later, "processor_timeout"),
        (gives_text, "processor_error"),
        (gives_a_list, "processor_error"),
    ],
)
def test_what_a_processor_fails_on_does_not_leave(
    fail: Callable[[Span], Awaitable[Any]], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted by reason and said without content; what comes next and other exporters are untouched."""
    exporter, config = collector()
    other, other_config = collector()
    entry = exporter_entry(config, name="mine", processors=[registered_processor(lambda: Failing(fail))()])
    entry = replace(entry, processors=(replace(entry.processors[0], timeout_s=0.05),))

    with Telemetry(entry, {"other": other_config}) as telemetry:
        with telemetry.run("run"):
            with step("bad", input="private"):
                pass
            with step("good"):
                pass
    status = telemetry.status().exporters

    assert names_of(exporter) == ["good", "run"]
    assert (status["mine"].accepted, status["mine"].delivered, status["mine"].dropped) == (3, 2, {reason: 1})
    assert names_of(other) == ["bad", "good", "run"]
    (said,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert "mine: processor mine.processors[0]" in said.getMessage()
    assert "private" not in caplog.text


def test_one_that_waits_for_something_is_not_too_late() -> None:
    """What it raises of its own accord is an error and no exceeded limit, also a `TimeoutError`."""

    async def waits(span: Span) -> Span:
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            await asyncio.sleep(0)
        return span.model_copy(update={"name": "waited"})

    async def gives_up(span: Span) -> Span:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
        return span

    waiting, waiting_config = collector()
    giving_up, giving_up_config = collector()

    with Telemetry(
        exporter_entry(waiting_config, processors=[registered_processor(lambda: Failing(waits))()]),
        exporter_entry(giving_up_config, name="mine", processors=[registered_processor(lambda: Failing(gives_up))()]),
    ) as telemetry:
        run(telemetry, "bad")

    assert names_of(waiting) == ["run", "waited"]
    assert names_of(giving_up) == ["run"]
    assert telemetry.status().exporters["mine"].dropped == {"processor_error": 1}


def test_one_that_blocks_its_thread_holds_up_no_other_exporter() -> None:
    """Nothing that it has not processed leaves, and what waits behind it is counted at the end."""
    blocked = threading.Event()

    def block(span: Span) -> Span:
        blocked.wait()
        return span

    exporter, config = collector()
    other, other_config = collector()
    entry = exporter_entry(config, name="mine", processors=[registered_processor(lambda: SpanFunction(block))()])

    telemetry = Telemetry(entry, {"other": other_config}).start()
    run(telemetry, "work")
    assert sorted(span.name for span in other.received.wait_for(2)) == ["run", "work"]
    result = telemetry.close(timeout=0.2)
    blocked.set()

    assert result.exporters["other"].delivered == 2
    assert (result.exporters["mine"].delivered, result.exporters["mine"].dropped) == (0, {"shutdown": 2})
    assert exporter.received.items == []


def test_writing_into_a_span_changes_no_other_exporters_output() -> None:
    """Attributes, events and their attributes, and links belong to the exporter alone."""

    def deface(span: Span) -> Span:
        span.attributes.clear()
        span.attributes["only"] = "here"
        for event in span.events:
            event.attributes.clear()
        span.add_event("only here")
        span.links.clear()
        return span

    first, first_config = collector()
    second, second_config = collector()
    third, third_config = collector()
    entry = exporter_entry(second_config, processors=[registered_processor(lambda: SpanFunction(deface))()])

    with Telemetry(first_config, entry, third_config) as telemetry:
        with pytest.raises(ValueError, match="no"), telemetry.run("run", input="question"):
            with step("work", input="private"):
                raise ValueError("no")

    before, after = first.by_name(), third.by_name()
    assert before == after
    assert before["work"].attributes["input.value"] == "private"
    assert [event.attributes["exception.message"] for event in before["work"].events] == ["no"]
    assert second.by_name()["work"].attributes == {"only": "here"}


class HoldingProcessor(CallbackProcessor[Span, Span]):
    """Holds spans until the end, and gives `last`, or itself, instead."""

    def __init__(self, last: Any = None) -> None:
        self._last = last
        self._held: list[Span] = []
        self.refused: list[str] = []

    def set_done_callback(self, callback: Callable[[Span], Awaitable[None]]) -> None:
        self._callback = callback

    async def process(self, item: Span) -> Span | None:
        self._held.append(item)
        return None

    async def shutdown(self) -> None:
        for span in self._held:
            try:
                await self._callback(self._last or span.model_copy(update={"name": f"{span.name} held"}))
            except TypeError as exc:
                self.refused.append(str(exc))


def test_one_that_gives_items_later_has_them_pass_the_others() -> None:
    exporter, config = collector()
    holding = registered_processor(HoldingProcessor)()

    with Telemetry(exporter_entry(config, name="mine", processors=[holding, marking("!")])) as telemetry:
        run(telemetry, "work")
    status = telemetry.status().exporters["mine"]

    assert names_of(exporter) == ["run held!", "work held!"]
    assert (status.accepted, status.delivered, status.dropped, status.pending) == (4, 2, {"filtered": 2}, 0)


def test_one_that_gives_something_else_later_is_told() -> None:
    exporter, config = collector()
    holding = HoldingProcessor(last="text")

    with Telemetry(exporter_entry(config, processors=[registered_processor(lambda: holding)()])) as telemetry:
        run(telemetry)

    assert exporter.received.items == []
    (told,) = holding.refused
    assert told.endswith("gives str, expected Span")


def test_what_is_no_processor_is_told() -> None:
    exporter, config = collector()
    received: Received[Any] = exporter.received

    with pytest.raises(
        Exception, match="is no processor config; expected an instance of a TelemetryProcessorBaseConfig"
    ):
        Telemetry(config, processors=[config])  # type: ignore[list-item]  # what is tested
    assert received.items == []
