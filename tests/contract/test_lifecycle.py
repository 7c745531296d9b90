"""Start, stop, and what happens in which order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nat.builder.context import ContextState
from nat.data_models.span import Span
from nat.observability import Telemetry, manager
from nat.observability.exporter.base_exporter import BaseExporter
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.processor.batching_processor import BatchingProcessor
from tests.support.collecting import Received, SpanCollector, StepCollector, emit, push, registered
from tests.support.waiting import PATIENCE_S


class Diary(SpanExporter[Span, Span]):
    """Writes down what is called, in order."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.entries: list[str] = []

    async def export_processed(self, item: Span | list[Span]) -> None:
        names = [span.name for span in item] if isinstance(item, list) else [item.name]
        self.entries.append(f"export {' '.join(names)}")

    async def _flush(self) -> None:
        self.entries.append("flush of a copy" if self.is_isolated_instance else "flush")
        await super()._flush()

    async def _cleanup(self) -> None:
        self.entries.append("cleanup of a copy" if self.is_isolated_instance else "cleanup")
        await super()._cleanup()


@pytest.mark.contract("D11", "S67", "S77", "S137", "S145", "S163")
async def test_the_last_batch_is_exported_before_flush_and_cleanup() -> None:
    exporter = Diary()
    exporter.add_processor(BatchingProcessor[Span](batch_size=10, flush_interval=3_600.0))

    async with exporter.start():
        emit("a")
        emit("b")

    assert exporter.entries == ["export a b", "flush", "cleanup"]


@pytest.mark.contract("S145", "D11")
async def test_a_cleanup_that_closes_its_client_first_loses_nothing() -> None:
    class Client:
        is_open = True

    class Closing(SpanExporter[Span, Span]):
        def __init__(self) -> None:
            super().__init__()
            self.client = Client()
            self.sent: list[str] = []
            self.add_processor(BatchingProcessor[Span](batch_size=10, flush_interval=3_600.0))

        async def export_processed(self, item: Span | list[Span]) -> None:
            assert self.client.is_open
            assert isinstance(item, list)
            self.sent.extend(span.name for span in item)

        async def _cleanup(self) -> None:
            self.client.is_open = False
            await super()._cleanup()

    exporter = Closing()

    async with exporter.start():
        emit("a")

    assert exporter.sent == ["a"]
    assert exporter.client.is_open is False


@pytest.mark.contract("D11")
async def test_leaving_start_waits_for_exports_that_are_under_way() -> None:
    class Slow(SpanCollector):
        may_go = asyncio.Event()
        has_begun = asyncio.Event()

        async def export_processed(self, item: Span) -> None:
            self.has_begun.set()
            await self.may_go.wait()
            await super().export_processed(item)

    Slow.may_go, Slow.has_begun = asyncio.Event(), asyncio.Event()
    exporter = Slow()

    async def let_go() -> None:
        await exporter.has_begun.wait()
        exporter.may_go.set()

    releaser = asyncio.create_task(let_go())
    async with exporter.start():
        emit("a")
        emit("b")
    await releaser

    assert sorted(span.name for span in exporter.received.items) == ["a", "b"]


@pytest.mark.contract("S148", "S149", "S150", "D11")
async def test_start_can_be_wrapped_around_a_pool() -> None:
    """The session is there for every export, and closes after the last."""
    entries: list[str] = []

    @asynccontextmanager
    async def make_pool() -> AsyncIterator[list[str]]:
        entries.append("open")
        yield entries
        entries.append("close")

    class Pooled(SpanExporter[Span, dict[str, Any]]):
        pool: list[str]

        @asynccontextmanager
        async def start(self) -> AsyncIterator[None]:
            async with make_pool() as self.pool, super().start():
                yield

        async def export_processed(self, item: dict[str, Any]) -> None:
            self.pool.append(f"export {item['name']}")

    exporter = Pooled()

    async with exporter.start():
        emit("a")
        emit("b")

    assert (entries[0], sorted(entries[1:-1]), entries[-1]) == ("open", ["export a", "export b"], "close")


@pytest.mark.contract("S148", "S149", "S150", "D21")
def test_under_telemetry_start_is_entered_once_for_all_runs() -> None:
    """What `start()` put on the original is shared by the runs' copies."""
    entries: list[str] = []

    class Pooled(SpanExporter[Span, dict[str, Any]]):
        pool: list[str]

        @asynccontextmanager
        async def start(self) -> AsyncIterator[None]:
            self.pool = entries
            entries.append("open")
            async with super().start():
                yield
            entries.append("close")

        async def export_processed(self, item: dict[str, Any]) -> None:
            self.pool.append(f"export {item['name']}")

    with Telemetry({"pooled": registered(Pooled)()}) as telemetry:
        for name in ("first", "second"):
            with telemetry.run(name):
                pass

    assert (entries[0], sorted(entries[1:-1]), entries[-1]) == ("open", ["export first", "export second"], "close")


@pytest.mark.contract("D21", "S127", "S163")
def test_copies_are_flushed_at_the_end_of_their_run_the_original_is_cleaned_up_once() -> None:
    entries: list[str] = []

    def build() -> Diary:
        exporter = Diary()
        exporter.entries = entries
        return exporter

    with Telemetry({"diary": registered(build)()}) as telemetry:
        for name in ("first", "second"):
            with telemetry.run(name):
                pass
        telemetry.flush(60.0)
        during = list(entries)

    assert sorted(during) == ["export first", "export second", "flush of a copy", "flush of a copy"]
    assert during.index("export first") < during.index("flush of a copy")
    assert entries[len(during) :] == ["flush", "cleanup"]


