"""`OtelSpanExporter`: lists of spans in OpenTelemetry's form, whatever form its processors use."""

from pathlib import Path
from typing import Any

import pytest

from nat.builder.context import ContextState
from nat.data_models.delivery import DeliveryConfig, RetryConfig, SpoolConfig
from nat.data_models.span import Span
from nat.observability import Telemetry
from nat.observability.delivery.errors import TransientExportError
from nat.observability.pipeline import PipelineTypeError
from nat.observability.processor.batching_processor import BatchingProcessor
from nat.observability.processor.processor import Processor
from nat.plugins.opentelemetry.otel_span import OtelSpan
from nat.plugins.opentelemetry.otel_span_exporter import OtelSpanExporter
from tests.otlp.sending import span
from tests.support.collecting import Received, emit, registered
from tests.support.lanes import assert_balanced


class Collector(OtelSpanExporter):
    """Keeps the lists it gets."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lists = Received[list[OtelSpan]]()

    async def export_otel_spans(self, spans: list[OtelSpan]) -> None:
        self.lists.add(spans)

    @property
    def names(self) -> list[str]:
        return sorted(one.name for spans in self.lists.items for one in spans)


class RenameSpan(Processor[Span, Span]):
    async def process(self, item: Span) -> Span:
        return item.model_copy(update={"name": f"{item.name}!"})


class RenameView(Processor[OtelSpan, OtelSpan]):
    async def process(self, item: OtelSpan) -> OtelSpan:
        return OtelSpan(item.span.model_copy(update={"name": f"{item.name}?"}))


class ToView(Processor[Span, OtelSpan]):
    async def process(self, item: Span) -> OtelSpan:
        return OtelSpan(item.model_copy(update={"name": f"{item.name}>"}))


class ToSpan(Processor[OtelSpan, Span]):
    async def process(self, item: OtelSpan) -> Span:
        return item.span.model_copy(update={"name": f"{item.name}<"})


class OnlySteps(Processor[OtelSpan, OtelSpan]):
    async def process(self, item: OtelSpan) -> OtelSpan | None:
        return item if item.parent is not None else None


class Tag(Processor[OtelSpan, OtelSpan]):
    async def process(self, item: OtelSpan) -> OtelSpan:
        item.set_attribute("tier", "gold")
        return item


class ReverseList(Processor[list[OtelSpan], list[OtelSpan]]):
    async def process(self, item: list[OtelSpan]) -> list[OtelSpan]:
        assert all(isinstance(one, OtelSpan) for one in item)
        return item[::-1]


class ToDict(Processor[OtelSpan, dict[str, Any]]):
    async def process(self, item: OtelSpan) -> dict[str, Any]:
        return {"name": item.name}


async def names_through(*processors: Processor[Any, Any], steps: int = 2) -> list[str]:
    """Names of the spans that come out, each of which is an `OtelSpan`."""
    exporter = Collector()
    for processor in processors:
        exporter.add_processor(processor)
    async with exporter.start():
        for number in range(steps):
            emit(str(number))
    assert all(isinstance(one, OtelSpan) for spans in exporter.lists.items for one in spans)
    return exporter.names


@pytest.mark.contract("S60", "S66", "S129")
@pytest.mark.parametrize(
    ("processors", "expected"),
    [
        ([], ["0", "1"]),
        ([RenameSpan()], ["0!", "1!"]),
        ([RenameView()], ["0?", "1?"]),
        ([RenameSpan(), RenameView(), RenameSpan()], ["0!?!", "1!?!"]),
        ([ToView()], ["0>", "1>"]),
        ([ToView(), ToSpan()], ["0><", "1><"]),
        ([ToSpan(), ToView()], ["0<>", "1<>"]),
        ([BatchingProcessor[Span](batch_size=2)], ["0", "1"]),
        ([BatchingProcessor[OtelSpan](batch_size=2)], ["0", "1"]),
        ([RenameView(), BatchingProcessor[Span](batch_size=2), ReverseList()], ["0?", "1?"]),
        ([BatchingProcessor[OtelSpan](batch_size=2), ReverseList()], ["0", "1"]),
    ],
    ids=lambda value: "+".join(type(one).__name__ for one in value) if isinstance(value, list) else None,
)
async def test_processors_take_and_give_either_form(processors: list[Processor[Any, Any]], expected: list[str]) -> None:
    assert await names_through(*processors) == expected


@pytest.mark.contract("S97", "D12")
async def test_another_type_is_a_misfit_that_is_named() -> None:
    exporter = Collector()
    exporter.add_processor(ToDict())

    with pytest.raises(PipelineTypeError, match="Collector: exports Span but ToDict gives dict"):
        async with exporter.start():
            pass


def test_a_processor_may_filter_and_change_a_span_without_others_seeing_it() -> None:
    """Two exporters of the same run: what the one's processors do stays with it."""
    changed, plain = Collector(), Collector()
    changed.add_processor(OnlySteps())
    changed.add_processor(Tag())

    with Telemetry({"changed": registered(lambda: changed)(), "plain": registered(lambda: plain)()}) as telemetry:
        with telemetry.run("run"):
            emit("work")

    assert changed.names == ["work"]
    assert plain.names == ["run", "work"]
    assert [one.attributes.get("tier") for one in changed.lists.items[0]] == ["gold"]
    assert {one.attributes.get("tier") for one in plain.lists.items[0]} == {None}


