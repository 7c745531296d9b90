"""The end of the `nat` process: nothing hangs, and a reader of our output that has gone is no error."""

import atexit
import os
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

__all__ = ["leave"]

_LINGER_S = 5.0


def leave(exit_code: int) -> NoReturn:
    """End the process with `exit_code`.

    The interpreter waits for every thread that is not a daemon; a workflow can leave one that never ends. After a few
    seconds such threads are named and left behind, and the process ends without running exit handlers. With no thread to
    wait for, exit handlers run and the process ends: taking the interpreter's modules apart would take a command like
    `nat info` 40 ms and do nothing for anybody.
    """
    _flush_stdout()
    if threading.active_count() == 1:
        atexit._run_exitfuncs()
        _flush_stdout()
        sys.stderr.flush()
        os._exit(exit_code)
    if _lingering():
        # a daemon thread: it does not keep the process up itself, and is alive while the interpreter waits for others
        threading.Thread(target=_leave_in_time, args=(exit_code,), name="nat-exit-watchdog", daemon=True).start()
    sys.exit(exit_code)


def _flush_stdout() -> None:
    try:
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the interpreter complains at its own flush


def _leave_in_time(exit_code: int) -> None:
    deadline = time.monotonic() + _LINGER_S
    while time.monotonic() < deadline:
        time.sleep(0.05)
        if not _lingering():
            return
    frames = sys._current_frames()
    for thread in _lingering():
        place = _place(frames.get(thread.ident or 0))
        sys.stderr.write(f"thread {thread.name!r} still runs {_LINGER_S:g} s after the end{place}; leaving it.\n")
    sys.stderr.flush()
    os._exit(exit_code)


def _lingering() -> list[threading.Thread]:
    main = threading.main_thread()
    return [thread for thread in threading.enumerate() if not thread.daemon and thread is not main]


def _place(frame: FrameType | None) -> str:
    return "" if frame is None else f" ({frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name})"
