"""What the user is told of a workflow that raised: the error, and where in their own code it came from."""

import sysconfig
import traceback
from pathlib import Path
from types import TracebackType

from nat.observability.events import capture_error

__all__ = ["failure_line", "failure_text"]

_SHOWN_FRAMES = 3
_NAT = str(Path(__file__).resolve().parents[1])
_NOT_THEIRS = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {_NAT})


def failure_line(error: BaseException) -> str:
    """The error and the place it was raised at, in one line."""
    frames = _own_frames(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    return " ".join(_said(error).split()) + place


def failure_text(error: BaseException, *, is_whole: bool) -> str:
    """The error with the last lines of the user's own code that led to it, or with the whole traceback."""
    if is_whole:
        return "".join(traceback.format_exception(error)).rstrip()
    lines = [_said(error)]
    for frame in _own_frames(error.__traceback__)[-_SHOWN_FRAMES:]:
        lines.append(f"  {frame.filename}:{frame.lineno} in {frame.name}")
        if frame.line:
            lines.append(f"    {frame.line}")
    if error.__cause__ is not None:
        lines.append(f"  caused by {_said(error.__cause__)}")
    return "\n".join(lines)


def _said(error: BaseException) -> str:
    captured = capture_error(error)
    return f"{captured.type}: {captured.message}" if captured.message else captured.type


def _own_frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """The frames of the user's own code; of libraries' if there are no others."""
    frames = [frame for frame in traceback.extract_tb(trace) if not frame.filename.startswith(_NAT)]
    own = [frame for frame in frames if not frame.filename.startswith((*_NOT_THEIRS, "<"))]
    return own or frames