@pytest.mark.contract("S163", "D21")
async def test_stop_cleans_up_once_also_if_never_started() -> None:
    exporter = Diary()

    await exporter.stop()
    await exporter.stop()

    assert exporter.entries == ["flush", "cleanup"]


@pytest.mark.contract("S163", "D21")
async def test_stop_inside_start_cleans_up_once() -> None:
    exporter = Diary()

    async with exporter.start():
        emit("a")
        await exporter.stop()

    assert exporter.entries == ["export a", "flush", "cleanup"]


@pytest.mark.contract("D21")
async def test_a_copy_that_user_code_starts_is_drained_and_flushed_never_cleaned_up() -> None:
    exporter = Diary()
    copy = exporter.create_isolated_instance(ContextState.get())

    async with copy.start():
        emit("a")
    await copy.stop()

    assert exporter.entries == ["export a", "flush of a copy"]
    await exporter.stop()
    assert exporter.entries == ["export a", "flush of a copy", "flush", "cleanup"]


@pytest.mark.contract("D21")
async def test_flush_hands_over_what_a_copy_still_holds() -> None:
    """An exporter that batches by itself sends the rest of each run in `_flush()`."""

    class OwnBatch(SpanCollector):
        def __init__(self) -> None:
            super().__init__()
            self.sent: list[list[str]] = []
            self.waiting: list[str] = []

        async def export_processed(self, item: Span) -> None:
            self.waiting.append(item.name)

        async def _flush(self) -> None:
            if self.waiting:
                self.sent.append(self.waiting)
                self.waiting = []
            await super()._flush()

    exporter = OwnBatch()

    async with exporter.start():
        emit("a")
        emit("b")

    assert exporter.sent == [["a", "b"]]


@pytest.mark.contract("S164")
async def test_a_cleanup_that_raises_is_logged_and_stopping_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(StepCollector):
        async def _cleanup(self) -> None:
            raise OSError("cannot close")

    exporter = Failing()

    async with exporter.start():
        emit("a")

    assert len(exporter.received) == 2
    assert "OSError" in caplog.text
    assert "Failing" in caplog.text


@pytest.mark.contract("S164")
def test_a_cleanup_that_raises_does_not_keep_others_from_theirs() -> None:
    class Failing(StepCollector):
        async def _cleanup(self) -> None:
            raise OSError("cannot close")

    entries: list[str] = []

    def build() -> Diary:
        exporter = Diary()
        exporter.entries = entries
        return exporter

    with Telemetry({"bad": registered(Failing)(), "good": registered(build)()}) as telemetry, telemetry.run("run"):
        pass

    assert entries[-1] == "cleanup"


@pytest.mark.contract("S152", "D11")
def test_an_exporter_that_hangs_in_cleanup_does_not_hold_the_program() -> None:
    class Hanging(StepCollector):
        async def _cleanup(self) -> None:
            await asyncio.Event().wait()

    received = Received[Span]()
    telemetry = Telemetry({"bad": registered(Hanging)(), "good": registered(lambda: SpanCollector(received))()})
    telemetry.start()
    with telemetry.run("run"):
        pass
    received.wait_for(1)
    telemetry.close(timeout=0.2)

    assert [span.name for span in received.items] == ["run"]


@pytest.mark.contract("S163", "D11")
def test_an_exporter_whose_backend_is_down_is_cleaned_up_also_when_it_started_late(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline is the one of the close, not a new one from when the exporter has come up."""

    monkeypatch.setattr(manager, "_GRACE_S", PATIENCE_S)  # what a busy machine may take for the cleanup itself

    class Refused(Diary):
        @asynccontextmanager
        async def start(self) -> AsyncIterator[None]:
            await asyncio.sleep(0.6)  # what importing and connecting takes
            async with super().start():
                yield

        async def export_processed(self, item: Span | list[Span]) -> None:
            raise ConnectionRefusedError

    exporter = Refused()
    telemetry = Telemetry({"bad": registered(lambda: exporter)()})
    with telemetry.run("run"):
        pass
    telemetry.close(timeout=1.0)

    assert exporter.entries[-1] == "cleanup"
    assert "left behind" not in caplog.text


async def test_ready_and_tasks_can_be_waited_for() -> None:
    exporter = StepCollector()

    async with exporter.start():
        await asyncio.wait_for(exporter.wait_ready(), 10)
        emit("a")
        await exporter.wait_for_tasks(timeout=10)

        assert len(exporter.received) == 2


@pytest.mark.contract("S67")
async def test_the_end_of_the_stream_and_errors_reach_the_exporter_quietly() -> None:
    exporter = StepCollector()

    exporter.on_error(ValueError("from the stream"))
    exporter.on_complete()

    assert isinstance(exporter, BaseExporter)


@pytest.mark.contract("S74", "D4")
@pytest.mark.parametrize("base", [StepCollector, SpanCollector])
def test_unknown_keywords_are_refused_by_name(base: Any) -> None:
    with pytest.raises(TypeError, match="colour"):
        base(colour="red")


@pytest.mark.contract("S53", "S74")
def test_the_context_may_be_given_as_keyword_and_through_kwargs() -> None:
    state = ContextState.get()

    for exporter in (StepCollector(context_state=state), SpanCollector(context_state=None)):
        assert exporter.is_isolated_instance is False
        assert isinstance(exporter.name, str)
        assert exporter.name


@pytest.mark.contract("D9", "D11")
async def test_open_spans_are_closed_and_exported_before_cleanup() -> None:
    exporter = Diary()

    async with exporter.start():
        push("LLM_START", "open")

    assert exporter.entries == ["export open", "flush", "cleanup"]
