"""Dead letters: what a backend refused for good, kept on disk with the reason, for a person to look at and send again.

One file each, below a folder for each exporter: `prod/20260131T120102.345678Z-0af7651916cd43dd-5e3c9a1f.letter`, named by
the time, the beginning of the trace id (`mixed` for several runs) and chance. Its first line is JSON and says why; the rest
is the record as the codec made it. Files appear whole and are never changed, so any number of processes may add, read and
remove. Nothing is synced: a crash of the machine may cost the letters of the last seconds.
"""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from nat.observability.delivery.codec import UndecodableError, header
from nat.observability.delivery.spool import exporter_directory
from nat.observability.snapshot import clean

__all__ = ["DeadLetter", "DeadLetterCounts", "DeadLetters", "DeadLettersFullError"]

_SUFFIX = ".letter"
_UNFINISHED = ".new-"
_UNFINISHED_LEFT_BEHIND_S = 60.0
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_MAX_ANSWER_CHARS = 2_000
_MAX_REASON_CHARS = 500
_MAX_HEAD_BYTES = 65_536  # of the first line
_LOOK_EVERY = 100  # letters at least, for what other processes have added
_ID = re.compile(r"[^/\0]+/\d{8}T\d{6}\.\d{6}Z-(?:[0-9a-f]{16}|mixed)-[0-9a-f]{8}")


class DeadLettersFullError(Exception):
    """A letter does not fit under the size cap; it was not kept."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What is known of a letter without its content.

    Attributes:
        id: Names it in its directory: the exporter's folder and the file, without its ending.
        exporter: Name of the exporter that could not deliver it.
        trace_id: The run it belongs to; `None` if it mixes runs.
        reason: Why it was given up.
        answer: What the backend said, at most 2,000 characters; `None` if it said nothing.
        refused_at: When, in seconds since the epoch.
        accepted_at: When the item was taken in; `None` if the record does not say.
        count: How many items it stands for.
        size_bytes: What it takes on disk.
    """

    id: str
    exporter: str
    trace_id: int | None
    reason: str
    answer: str | None
    refused_at: float
    accepted_at: float | None
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DeadLetterCounts:
    """What a directory holds.

    Attributes:
        letters: Files that can be read.
        items: Accepted items that they stand for.
        bytes: What all files take on disk.
        damaged: Files that cannot be read; they stay where they are.
    """

    letters: int
    items: int
    bytes: int
    damaged: int


