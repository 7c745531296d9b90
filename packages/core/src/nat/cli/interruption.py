"""Ctrl-C and SIGTERM: the workflow is cancelled, and what has to follow still happens."""

import asyncio
import os
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
_POKE = getattr(signal, "SIGURG", 0)  # does nothing but interrupt what the main thread waits for
_POKE_AFTER_S = (0.0, 0.02, 0.1)
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
            with suppress(asyncio.CancelledError, KeyboardInterrupt), _signals_heard(loop):
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
def _signals_heard(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """See to it that handlers run soon, whatever the main thread waits for.

    Python runs a handler between two instructions of the main thread. A signal that comes just before that thread begins to
    wait, in the loop or in code that blocks it, or that the system hands to another thread, would be noticed when something
    else happens, which may be never. So a thread is told of each signal, wakes the loop, and interrupts the main thread.
    """
    if not _POKE or threading.current_thread() is not threading.main_thread():
        yield
        return
    receiver, sender = socket.socketpair()
    is_over = threading.Event()
    listener = threading.Thread(target=_listen, args=(receiver, loop, is_over), name="nat-signals", daemon=True)
    with receiver, sender:
        sender.setblocking(False)
        usual = signal.signal(_POKE, lambda number, frame: None)
        before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        listener.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            is_over.set()
            sender.close()
            listener.join()
            signal.signal(_POKE, usual)


def _listen(receiver: socket.socket, loop: asyncio.AbstractEventLoop, is_over: threading.Event) -> None:
    main = threading.main_thread().ident
    assert main is not None
    while numbers := receiver.recv(64):
        if not any(number in numbers for number in _SIGNALS):
            continue
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lambda: None)
        for delay_s in _POKE_AFTER_S:
            if is_over.wait(delay_s):
                return
            signal.pthread_kill(main, _POKE)


def _insist(has_noticed: threading.Event, number: int) -> None:
    if not has_noticed.wait(_PATIENCE_S):
        os.kill(os.getpid(), number)


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
