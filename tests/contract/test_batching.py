"""`BatchingProcessor`: by itself, and in an exporter's pipeline."""

import asyncio
import threading
import time
from typing import Any, TypeVar

import pytest

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.observability import Telemetry
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.processor.batching_processor import BatchingProcessor
from nat.observability.processor.processor import Processor
from tests.support.collecting import Received, SpanCollector, emit, registered
from tests.support.waiting import PATIENCE_S

FAR_AWAY_S = 3_600.0


class Batches(SpanExporter[Span, Span]):
    """Keeps the names of each batch."""

    def __init__(self, received: Received[list[str]] | None = None, **options: Any) -> None:
        super().__init__()
        self.received = Received[list[str]]() if received is None else received
        self.batching = BatchingProcessor[Span](**options)
        self.add_processor(self.batching)

    async def export_processed(self, item: Span | list[Span]) -> None:
        assert isinstance(item, list)
        self.received.add([span.name for span in item])


@pytest.mark.contract("S142")
def test_the_defaults() -> None:
    stats = BatchingProcessor[Span]().get_stats()

    assert stats["batch_size_limit"] == 100
    assert stats["flush_interval"] == 5.0
    assert stats["max_queue_size"] == 1000
    assert stats["drop_on_overflow"] is False
    assert stats["shutdown_timeout"] == 10.0


@pytest.mark.contract("S135", "S142")
def test_it_is_made_with_any_subscript_or_none() -> None:
    T = TypeVar("T")

    for made in (BatchingProcessor(), BatchingProcessor[IntermediateStep](), BatchingProcessor[T]()):  # type: ignore[valid-type]
        assert isinstance(made, BatchingProcessor)
        assert isinstance(made, Processor)


@pytest.mark.contract("D19")
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": -1},
        {"flush_interval": -0.1},
        {"shutdown_timeout": -1.0},
        {"max_queue_size": 0},
        {"batch_size": 10, "max_queue_size": 9},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="|".join(options)):
        BatchingProcessor[Span](**options)


@pytest.mark.contract("S133", "S135", "S136")
async def test_a_full_batch_is_flushed_at_once() -> None:
    exporter = Batches(batch_size=3, flush_interval=FAR_AWAY_S)

    async with exporter.start():
        for name in "abcdefg":
            emit(name)
        await asyncio.to_thread(exporter.received.wait_for, 2)

        assert exporter.received.items == [["a", "b", "c"], ["d", "e", "f"]]

    assert exporter.received.items == [["a", "b", "c"], ["d", "e", "f"], ["g"]]


@pytest.mark.contract("S134", "S135")
async def test_what_waits_is_flushed_after_the_interval() -> None:
    exporter = Batches(batch_size=100, flush_interval=0.05)

    async with exporter.start():
        emit("a")
        emit("b")
        batches = await asyncio.to_thread(exporter.received.wait_for, 1)

        assert batches == [["a", "b"]]


@pytest.mark.contract("S134")
def test_what_waits_is_flushed_after_the_interval_under_telemetry() -> None:
    received = Received[list[str]]()

    config = registered(lambda: Batches(received, batch_size=100, flush_interval=0.05))
    with Telemetry({"batches": config()}) as telemetry, telemetry.run("run"):
        emit("a")

        assert received.wait_for(1) == [["a"]]


@pytest.mark.contract("S137", "D11")
async def test_what_waits_at_shutdown_is_exported() -> None:
    exporter = Batches(batch_size=100, flush_interval=FAR_AWAY_S)

    async with exporter.start():
        emit("a")

    assert exporter.received.items == [["a"]]
    assert exporter.batching.get_stats()["shutdown_complete"] is True


@pytest.mark.contract("S144")
async def test_batches_go_through_the_processors_behind() -> None:
    """Full batches, those of the interval, and the last one."""

    class Shout(Processor[list[Span], list[Span]]):
        async def process(self, item: list[Span]) -> list[Span]:
            return [span.model_copy(update={"name": span.name.upper()}) for span in item]

    exporter = Batches(batch_size=2, flush_interval=0.05)
    exporter.add_processor(Shout())

    async with exporter.start():
        for name in "abc":
            emit(name)
        await asyncio.to_thread(exporter.received.wait_for, 2)
        emit("d")

    assert exporter.received.items == [["A", "B"], ["C"], ["D"]]