class DeadLetters:
    """The dead letters of one directory. Thread-safe; blocks; safe beside other processes and in forked children.

    Args:
        directory: Made when it is needed. Modes are 0700, of files 0600.
        max_bytes: Cap of the directory. What other processes add is looked up now and then, so it may be exceeded by what
            they write meanwhile.
        clock: Seconds since the epoch.

    Raises:
        ValueError: The cap is not positive.
    """

    def __init__(self, directory: Path, *, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        if max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, got {max_bytes!r}")
        self._directory = Path(directory)
        self._max_bytes = max_bytes
        self._clock = clock
        self._usage = _Usage()

    def add(self, record: bytes, *, reason: str, answer: str | None, exporter: str, now: float) -> str:
        """Keep a record; the letter's id.

        Args:
            record: As the codec encodes it.
            reason: Why it is given up; cut at 500 characters.
            answer: What the backend said; cut at 2,000 characters.
            exporter: Whose letter it is.
            now: Seconds since the epoch.

        Raises:
            DeadLettersFullError: It does not fit under the cap.
            OSError: The directory cannot be written.
        """
        fields = _fields_of(record)
        head = {
            "exporter": exporter,
            "reason": _cut(reason, _MAX_REASON_CHARS),
            "answer": None if answer is None else _cut(answer, _MAX_ANSWER_CHARS),
            "refused_at": now,
            **fields,
        }
        data = b"%s\n%s" % (orjson.dumps(head), record)
        self._usage.reserve(len(data), self._max_bytes, self._directory)
        folder = exporter_directory(self._directory, exporter)
        try:
            name = _write(folder, _name(now, fields["trace_id"]), data)
        except BaseException:
            self._usage.release(len(data))
            raise
        return f"{folder.name}/{name}"

    def entries(
        self, *, exporter: str | None = None, run: str | None = None, older_than_s: float | None = None
    ) -> Iterator[DeadLetter]:
        """The letters, by exporter, oldest first; content is not read. Files that cannot be read are passed over.

        Args:
            exporter: Only this exporter's.
            run: Only those whose trace id begins with these hex digits.
            older_than_s: Only those refused that long ago or longer.
        """
        now = self._clock()
        for path in self._paths(exporter):
            letter = _letter(path)
            if letter is None:
                continue
            if run is not None and (letter.trace_id is None or not f"{letter.trace_id:032x}".startswith(run.lower())):
                continue
            if older_than_s is not None and now - letter.refused_at < older_than_s:
                continue
            yield letter

    def read(self, letter_id: str) -> bytes:
        """The record of a letter, for the codec.

        Raises:
            KeyError: There is no such letter.
            OSError: It cannot be read.
        """
        try:
            data = self._path(letter_id).read_bytes()
        except FileNotFoundError:
            raise KeyError(letter_id) from None
        return data[data.find(b"\n") + 1 :]

    def remove(self, ids: Iterable[str]) -> int:
        """Delete letters; how many were there. What another process removed first is passed over.

        Raises:
            OSError: One cannot be deleted.
        """
        removed = 0
        for letter_id in ids:
            try:
                path = self._path(letter_id)
                size = path.stat().st_size
                path.unlink()
            except (KeyError, FileNotFoundError):
                continue
            self._usage.release(size)
            removed += 1
        return removed

    def counts(self) -> DeadLetterCounts:
        """What the directory holds now; every file's first line is read."""
        letters = items = size = damaged = 0
        for path in self._paths(None):
            letter = _letter(path)
            if letter is None:
                damaged += 1
                size += _size_bytes(path)
            else:
                letters += 1
                items += letter.count
                size += letter.size_bytes
        return DeadLetterCounts(letters, items, size, damaged)

    def _paths(self, exporter: str | None) -> Iterator[Path]:
        folders = _folders(self._directory) if exporter is None else [exporter_directory(self._directory, exporter)]
        for folder in folders:
            yield from sorted(path for path in _files(folder) if path.suffix == _SUFFIX)

    def _path(self, letter_id: str) -> Path:
        """Where a letter lies; an id that names anything else is unknown."""
        if _ID.fullmatch(letter_id) is None or letter_id.startswith("."):
            raise KeyError(letter_id)
        return self._directory / f"{letter_id}{_SUFFIX}"


class _Usage:
    """How many bytes a directory holds, about: threads and processes are not kept apart, the next look puts it right."""

    def __init__(self) -> None:
        self._bytes = 0
        self._until_look = 0

    def reserve(self, size: int, cap: int, directory: Path) -> None:
        """Count `size` more bytes; looks at the directory now and then, and before it says no."""
        if self._until_look <= 0 or self._bytes + size > cap:
            self._bytes, file_count = _usage_of(directory)
            self._until_look = max(_LOOK_EVERY, file_count)  # so that looking costs each letter the same, however many
            if self._bytes + size > cap:
                raise DeadLettersFullError(f"dead letters are full: {size:,} bytes do not fit into {cap:,}")
        self._until_look -= 1
        self._bytes += size

    def release(self, size: int) -> None:
        """Count `size` bytes less."""
        self._bytes = max(0, self._bytes - size)


def _fields_of(record: bytes) -> dict[str, Any]:
    try:
        known = header(record)
    except UndecodableError:
        return {"trace_id": None, "accepted_at": None, "count": 1}
    trace_id = None if known.trace_id is None else f"{known.trace_id:032x}"
    return {"trace_id": trace_id, "accepted_at": known.accepted_at, "count": known.count}


def _cut(text: str, max_chars: int) -> str:
    text = clean(text)
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"


def _name(now: float, trace_id: str | None) -> str:
    at = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return f"{at}-{'mixed' if trace_id is None else trace_id[:16]}-{secrets.token_hex(4)}"


def _write(folder: Path, name: str, data: bytes) -> str:
    """Write a file that appears whole or not at all."""
    unfinished = folder / f"{_UNFINISHED}{name}"
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
        unfinished.rename(folder / f"{name}{_SUFFIX}")
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    return name


def _letter(path: Path) -> DeadLetter | None:
    """What a file's first line says; `None` if it says nothing, or the file is gone."""
    try:
        with path.open("rb") as file:
            head = orjson.loads(file.readline(_MAX_HEAD_BYTES))
            size = os.fstat(file.fileno()).st_size
        trace_id = head["trace_id"]
        answer, accepted_at = head["answer"], head["accepted_at"]
        return DeadLetter(
            f"{path.parent.name}/{path.stem}",
            str(head["exporter"]),
            None if trace_id is None else int(trace_id, 16),
            str(head["reason"]),
            None if answer is None else str(answer),
            float(head["refused_at"]),
            None if accepted_at is None else float(accepted_at),
            int(head["count"]),
            size,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _folders(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as found:
            return sorted(Path(entry.path) for entry in found if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            return [Path(entry.path) for entry in found if entry.is_file(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _usage_of(directory: Path) -> tuple[int, int]:
    """Bytes and number of all files; what a killed process was writing is deleted on the way."""
    total = count = 0
    now = time.time()
    for folder in _folders(directory):
        for path in _files(folder):
            with contextlib.suppress(OSError):
                known = path.stat()
                if path.name.startswith(_UNFINISHED) and now - known.st_mtime > _UNFINISHED_LEFT_BEHIND_S:
                    path.unlink()
                else:
                    total += known.st_size
                    count += 1
    return total, count


def _size_bytes(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
