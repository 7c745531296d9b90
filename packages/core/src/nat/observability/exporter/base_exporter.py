"""What every exporter has: a place in a run's events, a life from start to cleanup, and isolated copies for single runs."""

import asyncio
import copy
import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, Literal, Self, TypeVar, overload
from weakref import WeakSet

from nat.builder.context import ContextState
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.worker import SHUTDOWN_TIMEOUT_S, Lane
from nat.observability.events import CapturedStep, Run
from nat.observability.noise import is_ours, raised
from nat.observability.pipeline import Pipeline
from nat.observability.spans.capture import CapturedSpan, RunCapture
from nat.utils.forking import new_lock

__all__ = ["BaseExporter", "IsolatedAttribute", "LaneView"]

_log = logging.getLogger("nat.observability.exporter")

T = TypeVar("T")

_SLOT_PREFIX = "_isolated_"


class IsolatedAttribute(Generic[T]):
    """Mutable state of an exporter that each run's copy has for itself.

    Declared on the class: `_seen: IsolatedAttribute[dict] = IsolatedAttribute(dict)`. The first access on an instance makes the
    value, once, also under threads; an isolated copy starts with a fresh one. Use it for task sets, queues, counters and
    buffers; clients, tokens, settings and loggers stay plain attributes and are shared.

    Args:
        factory: Makes the value; takes no arguments.

    Raises:
        TypeError: `factory` is not callable.
    """

    def __init__(self, factory: Callable[[], T]) -> None:
        if not callable(factory):
            raise TypeError(f"IsolatedAttribute takes a callable that makes the value, got {factory!r}")
        self._factory = factory
        self._name = ""
        self._slot = ""
        self._lock = new_lock()

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self._slot = f"{_SLOT_PREFIX}{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> Self | T:
        if instance is None:
            return self
        values = instance.__dict__
        try:
            value: T = values[self._slot]
        except KeyError:
            with self._lock:
                if self._slot not in values:
                    values[self._slot] = self._factory()
                value = values[self._slot]
        return value

    def __set__(self, instance: object, value: T) -> None:
        instance.__dict__[self._slot] = value

    def __delete__(self, instance: object) -> None:
        instance.__dict__.pop(self._slot, None)

    def reset(self, instance: object) -> None:
        """Forget the instance's value: the next access makes a new one."""
        instance.__dict__.pop(self._slot, None)


