"""Where in a workflow the running code is: its run, its event stream and the steps around it."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR
from types import FrameType
from typing import TYPE_CHECKING

from nat.data_models.step_types import ROOT_PARENT_ID
from nat.observability.events import (
    EventStream,
    FunctionRef,
    Run,
    new_trace_id,
)
from nat.utils.forking import new_lock
from nat.utils.records import Record

if TYPE_CHECKING:
    from nat.builder.intermediate_step_manager import IntermediateStepManager
    from nat.data_models.invocation_node import InvocationNode

__all__ = ["Context", "ContextState"]

_GENERATOR_FLAGS = CO_GENERATOR | CO_ASYNC_GENERATOR


class ActiveStep(Record, eq=False):
    """A step that has started and not ended, linked to the ones around it; immutable.

    A step that is started in the body of a generator is not active while the generator is suspended at a `yield`, although it
    shares its `contextvars` context with the code that iterates it. `frame` and `owner` tell the two apart: a suspended
    generator's frame has no caller, and code that the step's own task or thread runs meanwhile is the code outside.

    Attributes:
        step_id: Its id.
        parent_id: Id of the step that encloses it, `"root"` at the top.
        outer: The step that was innermost when it started; another one than its parent if that was suspended.
        function: The function it happens in.
        frame: The generator's body that it was started in, if it was one.
        owner: The thread and task that did so.
    """

    step_id: str
    parent_id: str
    outer: "ActiveStep | None"
    function: FunctionRef | None
    frame: FrameType | None = None
    owner: tuple[int, int | None] | None = None

    @property
    def is_suspended(self) -> bool:
        """Whether it belongs to a generator that is not running now, seen from the code that iterates it."""
        return self.frame is not None and self.frame.f_back is None and self.owner == _current_owner()


class _Stream:
    """What `ContextState.event_stream` is: `get()` gives the stream itself."""

    __slots__ = ("_stream",)

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    def get(self) -> EventStream:
        """The stream."""
        return self._stream


class _ActiveSpanIdStack:
    """What `ContextState.active_span_id_stack` is: `get()` gives the ids of the steps around the caller, outermost first."""

    __slots__ = ()

    def get(self) -> list[str]:
        """`["root", …]`, the innermost step last."""
        steps = []
        step = _active.get()
        while step is not None:
            if not step.is_suspended:
                steps.append(step.step_id)
            step = step.outer
        return [ROOT_PARENT_ID, *reversed(steps)]


class ContextState:
    """What belongs to one run, or to the code outside all runs: its event stream and who it works for. Thread-safe.

    Args:
        run: The run; `None` outside any.
        outer: The state of the code that started the run. Steps of a run are also heard there.
    """

    def __init__(self, run: Run | None = None, outer: "ContextState | None" = None) -> None:
        self.run = run
        self.stream: EventStream = EventStream(outer=None if outer is None else outer.stream, run=run)
        self._implicit_run: ImplicitRun | None = None

    @staticmethod
    def get() -> "ContextState":
        """The state of the running code; works outside a run, on any thread and without an event loop."""
        return _state.get()

    @property
    def implicit_run(self) -> "ImplicitRun":
        """The run of steps that are pushed here outside any, for exporters that user code started."""
        with _implicit_runs_lock:
            if self._implicit_run is None:
                self._implicit_run = ImplicitRun()
            return self._implicit_run

    @property
    def event_stream(self) -> _Stream:
        """`event_stream.get()` is the `Subject` of the steps pushed in this state and in runs started below it."""
        return _Stream(self.stream)

    @property
    def active_span_id_stack(self) -> _ActiveSpanIdStack:
        """`active_span_id_stack.get()` lists the ids of the steps around the caller, outermost first."""
        return _ActiveSpanIdStack()

    def __repr__(self) -> str:
        return f"ContextState(run={self.run.name!r})" if self.run else "ContextState()"


class ImplicitRun:
    """The run of steps pushed outside any run while exporters that user code started listen. Thread-safe.

    It begins when the first of them joins and ends when the last one leaves.
    """

    __slots__ = ("_count", "_lock", "_run")

    def __init__(self) -> None:
        self._lock = new_lock()
        self._run: Run | None = None
        self._count = 0

    def join(self) -> Run:
        """Take part; gives the run."""
        with self._lock:
            if self._run is None:
                self._run = Run(trace_id=new_trace_id())
            self._count += 1
            return self._run

    def leave(self) -> None:
        """Take part no longer."""
        with self._lock:
            self._count -= 1
            if self._count == 0:
                self._run = None


_implicit_runs_lock = new_lock()
_OUTSIDE = ContextState()
_state: ContextVar[ContextState] = ContextVar("nat_context_state", default=_OUTSIDE)
_active: ContextVar[ActiveStep | None] = ContextVar("nat_active_step", default=None)

current_state = _state.get
"""`ContextState.get`, without a call of Python's."""


