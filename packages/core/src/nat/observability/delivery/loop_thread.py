"""Event loops on threads of their own."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

from nat.observability.noise import raised

__all__ = ["LoopThread"]

_log = logging.getLogger("nat.observability.delivery")

P = ParamSpec("P")
T = TypeVar("T")

_STOP_TIMEOUT_S = 1.0


_here = threading.local()


class LoopThread:
    """An event loop on a daemon thread, so that no backend can keep the interpreter from ending.

    The loop's default executor also works while the interpreter exits, when the standard one takes nothing any more:
    `asyncio.to_thread` and name resolution go on until the last flush is over.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._calls = _DaemonThreads(name)
        self.loop.set_default_executor(self._calls)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._is_stopping = False

    def start(self) -> None:
        """Run the loop until `stop`."""
        self._thread.start()

    @staticmethod
    def is_any_current() -> bool:
        """Whether the caller runs on a thread of this kind."""
        return getattr(_here, "is_loop_thread", False)

    @property
    def name(self) -> str:
        """Of the thread."""
        return self._thread.name

    @property
    def ident(self) -> int | None:
        """The thread's identifier; `None` before `start`."""
        return self._thread.ident

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return threading.current_thread() is self._thread

    def call(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run a coroutine on the loop; thread-safe, returns at once."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def end(self) -> None:
        """Ask the loop to end; returns at once."""
        self._is_stopping = True
        with suppress(RuntimeError):  # it has been closed already
            self.loop.call_soon_threadsafe(self.loop.stop)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread, and for those of the calls it has made, to end; blocked ones are left behind in time."""
        deadline = time.monotonic() + timeout_s
        if not self.is_current:
            self._thread.join(timeout_s)
            self._calls.join(max(deadline - time.monotonic(), 0))

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        _here.is_loop_thread = True
        try:
            self._run_until_stopped()
            self._cancel_all()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    def _run_until_stopped(self) -> None:
        """Run on after a `SystemExit` that a task has raised, or a `loop.stop()` that is not ours: others live here, too."""
        while not self._is_stopping:
            try:
                self.loop.run_forever()
            except BaseException as exc:
                _log.warning("%s: a task raised %s; everything else goes on", self._thread.name, raised(exc))

    def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=_STOP_TIMEOUT_S))


class _DaemonThreads(ThreadPoolExecutor):
    """Runs each call on a daemon thread of its own.

    `ThreadPoolExecutor` refuses work once the interpreter begins to exit, and joins its threads there: both would lose spans or
    hang. asyncio accepts only its subclasses as default executor.
    """

    def __init__(self, name: str) -> None:
        super().__init__(max_workers=1)
        self._name = name
        self._slots = threading.BoundedSemaphore(_MAX_CALLS)
        self._running: WeakSet[threading.Thread] = WeakSet()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Start the call at once."""
        future: Future[T] = Future()

        def run() -> None:
            with self._slots:
                if not future.set_running_or_notify_cancel():
                    return
                try:
                    result = fn(*args, **kwargs)
                except BaseException as exc:
                    future.set_exception(exc)
                else:
                    future.set_result(result)

        thread = threading.Thread(target=run, name=f"{self._name} call", daemon=True)
        self._running.add(thread)
        thread.start()
        return future

    def join(self, timeout_s: float) -> None:
        """Wait for the calls that still run, but for the caller's own; one that does not return in time is left behind."""
        deadline = time.monotonic() + timeout_s
        for thread in list(self._running):
            if thread is not threading.current_thread():
                thread.join(max(deadline - time.monotonic(), 0))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing to wait for: the threads are daemons."""


_MAX_CALLS = 32
