"""Processors between input and export."""

import datetime
import enum
import json
import logging
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span, SpanContext
from nat.observability import Telemetry
from nat.observability.exporter.processing_exporter import ProcessingExporter
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.processor.batching_processor import BatchingProcessor
from nat.observability.processor.callback_processor import CallbackProcessor
from nat.observability.processor.intermediate_step_serializer import IntermediateStepSerializer
from nat.observability.processor.processor import Processor
from tests.support.collecting import DictCollector, Received, SpanCollector, StepCollector, emit, push, registered


class ToDict(Processor[Span, dict[str, Any]]):
    async def process(self, item: Span) -> dict[str, Any]:
        return {"name": item.name, "passed": ["to_dict"]}


class Enrich(Processor[dict[str, Any], dict[str, Any]]):
    """Has state and a helper."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.count = 0

    async def process(self, item: dict[str, Any]) -> dict[str, Any]:
        return self._with_label(item)

    def _with_label(self, item: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        return {**item, "passed": [*item["passed"], self.label], "number": self.count}


class DropTools(Processor[Span, Span]):
    async def process(self, item: Span) -> Span | None:
        return None if item.name.startswith("tool") else item


class Raising(Processor[Span, Span]):
    async def process(self, item: Span) -> Span | None:
        if item.name == "secret":
            raise ValueError(f"cannot redact {item.attributes['input.value']}")
        return item


class OnlyStrings(Processor[str, str]):
    async def process(self, item: str) -> str:
        return item


class OnlyNumbers(Processor[int, int]):
    async def process(self, item: int) -> int:
        return item


def _span(name: str = "work") -> Span:
    return Span(name=name, context=SpanContext(trace_id=1, span_id=2), start_time=1, end_time=2)


@pytest.mark.contract("S57", "S66", "S81", "S82", "S92", "S93", "S95", "S96")
async def test_processors_run_in_the_order_in_which_they_were_added() -> None:
    class Pipelined(DictCollector):
        def __init__(self) -> None:
            super().__init__()
            self.add_processor(ToDict())
            self.add_processor(Enrich("first"))
            self.add_processor(Enrich("second"))

    exporter = Pipelined()

    async with exporter.start():
        emit("a")
        emit("b")

    assert exporter.received.items == [
        {"name": "a", "passed": ["to_dict", "first", "second"], "number": 1},
        {"name": "b", "passed": ["to_dict", "first", "second"], "number": 2},
    ]


@pytest.mark.contract("S94", "S168")
async def test_a_processor_that_returns_none_drops_the_item() -> None:
    exporter = SpanCollector()
    exporter.add_processor(DropTools())

    async with exporter.start():
        emit("tool a", "TOOL")
        emit("work")
        emit("tool b", "TOOL")

    assert [span.name for span in exporter.received.items] == ["work"]


@pytest.mark.contract("S94")
def test_what_a_processor_drops_is_counted() -> None:
    received = Received[Span]()

    def build() -> SpanCollector:
        exporter = SpanCollector(received)
        exporter.add_processor(DropTools())
        return exporter

    with Telemetry({"spans": registered(build)()}) as telemetry:
        with telemetry.run("run"):
            emit("tool a", "TOOL")
            emit("work")
        status = telemetry.flush(60.0).exporters["spans"]

    assert sorted(span.name for span in received.items) == ["run", "work"]
    assert (status.accepted, status.delivered, status.dropped, status.pending) == (3, 2, {"filtered": 1}, 0)


@pytest.mark.contract("S98")
async def test_a_processor_can_be_awaited_by_itself() -> None:
    assert await DropTools().process(_span("tool")) is None
    assert await ToDict().process(_span("work")) == {"name": "work", "passed": ["to_dict"]}


@pytest.mark.contract("S97", "S175", "D12")
def test_neighbours_that_do_not_fit_are_refused_naming_both_classes_and_types() -> None:
    exporter = DictCollector()
    exporter.add_processor(ToDict())

    with pytest.raises((TypeError, ValueError)) as caught:
        exporter.add_processor(OnlyNumbers())

    message = str(caught.value)
    assert "ToDict" in message
    assert "OnlyNumbers" in message
    assert "dict" in message
    assert "int" in message


@pytest.mark.contract("S97", "D12")
def test_a_first_processor_that_does_not_take_the_input_is_refused() -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        SpanCollector().add_processor(OnlyStrings())

    assert "OnlyStrings" in str(caught.value)
    assert "SpanCollector" in str(caught.value)
    assert "Span" in str(caught.value)
    assert "str" in str(caught.value)


@pytest.mark.contract("S97", "D12")
async def test_a_last_processor_that_does_not_give_the_output_is_refused_at_the_latest_at_start() -> None:
    class Lines(RawExporter[IntermediateStep, dict[str, Any]]):
        async def export_processed(self, item: dict[str, Any]) -> None:
            raise AssertionError("never reached")

    async def build_and_start() -> None:
        exporter = Lines()
        exporter.add_processor(IntermediateStepSerializer())
        async with exporter.start():
            pass

    with pytest.raises((TypeError, ValueError)) as caught:
        await build_and_start()

    for part in ("IntermediateStepSerializer", "Lines", "str", "dict"):
        assert part in str(caught.value)


@pytest.mark.contract("S97", "D12")
async def test_without_a_processor_input_and_output_must_fit() -> None:
    class Mute(RawExporter[IntermediateStep, str]):
        async def export_processed(self, item: str) -> None:
            raise AssertionError("never reached")

    with pytest.raises((TypeError, ValueError), match="Mute"):
        async with Mute().start():
            pass


@pytest.mark.contract("S97", "D12")
def test_in_a_workflow_a_misfit_disables_its_exporter_only() -> None:
    received = Received[Span]()

    def misfit() -> SpanCollector:
        exporter = SpanCollector()
        exporter.add_processor(OnlyStrings())
        return exporter

    with Telemetry({"bad": registered(misfit)(), "good": registered(lambda: SpanCollector(received))()}) as telemetry:
        with telemetry.run("run"):
            pass
        status = telemetry.flush(60.0).exporters

    assert [span.name for span in received.items] == ["run"]
    assert (status["good"].state, status["bad"].state) == ("running", "disabled")
    assert "OnlyStrings" in (status["bad"].reason or "")


@pytest.mark.contract("S66", "S136")
async def test_the_last_processor_may_give_lists_of_the_output() -> None:
    exporter = SpanCollector()
    exporter.add_processor(BatchingProcessor[Span](batch_size=2))

    async with exporter.start():
        for name in ("a", "b", "c"):
            emit(name)

    assert [[span.name for span in batch] for batch in exporter.received.items] == [["a", "b"], ["c"]]  # type: ignore[attr-defined]


@pytest.mark.contract("S97")
def test_generic_and_untyped_processors_fit_anything_they_say() -> None:
    """A processor through a generic base of its own, of `Any`, and of a union."""
    T = TypeVar("T")

    class Same(Processor[T, T], Generic[T]):
        async def process(self, item: T) -> T:
            return item

    class Anything(Processor[Any, Any]):
        async def process(self, item: Any) -> Any:
            return item

    class Either(Processor[Span | IntermediateStep, Span | IntermediateStep]):
        async def process(self, item: Span | IntermediateStep) -> Span | IntermediateStep:
            return item

    class Inherited(DropTools):
        pass

    for processor in (Same[Span](), Anything(), Inherited()):
        SpanCollector().add_processor(processor)
    exporter: SpanCollector = SpanCollector()
    exporter.add_processor(Anything())
    exporter.add_processor(DropTools())
    SpanCollector().add_processor(Either(), position=0)


@pytest.mark.contract("D13", "S166", "S172", "S175")
def test_a_processor_that_raises_lets_nothing_through(caplog: pytest.LogCaptureFixture) -> None:
    """Not exported as it was, counted as `processor_error`, logged without its content; the next item goes on."""
    received = Received[Span]()

    def build() -> SpanCollector:
        exporter = SpanCollector(received)
        exporter.add_processor(Raising())
        return exporter

    caplog.set_level(logging.DEBUG, "nat.observability")
    with Telemetry({"spans": registered(build)()}) as telemetry:
        with telemetry.run("run"):
            emit("secret", input="4111 1111 1111 1111")
            emit("harmless")
        status = telemetry.flush(60.0).exporters["spans"]

    assert sorted(span.name for span in received.items) == ["harmless", "run"]
    assert (status.accepted, status.delivered, status.dropped) == (3, 2, {"processor_error": 1})
    (said,) = [record.getMessage() for record in caplog.records if "Raising" in record.getMessage()]
    assert said.startswith("spans: processor Raising raised ValueError")
    assert "4111" not in caplog.text


@pytest.mark.contract("S66")
async def test_processors_have_names_and_places() -> None:
    exporter = DictCollector()
    exporter.add_processor(ToDict(), name="to_dict")
    exporter.add_processor(Enrich("last"), name="last")
    exporter.add_processor(Enrich("second"), name="second", before="last")
    exporter.add_processor(Enrich("first"), name="first", after="to_dict")
    exporter.add_processor(DropTools(), position=0)
    exporter.add_processor(Enrich("removed"), name="removed")
    exporter.remove_processor("removed")

    found = exporter.get_processor_by_name("second")
    async with exporter.start():
        emit("a")

    assert isinstance(found, Enrich)
    assert found.label == "second"
    assert exporter.get_processor_by_name("removed") is None
    assert [item["passed"] for item in exporter.received.items] == [["to_dict", "first", "second", "last"]]


async def test_a_pipeline_can_be_cleared_before_the_start() -> None:
    exporter = SpanCollector()
    exporter.add_processor(DropTools(), name="drop")

    exporter.clear_processors()
    async with exporter.start():
        emit("tool", "TOOL")

    assert [span.name for span in exporter.received.items] == ["tool"]


async def test_a_started_pipeline_is_fixed() -> None:
    exporter = SpanCollector()
    exporter.add_processor(DropTools(), name="drop")

    async with exporter.start():
        with pytest.raises(RuntimeError):
            exporter.add_processor(DropTools())
        with pytest.raises(RuntimeError):
            exporter.remove_processor("drop")
        with pytest.raises(RuntimeError):
            exporter.clear_processors()


async def test_a_stopped_exporters_pipeline_can_be_reset() -> None:
    exporter = SpanCollector()
    exporter.add_processor(DropTools(), name="drop")
    async with exporter.start():
        emit("tool a", "TOOL")
        with pytest.raises(RuntimeError):
            exporter.reset_pipeline()

    exporter.reset_pipeline()
    exporter.remove_processor("drop")
    async with exporter.start():
        emit("tool b", "TOOL")

    assert [span.name for span in exporter.received.items] == ["tool b"]


@pytest.mark.contract("S83", "D14")
async def test_without_a_processor_spans_become_dicts() -> None:
    """The whole dict, as JSON takes it."""
    exporter = DictCollector()

    async with exporter.start():
        outer = push("FUNCTION_START", "outer", input="q", event_timestamp=1_000.0)
        emit("inner")
        push("FUNCTION_END", "outer", uuid=outer, output="a", event_timestamp=1_002.5)

    inner, dumped = exporter.received.items
    assert dumped["name"] == "outer"
    assert (dumped["start_time"], dumped["end_time"]) == (1_000_000_000_000, 1_002_500_000_000)
    assert dumped["duration"] == 2_500_000_000
    assert dumped["status"]["code"] == "OK"
    assert dumped["attributes"]["input.value"] == "q"
    assert dumped["attributes"]["output.value"] == "a"
    assert (dumped["events"], dumped["links"]) == ([], [])
    assert {"trace_id", "span_id", "parent_span_id"} <= set(dumped) or "context" in dumped
    assert json.loads(json.dumps(inner)) == inner
    assert json.loads(json.dumps(dumped)) == dumped


@pytest.mark.contract("D14")
async def test_the_conversion_follows_processors_that_stay_with_spans() -> None:
    exporter = DictCollector()
    exporter.add_processor(DropTools())

    async with exporter.start():
        emit("tool", "TOOL")
        emit("work")

    assert [item["name"] for item in exporter.received.items] == ["work"]


class Colour(enum.Enum):
    RED = "red"


class Model(BaseModel):
    when: datetime.date


@pytest.mark.contract("D10")
async def test_dicts_are_clean_json_when_they_arrive() -> None:
    class Odd(Processor[Span, dict[str, Any]]):
        async def process(self, item: Span) -> dict[str, Any]:
            odd: dict[Any, Any] = {
                "status": item.status,
                "colour": Colour.RED,
                "when": datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC),
                "raw": b"abc",
                "set": {1},
                "tuple": (1, Model(when=datetime.date(2024, 2, 29))),
                "path": Path("a/b"),
                "not_a_number": float("nan"),
                7: "a number as key",
                "events": item.events,
            }
            return odd

    exporter = DictCollector()
    exporter.add_processor(Odd())

    async with exporter.start():
        emit("work")

    [item] = exporter.received.items
    assert json.loads(json.dumps(item, allow_nan=False)) == item
    assert item["status"] == {"code": "OK", "message": None}
    assert item["colour"] == "red"
    assert item["when"].startswith("2024-02-29T12:00:00")
    assert item["set"] == [1]
    assert item["tuple"] == [1, {"when": "2024-02-29"}]
    assert item["path"] == "a/b"
    assert item["7"] == "a number as key"
    assert item["events"] == []


@pytest.mark.contract("S154", "S153")
async def test_export_processed_works_on_an_exporter_that_was_never_started() -> None:
    exporter = SpanCollector()

    await exporter.export_processed(_span())

    assert [span.name for span in exporter.received.items] == ["work"]


@pytest.mark.contract("S136")
async def test_the_signature_of_export_processed_does_not_matter() -> None:
    """No annotations, a wider type, and a decorator with `*args`."""
    seen: list[Any] = []

    class Bare(SpanExporter[Span, Span]):
        async def export_processed(self, item):  # type: ignore[no-untyped-def]
            seen.append(("bare", item.name))

    class Wider(SpanExporter[Span, Span]):
        async def export_processed(self, item: Span | list[Span]) -> None:
            seen.append(("wider", item[0].name if isinstance(item, list) else item.name))

    def decorated(function: Any) -> Any:
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs)

        return wrapper

    class Wrapped(SpanExporter[Span, Span]):
        @decorated
        async def export_processed(self, item: Span) -> None:
            seen.append(("wrapped", item.name))

    async with Bare().start(), Wider().start(), Wrapped().start():
        emit("work")

    assert sorted(seen) == [("bare", "work"), ("wider", "work"), ("wrapped", "work")]


@pytest.mark.contract("S66")
async def test_an_empty_list_is_not_exported() -> None:
    class Pairs(Processor[Span, list[Span]]):
        async def process(self, item: Span) -> list[Span]:
            return [item, item] if item.name == "pair" else []

    exporter = SpanCollector()
    exporter.add_processor(Pairs())

    async with exporter.start():
        emit("single")
        emit("pair")

    assert [[span.name for span in batch] for batch in exporter.received.items] == [["pair", "pair"]]  # type: ignore[attr-defined]


async def test_a_callback_processor_sends_items_on_by_its_callback() -> None:
    """What the guide's batching is built from: items that come out later go on through the processors behind."""

    class Echo(CallbackProcessor[Span, Span]):
        def set_done_callback(self, callback: Any) -> None:
            self.done = callback

        async def process(self, item: Span) -> Span | None:
            await self.done(item.model_copy(update={"name": f"{item.name} again"}))
            return item

    exporter = DictCollector()
    exporter.add_processor(Echo())
    exporter.add_processor(ToDict())

    async with exporter.start():
        emit("work")

    assert sorted(item["name"] for item in exporter.received.items) == ["work", "work again"]


