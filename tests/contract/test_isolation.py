"""One isolated instance per run; what is shared stays usable."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest

from nat.builder.context import ContextState
from nat.data_models.span import Span
from nat.observability import Telemetry
from nat.observability.exporter.base_exporter import IsolatedAttribute
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.processor.batching_processor import BatchingProcessor
from nat.observability.processor.processor import Processor
from tests.support.collecting import Received, SpanCollector, StepCollector, emit, registered
from tests.support.http_backend import HttpBackend


class HttpSpans(SpanExporter[Span, dict[str, Any]]):
    """Posts each span by a session that all copies share; `_cleanup` closes it before calling the base."""

    def __init__(self, endpoint: str, api_key: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {api_key}"})

    async def export_processed(self, item: dict[str, Any]) -> None:
        async with self.session.post(self.endpoint, json=item) as response:
            response.raise_for_status()

    async def _cleanup(self) -> None:
        await self.session.close()
        await super()._cleanup()


def _names(backend: HttpBackend) -> list[str]:
    return sorted(body["name"] for body in backend.bodies)


@pytest.mark.contract("S115", "S127", "D21", "S193")
async def test_two_runs_share_one_client(backend: HttpBackend) -> None:
    """The second example of the contract, as it stands."""
    url, key = backend.url, "key"

    root = HttpSpans(endpoint=url, api_key=key)  # inside a running loop
    first = root.create_isolated_instance(ContextState.get())
    second = root.create_isolated_instance(ContextState.get())
    async with first.start():
        emit("run 1")
    async with second.start():  # the client is still open: only `root` owns it
        emit("run 2")
    was_closed_by_a_copy = root.session.closed
    await root.stop()  # flush, then `_cleanup()`: now the client closes

    assert (was_closed_by_a_copy, root.session.closed) == (False, True)
    assert _names(backend) == ["run 1", "run 2"]


@pytest.mark.contract("S115", "S127", "D21")
def test_later_and_concurrent_runs_keep_a_working_client(backend: HttpBackend) -> None:
    """A run after a finished one, and one that was going on beside it."""
    made: list[HttpSpans] = []

    def build() -> HttpSpans:
        made.append(HttpSpans(endpoint=backend.url, api_key="key"))
        return made[-1]

    first_is_over = threading.Event()

    with Telemetry({"http": registered(build)()}) as telemetry:

        def long_run() -> None:
            with telemetry.run("long"):
                assert first_is_over.wait(20)
                emit("after the first run")

        beside = threading.Thread(target=long_run)
        beside.start()
        with telemetry.run("first"):
            emit("in the first run")
        telemetry.flush(60.0)
        first_is_over.set()
        beside.join(20)
        with telemetry.run("second"):
            pass

    assert _names(backend) == ["after the first run", "first", "in the first run", "long", "second"]
    assert len(made) == 1
    assert made[0].session.closed is True


class PerRun(SpanExporter[Span, Span]):
    """Counts in isolated state, and writes down what each run's copy counted."""

    _count: IsolatedAttribute[dict[str, int]] = IsolatedAttribute(lambda: {"spans": 0})
    _names: IsolatedAttribute[list[str]] = IsolatedAttribute(list)

    def __init__(self, results: Received[tuple[bool, int, tuple[str, ...]]]) -> None:
        super().__init__()
        self.results = results

    async def export_processed(self, item: Span) -> None:
        self._count["spans"] += 1
        await asyncio.sleep(0)
        self._names.append(item.name)

    async def _flush(self) -> None:
        self.results.add((self.is_isolated_instance, self._count["spans"], tuple(sorted(self._names))))
        await super()._flush()


@pytest.mark.contract("S111", "S112", "S113", "S114", "S123")
def test_concurrent_runs_have_counters_of_their_own() -> None:
    results = Received[tuple[bool, int, tuple[str, ...]]]()

    with Telemetry({"per_run": registered(lambda: PerRun(results))()}) as telemetry:

        def work(number: int) -> None:
            with telemetry.run(f"{number}"):
                for step in range(number):
                    emit(f"{number}.{step}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(16)))

    copies = sorted(result for result in results.items if result[0])
    assert copies == sorted(
        (True, number + 1, tuple(sorted([f"{number}", *(f"{number}.{step}" for step in range(number))])))
        for number in range(16)
    )
    assert [result for result in results.items if not result[0]] == [(False, 0, ())]


@pytest.mark.contract("S111")
async def test_concurrent_runs_do_not_mix_traces() -> None:
    received = Received[Span]()

    async with Telemetry({"spans": registered(lambda: SpanCollector(received))()}) as telemetry:
        all_open = asyncio.Barrier(20)

        async def work(number: int) -> int:
            async with telemetry.run(f"run {number}") as run:
                await all_open.wait()
                emit(f"step of {number}")
                return run.trace_id

        traces = await asyncio.gather(*(work(number) for number in range(20)))

    assert len(set(traces)) == 20
    assert {(span.name, span.context.trace_id) for span in received.items} == {
        (name, traces[number]) for number in range(20) for name in (f"run {number}", f"step of {number}")
    }


@pytest.mark.contract("D18", "S126")
def test_copies_share_processors() -> None:
    class Counter(Processor[Span, Span]):
        async def process(self, item: Span) -> Span:
            return item

    exporter = SpanCollector()
    exporter.add_processor(Counter(), name="counter")

    copy = exporter.create_isolated_instance(ContextState.get())

    assert copy.get_processor_by_name("counter") is exporter.get_processor_by_name("counter")


_tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


@pytest.mark.contract("D18")
def test_a_single_item_is_exported_by_its_runs_copy_inside_the_runs_context() -> None:
    seen = Received[tuple[str, str, bool]]()

    class Tenants(SpanExporter[Span, Span]):
        async def export_processed(self, item: Span | list[Span]) -> None:
            name = item[0].name if isinstance(item, list) else item.name
            seen.add((name, _tenant.get(), self.is_isolated_instance))

    with Telemetry({"tenants": registered(Tenants)()}) as telemetry:

        def work(tenant: str) -> None:
            _tenant.set(tenant)
            with telemetry.run(f"run of {tenant}"):
                pass

        for tenant in ("a", "b"):
            contextvars.copy_context().run(work, tenant)

    assert sorted(seen.items) == [("run of a", "a", True), ("run of b", "b", True)]


@pytest.mark.contract("D18")
def test_a_list_that_mixes_runs_is_exported_by_the_original_outside_any_run() -> None:
    seen = Received[tuple[list[str], str, bool]]()

    class Tenants(SpanExporter[Span, Span]):
        def __init__(self) -> None:
            super().__init__()
            self.add_processor(BatchingProcessor[Span](batch_size=2, flush_interval=3_600.0))

        async def export_processed(self, item: Span | list[Span]) -> None:
            assert isinstance(item, list)
            seen.add(([span.name for span in item], _tenant.get(), self.is_isolated_instance))

    with Telemetry({"tenants": registered(Tenants)()}) as telemetry:

        def work(tenant: str) -> None:
            _tenant.set(tenant)
            with telemetry.run(f"run of {tenant}"):
                pass

        for tenant in ("a", "b"):
            contextvars.copy_context().run(work, tenant)

    assert seen.items == [(["run of a", "run of b"], "nobody", False)]


@pytest.mark.contract("S113", "S156")
async def test_task_tracking_is_each_instances_own() -> None:
    original = StepCollector()
    copy = original.create_isolated_instance(ContextState.get())

    async with copy.start():
        emit("work")

    assert len(copy.received) == 2
    assert original._tasks == set()
