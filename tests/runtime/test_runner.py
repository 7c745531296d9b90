"""Calling a workflow's function: with one input, with many, whatever kind of function it is."""

import asyncio
import contextvars
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.errors import ConfigurationError
from nat.runtime.inputs import read_inputs
from nat.runtime.loader import Workflow
from nat.runtime.runner import RunResult, WorkflowExitError, result_text, run_many, run_workflow

current_run: contextvars.ContextVar[str] = contextvars.ContextVar("current_run", default="none")


@dataclass
class FakeRun:
    """A run that remembers."""

    trace_id: int
    name: str
    input: Any
    output: Any = None
    ended_with: BaseException | None = None
    is_over: bool = False


@dataclass
class Runs:
    """Opens fake runs."""

    opened: list[FakeRun] = field(default_factory=list)

    @asynccontextmanager
    async def open(self, name: str, *, input: Any) -> AsyncIterator[FakeRun]:
        """Open one."""
        run = FakeRun(len(self.opened) + 1, name, input)
        self.opened.append(run)
        token = current_run.set(f"run {run.trace_id}")
        try:
            yield run
        except BaseException as error:
            run.ended_with = error
            raise
        finally:
            run.is_over = True
            current_run.reset(token)


@pytest.fixture
def runs() -> Runs:
    """Runs that remember."""
    return Runs()


def workflow_of(call: Callable[..., Any] | None) -> Workflow:
    return Workflow(path=Path("w.yaml"), name="test", entrypoint="m:f", call=call)


def plain(value: Any) -> Any:
    return (value, current_run.get(), threading.current_thread().daemon)


async def coroutine(value: Any) -> Any:
    await asyncio.sleep(0)
    return (value, current_run.get(), threading.current_thread().daemon)


class Callable_:  # noqa: N801  (an object that is called)
    async def __call__(self, value: Any) -> Any:
        return (value, current_run.get(), threading.current_thread().daemon)


@pytest.mark.parametrize(
    ("call", "is_in_thread"),
    [(plain, True), (coroutine, False), (functools.partial(coroutine), False), (Callable_(), False)],
)
async def test_function_runs_inside_its_run(runs: Runs, call: Callable[..., Any], is_in_thread: bool) -> None:
    """Sync ones in a daemon thread, async ones in the loop; both see the run's context; the run gets the output."""
    result = await run_workflow(runs.open, workflow_of(call), {"a": 1})

    assert result.output == ({"a": 1}, "run 1", is_in_thread)
    assert result == RunResult(0, {"a": 1}, 1, result.output)
    assert result.is_success
    (run,) = runs.opened
    assert (run.name, run.input, run.output, run.is_over) == ("test", {"a": 1}, result.output, True)


def words(value: str) -> Iterator[str]:
    for word in value.split():
        yield f"{word} {current_run.get()};"


def numbers(value: str) -> Iterator[int]:
    yield from range(len(value))


async def async_words(value: str) -> AsyncIterator[str]:
    for word in value.split():
        yield f"{word} {current_run.get()};"


def returns_words(value: str) -> AsyncIterator[str]:
    return async_words(value)


def returns_coroutine(value: Any) -> Any:
    return coroutine(value)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (words, "a run 1;b run 1;"),
        (async_words, "a run 1;b run 1;"),
        (returns_words, "a run 1;b run 1;"),
        (returns_coroutine, ("a b", "run 1", False)),
        (numbers, [0, 1, 2]),
    ],
)
async def test_what_a_generator_yields_is_collected(runs: Runs, call: Callable[..., Any], expected: Any) -> None:
    """Texts are joined, other things are a list; what merely returns an async generator is one too."""
    output = (await run_workflow(runs.open, workflow_of(call), "a b")).output

    assert output == expected


async def test_exception_goes_on_unchanged(runs: Runs) -> None:
    """The caller and the run both see the very exception."""
    error = KeyError("mine")

    def fail(value: Any) -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        await run_workflow(runs.open, workflow_of(fail), "x")

    assert caught.value is error
    assert runs.opened[0].ended_with is error


async def test_exit_of_a_workflow_ends_its_run_only(runs: Runs) -> None:
    """`sys.exit()` becomes an error of the run, in a thread and in the loop."""

    def leave(value: Any) -> None:
        raise SystemExit(3)

    async def leave_async(value: Any) -> None:
        raise SystemExit(3)

    for call in (leave, leave_async):
        with pytest.raises(WorkflowExitError, match=r"the workflow called sys\.exit\(3\)"):
            await run_workflow(runs.open, workflow_of(call), "x")


async def test_workflow_without_function_is_refused(runs: Runs) -> None:
    """Before any run is opened."""
    with pytest.raises(ValueError, match=r"w\.yaml: names no function to run"):
        await run_workflow(runs.open, workflow_of(None), "x")
    with pytest.raises(ValueError, match=r"w\.yaml: names no function to run"):
        await run_many(runs.open, workflow_of(None), ["x"])
    with pytest.raises(ValueError, match="concurrency must be at least 1, got 0"):
        await run_many(runs.open, workflow_of(plain), ["x"], concurrency=0)
    assert runs.opened == []