@pytest.mark.contract("S60", "S129", "S130")
def test_lists_mix_runs_and_hold_batch_size_spans() -> None:
    collector = Collector(batch_size=4, resource_attributes={"service.name": "shop", "gone": None})

    with Telemetry({"collector": registered(lambda: collector)()}) as telemetry:
        for number in range(5):
            with telemetry.run(f"run {number}"):
                emit("work")

    assert [len(spans) for spans in collector.lists.items] == [4, 4, 2]
    first = collector.lists.items[0]
    assert len({one.get_span_context().trace_id for one in first}) == 2
    assert {one.resource.attributes["service.name"] for one in first} == {"shop"}
    assert "gone" not in collector.resource_attributes
    assert collector.resource_attributes["telemetry.sdk.name"] == "nat-telemetry"


def test_an_interval_ends_the_wait_for_more() -> None:
    collector = Collector(flush_interval=0.05)

    with Telemetry({"collector": registered(lambda: collector)()}) as telemetry:
        with telemetry.run("run"):
            emit("work")
        collector.lists.wait_for(1)

    assert collector.names == ["run", "work"]


@pytest.mark.contract("S138", "S139")
def test_beyond_the_queue_spans_are_dropped_and_counted_if_so_configured() -> None:
    class Stuck(Collector):
        async def export_otel_spans(self, spans: list[OtelSpan]) -> None:
            raise TransientExportError("busy")

    with Telemetry(
        {"stuck": registered(lambda: Stuck(batch_size=2, max_queue_size=4, drop_on_overflow=True))()},
        delivery=DeliveryConfig(retry=RetryConfig(initial_interval=5, max_interval=5)),
    ) as telemetry:
        with telemetry.run("run"):
            for _ in range(50):
                emit("work")
        telemetry.flush(0.3)
        status = telemetry.close(0.3).exporters["stuck"]

    assert status.dropped["queue_full"] > 0
    assert status.accepted == 51
    assert_balanced(status)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 10, "max_queue_size": 5}, r"max_queue_size must be at least batch_size \(10\), got 5"),
        ({"flush_interval": -1.0}, "flush_interval"),
        ({"shutdown_timeout": -1.0}, "shutdown_timeout"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"retries": -1}, "retries must be 0 or more"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Collector(**options)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="colour"):
        Collector(colour="red")


@pytest.mark.contract("S76")
def test_it_is_abstract() -> None:
    with pytest.raises(TypeError, match="export_otel_spans"):
        OtelSpanExporter()  # type: ignore[abstract]


@pytest.mark.contract("S154")
@pytest.mark.parametrize("form", [lambda one: one, OtelSpan, lambda one: [one, OtelSpan(one)]])
async def test_export_processed_may_be_called_directly_with_any_form(form: Any) -> None:
    collector = Collector(resource_attributes={"service.name": "shop"})
    given = form(span("work", size=1))

    await collector.export_processed(given)

    [spans] = collector.lists.items
    assert len(spans) == (2 if isinstance(given, list) else 1)
    assert {(one.name, one.attributes["size"], one.resource.attributes["service.name"]) for one in spans} == {
        ("work", 1, "shop")
    }


@pytest.mark.contract("S119", "S193")
async def test_an_isolated_copy_shares_what_is_not_isolated() -> None:
    original = Collector()
    copy = original.create_isolated_instance(ContextState.get())

    async with copy.start():
        emit("work")

    assert copy.lists is original.lists
    assert original.names == ["work"]


def test_what_a_processor_has_made_a_view_survives_the_disk(tmp_path: Path) -> None:
    """A spool keeps spans; what comes back from it is exported as `OtelSpan`s, too."""
    is_up = False

    class Flaky(Collector):
        async def export_otel_spans(self, spans: list[OtelSpan]) -> None:
            if not is_up:
                raise TransientExportError("down")
            await super().export_otel_spans(spans)

    def life(exporter: Collector, delivery: DeliveryConfig, *, steps: int) -> None:
        exporter.add_processor(Tag())
        exporter.add_processor(BatchingProcessor[OtelSpan](batch_size=2))
        with Telemetry({"flaky": config(lambda: exporter)}, delivery=delivery) as telemetry:
            for _ in range(steps):
                with telemetry.run("run"):
                    emit("work")
            telemetry.flush(10.0 if is_up else 0.2)
            telemetry.close(1.0)

    exporters: list[Collector] = []
    config_type = registered(lambda: exporters[-1])

    def config(build: Any) -> Any:
        exporters.append(build())
        return config_type()

    delivery = DeliveryConfig(spool=SpoolConfig(enabled=True, directory=str(tmp_path)))
    life(Flaky(), delivery, steps=1)
    is_up = True
    second = Flaky()
    life(second, delivery, steps=0)

    assert second.names == ["run", "work"]
    assert {one.attributes["tier"] for spans in second.lists.items for one in spans} == {"gold"}
