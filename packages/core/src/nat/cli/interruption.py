"""Ctrl-C and SIGTERM: the workflow is cancelled, and what has to follow still happens."""

import asyncio
import signal
import socket
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

__all__ = ["Interruption"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE_S = 1.0
_TASK_PATIENCE_S = 2.0


class Interruption:
    """Turns the first signal into cancellation of what runs, and a later one into `KeyboardInterrupt`.

    Code that blocks the event loop notices no cancellation: after a second the signal is sent again on its behalf.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def has_happened(self) -> bool:
        """Whether a signal has arrived."""
        return self._signal is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal, as shells have it; 0 without one."""
        return 0 if self._signal is None else 128 + self._signal

    @contextmanager
    def listened_to(self) -> Iterator[None]:
        """Take the signals within the `with` body; on the main thread only, elsewhere nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in an event loop of its own until it is done or interrupted.

        Unlike `asyncio.run` it does not wait for threads that the coroutine's code left behind.
        """
        loop = self._loop = asyncio.new_event_loop()
        threads = ThreadPoolExecutor(thread_name_prefix="asyncio")
        loop.set_default_executor(threads)
        self._task = loop.create_task(main)
        if self.has_happened:
            self._task.cancel()
        try:
            with suppress(asyncio.CancelledError, KeyboardInterrupt), _signals_wake(loop):
                loop.run_until_complete(self._task)
        finally:
            self._loop = None
            _close(loop)
            threads.shutdown(wait=False, cancel_futures=True)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        is_first, self._signal = self._signal is None, self._signal or number
        loop, task = self._loop, self._task
        if not is_first:
            raise KeyboardInterrupt
        if loop is None or task is None or task.done():
            return
        task.cancel()
        has_noticed = threading.Event()
        loop.call_soon_threadsafe(has_noticed.set)
        threading.Thread(target=_insist, args=(has_noticed, number), name="nat-interruption", daemon=True).start()


@contextmanager
def _signals_wake(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """End the loop's waiting when a signal comes.

    Python runs a handler between two instructions of the main thread. A signal that comes just before the loop begins to wait,
    or that the system hands to another thread, would be noticed when something else happens, which may be never.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receiver, sender = socket.socketpair()
    with receiver, sender:
        receiver.setblocking(False)
        sender.setblocking(False)
        loop.add_reader(receiver, _drain, receiver)
        before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(receiver)


def _drain(receiver: socket.socket) -> None:
    with suppress(BlockingIOError):
        while receiver.recv(64):
            pass


def _insist(has_noticed: threading.Event, number: int) -> None:
    main = threading.main_thread().ident
    if not has_noticed.wait(_PATIENCE_S) and main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, number)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_TASK_PATIENCE_S))
        with suppress(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), _TASK_PATIENCE_S))
    finally:
        loop.close()
