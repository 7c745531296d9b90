"""Handles: the sockets and files that this process holds open."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["can_be_seen", "files_below", "sockets_to"]

_HANDLES = Path("/dev/fd")


def can_be_seen() -> bool:
    """Whether this system tells."""
    return _HANDLES.is_dir()


def sockets_to(port: int) -> int:
    """How many sockets are connected to that port."""
    count = 0
    for number in _numbers():
        with suppress(OSError):  # not connected, or closed by now
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as found:
                    count += found.getpeername()[1:2] == (port,)
    return count


def files_below(folder: Path) -> list[str]:
    """The names of open files in a folder. Linux only; elsewhere there are none."""
    names = []
    for number in _numbers():
        with suppress(OSError, ValueError):
            names.append(str(Path(os.readlink(_HANDLES / str(number))).relative_to(folder.resolve())))  # noqa: PTH115
    return names


def _numbers() -> Iterator[int]:
    for name in os.listdir(_HANDLES) if can_be_seen() else ():  # noqa: PTH208  (names only, without a look at each)
        yield int(name)
