"""Append whole lines to one file, beside any number of other threads and processes that do the same."""

import contextlib
import errno
import fcntl
import itertools
import logging
import os
import stat
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from nat.plugins.file.paths import next_rolled_path, rolled_paths
from nat.plugins.file.settings import FileMode
from nat.utils.forking import new_lock

__all__ = ["FileWriter", "Rolling"]


_log = logging.getLogger("nat.observability.file")

_LOCK_TIMEOUT_S = 5.0
_FILE_MODE = 0o600  # traces hold prompts and answers: for their owner only
_BLOCK_BYTES = 65_536

_done_once: set[tuple[str, Path]] = set()
_done_once_lock = new_lock()


@dataclass(frozen=True, slots=True)
class Rolling:
    """When a file is rolled out of the way, and how many are kept.

    Attributes:
        max_file_size_bytes: A line that would make the file larger goes to the next one. A line that is larger than
            this by itself gets a file of its own.
        max_files: How many files there are at most, the one being written included; the oldest go first.
    """

    max_file_size_bytes: int
    max_files: int

    def __post_init__(self) -> None:
        if self.max_file_size_bytes < 1 or self.max_files < 1:
            raise ValueError(
                "rolling needs a file size and a number of files of at least 1, "
                f"got {self.max_file_size_bytes} and {self.max_files}"
            )


