"""The spool: records on disk until they are acknowledged, for this process or for the next one.

A directory may be shared by any number of processes. Each has a folder of its own in it, which holds

- `owner`: locked (flock) as long as the process lives. Whoever gets the lock of a folder whose process is gone owns it.
- `00000001.seg`, …: segments, append-only. A frame is a marker, the payload's length, a CRC-32 of the rest, when it was
  appended (seconds since the epoch), its number of items, and the payload.
- `00000001.ack`, …: for each acknowledged frame of the segment, its offset and a check of it.

A segment is deleted as soon as all of its records are acknowledged. Bytes that are no frame are copied to `corrupt/`. What
ends too early is what a killed process was writing: nobody had been told that it was on disk.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import struct
import threading
import time
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

__all__ = [
    "FsyncPolicy",
    "OwnerSurvey",
    "Spool",
    "SpoolCounts",
    "SpoolError",
    "SpoolFullError",
    "SpoolId",
    "corrupt_count",
    "exporter_directories",
    "exporter_directory",
    "survey",
]

FsyncPolicy: TypeAlias = Literal["never", "batch", "always"]

_MARKER = b"\xf5\xfanS"  # no UTF-8 text holds its first two bytes
_FRAME = struct.Struct("<4sIIdI")  # marker, payload length, CRC-32, time, items
_CHECKED = struct.Struct("<IdI")  # what the CRC covers beside the payload
_ACK = struct.Struct("<II")
_ACK_CHECK = 0xA5A5_5A5A

_SEGMENT_BYTES = 8 * 2**20
_MIN_SEGMENT_BYTES = 64 * 2**10
_OWNER = "owner"
_NEW = ".new-"  # a folder without a locked owner yet
_NEW_LEFT_BEHIND_S = 60.0
_CORRUPT = "corrupt"
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


class SpoolId(NamedTuple):
    """A record in a spool, for the `Spool` that gave it."""

    segment: int
    offset: int
    items: int


class SpoolError(OSError):
    """The directory cannot be used now: `errno` and `strerror` say why. The next call tries anew."""


class SpoolFullError(Exception):
    """Records do not fit under the size cap; none of the call's was kept.

    Args:
        count: How many records.
        max_bytes: The cap.
    """

    def __init__(self, count: int, max_bytes: int) -> None:
        super().__init__(f"spool is full: {count} records do not fit into the {max_bytes:,} bytes of its cap")
        self.count = count


@dataclass(frozen=True, slots=True)
class SpoolCounts:
    """What a spool holds.

    Attributes:
        records: Records on disk, not acknowledged, that this process owns.
        items: Accepted items that they stand for.
        bytes: What this process's segments take on disk.
        corrupt: Damaged stretches found so far, each one record or more.
        expired: Items found too old so far.
    """

    records: int = 0
    items: int = 0
    bytes: int = 0
    corrupt: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class OwnerSurvey:
    """One process's folder, seen from outside.

    Attributes:
        folder: Where.
        is_live: Whether its process runs.
        records: Records not acknowledged.
        items: Accepted items that they stand for.
        bytes: What its segments take on disk.
        oldest_at: When its oldest record was appended, in seconds since the epoch; `None` if there is none.
    """

    folder: Path
    is_live: bool
    records: int
    items: int
    bytes: int
    oldest_at: float | None


class Spool:
    """Keeps records on disk until they are acknowledged. Thread-safe; blocks; the directory is made when it is needed.

    When `append` returns, a kill of the process loses nothing of what it was given; `fsync` says what a crash of the
    machine may. A forked child begins with an empty spool of its own: the parent's records stay the parent's.

    Args:
        directory: Shared by any number of processes and spools. Modes are 0700, of files 0600.
        max_bytes: Cap of the whole directory; the other processes' share is looked up at every new segment, so each may
            exceed it by one segment.
        max_age_s: Older records are deleted instead of recovered; `None` for no limit.
        fsync: `never`: the system writes when it likes. `batch`: before `append` returns. `always`: acknowledgements too.
        items_of: How many items a record stands for.
        clock: Seconds since the epoch.

    Raises:
        ValueError: A cap is not positive, or `fsync` none of the three.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        max_age_s: float | None = None,
        fsync: FsyncPolicy = "never",
        items_of: Callable[[bytes], int] = lambda record: 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, got {max_bytes!r}")
        if max_age_s is not None and not max_age_s > 0:
            raise ValueError(f"max_age must be more than 0 seconds, got {max_age_s!r}")
        if fsync not in ("never", "batch", "always"):
            raise ValueError(f"fsync must be never, batch or always, got {fsync!r}")
        self._directory = Path(directory)
        self._max_bytes = max_bytes
        self._segment_bytes = min(max(max_bytes // 8, _MIN_SEGMENT_BYTES), _SEGMENT_BYTES)
        self._max_age_s = max_age_s
        self._fsync = fsync
        self._items_of = items_of
        self._clock = clock
        self._corrupt = 0
        self._expired = 0
        self._start_afresh()
        _open_spools.add(self)

    def _start_afresh(self) -> None:
        """Own nothing."""
        self._lock = threading.Lock()
        self._own: _Owner | None = None
        self._adopted: list[_Owner] = []
        self._active: _Segment | None = None
        self._segments: dict[int, _Segment] = {}
        self._unread: deque[tuple[_Owner, Path]] = deque()
        self._next_key = 1
        self._bytes = 0
        self._others_bytes = 0

    # -- keeping -----------------------------------------------------------------------------------------------------------

    def append(self, records: Sequence[bytes]) -> list[SpoolId]:
        """Write records, in order; their ids once they are on disk as far as the fsync policy says. All or none.

        Raises:
            SpoolFullError: They do not fit under the cap.
            SpoolError: The directory cannot be written; if it was removed, all earlier records of this process are gone.
        """
        if not records:
            return []
        with self._lock, _as_spool_error(self._directory):
            now = self._clock()
            frames: list[bytes] = []
            items: list[int] = []
            for record in records:
                count = self._items_of(record)
                frames += (_frame_head(record, now, count), record)
                items.append(count)
            data = b"".join(frames)
            segment = self._segment_for(len(data), len(records))
            offset = self._write(segment, data)
            ids = []
            for record, count in zip(records, items, strict=True):
                ids.append(SpoolId(segment.key, offset, count))
                offset += _FRAME.size + len(record)
            segment.records += len(ids)
            segment.items += sum(items)
            return ids

    def _segment_for(self, size_bytes: int, count: int) -> "_Segment":
        """The active segment, or a new one if that one is full or gone."""
        self._check_place()
        if self._own is None or self._bytes + self._others_bytes + size_bytes > self._max_bytes:
            self._look_at_others()
            if self._bytes + self._others_bytes + size_bytes > self._max_bytes:
                raise SpoolFullError(count, self._max_bytes)
        segment = self._active
        if segment is None or (segment.size and segment.size + size_bytes > self._segment_bytes):
            segment = self._new_segment()
        return segment

    def _check_place(self) -> None:
        """Notice that our folder is gone: what is written to an open file of it would be found by nobody."""
        owner = self._own
        if owner is None or (owner if self._active is None else self._active).is_in_place():
            return
        lost = self._forget(owner)
        if lost:
            reason = f"removed or replaced while in use, and {lost} records with it"
            raise FileNotFoundError(errno.ENOENT, reason, str(owner.folder))

    def _new_segment(self) -> "_Segment":
        with contextlib.suppress(OSError):  # what cannot be deleted now is tried again here the next time
            self._retire()
            for idle in [segment for segment in self._segments.values() if not segment.records]:
                self._delete(idle)
        if self._own is None:
            self._own = _Owner.found(self._directory)
        owner = self._own
        owner.last_number += 1
        path = owner.folder / f"{owner.last_number:08d}.seg"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, _FILE_MODE)
        if self._fsync != "never":
            _sync_folders(owner.folder, self._directory)
        self._active = self._registered(_Segment(owner, path, descriptor=descriptor))
        self._look_at_others()
        return self._active

    def _write(self, segment: "_Segment", data: bytes) -> int:
        """Append to a segment; the offset. Half a batch is taken back."""
        start = segment.size
        try:
            _write_all(segment.descriptor, data)
            if self._fsync != "never":
                os.fdatasync(segment.descriptor)
        except OSError:
            try:
                os.ftruncate(segment.descriptor, start)
            except OSError:  # what is there is no whole batch: nothing more behind it
                segment.size = os.fstat(segment.descriptor).st_size
                self._bytes += segment.size - start
                self._retire()
            raise
        segment.size += len(data)
        self._bytes += len(data)
        return start

    def read(self, spool_id: SpoolId) -> bytes:
        """A record that is not acknowledged.

        Raises:
            KeyError: It is not there any more.
            SpoolError: It cannot be read.
        """
        with self._lock, _as_spool_error(self._directory):
            segment = self._segments.get(spool_id.segment)
            if segment is None or spool_id.offset in segment.acknowledged:
                raise KeyError(spool_id)
            with segment.path.open("rb") as file:
                file.seek(spool_id.offset)
                head = file.read(_FRAME.size)
                if len(head) == _FRAME.size:
                    payload = file.read(_FRAME.unpack(head)[1])
                    if _parsed(head + payload, 0) is not None:
                        return payload
        raise SpoolError(errno.EIO, "a record was damaged on disk", str(segment.path))

    def holds(self, spool_id: SpoolId) -> bool:
        """Whether its record is known to be there and not acknowledged; the disk is not asked."""
        with self._lock:
            segment = self._segments.get(spool_id.segment)
            return segment is not None and spool_id.offset not in segment.acknowledged

    # -- letting go --------------------------------------------------------------------------------------------------------

    def is_removed(self) -> bool:
        """Whether our folder is found to be removed or replaced now, and records with it: those are not held any more."""
        with self._lock:
            try:
                self._check_place()
            except FileNotFoundError:
                return True
            except OSError:  # nobody knows
                return False
        return False

    def acknowledge(self, ids: Iterable[SpoolId]) -> int:
        """These records need not be kept. Ids that are unknown by now are passed over.

        Returns how many other records are found to be removed: they are not held any more.

        Raises:
            SpoolError: It could not be written down; this process has taken note all the same, and the next call tries again.
        """
        with self._lock, _as_spool_error(self._directory):
            touched: dict[int, _Segment] = {}
            for spool_id in ids:
                segment = self._segments.get(spool_id.segment)
                if segment is not None and spool_id.offset not in segment.acknowledged:
                    segment.acknowledge(spool_id)
                    touched[segment.key] = segment
            failure: OSError | None = None
            removed = 0
            for segment in touched.values():
                try:
                    self._settle(segment)
                except FileNotFoundError:  # somebody removed it, and its records
                    removed += segment.records
                    self._drop(segment)
                except OSError as exc:
                    failure = exc
            if failure is not None:
                raise failure
            return removed

    def _settle(self, segment: "_Segment") -> None:
        """Write acknowledgements down, or delete the segment if nothing in it is needed."""
        if segment.records:
            segment.write_acknowledgements(is_synced=self._fsync == "always")
        elif segment is not self._active:
            self._delete(segment)
        elif segment.size >= self._segment_bytes // 2:
            self._retire()
        else:
            segment.write_acknowledgements(is_synced=self._fsync == "always")

    def _retire(self) -> None:
        """Append to the active segment no more."""
        segment, self._active = self._active, None
        if segment is not None:
            segment.close()
            if not segment.records:
                self._delete(segment)

    def _delete(self, segment: "_Segment") -> None:
        """Remove a segment, then its acknowledgements: without them, its records would come back."""
        with contextlib.suppress(FileNotFoundError):
            segment.path.unlink()
        with contextlib.suppress(FileNotFoundError):
            if self._fsync == "always":
                _sync_folders(segment.owner.folder)
            segment.ack_path.unlink()
        self._drop(segment)

    def _drop(self, segment: "_Segment") -> None:
        """Forget a segment that is not on disk any more, and its folder if it was adopted and that was the last one."""
        if segment is self._active:
            self._active = None
        segment.close()
        del self._segments[segment.key]
        self._bytes -= segment.size
        segment.owner.segments -= 1
        self._release_if_empty(segment.owner)

    def _release_if_empty(self, owner: "_Owner") -> None:
        if owner.segments == 0 and owner in self._adopted:
            self._adopted.remove(owner)
            owner.remove()

    def _forget(self, owner: "_Owner") -> int:
        """Forget our own folder, which is not there any more; how many records it held."""
        lost = 0
        for segment in [segment for segment in self._segments.values() if segment.owner is owner]:
            lost += segment.records
            self._drop(segment)
        owner.close()
        self._own = None
        return lost

    # -- coming back -------------------------------------------------------------------------------------------------------

    def recover(self) -> Iterator[tuple[SpoolId, bytes]]:
        """Adopt what processes that are gone have left, and give their records, oldest process first, each in order.

        Read a segment at a time, as it is asked for. May be called again: it gives what was left since, and what an earlier
        call did not get to. Of several processes that call it at the same time, one gets a folder, whole.

        Raises:
            SpoolError: The directory cannot be read.
        """
        with self._lock, _as_spool_error(self._directory):
            self._adopt()
        while True:
            with self._lock, _as_spool_error(self._directory):
                if not self._unread:
                    return
                found = self._load(*self._unread.popleft())
            yield from found

    def _adopt(self) -> None:
        mine = {owner.folder for owner in (self._own, *self._adopted) if owner is not None}
        for folder in _folders(self._directory):
            if folder in mine:
                continue
            owner = _Owner.adopted(folder)
            if owner is None:
                continue
            paths = sorted(folder.glob("*.seg"))
            if not paths:
                owner.remove()
                continue
            owner.segments = len(paths)
            self._adopted.append(owner)
            self._unread.extend((owner, path) for path in paths)
        _remove_unfinished(self._directory, self._clock())

    def _load(self, owner: "_Owner", path: Path) -> list[tuple[SpoolId, bytes]]:
        """Take over one segment: its records that are worth sending."""
        try:
            data = path.read_bytes()
            acknowledged = _acknowledged(path.with_suffix(".ack"))
        except FileNotFoundError:  # somebody removed it
            owner.segments -= 1
            self._release_if_empty(owner)
            return []
        except OSError:
            self._unread.appendleft((owner, path))
            raise
        owner.segments -= 1  # counted again by `_registered`
        segment = self._registered(_Segment(owner, path, size=len(data), acknowledged=acknowledged))
        self._bytes += segment.size
        oldest = self._clock() - self._max_age_s if self._max_age_s is not None else float("-inf")
        found: list[tuple[SpoolId, bytes]] = []
        for frame in _frames(data):
            if frame.offset in acknowledged:
                continue
            spool_id = SpoolId(segment.key, frame.offset, frame.items)
            segment.records += 1
            segment.items += frame.items
            if frame.payload is None:
                self._corrupt += 1
                self._set_aside(segment, frame, data)
                segment.acknowledge(spool_id)
            elif frame.appended_at < oldest:
                self._expired += frame.items
                segment.acknowledge(spool_id)
            else:
                found.append((spool_id, frame.payload))
        with contextlib.suppress(OSError):  # of what is set aside or expired; the next acknowledgement says it again
            self._settle(segment)
        return found

    def _set_aside(self, segment: "_Segment", frame: "_Frame", data: bytes) -> None:
        """Keep damaged bytes for whoever wants to look at them, if there is room."""
        if self._bytes + self._others_bytes + frame.size > self._max_bytes:
            return
        path = self._directory / _CORRUPT / f"{segment.path.parent.name}-{segment.path.stem}-{frame.offset}.bin"
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
            try:
                _write_all(descriptor, data[frame.offset : frame.offset + frame.size])
            finally:
                os.close(descriptor)
            self._others_bytes += frame.size

    def _registered(self, segment: "_Segment") -> "_Segment":
        segment.key = self._next_key
        self._next_key += 1
        self._segments[segment.key] = segment
        segment.owner.segments += 1
        return segment

    # -- the whole ---------------------------------------------------------------------------------------------------------

    def counts(self) -> SpoolCounts:
        """What this process has in the spool now."""
        with self._lock:
            segments = self._segments.values()
            return SpoolCounts(
                sum(segment.records for segment in segments),
                sum(segment.items for segment in segments),
                self._bytes,
                self._corrupt,
                self._expired,
            )

    def close(self) -> None:
        """Leave what is not acknowledged to the next process, or to another one. Ids are void; the spool can be used again."""
        with self._lock:
            with contextlib.suppress(OSError):
                self._retire()
            for segment in list(self._segments.values()):
                with contextlib.suppress(OSError):
                    segment.write_acknowledgements(is_synced=False)
            for owner in (self._own, *self._adopted):
                if owner is None:
                    continue
                if owner.segments:
                    owner.close()
                else:
                    owner.remove()
            self._segments.clear()
            self._unread.clear()
            self._adopted.clear()
            self._own = None
            self._bytes = 0

    def _look_at_others(self) -> None:
        mine = {owner.folder.name for owner in (self._own, *self._adopted) if owner is not None}
        self._others_bytes = sum(
            _size_bytes(folder) for folder in _subfolders(self._directory) if folder.name not in mine
        )
        # An adopted folder that is not loaded yet counts as another's.
        self._others_bytes += sum(path.stat().st_size for _, path in self._unread if path.exists())

    def _forget_after_fork(self) -> None:
        """In a forked child: let go of the parent's locks and files without touching them."""
        for owner in (self._own, *self._adopted):
            if owner is not None:
                owner.close()
        if self._active is not None:
            self._active.close()
        self._corrupt = self._expired = 0
        self._start_afresh()


def exporter_directory(directory: Path, exporter: str) -> Path:
    """Where one exporter's records go below a common directory, whatever characters its name has."""
    name = quote(exporter, safe=" @+,=")
    return directory / (f"%2E{name[1:]}" if name.startswith(".") else name or "%00")


def exporter_directories(directory: Path) -> dict[str, Path]:
    """The directories below a common one, by exporter; see `exporter_directory`."""
    found = {unquote(folder.name.replace("%00", "")): folder for folder in _subfolders(directory)}
    return dict(sorted(found.items()))


def corrupt_count(directory: Path) -> int:
    """How many damaged stretches a spool's directory keeps for whoever wants to look at them."""
    try:
        return len(os.listdir(directory / _CORRUPT))  # noqa: PTH208  (only their number)
    except FileNotFoundError:
        return 0


def survey(directory: Path) -> list[OwnerSurvey]:
    """What is in a spool's directory, without taking part in it; oldest process first. Folders that vanish are left out.

    Whether a process lives is asked by trying its lock for a moment: a recovery at that very moment passes the folder over.
    """
    found = []
    for folder in _folders(directory):
        with contextlib.suppress(OSError):
            found.append(_surveyed(folder))
    return found


def _surveyed(folder: Path) -> OwnerSurvey:
    is_live = _is_locked(folder / _OWNER)
    records = items = size = 0
    oldest_at: float | None = None
    for path in sorted(folder.glob("*.seg")):
        data = path.read_bytes()
        acknowledged = _acknowledged(path.with_suffix(".ack"))
        size += len(data)
        for frame in _frames(data):
            if frame.offset not in acknowledged and frame.payload is not None:
                records += 1
                items += frame.items
                oldest_at = frame.appended_at if oldest_at is None else min(oldest_at, frame.appended_at)
    return OwnerSurvey(folder, is_live, records, items, size, oldest_at)


def _is_locked(path: Path) -> bool:
    with path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


# -- folders and files -----------------------------------------------------------------------------------------------------


class _Owner:
    """A folder whose lock this process holds."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self.last_number = 0
        self.segments = 0
        self._descriptor = descriptor

    @classmethod
    def found(cls, directory: Path) -> "_Owner":
        """Make a folder; it gets its name once it is locked, so nobody sees it without its owner."""
        directory.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}"
        unfinished = directory / f"{_NEW}{name}"
        unfinished.mkdir(mode=_FOLDER_MODE)
        descriptor = os.open(unfinished / _OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unfinished.rename(directory / name)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(directory / name, descriptor)

    @classmethod
    def adopted(cls, folder: Path) -> "_Owner | None":
        """Take the folder of a process that is gone; `None` if it has an owner, or has vanished."""
        try:
            descriptor = os.open(folder / _OWNER, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            with contextlib.suppress(OSError):
                folder.rmdir()  # all that a removal has left
            return None
        except PermissionError:  # of another user
            return None
        owner = cls(folder, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner.close()
            return None
        if not owner.is_in_place():  # removed between the opening and the lock
            owner.close()
            return None
        return owner

    def is_in_place(self) -> bool:
        """Whether the folder is still the one that was locked."""
        return _is_same(self.folder / _OWNER, self._descriptor)

    def remove(self) -> None:
        """Delete the folder, which has no segments any more; the lock goes last."""
        with contextlib.suppress(OSError):
            for path in self.folder.glob("*.ack"):
                path.unlink(missing_ok=True)
            (self.folder / _OWNER).unlink()
            self.folder.rmdir()
        self.close()

    def close(self) -> None:
        """Release the lock; in a forked child, only the child's hold on it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


@dataclass(slots=True, eq=False)
class _Segment:
    """One file of records; `records` and `items` count those not acknowledged."""

    owner: _Owner
    path: Path
    size: int = 0
    descriptor: int = -1
    ack_descriptor: int = -1
    acknowledged: set[int] = field(default_factory=set)
    key: int = 0
    records: int = 0
    items: int = 0
    unwritten: list[int] = field(default_factory=list)

    @property
    def ack_path(self) -> Path:
        return self.path.with_suffix(".ack")

    def is_in_place(self) -> bool:
        """Whether what is written goes to where a next process will look."""
        return _is_same(self.path, self.descriptor)

    def acknowledge(self, spool_id: SpoolId) -> None:
        """Take note; `write_acknowledgements` makes it last."""
        self.acknowledged.add(spool_id.offset)
        self.unwritten.append(spool_id.offset)
        self.records -= 1
        self.items -= spool_id.items

    def write_acknowledgements(self, *, is_synced: bool) -> None:
        """Write down what was noted since the last time."""
        if not self.unwritten:
            return
        data = b"".join(_ACK.pack(offset, offset ^ _ACK_CHECK) for offset in self.unwritten)
        try:
            self._write_acknowledgements(data, is_synced)
        except OSError:
            self._close_acknowledgements()
            raise
        if self.descriptor < 0:  # open files are few: those of the active segment
            self._close_acknowledgements()
        self.unwritten.clear()

    def _write_acknowledgements(self, data: bytes, is_synced: bool) -> None:
        is_new = False
        if self.ack_descriptor < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self.ack_descriptor = os.open(self.ack_path, flags, _FILE_MODE)
            end = os.fstat(self.ack_descriptor).st_size
            is_new = end == 0
            if end % _ACK.size:  # half of one, from a kill or a full disk
                os.ftruncate(self.ack_descriptor, end - end % _ACK.size)
        _write_all(self.ack_descriptor, data)
        if is_synced:
            os.fdatasync(self.ack_descriptor)
            if is_new:
                _sync_folders(self.path.parent)

    def _close_acknowledgements(self) -> None:
        descriptor, self.ack_descriptor = self.ack_descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def close(self) -> None:
        """Append to it no more."""
        descriptor, self.descriptor = self.descriptor, -1  # in this order: a fork between them must not close another's
        if descriptor >= 0:
            os.close(descriptor)
        self._close_acknowledgements()


def _subfolders(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _folders(directory: Path) -> list[Path]:
    """The processes' folders, oldest first."""
    return sorted(
        folder for folder in _subfolders(directory) if folder.name != _CORRUPT and not folder.name.startswith(_NEW)
    )


def _remove_unfinished(directory: Path, now: float) -> None:
    """Remove what processes that died while they made their folder have left: it never held a record."""
    for folder in _subfolders(directory):
        with contextlib.suppress(OSError):
            if folder.name.startswith(_NEW) and now - folder.stat().st_mtime > _NEW_LEFT_BEHIND_S:
                (folder / _OWNER).unlink(missing_ok=True)
                folder.rmdir()


def _size_bytes(folder: Path) -> int:
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:  # removed meanwhile, or of another user
        for entry in entries:
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_size
    return total


def _is_same(path: Path, descriptor: int) -> bool:
    try:
        there = os.stat(path)  # noqa: PTH116  (at every append: half the time)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folders(*folders: Path) -> None:
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _as_spool_error(directory: Path) -> Iterator[None]:
    try:
        yield
    except SpoolError:
        raise
    except OSError as exc:
        raise SpoolError(exc.errno, exc.strerror or type(exc).__name__, str(exc.filename or directory)) from exc


# -- frames ----------------------------------------------------------------------------------------------------------------


class _Frame(NamedTuple):
    """A stretch of a segment: one record, or bytes that are none (`payload` is `None`)."""

    offset: int
    size: int
    appended_at: float
    items: int
    payload: bytes | None


def _frame_head(record: bytes, now: float, items: int) -> bytes:
    checksum = zlib.crc32(record, zlib.crc32(_CHECKED.pack(len(record), now, items)))
    return _FRAME.pack(_MARKER, len(record), checksum, now, items)


def _frames(data: bytes) -> Iterator[_Frame]:
    """The frames of a segment, and what is damaged between them; an unfinished one at the end is passed over."""
    offset = 0
    while offset < len(data):
        frame = _parsed(data, offset)
        if frame is None:
            end = _next_frame(data, offset + 1)
            if end is None and _is_unfinished(data, offset):
                return
            frame = _Frame(offset, (len(data) if end is None else end) - offset, 0.0, 1, None)
        yield frame
        offset += frame.size


def _parsed(data: bytes, offset: int) -> _Frame | None:
    """The whole and undamaged frame at an offset."""
    start = offset + _FRAME.size
    if start > len(data):
        return None
    marker, length, checksum, appended_at, items = _FRAME.unpack_from(data, offset)
    if marker != _MARKER or start + length > len(data):
        return None
    payload = data[start : start + length]
    if zlib.crc32(payload, zlib.crc32(_CHECKED.pack(length, appended_at, items))) != checksum:
        return None
    return _Frame(offset, _FRAME.size + length, appended_at, items, payload)


def _next_frame(data: bytes, start: int) -> int | None:
    """Where the next undamaged frame begins."""
    while (start := data.find(_MARKER, start)) >= 0:
        if _parsed(data, start) is not None:
            return start
        start += 1
    return None


def _is_unfinished(data: bytes, offset: int) -> bool:
    """Whether the rest is what a writer leaves that was stopped: a frame's beginning, or zeros (the machine crashed)."""
    rest = data[offset:]
    if len(rest) < _FRAME.size:
        return rest.startswith(_MARKER) or _MARKER.startswith(rest) or not rest.strip(b"\0")
    is_cut = rest.startswith(_MARKER) and len(rest) < _FRAME.size + _FRAME.unpack_from(rest)[1]
    return is_cut or not rest.strip(b"\0")


def _acknowledged(path: Path) -> set[int]:
    """The offsets in a file of acknowledgements; what is damaged there is passed over, so its records come once more."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return set()
    whole = len(data) - len(data) % _ACK.size
    return {offset for offset, check in _ACK.iter_unpack(data[:whole]) if offset ^ _ACK_CHECK == check}


# -- fork ------------------------------------------------------------------------------------------------------------------

_open_spools: "weakref.WeakSet[Spool]" = weakref.WeakSet()


def _forget_all_after_fork() -> None:
    for spool in list(_open_spools):
        spool._forget_after_fork()


os.register_at_fork(after_in_child=_forget_all_after_fork)
