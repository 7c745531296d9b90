"""Runner: call a workflow's function with one input or with many, each call inside a run of its own.

A function that is not async runs in a daemon thread of its own, with the caller's context, so that nothing it does
holds up the event loop or Ctrl-C. What a generator yields is collected: texts are joined, anything else is a list.
"""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Protocol

from nat.observability.snapshot import encode_line
from nat.runtime.loader import Workflow

__all__ = ["OpenRun", "RunHandle", "RunResult", "WorkflowExitError", "result_text", "run_many", "run_workflow"]


class RunHandle(Protocol):
    """An open run, as far as this module is concerned."""

    output: Any

    @property
    def trace_id(self) -> int:
        """The id of the run's trace."""


class OpenRun(Protocol):
    """Opens a run: `Telemetry.run`."""

    def __call__(self, name: str, *, input: Any) -> AbstractAsyncContextManager[RunHandle]:
        """Return the context manager that is the run."""


class WorkflowExitError(Exception):
    """The workflow called `sys.exit()`, which ends its run and not the program."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What became of one input.

    Attributes:
        index: Its place among the inputs, from 0.
        trace_id: Of the run's trace; None if no run could be opened.
        output: What the workflow returned, or yielded in all.
        error: What it raised instead.
    """

    index: int
    input: Any
    trace_id: int | None
    output: Any = None
    error: BaseException | None = None

    @property
    def is_success(self) -> bool:
        """Whether the workflow returned."""
        return self.error is None


async def run_workflow(open_run: OpenRun, workflow: Workflow, value: Any) -> RunResult:
    """Run the workflow with one input.

    Raises:
        ValueError: The workflow names no function.
        WorkflowExitError: The function called `sys.exit()`.
        BaseException: Whatever the function raises, unchanged. Cancelling the call ends the run as cancelled; a thread
            that it started goes on unheard.
    """
    return await _run(open_run, workflow, 0, value)


async def run_many(
    open_run: OpenRun,
    workflow: Workflow,
    values: Iterable[Any],
    *,
    concurrency: int = 1,
    on_done: Callable[[RunResult], None] | None = None,
    on_result: Callable[[RunResult], None] | None = None,
) -> None:
    """Run the workflow with each input, several at a time; one that fails stops no other.

    Inputs are taken from `values` as they are needed. Cancelling the call cancels all runs that are open.

    Args:
        concurrency: How many runs are open at the same time.
        on_done: Called as soon as a run has ended, in whatever order they do.
        on_result: Called for each result in the order of the inputs, as soon as it and those before it are there.

    Raises:
        ValueError: `concurrency` is less than 1, or the workflow names no function.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, got {concurrency!r}")
    _call_of(workflow)
    inputs = enumerate(values)
    running: set[asyncio.Task[RunResult]] = set()
    waiting: dict[int, RunResult] = {}
    following = 0
    try:
        while True:
            for index, value in _take(inputs, concurrency - len(running)):
                running.add(asyncio.create_task(_settle(open_run, workflow, index, value)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for result in sorted((task.result() for task in done), key=lambda result: result.index):
                waiting[result.index] = result
                if on_done is not None:
                    on_done(result)
            while following in waiting:
                result = waiting.pop(following)
                following += 1
                if on_result is not None:
                    on_result(result)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def result_text(output: Any) -> str:
    """Return a result as text for standard output: a text as it is, anything else as JSON on one line."""
    return output if isinstance(output, str) else encode_line(output)


async def _settle(open_run: OpenRun, workflow: Workflow, index: int, value: Any) -> RunResult:
    """Run one input and return its failure instead of raising it."""
    opened: list[RunHandle] = []
    try:
        return await _run(open_run, workflow, index, value, opened)
    except (Exception, asyncio.CancelledError) as error:  # the edge of someone else's code; it may cancel its own task
        return RunResult(index, value, opened[0].trace_id if opened else None, error=error)


async def _run(
    open_run: OpenRun, workflow: Workflow, index: int, value: Any, opened: list[RunHandle] | None = None
) -> RunResult:
    call = _call_of(workflow)
    async with open_run(workflow.run_name, input=value) as run:
        if opened is not None:
            opened.append(run)
        run.output = output = await _call(call, value)
    return RunResult(index, value, run.trace_id, output)


def _call_of(workflow: Workflow) -> Callable[..., Any]:
    if workflow.call is None:
        raise ValueError(f"{workflow.path}: names no function to run, expected workflow.entrypoint")
    return workflow.call


async def _call(call: Callable[..., Any], value: Any) -> Any:
    try:
        outcome = call(value) if _is_async(call) else await _in_thread(call, value)
        if inspect.isawaitable(outcome):
            outcome = await outcome
        return await _collect(outcome) if inspect.isasyncgen(outcome) else outcome
    except SystemExit as error:
        raise WorkflowExitError(f"the workflow called sys.exit({error.code!r})") from error


def _is_async(call: Callable[..., Any]) -> bool:
    candidates = (call, getattr(call, "__call__", None))  # noqa: B004  # looked at, not tested for being callable
    return any(inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found) for found in candidates)


async def _in_thread(call: Callable[..., Any], value: Any) -> Any:
    """Call in a daemon thread of its own; a generator is consumed there as well."""
    loop = asyncio.get_running_loop()
    context = copy_context()
    is_over = asyncio.Event()
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            result = context.run(call, value)
            outcome.append(context.run(_join, result) if inspect.isgenerator(result) else result)
        except BaseException as error:  # raised again where the caller waits
            failure.append(error)
        try:
            loop.call_soon_threadsafe(is_over.set)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=work, name="nat-workflow", daemon=True).start()
    await is_over.wait()
    if failure:
        raise failure.pop()
    return outcome[0]


def _join(items: Iterator[Any]) -> Any:
    return _joined(list(items))


async def _collect(items: AsyncIterator[Any]) -> Any:
    return _joined([item async for item in items])


def _joined(items: list[Any]) -> Any:
    is_text = bool(items) and all(isinstance(item, str) for item in items)
    return "".join(items) if is_text else items


def _take(inputs: Iterator[tuple[int, Any]], count: int) -> Iterator[tuple[int, Any]]:
    for _ in range(count):
        item = next(inputs, None)
        if item is None:
            return
        yield item
