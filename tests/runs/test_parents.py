"""Which step lies below which: from coroutines, tasks, threads, executors, generators and nested runs."""

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from nat.builder.context import Context
from nat.data_models.intermediate_step import IntermediateStepPayload, IntermediateStepType
from nat.data_models.span import Span
from nat.observability import Telemetry, carry_context, observe, step
from tests.support.collecting import Received, SpanCollector, registered


@pytest.fixture
def received() -> Received[Span]:
    return Received()


@pytest.fixture
def telemetry(received: Received[Span]) -> Iterator[Telemetry]:
    with Telemetry(registered(lambda: SpanCollector(received))()) as telemetry:
        yield telemetry


@pytest.fixture
def parents(telemetry: Telemetry, received: Received[Span]) -> Callable[[], dict[str, str | None]]:
    """Name of each span → name of its parent, after a flush."""

    def read() -> dict[str, str | None]:
        telemetry.flush()
        names = {span.context.span_id: span.name for span in received.items}
        assert len(names) == len(received)
        return {
            span.name: None if span.context.parent_span_id is None else names[span.context.parent_span_id]
            for span in received.items
        }

    return read


Parents = Callable[[], dict[str, str | None]]


async def test_tasks_and_gather(telemetry: Telemetry, parents: Parents) -> None:
    async def branch(name: str) -> None:
        with step(name):
            await asyncio.sleep(0)
            with step(f"{name}.inner"):
                await asyncio.sleep(0)

    with telemetry.run("run"), step("outer"):
        await asyncio.gather(branch("a"), branch("b"))
        await asyncio.create_task(branch("c"))
        await asyncio.to_thread(lambda: step("thread").__enter__().__exit__(None, None, None))

    assert parents() == {
        "run": None, "outer": "run", "a": "outer", "b": "outer", "c": "outer", "thread": "outer",
        "a.inner": "a", "b.inner": "b", "c.inner": "c",
    }  # fmt: skip


def test_threads_and_executors_with_the_context_carried_over(telemetry: Telemetry, parents: Parents) -> None:
    everybody = threading.Barrier(2)

    def work(name: str) -> None:
        everybody.wait(10)
        with step(name):
            pass

    with telemetry.run("run"), step("outer"):
        carried = carry_context(work)
        thread = threading.Thread(target=carried, args=("thread",))
        thread.start()
        carried("here")
        thread.join()
        with ThreadPoolExecutor(2) as executor:
            list(executor.map(carried, ["first", "second"]))

    assert parents() == {
        "run": None, "outer": "run", "thread": "outer", "here": "outer", "first": "outer", "second": "outer",
    }  # fmt: skip