class FileWriter:
    """Writes lines to the end of one file.

    No file is kept open between two calls, so nothing has to be closed, and a file or folder that somebody else removed
    or rotated is made anew. Calls block; they may come from any thread and, with writers of their own, from any
    process: an advisory lock (`flock`) on the file itself keeps lines whole and rolling in one hand.

    Args:
        path: The file, absolute and without symbolic links; missing folders are created.
        mode: `overwrite` empties the file the first time that this process writes to it, not again.
        rolling: `None` lets the file grow.
        cleanup: Delete the files rolled by earlier processes, once in this process.
    """

    def __init__(
        self, path: Path, *, mode: FileMode = "append", rolling: Rolling | None = None, cleanup: bool = False
    ) -> None:
        self.path = path
        self._mode = mode
        self._rolling = rolling
        self._cleanup = cleanup
        self._is_prepared = False

    def prepare(self) -> None:
        """Create the file, empty it and delete rolled ones if that is due; done by the first `write` otherwise.

        Raises:
            OSError: The file cannot be written.
        """
        with self._open() as file, _done_once_lock:
            if self._mode == "overwrite" and ("overwrite", self.path) not in _done_once:
                file.empty()
                _done_once.add(("overwrite", self.path))
            if self._cleanup and ("cleanup", self.path) not in _done_once:
                for path in rolled_paths(self.path):
                    path.unlink(missing_ok=True)
                _done_once.add(("cleanup", self.path))
        self._is_prepared = True

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines, each ending in a newline and holding no other; they are the operating system's on return.

        Raises:
            OSError: None of the lines was kept: what had been written of them was cut off again.
        """
        if not self._is_prepared:
            self.prepare()
        with contextlib.closing(_Batch()) as batch:
            try:
                self._write(batch, lines)
            except BaseException:
                batch.undo()
                raise

    def _write(self, batch: "_Batch", lines: Sequence[bytes]) -> None:
        file = batch.add(self._open())
        file.mend(self.path)
        first = 0
        while first < len(lines):
            count = self._count_fitting(file, lines, first)
            if count == 0:
                file = batch.add(self._roll(file))
                continue
            file.append(b"".join(lines[first : first + count]))
            first += count

    def _count_fitting(self, file: "_LockedFile", lines: Sequence[bytes], first: int) -> int:
        """How many of the lines from `first` go into this file; 0 if the next one does."""
        if self._rolling is None or not file.is_regular:
            return len(lines) - first
        size = file.size
        for count, line in enumerate(itertools.islice(lines, first, None)):
            size += len(line)
            if size > self._rolling.max_file_size_bytes:
                return 1 if file.size == count == 0 else count
        return len(lines) - first

    def _roll(self, file: "_LockedFile") -> "_LockedFile":
        """Move the locked file out of the way; whoever waits for it sees that, and opens the next one."""
        assert self._rolling is not None
        rolled = rolled_paths(self.path)
        target = next_rolled_path(self.path)
        for path in rolled[: max(0, len(rolled) + 2 - self._rolling.max_files)]:
            path.unlink(missing_ok=True)
        if self._rolling.max_files == 1:
            self.path.unlink()
        else:
            self.path.rename(target)
        _log.debug("rolled %s at %d bytes", self.path, file.size)
        following = self._open()
        if following.size == 0:
            following.take_permissions(file)
        return following

    def _open(self) -> "_LockedFile":
        """Open and lock the file that has the path now, creating it and its folder."""
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while True:
            with contextlib.ExitStack() as on_failure:
                file = _LockedFile(self._open_descriptor())
                on_failure.callback(file.close)
                file.lock(deadline, self.path)
                if file.is_at(self.path):
                    on_failure.pop_all()
                    return file
            # Rolled or removed while we waited for the lock: the path is another file's now.

    def _open_descriptor(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self.path, flags, _FILE_MODE)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self.path, flags, _FILE_MODE)


class _Batch:
    """The files that one call of `write` has added lines to; only the newest can still be on disk if there are many."""

    _MAX_OPEN = 32

    def __init__(self) -> None:
        self._files: deque[_LockedFile] = deque()

    def add(self, file: "_LockedFile") -> "_LockedFile":
        self._files.append(file)
        if len(self._files) > self._MAX_OPEN:
            self._files.popleft().close()
        return file

    def undo(self) -> None:
        for file in self._files:
            with contextlib.suppress(OSError):  # the error that led here says more
                file.undo()

    def close(self) -> None:
        for file in self._files:
            file.close()


class _LockedFile:
    """An open file, locked against all who lock it; `size` and the bytes before it change through this object only."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size_before = 0
        self.size = 0
        self.is_regular = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def lock(self, deadline: float, path: Path) -> None:
        """Wait for the lock until `deadline` (of the monotonic clock), then note the size.

        Polled, since a blocking `flock` has no timeout: a process that was stopped while holding it must not stop us.
        """
        wait_s = 0.0002
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "another process keeps it locked", str(path)) from None
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, 0.01)
        info = os.fstat(self._descriptor)
        self.is_regular = stat.S_ISREG(info.st_mode)
        self.size = self._size_before = info.st_size if self.is_regular else 0

    def is_at(self, path: Path) -> bool:
        """Whether this is still the file of that name."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), path.stat())
        except FileNotFoundError:
            return False

    def mend(self, path: Path) -> None:
        """Make the file end in a whole line: cut off what a writer that was killed left of one."""
        if self.size == 0 or os.pread(self._descriptor, 1, self.size - 1) == b"\n":
            return
        tail = self._read_last_line()
        if tail.startswith(b"{") and not _is_json(tail):
            _log.warning("%s: %d bytes of an unfinished line were cut off its end", path, len(tail))
            self.size -= len(tail)
            os.ftruncate(self._descriptor, self.size)
        else:
            self.append(b"\n")
        self._size_before = self.size

    def _read_last_line(self) -> bytes:
        tail = b""
        start = self.size
        while start > 0 and b"\n" not in tail:
            block = min(start, max(_BLOCK_BYTES, len(tail)))
            start -= block
            tail = os.pread(self._descriptor, block, start) + tail
        return tail.rpartition(b"\n")[2]

    def append(self, data: bytes) -> None:
        """Write all of it to the end."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self.size += len(data)

    def undo(self) -> None:
        """Cut off what was appended."""
        if self.is_regular:
            os.ftruncate(self._descriptor, self._size_before)

    def empty(self) -> None:
        """Cut off everything."""
        if self.is_regular:
            os.ftruncate(self._descriptor, 0)
            self.size = self._size_before = 0

    def take_permissions(self, other: "_LockedFile") -> None:
        """Give this file the permissions of the one it follows, if they may be changed."""
        with contextlib.suppress(PermissionError):
            os.fchmod(self._descriptor, stat.S_IMODE(os.fstat(other._descriptor).st_mode))

    def close(self) -> None:
        """Release the lock, also for a child process that has inherited the file, and close."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
