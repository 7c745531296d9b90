"""The part of a terminal that keeps changing: drawn at its bottom, below everything that is printed meanwhile.

A terminal has one such region, however many parts of the program draw in it. Needs a terminal; imports rich when the
first part appears.
"""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from nat.utils.forking import keep_for_ever, new_lock

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

__all__ = ["LivePart", "LiveRegion", "is_terminal", "live_region", "real_stream"]

LivePart = Callable[[int], "Sequence[RenderableType]"]
"""Draws one part within a number of lines; called from the region's own thread, about ten times a second."""

_REFRESH_EVERY_S = 0.1
_LINES_LEFT_FREE = 2

_regions: "dict[tuple[int, int], LiveRegion]" = {}  # by terminal device; there is one cursor each to quarrel about
_regions_lock = new_lock()


def real_stream(stream: TextIO) -> TextIO:
    """The stream below the stand-in that a live region puts in place of `sys.stdout` and `sys.stderr`."""
    proxied: TextIO = getattr(stream, "rich_proxied_file", stream)
    return proxied


def is_terminal(stream: TextIO) -> bool:
    """Whether `stream` shows a terminal that can move its cursor."""
    try:
        return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    except ValueError:  # closed
        return False


def live_region(stream: TextIO) -> "LiveRegion":
    """The region of the terminal that `stream` writes to, the same one for all streams of that terminal."""
    device = _device(stream)
    with _regions_lock:
        return _regions.setdefault(device, LiveRegion(stream))


class LiveRegion:
    """The changing bottom of one terminal. Thread-safe; writing blocks as the terminal does.

    Its thread lives as long as there are parts to draw. An error of the terminal ends the drawing, not the program.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = _ForgivingStream(stream)
        self._lock = threading.Lock()
        self._parts: tuple[LivePart, ...] = ()  # replaced, never changed: the drawing thread takes no lock of ours
        self._console: Console | None = None
        self._whole = threading.RLock()  # held while something is drawn; before rich's own locks
        self._live: Live | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def failure(self) -> OSError | ValueError | None:
        """Why the terminal can no longer be written, `None` as long as it can."""
        return self._stream.failure

    @property
    def width(self) -> int:
        """Columns of the terminal, now."""
        return self._opened_console().width

    def show(self, part: LivePart) -> None:
        """Draw `part` below the others until it is removed."""
        with self._lock:
            self._parts = (*self._parts, part)
            if self._live is None:
                self._start()

    def print(self, *lines: "RenderableType") -> None:
        """Print above everything that is live."""
        self._opened_console().print(*lines, sep="\n", no_wrap=True, overflow="ellipsis", crop=True, soft_wrap=False)

    def remove(self, part: LivePart, *last_words: "RenderableType") -> None:
        """Draw `part` no longer, and print `last_words` above what is still live."""
        with self._lock:
            self._parts = tuple(kept for kept in self._parts if kept is not part)
            if last_words:
                self.print(*last_words)
            if not self._parts and self._live is not None:
                self._stop()

    def _opened_console(self) -> "Console":
        with self._whole:
            if self._console is None:
                self._console = _console(self._stream, self._whole)
            return self._console

    def _start(self) -> None:
        from rich.live import Live

        self._live = Live(
            console=self._opened_console(),
            get_renderable=self._drawn,
            auto_refresh=False,  # rich's own thread is not waited for at the end
            transient=True,
            redirect_stdout=_is_same_terminal(sys.stdout, self._stream.stream),
            redirect_stderr=_is_same_terminal(sys.stderr, self._stream.stream),
        )
        with self._whole:
            self._live.start()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._refresh, args=(self._live,), name="nat-live-region", daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        if self._live is None or self._thread is None:
            return
        self._stopping.set()
        self._thread.join()
        with self._whole:
            self._live.stop()
        self._live = self._thread = None

    def _refresh(self, live: "Live") -> None:
        while not self._stopping.wait(_REFRESH_EVERY_S):
            with self._whole:
                live.refresh()

    def _drawn(self) -> "RenderableType":
        from rich.console import Group

        parts = self._parts
        room = max(self._opened_console().height - _LINES_LEFT_FREE, 1)
        drawn: list[RenderableType] = []
        for position, part in enumerate(parts):
            parts_left = len(parts) - position
            drawn.extend(part(max((room - len(drawn)) // parts_left, 1)))
        return Group(*drawn[:room])


class _ForgivingStream:
    """A stream whose errors are kept instead of raised: a terminal that has gone must not end a thread."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.failure: OSError | ValueError | None = None

    @property
    def encoding(self) -> str:
        return self.stream.encoding

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except (OSError, ValueError) as exc:
            self.failure = exc
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except (OSError, ValueError) as exc:
            self.failure = exc

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.stream.fileno()


def _console(stream: _ForgivingStream, whole: threading.RLock) -> "Console":
    """A console that draws one thing at a time.

    Rich computes from the last thing drawn how far the cursor has to go up, but lets threads draw in between.
    """
    from rich.console import Console

    class OrderlyConsole(Console):
        def __enter__(self) -> "OrderlyConsole":
            whole.acquire()
            super().__enter__()
            return self

        def __exit__(self, *exc_info: Any) -> None:
            try:
                super().__exit__(*exc_info)
            finally:
                whole.release()

        def print(self, *objects: Any, **options: Any) -> None:
            """As rich does, but lines that other code writes are left to the terminal to wrap."""
            super().print(*objects, **{"soft_wrap": True, "highlight": False, **options})

    return OrderlyConsole(file=stream, force_terminal=True)  # type: ignore[arg-type]  # as much of a file as it takes


def _leave_to_parent() -> None:
    """In a forked child: what is drawn is the parent's, and lines of this process go to the terminal as they are."""
    if _regions:
        keep_for_ever(dict(_regions))
        _regions.clear()
        sys.stdout, sys.stderr = real_stream(sys.stdout), real_stream(sys.stderr)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def _device(stream: TextIO) -> tuple[int, int]:
    status = os.fstat(stream.fileno())
    return status.st_rdev, status.st_ino


def _is_same_terminal(one: TextIO | None, other: TextIO) -> bool:
    try:
        return one is not None and one.isatty() and _device(real_stream(one)) == _device(other)
    except (OSError, ValueError):
        return False