def test_a_thread_without_context_has_a_trace_of_its_own(
    telemetry: Telemetry, received: Received[Span], parents: Parents
) -> None:
    def work() -> None:
        with step("lost"), step("lost.inner"):
            pass

    with telemetry.run("run"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert parents() == {"run": None, "lost": None, "lost.inner": "lost"}
    assert len({span.context.trace_id for span in received.items}) == 2


def test_an_end_from_a_thread_that_lost_its_run_closes_the_right_span(
    telemetry: Telemetry, received: Received[Span], parents: Parents
) -> None:
    with telemetry.run("run"):
        manager = Context.get().intermediate_step_manager
        start = IntermediateStepPayload(event_type=IntermediateStepType.TOOL_START, name="tool")
        manager.push_intermediate_step(start)
        end = IntermediateStepPayload(event_type=IntermediateStepType.TOOL_END, name="tool", UUID=start.UUID)
        thread = threading.Thread(target=lambda: Context.get().intermediate_step_manager.push_intermediate_step(end))
        thread.start()
        thread.join()

    assert parents() == {"run": None, "tool": "run"}
    assert {span.status.code for span in received.items} == {"OK"}


def numbers() -> Iterator[int]:
    with step("generator"):
        for number in range(3):
            with step(f"made {number}"):
                pass
            yield number


async def async_numbers() -> AsyncIterator[int]:
    with step("generator"):
        for number in range(3):
            with step(f"made {number}"):
                await asyncio.sleep(0)
            yield number


IN_TURN = {
    "run": None, "generator": "run", "made 0": "generator", "made 1": "generator", "made 2": "generator",
    "used 0": "run", "used 1": "run", "used 2": "run",
}  # fmt: skip


@pytest.mark.parametrize("is_observed", [False, True], ids=["with step", "observe"])
def test_a_generators_step_is_not_around_the_code_that_iterates_it(
    telemetry: Telemetry, parents: Parents, is_observed: bool
) -> None:
    @observe(name="generator")
    def observed() -> Iterator[int]:
        for number in range(3):
            with step(f"made {number}"):
                pass
            yield number

    with telemetry.run("run"):
        for number in observed() if is_observed else numbers():
            with step(f"used {number}"):
                pass

    assert parents() == IN_TURN


@pytest.mark.parametrize("is_observed", [False, True], ids=["with step", "observe"])
async def test_an_async_generators_step_is_not_around_the_code_that_iterates_it(
    telemetry: Telemetry, parents: Parents, is_observed: bool
) -> None:
    @observe(name="generator")
    async def observed() -> AsyncIterator[int]:
        for number in range(3):
            with step(f"made {number}"):
                await asyncio.sleep(0)
            yield number

    with telemetry.run("run"):
        async for number in observed() if is_observed else async_numbers():
            with step(f"used {number}"):
                await asyncio.sleep(0)

    assert parents() == IN_TURN


def test_a_generator_abandoned_half_way(telemetry: Telemetry, received: Received[Span], parents: Parents) -> None:
    """Its step ends when it is closed, is not a failure, and later steps are not below it."""
    with telemetry.run("run"):
        generator = numbers()
        next(generator)
        with step("while open"):
            pass
        del generator
        gc.collect()
        with step("after"):
            pass

    assert parents() == {"run": None, "generator": "run", "made 0": "generator", "while open": "run", "after": "run"}
    [abandoned] = [span for span in received.items if span.name == "generator"]
    assert abandoned.status.code == "OK"
    assert abandoned.attributes["nat.generator.abandoned"] is True


async def test_an_async_generator_abandoned_half_way(
    telemetry: Telemetry, received: Received[Span], parents: Parents
) -> None:
    async def never_finished() -> AsyncGenerator[int, None]:
        with step("generator"):
            yield 1
            yield 2

    with telemetry.run("run"):
        async with contextlib.aclosing(never_finished()) as generator:
            await anext(generator)
            with step("while open"):
                pass
        with step("after"):
            pass

    assert parents() == {"run": None, "generator": "run", "while open": "run", "after": "run"}
    [abandoned] = [span for span in received.items if span.name == "generator"]
    assert abandoned.attributes["nat.generator.abandoned"] is True


def test_a_generator_that_nobody_closes_is_closed_with_its_run(
    telemetry: Telemetry, received: Received[Span], parents: Parents
) -> None:
    generator = numbers()
    with telemetry.run("run"):
        next(generator)

    assert parents() == {"run": None, "generator": "run", "made 0": "generator"}
    [open_one] = [span for span in received.items if span.name == "generator"]
    assert open_one.attributes["nat.span.incomplete"] is True
    generator.close()  # type: ignore[attr-defined]  # an iterator to callers
    assert len(parents()) == 3, "its late END gives no second span"


async def test_a_task_started_inside_a_generators_step_lies_below_it(telemetry: Telemetry, parents: Parents) -> None:
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()
        with step("task"):
            pass

    async def generator() -> AsyncGenerator[asyncio.Task[None], None]:
        with step("generator"):
            yield asyncio.create_task(work())

    with telemetry.run("run"):
        async with contextlib.aclosing(generator()) as tasks:
            task = await anext(tasks)
            gate.set()
            await task

    assert parents() == {"run": None, "generator": "run", "task": "generator"}


def test_a_run_inside_a_run_is_part_of_its_trace(
    telemetry: Telemetry, received: Received[Span], parents: Parents
) -> None:
    with telemetry.run("outer", session_id="s", user_id="u"), step("calls"):
        with telemetry.run("inner") as inner, step("work"):
            pass
        with step("after"):
            pass

    assert parents() == {"outer": None, "calls": "outer", "inner": "calls", "work": "inner", "after": "calls"}
    assert {span.context.trace_id for span in received.items} == {inner.trace_id}
    assert {span.attributes["session.id"] for span in received.items} == {"s"}
    assert {span.attributes["user.id"] for span in received.items} == {"u"}


def test_two_telemetries_nested_each_see_the_inner_run_once() -> None:
    outer, inner = Received[Span](), Received[Span]()
    outer_config = registered(lambda: SpanCollector(outer))
    inner_config = registered(lambda: SpanCollector(inner))

    with (
        Telemetry(outer_config()) as first,
        Telemetry(inner_config()) as second,
        first.run("outer"),
        second.run("inner"),
        step("work"),
    ):
        pass

    assert sorted(span.name for span in outer.items) == ["inner", "outer", "work"]
    assert sorted(span.name for span in inner.items) == ["inner", "work"]
    assert {span.context.span_id for span in inner.items} < {span.context.span_id for span in outer.items}


def test_steps_that_outlive_their_run_are_delivered(
    telemetry: Telemetry, received: Received[Span], parents: Parents
) -> None:
    gate = threading.Event()

    def late() -> None:
        gate.wait(10)
        with step("late"):
            pass

    with telemetry.run("run"):
        thread = threading.Thread(target=carry_context(late))
        thread.start()
    telemetry.flush()
    gate.set()
    thread.join()

    assert parents() == {"run": None, "late": "run"}
    assert len({span.context.trace_id for span in received.items}) == 1