@pytest.mark.contract("S61", "S62", "S63", "S65")
async def test_an_advanced_exporter_brings_state_breaker_and_dead_letters_of_its_own() -> None:
    class Timed(Processor[IntermediateStep, IntermediateStep]):
        def __init__(self) -> None:
            self.passed = 0

        async def process(self, item: IntermediateStep) -> IntermediateStep:
            self.passed += 1
            return item

    class Guarded(ProcessingExporter[IntermediateStep, IntermediateStep]):
        def __init__(self) -> None:
            super().__init__()
            self.timed = Timed()
            self.add_processor(self.timed)
            self.failures = 0
            self.attempts = 0
            self.dead_letters: list[str | None] = []

        async def export_processed(self, item: IntermediateStep) -> None:
            if self.failures >= 2:
                self.dead_letters.append(item.name)
                return
            self.attempts += 1
            try:
                raise ConnectionError("away")
            except ConnectionError:
                self.failures += 1
                self.dead_letters.append(item.name)

    exporter = Guarded()
    items = [item async for item in _steps("a", "b", "c")]
    async with exporter.start():
        for item in items:
            exporter.export(item)

    assert exporter.timed.passed == 3
    assert exporter.attempts == 2
    assert exporter.dead_letters == ["a", "b", "c"]


async def _steps(*names: str) -> Any:
    for name in names:
        collector = StepCollector()
        async with collector.start():
            push("CUSTOM_START", name)
        yield collector.received.items[0]
