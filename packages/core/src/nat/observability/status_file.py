"""Status files: what a process says about its telemetry, for other processes to read.

Any number of processes share a directory. Each has one file in it, `<pid>-<random>.json`, which is replaced as a whole and
is locked (flock) as long as the process lives: every version is locked before it gets the name. So a kill leaves the last
version behind, without its lock.
"""

import json
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.platform != "win32":  # there, status files are not supported, and everything else goes on
    import fcntl

if TYPE_CHECKING:
    from nat.observability.noise import Noise

__all__ = [
    "ProcessState",
    "ProcessStatus",
    "StatusDirectory",
    "StatusWriter",
    "read_status_directory",
    "resolve_status_directory",
]

_SCHEMA_VERSION = 1
_INTERVAL_S = 1.0  # between two looks at what has changed
_HEARTBEAT_S = 9.0  # then it is written though nothing has changed; with the look's interval, every 10 s at least
_KEPT_S = 86_400.0  # that the file of a process is there after its end
_KEPT_COUNT = 100  # so many of them at most
_FINISHED = re.compile(r"\d+-[0-9a-f]{8}\.json")
_UNFINISHED = re.compile(r"\.\d+-[0-9a-f]{8}\.tmp")
_EXPORTER_KEYS = frozenset(
    {"name", "type", "state", "reason", "accepted", "delivered", "rejected", "dropped", "dead_lettered", "spooled",
     "recovered", "pending"}
)  # fmt: skip


class ProcessState(StrEnum):
    """Whether a process that wrote a status file is still there; `GONE` is one that did not close its telemetry."""

    RUNNING = "running"
    STOPPED = "stopped"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """The last that a process said about its telemetry.

    Attributes:
        file: Where it was read.
        state: What the process is doing now.
        pid: Its id.
        process_name: The program's module or file, without arguments.
        started_at: When its telemetry started, in seconds since the epoch.
        written_at: When it said so, in seconds since the epoch.
        exporters: For each exporter `name`, `type`, `state`, `reason` and the counts of `ExporterStatus`.
    """

    file: Path
    state: ProcessState
    pid: int
    process_name: str
    started_at: float
    written_at: float
    exporters: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class StatusDirectory:
    """What is in a directory of status files.

    Attributes:
        processes: The one that started first comes first.
        unreadable: What is wrong with other files that are named like status files.
    """

    processes: list[ProcessStatus]
    unreadable: dict[Path, str]


class StatusWriter:
    """Keeps the status file of this process up to date, from one start to its end, on a daemon thread of its own.

    Neither the workflow nor an exporter waits for the disk, and one that blocks its event loop does not keep the file from
    saying so. A file that cannot be written is said at most once a minute, and tried again.

    Args:
        directory: Where to; it is made if it is missing.
        read: What every exporter is doing: the keys of `ProcessStatus.exporters` for each.
        noise: Where to say that it cannot be written.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        directory: Path,
        read: Callable[[], Sequence[Mapping[str, Any]]],
        noise: "Noise",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._read = read
        self._clock = clock
        self._noise = noise
        self._file = _OwnFile(directory)
        self._started_at = time.time()
        self._written: Sequence[Mapping[str, Any]] | None = None
        self._tried_at = -math.inf
        self._has_failed = False
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nat status file", daemon=True)

    def start(self) -> None:
        """Write the file now and whenever it is due; returns at once."""
        self._thread.start()

    def end(self) -> None:
        """Ask for the last version; returns at once."""
        self._is_ending.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the last version to be written; a disk that takes longer is left behind."""
        self._thread.join(timeout_s)

    def leave_to_parent(self) -> None:
        """In a forked child: the file and its lock are the parent's."""
        self._file.close()

    def _run(self) -> None:
        _remove_old(self._directory)
        self.update()
        while not self._is_ending.wait(_INTERVAL_S):
            self.update()
        self.finish()

    def update(self) -> None:
        """Write the file if something has changed, or if it has said nothing for a while."""
        exporters = self._read()
        is_due = self._clock() - self._tried_at >= _HEARTBEAT_S
        if is_due or (exporters != self._written and not self._has_failed):
            self._write(exporters, ProcessState.RUNNING)

    def finish(self) -> None:
        """Write the last version, and let go of the file."""
        self._write(self._read(), ProcessState.STOPPED)
        self._file.close()

    def _write(self, exporters: Sequence[Mapping[str, Any]], state: ProcessState) -> None:
        content = {
            "schema_version": _SCHEMA_VERSION,
            "pid": os.getpid(),
            "process_name": _process_name(),
            "state": state,
            "started_at": round(self._started_at, 3),
            "written_at": round(time.time(), 3),
            "exporters": exporters,
        }
        self._tried_at = self._clock()
        try:
            self._file.write(json.dumps(content, indent=2).encode() + b"\n")
        except OSError as exc:
            self._has_failed = True
            self._noise.warn(
                "status file",
                "general.telemetry.status_directory: cannot write to %s (%s); tried again in %.0f s",
                self._directory, exc.strerror or exc, _HEARTBEAT_S,
            )  # fmt: skip
        else:
            self._has_failed = False
            self._written = exporters