async def test_blocked_thread_does_not_hold_up_cancelling(runs: Runs) -> None:
    """A sync function that never returns is left behind when its caller is cancelled, and its run is over."""
    is_running, may_end = threading.Event(), threading.Event()

    def block(value: Any) -> None:
        is_running.set()
        may_end.wait(30)

    task = asyncio.create_task(run_workflow(runs.open, workflow_of(block), "x"))
    await asyncio.to_thread(is_running.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert isinstance(runs.opened[0].ended_with, asyncio.CancelledError)
    may_end.set()


async def test_many_inputs_keep_their_order_and_limit(runs: Runs) -> None:
    """Results come in the order of inputs, runs end in their own; never more at once than allowed."""
    may_end = [asyncio.Event() for _ in range(5)]
    taken: list[int] = []
    open_now: set[int] = set()
    most: list[int] = []

    async def wait_for_it(index: int) -> int:
        open_now.add(index)
        most.append(len(open_now))
        if len(open_now) == 3:
            may_end[[1, 2, 0, 4, 3][len(done)]].set()
        await may_end[index].wait()
        open_now.remove(index)
        return index * 10

    def inputs() -> Iterator[int]:
        for index in range(5):
            taken.append(index)
            yield index

    done: list[int] = []
    results: list[RunResult] = []

    def on_done(result: RunResult) -> None:
        done.append(result.index)
        if len(done) in (3, 4):  # no further input: nothing else lets the last ones end
            may_end[[1, 2, 0, 4, 3][len(done)]].set()

    await run_many(
        runs.open, workflow_of(wait_for_it), inputs(), concurrency=3, on_done=on_done, on_result=results.append
    )

    assert done == [1, 2, 0, 4, 3]
    assert [(result.index, result.output) for result in results] == [(0, 0), (1, 10), (2, 20), (3, 30), (4, 40)]
    assert max(most) == 3
    assert taken == [0, 1, 2, 3, 4]
    assert all(run.is_over for run in runs.opened)


async def test_failures_stop_no_other(runs: Runs) -> None:
    """A run that raises, is cancelled by itself or exits is a result like others."""

    async def call(value: Any) -> Any:
        if value == "raise":
            raise LookupError("lost")
        if value == "cancel":
            raise asyncio.CancelledError
        if value == "exit":
            raise SystemExit
        return value

    results: list[RunResult] = []
    await run_many(runs.open, workflow_of(call), ["raise", "cancel", "exit", None, [1]], on_result=results.append)

    assert [type(result.error).__name__ for result in results] == [
        "LookupError", "CancelledError", "WorkflowExitError", "NoneType", "NoneType",
    ]  # fmt: skip
    assert [result.output for result in results[3:]] == [None, [1]]
    assert [result.trace_id for result in results] == [1, 2, 3, 4, 5]


async def test_cancelling_cancels_all(runs: Runs) -> None:
    """Every open run ends as cancelled before the call returns; no further input is taken."""
    all_open = asyncio.Event()

    async def forever(value: Any) -> None:
        if len(runs.opened) == 3:
            all_open.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(run_many(runs.open, workflow_of(forever), range(10), concurrency=3))
    await all_open.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [type(run.ended_with) for run in runs.opened] == [asyncio.CancelledError] * 3


async def test_failing_callback_ends_what_is_open(runs: Runs) -> None:
    """An output that cannot be written (a closed pipe) leaves no run behind."""

    async def call(value: Any) -> None:
        if value:
            await asyncio.Event().wait()

    def broken(result: RunResult) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await run_many(runs.open, workflow_of(call), [0, 1, 2], concurrency=3, on_result=broken)

    assert len(runs.opened) == 3
    assert all(run.is_over for run in runs.opened)


@pytest.mark.parametrize(
    ("output", "expected"),
    [("plain text", "plain text"), ({"a": [1, "ä"]}, '{"a":[1,"ä"]}'), (None, "null"), (5, "5")],
)
def test_result_as_text(output: Any, expected: str) -> None:
    """A text as it is, anything else as JSON on one line."""
    assert result_text(output) == expected


def test_inputs_are_any_json_value(tmp_path: Path) -> None:
    """One a line, as it is; empty lines do not count."""
    file = tmp_path / "in.jsonl"
    file.write_text('"text"\n\n{"a": 1}\n[1]\nnull\n5\n')

    assert read_inputs(file) == ["text", {"a": 1}, [1], None, 5]


def test_inputs_that_are_no_json_are_all_named(tmp_path: Path) -> None:
    """With line and column."""
    file = tmp_path / "in.jsonl"
    file.write_text('What is a trace?\n"fine"\n{"a": }\n')

    with pytest.raises(ConfigurationError) as caught:
        read_inputs(file)

    assert [(problem.line, problem.column) for problem in caught.value.problems] == [(1, 1), (3, 7)]
    assert 'expected one JSON value a line, a text in quotes: "What is a trace?"' in str(caught.value)
    with pytest.raises(ConfigurationError, match="cannot be read: No such file or directory"):
        read_inputs(tmp_path / "none.jsonl")