async def _by_itself(processor: BatchingProcessor[str], items: str) -> list[list[str]]:
    """Push items into a processor by itself and give what went out, in order, while nobody shut it down."""
    out: list[list[str]] = []

    async def done(batch: list[str]) -> None:
        out.append(list(batch))

    processor.set_done_callback(done)
    for item in items:
        out += [list(batch)] if (batch := await processor.process(item)) else []
    return out


@pytest.mark.contract("S141", "S170")
async def test_statistics_tell_what_happened() -> None:
    processor = BatchingProcessor[str](batch_size=2, flush_interval=FAR_AWAY_S, max_queue_size=10)

    out = await _by_itself(processor, "abcde")
    before = processor.get_stats()
    await processor.shutdown()
    after = processor.get_stats()

    assert out[:2] == [["a", "b"], ["c", "d"]]
    assert before["current_queue_size"] == 1
    assert before["batches_created"] == 2
    assert before["items_processed"] in (4, 5)
    assert (before["items_dropped"], before["queue_overflows"]) == (0, 0)
    assert (before["shutdown_requested"], before["shutdown_complete"]) == (False, False)
    assert (after["current_queue_size"], after["batches_created"], after["items_processed"]) == (0, 3, 5)
    assert (after["shutdown_requested"], after["shutdown_complete"], after["shutdown_batches"]) == (True, True, 1)
    assert after["avg_items_per_batch"] == pytest.approx(5 / 3)
    assert after["drop_rate"] == 0
    assert out == [["a", "b"], ["c", "d"], ["e"]]


@pytest.mark.contract("S137")
async def test_force_flush_sends_what_waits() -> None:
    processor = BatchingProcessor[str](batch_size=10, flush_interval=FAR_AWAY_S)
    out = await _by_itself(processor, "ab")

    flushed = await processor.force_flush()
    await processor.shutdown()

    assert [*out, *([list(flushed)] if flushed else [])] == [["a", "b"]]
    assert processor.get_stats()["current_queue_size"] == 0