def resolve_status_directory(path: str | os.PathLike[str]) -> Path:
    """The absolute path of a directory, relative to the working directory, with symbolic links followed.

    Raises:
        ValueError: The path is empty, or holds a null character.
    """
    text = os.path.expanduser(os.fspath(path))  # noqa: PTH111  (pathlib raises where there is no home)
    if not text or "\0" in text:
        raise ValueError(f"not a path: {text!r}; give a folder")
    return Path(os.path.realpath(text))  # pathlib raises on links that lead in a circle


def read_status_directory(directory: Path) -> StatusDirectory:
    """What the processes that share the directory have said; nothing, if it does not exist.

    Raises:
        OSError: It cannot be read.
    """
    found: list[ProcessStatus] = []
    unreadable: dict[Path, str] = {}
    for path in _files(directory, _FINISHED):
        try:
            found.append(_read(path))
        except FileNotFoundError:  # removed meanwhile
            continue
        except OSError as exc:
            unreadable[path] = f"cannot be read: {exc.strerror or exc}"
        except ValueError as exc:
            unreadable[path] = str(exc)
    return StatusDirectory(sorted(found, key=lambda status: (status.started_at, status.pid)), unreadable)


# -- one file --------------------------------------------------------------------------------------------------------------


class _OwnFile:
    """The status file of this process, whose lock it holds."""

    def __init__(self, directory: Path) -> None:
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._path = directory / f"{name}.json"
        self._unfinished = directory / f".{name}.tmp"
        self._held: set[int] = set()

    def write(self, data: bytes) -> None:
        """Replace the file; `OSError` if that cannot be done, and then it stays as it was."""
        descriptor = self._created()
        self._held.add(descriptor)
        try:
            _lock(descriptor)
            with open(descriptor, "wb", closefd=False) as file:
                file.write(data)
            self._unfinished.rename(self._path)
        except BaseException:
            self._release(descriptor)
            with suppress(OSError):
                self._unfinished.unlink()
            raise
        for replaced in self._held - {descriptor}:
            self._release(replaced)

    def close(self) -> None:
        """Release the lock; in a forked child, only the child's hold on it."""
        for descriptor in set(self._held):
            self._release(descriptor)

    def _created(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(self._unfinished, flags, 0o600)
        except FileNotFoundError:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._unfinished, flags, 0o600)

    def _release(self, descriptor: int) -> None:
        # In this order: a child that is forked in between must not close a number that is somebody else's by then.
        self._held.discard(descriptor)
        os.close(descriptor)


def _read(path: Path) -> ProcessStatus:
    """The status in a file; `ValueError` if it holds none."""
    while True:
        with path.open("rb") as file:
            data = file.read()
            is_locked = _is_locked(file.fileno())
            if is_locked or _is_same(path, file.fileno()):  # else it was replaced at this moment
                return _parsed(path, data, is_locked=is_locked)


def _parsed(path: Path, data: bytes, *, is_locked: bool) -> ProcessStatus:
    try:
        content = json.loads(data)
        version = content["schema_version"]
        if version != _SCHEMA_VERSION:
            raise ValueError(f"has schema version {version!r}, expected {_SCHEMA_VERSION}; read it with a newer nat")
        if not all(exporter.keys() >= _EXPORTER_KEYS for exporter in content["exporters"]):
            raise KeyError
        state = ProcessState(content["state"])
        if state is ProcessState.RUNNING and not is_locked:
            state = ProcessState.GONE
        return ProcessStatus(
            file=path,
            state=state,
            pid=int(content["pid"]),
            process_name=str(content["process_name"]),
            started_at=float(content["started_at"]),
            written_at=float(content["written_at"]),
            exporters=content["exporters"],
        )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        raise ValueError("is no status file") from None


def _remove_old(directory: Path) -> None:
    """Delete files of processes that ended over a day ago, and more than the hundred newest of those that ended."""
    with suppress(OSError):
        ended = sorted(_ended(directory), reverse=True)
        oldest = time.time() - _KEPT_S
        for number, (written_at, path) in enumerate(ended):
            if number >= _KEPT_COUNT or written_at < oldest:
                path.unlink(missing_ok=True)
        for path in _files(directory, _UNFINISHED):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _ended(directory: Path) -> Iterator[tuple[float, Path]]:
    for path in _files(directory, _FINISHED):
        with suppress(OSError), path.open("rb") as file:
            if not _is_locked(file.fileno()) and _is_same(path, file.fileno()):
                yield os.fstat(file.fileno()).st_mtime, path


def _files(directory: Path, name: re.Pattern[str]) -> list[Path]:
    """Files with our names; whatever else lies there is left alone."""
    try:
        return [path for path in directory.iterdir() if name.fullmatch(path.name)]
    except FileNotFoundError:
        return []


def _lock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _is_same(path: Path, descriptor: int) -> bool:
    return os.path.samestat(path.stat(), os.fstat(descriptor))


def _process_name() -> str:
    """The module (`python -m`) or file that runs. Never arguments, which may hold a key."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    return Path(getattr(main, "__file__", None) or sys.executable).name