class Context:
    """The running code's place in the workflow. `Context.get()` works inside and outside a run."""

    __slots__ = ("_context_state",)

    def __init__(self, context_state: ContextState) -> None:
        self._context_state = context_state

    @staticmethod
    def get() -> "Context":
        """The current context."""
        return Context(ContextState.get())

    @property
    def intermediate_step_manager(self) -> "IntermediateStepManager":
        """Where code reports the steps it takes."""
        from nat.builder.intermediate_step_manager import IntermediateStepManager

        return IntermediateStepManager(self._context_state)

    @property
    def active_span_id(self) -> str:
        """Id of the innermost step around the caller, `"root"` outside any."""
        step = active_step()
        return ROOT_PARENT_ID if step is None else step.step_id

    @property
    def active_function(self) -> "InvocationNode":
        """The innermost function around the caller."""
        from nat.observability.step_models import to_invocation_node

        step = active_step()
        return to_invocation_node(None if step is None else step.function)

    @property
    def trace_id(self) -> int | None:
        """Trace id of the current run, `None` outside any."""
        return None if self._context_state.run is None else self._context_state.run.trace_id

    @property
    def workflow_name(self) -> str | None:
        """Name of the current run's workflow."""
        return None if self._context_state.run is None else self._context_state.run.name

    @property
    def session_id(self) -> str | None:
        """Session of the current run."""
        return None if self._context_state.run is None else self._context_state.run.session_id

    @property
    def user_id(self) -> str | None:
        """User of the current run."""
        return None if self._context_state.run is None else self._context_state.run.user_id


def active_step() -> ActiveStep | None:
    """The innermost step around the caller that is really running."""
    step = _active.get()
    while step is not None and step.frame is not None and step.is_suspended:
        step = step.outer
    return step


def enter_step(step_id: str, name: str | None, *, is_function: bool, frame: FrameType | None) -> ActiveStep:
    """Start a step: it is the innermost one now.

    Args:
        step_id: Its id.
        name: Its name.
        is_function: Whether what happens in it happens in a function of that name.
        frame: The code that starts it; of interest if that is a generator's body.
    """
    outer = parent = _active.get()
    while parent is not None and parent.frame is not None and parent.is_suspended:
        parent = parent.outer
    parent_id, function = (ROOT_PARENT_ID, None) if parent is None else (parent.step_id, parent.function)
    if is_function:
        caller_id, caller_name = (None, None) if function is None else (function.id, function.name)
        function = FunctionRef(step_id, name or step_id, caller_id, caller_name)
    if frame is None or not frame.f_code.co_flags & _GENERATOR_FLAGS:
        step = ActiveStep(step_id, parent_id, outer, function)
    else:
        step = ActiveStep(step_id, parent_id, outer, function, frame, _current_owner())
    _active.set(step)
    return step


def resume_at(step: ActiveStep | None) -> ActiveStep | None:
    """Make `step` the innermost one, as when a generator goes on; returns the one that was."""
    former = _active.get()
    _active.set(step)
    return former


def leave_step(step_id: str) -> ActiveStep | None:
    """End a step: the one around it is the innermost again. `None` if it was not started in this context."""
    step = _active.get()
    while step is not None and step.step_id != step_id:
        step = step.outer
    if step is not None:
        _active.set(step.outer)
    return step


def find_step(step_id: str) -> ActiveStep | None:
    """The step of that id among those around the caller."""
    step = _active.get()
    while step is not None and step.step_id != step_id:
        step = step.outer
    return step


@contextmanager
def in_state(state: ContextState) -> Iterator[None]:
    """Run the body in `state`, with no step around it."""
    former = enter_state(state)
    try:
        yield
    finally:
        leave_state(former)


def enter_state(state: ContextState) -> tuple[ContextState, ActiveStep | None]:
    """Go on in `state`, with no step around; gives what `leave_state` needs."""
    former = _state.get(), _active.get()
    _state.set(state)
    _active.set(None)
    return former


def leave_state(former: tuple[ContextState, ActiveStep | None]) -> None:
    """Go on where `enter_state` was called. Not by token: a run may end in another context than it began in."""
    state, step = former
    _active.set(step)
    _state.set(state)


def _current_owner() -> tuple[int, int | None]:
    asyncio = sys.modules.get("asyncio")  # a program that has not imported it has no tasks
    task = None
    if asyncio is not None:
        with suppress(RuntimeError):  # no loop runs on this thread
            task = asyncio.current_task()
    return threading.get_ident(), None if task is None else id(task)