class Stalled(SpanExporter[Span, Span]):
    """Holds its first batch until it is let go."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.is_stalled = asyncio.Event()
        self.may_go = asyncio.Event()
        self.batching = BatchingProcessor[Span](**options)
        self.add_processor(self.batching)

    async def export_processed(self, item: Span | list[Span]) -> None:
        assert isinstance(item, list)
        self.is_stalled.set()
        await self.may_go.wait()
        self.batches.append([span.name for span in item])


class Gate(Processor[Span, Span]):
    """Lets a test wait until items have passed."""

    def __init__(self) -> None:
        self.passed = Received[str]()

    async def process(self, item: Span) -> Span:
        self.passed.add(item.name)
        return item


@pytest.mark.contract("S138", "S139")
@pytest.mark.parametrize("drop_on_overflow", [True, False])
async def test_a_full_queue_either_drops_and_counts_or_flushes(drop_on_overflow: bool) -> None:
    """While nothing gets through behind: `True` loses items, counted, and keeps to the bound; `False` loses none."""
    exporter = Stalled(batch_size=2, max_queue_size=4, flush_interval=FAR_AWAY_S, drop_on_overflow=drop_on_overflow)
    gate = Gate()
    exporter.add_processor(gate, position=0)

    async with exporter.start():
        for number in range(500):
            emit(str(number))
        await asyncio.to_thread(gate.passed.wait_for, 500)
        stalled = exporter.batching.get_stats()
        exporter.may_go.set()

    stats = exporter.batching.get_stats()
    exported = [name for batch in exporter.batches for name in batch]
    assert stalled["current_queue_size"] <= 4
    assert stalled["queue_overflows"] > 0
    assert len(set(exported)) == len(exported) == 500 - stats["items_dropped"]
    if drop_on_overflow:
        assert stats["items_dropped"] > 0
        assert stats["drop_rate"] > 0
    else:
        assert stats["items_dropped"] == 0


@pytest.mark.contract("S139", "D18")
async def test_a_stall_behind_does_not_block_producers_and_loses_nothing_within_bounds() -> None:
    exporter = Stalled(batch_size=2, max_queue_size=1000, flush_interval=FAR_AWAY_S)

    async with exporter.start():
        for number in range(50):
            emit(str(number))
        await asyncio.wait_for(exporter.is_stalled.wait(), PATIENCE_S)
        assert exporter.batches == []
        exporter.may_go.set()

    assert sorted(int(name) for batch in exporter.batches for name in batch) == list(range(50))


@pytest.mark.contract("S140", "S147", "D11")
def test_shutdown_timeout_bounds_the_final_flush() -> None:
    """A backend that hangs at the end costs the shutdown timeout, not more, and what was lost is counted."""
    called = Received[str]()

    class Hanging(SpanExporter[Span, Span]):
        def __init__(self) -> None:
            super().__init__()
            self.add_processor(BatchingProcessor[Span](batch_size=10, flush_interval=FAR_AWAY_S, shutdown_timeout=0.2))

        async def export_processed(self, item: Span | list[Span]) -> None:
            called.add("called")
            await asyncio.Event().wait()

    telemetry = Telemetry({"hanging": registered(Hanging)()}).start()
    with telemetry.run("run"):
        emit("work")

    began = time.monotonic()
    status = telemetry.close().exporters["hanging"]

    assert time.monotonic() - began < 30.0  # and not what telemetry may take
    assert called.items == ["called"]
    assert (status.accepted, status.delivered, status.lost, status.pending) == (2, 0, 2, 0)


@pytest.mark.contract("D18", "S111")
def test_runs_share_batches_and_the_end_of_one_flushes_nothing() -> None:
    """Batches fill across runs; nothing is shut down or cut short when a run ends."""
    received = Received[list[str]]()
    config = registered(lambda: Batches(received, batch_size=4, flush_interval=FAR_AWAY_S))

    with Telemetry({"batches": config()}) as telemetry:
        for number in range(6):
            with telemetry.run(f"run {number}"):
                pass
        batches = received.wait_for(1)

    assert batches == [["run 0", "run 1", "run 2", "run 3"]]
    assert received.items == [["run 0", "run 1", "run 2", "run 3"], ["run 4", "run 5"]]


@pytest.mark.contract("D18")
def test_processors_are_called_one_item_at_a_time_on_one_thread() -> None:
    class Witness(Processor[Span, Span]):
        def __init__(self) -> None:
            self.inside = 0
            self.most_inside = 0
            self.threads: set[int] = set()

        async def process(self, item: Span) -> Span:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            self.threads.add(threading.get_ident())
            await asyncio.sleep(0)
            self.inside -= 1
            return item

    witness, received = Witness(), Received[Span]()

    def build() -> SpanCollector:
        exporter = SpanCollector(received)
        exporter.add_processor(witness)
        return exporter

    with Telemetry({"spans": registered(build)()}) as telemetry:

        def work(number: int) -> None:
            with telemetry.run(f"run {number}"):
                emit("work")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    assert len(received) == 16
    assert witness.most_inside == 1
    assert len(witness.threads) == 1


@pytest.mark.contract("S143")
def test_thousands_of_spans_pass_in_full_batches() -> None:
    received = Received[list[str]]()
    config = registered(lambda: Batches(received, batch_size=100, flush_interval=FAR_AWAY_S))

    with Telemetry({"batches": config()}) as telemetry, telemetry.run("run"):
        for number in range(2_999):
            emit(str(number))

    sizes = [len(batch) for batch in received.items]
    assert sizes == [100] * 30


@pytest.mark.contract("S136")
async def test_items_and_lists_can_be_told_apart_in_one_exporter() -> None:
    """A raw exporter with and without a batching processor."""

    class Either(RawExporter[IntermediateStep, IntermediateStep]):
        def __init__(self, *, batched: bool) -> None:
            super().__init__()
            self.seen: list[str] = []
            if batched:
                self.add_processor(BatchingProcessor[IntermediateStep](batch_size=2))

        async def export_processed(self, item: IntermediateStep | list[IntermediateStep]) -> None:
            self.seen.append("list" if isinstance(item, list) else "item")

    single, batched = Either(batched=False), Either(batched=True)

    async with single.start(), batched.start():
        emit("work")

    assert (single.seen, batched.seen) == (["item", "item"], ["list"])
