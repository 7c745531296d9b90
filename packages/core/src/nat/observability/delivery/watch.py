"""Watcher: names in the log whoever blocks an event loop that exporters live on."""

import logging
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from nat.observability.delivery.loop_thread import LoopThread
from nat.observability.noise import Noise

__all__ = ["LoopWatcher", "loop_watcher"]

_log = logging.getLogger("nat.observability.delivery")

_LIMIT_S = 1.0  # that a loop may be blocked without a word
_STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"])


class LoopWatcher:
    """Asks every loop for a sign of life twice a second, and says which exporters wait when none comes for over a second.

    One daemon thread serves all loops; it is there while there is a loop to watch. Thread-safe.

    Args:
        clock: Monotonic seconds.
        interval_s: Seconds from one look to the next.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, interval_s: float = 0.5) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._noise = Noise(_log, clock)
        self._forget()

    def _forget(self) -> None:
        """Begin anew, without a thread: at first, and in a forked child."""
        self._lock = threading.Lock()
        self._loops: dict[LoopThread, _Watched] = {}
        self._checked_at = self._clock()
        self._is_needless = threading.Event()

    def add(self, thread: LoopThread, exporter: str) -> None:
        """Watch a loop, on which that exporter lives."""
        with self._lock:
            if not self._loops:
                self._is_needless = threading.Event()
                self._checked_at = self._clock()
                threading.Thread(
                    target=self._run, args=(self._is_needless,), name="nat loop watcher", daemon=True
                ).start()
            self._loops.setdefault(thread, _Watched()).exporters.append(exporter)

    def remove(self, thread: LoopThread, exporter: str) -> None:
        """The exporter no longer lives there; with the last one, the loop is left alone."""
        with self._lock:
            watched = self._loops.get(thread)
            if watched is None:
                return
            with suppress(ValueError):
                watched.exporters.remove(exporter)
            if not watched.exporters:
                del self._loops[thread]
            if not self._loops:
                self._is_needless.set()

    def check(self) -> None:
        """Ask all loops, and complain about those that have not answered."""
        now = self._clock()
        with self._lock:
            loops = list(self._loops.items())
            has_slept = now - self._checked_at > _LIMIT_S + self._interval_s  # the whole process: nobody's fault
            self._checked_at = now
        for thread, watched in loops:
            if watched.asked_at is None:
                watched.asked_at = now
                with suppress(RuntimeError):  # the loop has been closed
                    thread.loop.call_soon_threadsafe(watched.answer)
            elif has_slept:
                watched.asked_at = now
            elif now - watched.asked_at > _LIMIT_S and not watched.is_reported:
                watched.is_reported = True
                self._report(thread, watched, now - watched.asked_at)

    def _report(self, thread: LoopThread, watched: "_Watched", blocked_s: float) -> None:
        frame = sys._current_frames().get(thread.ident or 0)
        self._noise.warn(
            thread.name,
            "%s: the event loop has been blocked for %.1f s%s; export_processed must await what takes time, or call it "
            "through asyncio.to_thread%s",
            ", ".join(watched.exporters), blocked_s, "" if frame is None else f", in {_place(frame)}",
            "; delivery.loop: own keeps an exporter from holding up others" if len(watched.exporters) > 1 else "",
        )  # fmt: skip

    def _run(self, is_needless: threading.Event) -> None:
        while not is_needless.wait(self._interval_s):
            self.check()


class _Watched:
    """A loop: who lives on it, and since when it owes an answer."""

    def __init__(self) -> None:
        self.exporters: list[str] = []
        self.asked_at: float | None = None
        self.is_reported = False

    def answer(self) -> None:
        """Runs on the loop."""
        self.asked_at = None
        self.is_reported = False


def _place(frame: FrameType) -> str:
    """Where a thread is, and the author's code that has led there."""
    innermost = _said(frame)
    outer: FrameType | None = frame
    while outer is not None and _is_library(outer.f_code.co_filename):
        outer = outer.f_back
    if outer is None or outer is frame or outer.f_code.co_filename == __file__:
        return innermost
    return f"{innermost}, called from {_said(outer)}"


def _said(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"


def _is_library(file: str) -> bool:
    return file.startswith("<") or "site-packages" in file or _STANDARD_LIBRARY in Path(file).parents


loop_watcher = LoopWatcher()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=loop_watcher._forget)
