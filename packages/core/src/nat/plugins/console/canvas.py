"""Where trees are drawn: a terminal, which can be redrawn, or a stream of lines, as in a log file."""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from nat.plugins.console.layout import ASCII, UNICODE, Line, Look, Part, Symbols, lay_out, lay_out_end
from nat.plugins.console.tree import Forest, ShownStep
from nat.utils.live_region import LiveRegion, is_terminal, live_region, real_stream

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Canvas", "ColorChoice", "StreamChoice", "make_canvas"]

StreamChoice = Literal["stderr", "stdout"]
ColorChoice = Literal["auto", "always", "never"]

_STYLES = {
    "guide": "bright_black",
    "ok": "green",
    "failed": "bold red",
    "running": "yellow",
    "unfinished": "bold yellow",
    "kind": "cyan",
    "name": "",
    "top": "bold",
    "number": "",
    "note": "bright_black",
    "error": "red",
}


class Canvas(Protocol):
    """Draws the trees of any number of runs. Thread-safe; blocks as the stream does; never raises for the stream."""

    @property
    def failure(self) -> OSError | ValueError | None:
        """Why the stream cannot be written, `None` as long as it can."""
        ...

    def show(self, forest: Forest) -> None:
        """Keep the trees of a run in sight while they grow."""
        ...

    def finish(self, forest: Forest, ended: Sequence[ShownStep]) -> None:
        """Print trees that have ended; the run goes out of sight if it has no other."""
        ...


def make_canvas(
    stream: StreamChoice, prefix: str, *, is_live: bool, color: ColorChoice, max_content_chars: int
) -> Canvas:
    """A canvas on what `sys.stderr` or `sys.stdout` is now."""
    target = _current(stream)
    if target is not None and is_terminal(target):
        return _TerminalCanvas(target, prefix, is_live, color != "never", max_content_chars)
    return _PlainCanvas(stream, prefix, color == "always", max_content_chars)


class _PlainCanvas:
    """Prints a tree in one piece when it has ended, without cutting a line."""

    def __init__(self, stream: StreamChoice, prefix: str, is_colored: bool, max_content_chars: int) -> None:
        self._stream = stream
        self._prefix = prefix
        self._is_colored = is_colored
        self._max_content_chars = max_content_chars
        self._lock = threading.Lock()
        self.failure: OSError | ValueError | None = None

    def show(self, forest: Forest) -> None:
        """Nothing: lines that were printed cannot change."""

    def finish(self, forest: Forest, ended: Sequence[ShownStep]) -> None:
        """Print trees that have ended."""
        try:
            self._write("".join(self._text(top) for top in ended))
        except (OSError, ValueError) as exc:
            self.failure = exc

    def _text(self, top: ShownStep) -> str:
        encoding = _encoding(_current(self._stream))
        look = Look(_symbols(encoding), self._max_content_chars, encoding=encoding)
        lines = _prefixed(lay_out(top, look), self._prefix)
        if self._is_colored:
            return _ansi(lines)
        return "".join("".join(part.text for part in line) + "\n" for line in lines)

    def _write(self, text: str) -> None:
        stream = _current(self._stream)
        if stream is None:
            raise ValueError(f"this process has no {self._stream}")
        encoding = _encoding(stream)
        with self._lock:  # the prefix may hold anything
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()


class _TerminalCanvas:
    """Redraws growing trees at the bottom of the terminal and leaves ended ones above them."""

    def __init__(self, stream: TextIO, prefix: str, is_live: bool, is_colored: bool, max_content_chars: int) -> None:
        self._region: LiveRegion = live_region(stream)
        self._prefix = prefix
        self._is_live = is_live
        self._is_colored = is_colored
        self._max_content_chars = max_content_chars
        self._encoding = _encoding(stream)
        self._lock = threading.Lock()
        self._parts: dict[Forest, Callable[[int], list[Text]]] = {}

    @property
    def failure(self) -> OSError | ValueError | None:
        """Why the terminal cannot be written, `None` as long as it can."""
        return self._region.failure

    def show(self, forest: Forest) -> None:
        """Redraw the trees of a run until they have ended."""
        if not self._is_live:
            return
        with self._lock:
            if forest in self._parts:
                return
            part = self._parts[forest] = lambda max_lines: self._growing(forest, max_lines)
        self._region.show(part)

    def finish(self, forest: Forest, ended: Sequence[ShownStep]) -> None:
        """Print trees that have ended above those that still grow."""
        look = self._look(self._max_content_chars)
        lines = [text for top in ended for text in self._styled(lay_out(top, look))]
        with self._lock:
            part = None if forest.tops else self._parts.pop(forest, None)
        if part is None:
            self._region.print(*lines)
        else:
            self._region.remove(part, *lines)

    def _growing(self, forest: Forest, max_lines: int) -> "list[Text]":
        look = self._look(max_content_chars=0)
        now = time.time()
        with forest.lock:
            tops = list(forest.tops.values())[-max_lines:]
            lines: list[Line] = []
            for position, top in enumerate(tops):
                room = (max_lines - len(lines)) // (len(tops) - position)
                lines.extend(lay_out_end(top, look, max_lines=room, now=now))
        return self._styled(lines)

    def _look(self, max_content_chars: int) -> Look:
        from rich.cells import cell_len

        width = max(self._region.width - len(self._prefix) - 1, 20)
        return Look(_symbols(self._encoding), max_content_chars, width, cell_len, self._encoding)

    def _styled(self, lines: Sequence[Line]) -> "list[Text]":
        return _rich_lines(_prefixed(lines, self._prefix), is_colored=self._is_colored)


def _current(stream: StreamChoice) -> TextIO | None:
    current: TextIO | None = getattr(sys, stream)  # `None` without a console, as under pythonw
    return None if current is None else real_stream(current)


def _encoding(stream: TextIO | None) -> str:
    return (stream.encoding if stream is not None else None) or "utf-8"


def _symbols(encoding: str) -> Symbols:
    drawn = UNICODE.ok + UNICODE.failed + UNICODE.branch + UNICODE.last + UNICODE.arrow + UNICODE.running
    try:
        drawn.encode(encoding)
    except UnicodeEncodeError:
        return ASCII
    return UNICODE


def _prefixed(lines: Sequence[Line], prefix: str) -> list[Line]:
    return [[Part(f"{prefix} ", "note"), *line] for line in lines] if prefix else list(lines)


def _rich_lines(lines: Sequence[Line], *, is_colored: bool) -> "list[Text]":
    from rich.text import Text

    return [Text.assemble(*((part.text, _STYLES[part.style] if is_colored else "") for part in line)) for line in lines]


def _ansi(lines: Sequence[Line]) -> str:
    from io import StringIO

    from rich.console import Console

    written = StringIO()
    console = Console(file=written, force_terminal=True, color_system="standard", no_color=False)
    for text in _rich_lines(lines, is_colored=True):
        console.print(text, soft_wrap=True)
    return written.getvalue()