class BaseExporter(ABC):
    """Takes the events of workflows. The toolkit calls `export` with each; most authors derive from a class below this one.

    An exporter lives on the event loop that starts it: its registration function, `start`, `export_processed`, `_flush` and
    `_cleanup` all run there. Each run has an isolated copy (`create_isolated_instance`), which shares plain attributes with the
    original and is not started itself. Steps that its own code reports there are recorded by nobody: each would make the next.

    Args:
        context_state: Where to take events from when user code starts it; `None` means the current one.
    """

    _tasks: IsolatedAttribute[set[asyncio.Task[Any]]] = IsolatedAttribute(set)
    _ready_event: IsolatedAttribute[asyncio.Event] = IsolatedAttribute(asyncio.Event)
    _shutdown_event: IsolatedAttribute[asyncio.Event] = IsolatedAttribute(asyncio.Event)
    _life: IsolatedAttribute["_Life"] = IsolatedAttribute(lambda: _Life())  # noqa: PLW0108  (defined below)

    def __init__(self, context_state: ContextState | None = None, **unknown: Any) -> None:
        if unknown:
            names = ", ".join(repr(name) for name in unknown)
            raise TypeError(f"{type(self).__name__} got unexpected keyword argument(s) {names}")
        self._context_state = ContextState.get() if context_state is None else context_state
        self._is_isolated_instance = False

    # -- for authors ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def export(self, event: Any) -> None:
        """Take one event. Must return quickly; an exception is logged and counted, never passed on to the workflow."""

    async def _flush(self) -> None:
        """Hand over what this instance still holds: a batch of its own, an aggregate.

        Called at the end of every run on that run's copy, and on the original before `_cleanup`.
        """

    async def _cleanup(self) -> None:
        """Release resources. Called once, on the original, after everything has been exported; call `super()._cleanup()`."""

    def on_error(self, exc: BaseException) -> None:
        """The event stream reports an error."""
        _log.warning("%s: the event stream reports %s", self.name, type(exc).__name__)

    def on_complete(self) -> None:
        """The event stream has ended."""
        _log.debug("%s: the event stream has ended", self.name)

    def trace_url(self, trace_id: int, root_span_id: int) -> str | None:
        """The page on which the backend shows a trace, for people; `None`: there is none, or nobody knows where.

        Must return at once, on any thread. The URL is shown as it is: nothing in it may be secret.
        """
        return None

    # -- facts ---------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name for messages: the class's, marked on isolated copies."""
        suffix = " (isolated)" if self._is_isolated_instance else ""
        return f"{type(self).__name__}{suffix}"

    @property
    def is_isolated_instance(self) -> bool:
        """Whether this is a copy for one run."""
        return self._is_isolated_instance

    @property
    def delivery_options(self) -> DeliveryOptions:
        """How it wants to be delivered to."""
        return DeliveryOptions()

    def create_isolated_instance(self, context_state: ContextState) -> Self:
        """A copy for one run: plain attributes and processors are shared, isolated ones are fresh, and it is not running."""
        isolated = copy.copy(self)
        for name in [name for name in isolated.__dict__ if name.startswith(_SLOT_PREFIX)]:
            del isolated.__dict__[name]
        isolated._context_state = context_state
        isolated._is_isolated_instance = True
        return isolated

    # -- life ----------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def start(self) -> AsyncIterator[None]:
        """Export events for the life of the `async with` body. An override point: wrap `super().start()`.

        On leaving, everything that is queued has been exported or has hit the shutdown timeout, then `_flush` and, on an
        instance that is not an isolated copy, `_cleanup` have run. Started by user code, the exporter takes every step
        pushed in its context state, in the running loop; started by the toolkit, it takes what the toolkit gives it.

        Raises:
            PipelineTypeError: Its processors do not fit.
            RuntimeError: It is running already.
        """
        life = self._life
        if life.is_running:
            raise RuntimeError(f"{self.name} is running already")
        self._prepare()
        life.begin()
        self._shutdown_event.clear()
        if life.lane is None:
            clock = asyncio.get_running_loop().time
            life.lane = Lane(self.name, LaneView(self), self.delivery_options, is_solo=True, clock=clock)
            life.source = _OwnSource(self, life.lane)
        life.lane.open()
        if life.source is not None:
            life.source.attach()
        self._ready_event.set()
        _log.debug("%s: started", self.name)
        try:
            yield
        finally:
            await self.stop()

    async def stop(self) -> None:
        """End the exporter: a running one drains first, one that was never started only cleans up. Idempotent.

        Does not raise on account of the author's `_flush` or `_cleanup`: their errors are logged.
        """
        life = self._life
        if life.has_ended:
            return
        life.end()
        if life.source is not None:
            life.source.detach()
        self._finish_open()
        if life.lane is not None:
            await life.lane.close()
        await self._guarded(self._flush)
        if not self._is_isolated_instance:
            await self._guarded(self._cleanup)
        self._tasks.clear()
        life.lane = life.source = None
        self._ready_event.clear()
        self._shutdown_event.set()
        _log.debug("%s: stopped", self.name)

    async def wait_ready(self) -> None:
        """Return when the exporter has started."""
        await self._ready_event.wait()

    async def wait_for_tasks(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109  (the contract's name)
        """Return when everything taken so far has been exported, or after `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                if self._life.lane is not None:
                    await self._life.lane.flush()
                while self._tasks:
                    await asyncio.wait(self._tasks)

    # -- for the toolkit -----------------------------------------------------------------------------------------------

    def use_lane(self, lane: Lane) -> None:
        """Take events from this lane and not from the context state."""
        self._life.lane = lane

    @property
    def _sends_captured(self) -> bool:
        return False

    @property
    def _takes(self) -> Literal["steps", "spans"]:
        return "steps"

    @property
    def _has_own_export(self) -> bool:
        return True

    @property
    def _gives_spans(self) -> bool:
        return False

    @property
    def _lane_pipeline(self) -> Pipeline | None:
        return None

    def _prepare(self) -> None:
        """Check what must be right before the start."""

    def _finish_open(self) -> None:
        """Give what is still open: no more events will come."""

    async def _send(self, item: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no pipeline to send from")

    async def _guarded(self, hook: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            async with asyncio.timeout(SHUTDOWN_TIMEOUT_S):
                await hook()
        except BaseException as exc:
            if is_ours(exc):
                raise
            _log.warning("%s: %s raised %s; the shutdown goes on", self.name, hook.__name__, raised(exc))


class LaneView:
    """An exporter as its lane sees it; keeps the lane's needs out of the author's name space."""

    __slots__ = ("_exporter",)

    def __init__(self, exporter: BaseExporter) -> None:
        self._exporter = exporter

    @property
    def takes(self) -> Literal["steps", "spans"]:
        """What its runs' copies are given."""
        return self._exporter._takes

    @property
    def has_own_export(self) -> bool:
        """Whether its author has overridden `export`."""
        return self._exporter._has_own_export

    @property
    def sends_captured(self) -> bool:
        """Whether it describes spans itself, when it sends them."""
        return self._exporter._sends_captured

    @property
    def gives_spans(self) -> bool:
        """Whether its `export` makes spans of steps."""
        return self._exporter._gives_spans

    @property
    def pipeline(self) -> Pipeline | None:
        """Its processors."""
        return self._exporter._lane_pipeline

    def isolated_copy(self) -> "LaneView":
        """A copy for the run in whose context this is called; it submits to the same lane."""
        isolated = self._exporter.create_isolated_instance(ContextState.get())
        isolated._life.lane = self._exporter._life.lane
        return LaneView(isolated)

    def export(self, event: Any) -> None:
        """Pass an event to the author's `export`."""
        self._exporter.export(event)

    async def send(self, item: Any) -> None:
        """Pass an item to the author's `export_processed`."""
        await self._exporter._send(item)

    async def flush_own(self) -> None:
        """Close what is open and call the author's `_flush`."""
        self._exporter._finish_open()
        await self._exporter._flush()


class _Life:
    """Where an exporter instance is between start and stop."""

    __slots__ = ("has_ended", "is_running", "lane", "source")

    def __init__(self) -> None:
        self.is_running = False
        self.has_ended = False
        self.lane: Lane | None = None
        self.source: _OwnSource | None = None

    def begin(self) -> None:
        self.is_running = True
        self.has_ended = False

    def end(self) -> None:
        self.is_running = False
        self.has_ended = True


class _OwnSource:
    """Feeds an exporter that user code started: everything pushed in its context state, in and outside runs."""

    def __init__(self, exporter: BaseExporter, lane: Lane) -> None:
        self._exporter = exporter
        self._lane = lane
        self._stream = exporter._context_state.event_stream.get()
        self._implicit_run = exporter._context_state.implicit_run
        self._capture: RunCapture | None = None

    def attach(self) -> None:
        """Listen from now on."""
        _own_sources.add(self)
        self._capture = RunCapture(self._implicit_run.join(), self)
        self._stream.attach(self._capture, self._exporter.on_error, self._exporter.on_complete)
        _log.debug("%s: subscribed to %r", self._exporter.name, self._exporter._context_state)

    def detach(self) -> None:
        """Listen no longer; spans that are open are given as incomplete."""
        if self._capture is not None:
            self._stream.detach(self._capture)
            self._capture.close(time.time_ns())
            self._implicit_run.leave()
            self._capture = None

    def leave_to_parent(self) -> None:
        """In a forked child: the loop that the exporter runs on is the parent's, so nothing is taken here."""
        if self._capture is not None:
            self._stream.detach(self._capture)
            self._capture = None

    @property
    def wants_steps(self) -> bool:
        return self._exporter._takes == "steps"

    def record_step(self, step: CapturedStep, run: Run) -> None:
        self._lane.offer(((step, run),), 1)

    def record_span(self, span: CapturedSpan, run: Run) -> None:
        if not self.wants_steps:
            self._lane.offer(((span, run),), 1)

    def record_end(self, run: Run) -> None:
        """An implicit run ends with the exporter."""


_own_sources: "WeakSet[_OwnSource]" = WeakSet()


def _leave_to_parent() -> None:
    for source in list(_own_sources):
        source.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
