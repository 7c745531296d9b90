"""What a lane keeps on disk: items until they are acknowledged, and those that were refused for good."""

import math
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nat.data_models.span import Span
from nat.observability.delivery.options import DeadLettersOptions, SpoolOptions
from nat.observability.ledger import Ledger
from nat.observability.noise import Noise
from nat.observability.pipeline import Envelope, items_of

if TYPE_CHECKING:
    from nat.observability.delivery.spool import SpoolId

__all__ = ["Keeping"]


class Keeping:
    """One lane's spool and dead letters. For the lane's loop only; blocks for as long as the disk does, and never raises.

    Args:
        name: Of the exporter.
        ledger: Is told of what is put on disk and found there.
        noise: For what fails.
        spool: Where what waits to be sent is kept; `None`: nowhere.
        dead_letters: Where what was refused for good is kept; `None`: nowhere.
        failures: Counts items that could not be kept, by reason.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        noise: Noise,
        spool: SpoolOptions | None,
        dead_letters: DeadLettersOptions | None,
        failures: Counter[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._ledger = ledger
        self._noise = noise
        self._failures = failures
        self._clock = clock
        self._spool = None
        self._letters = None
        self._folder = None
        if spool is not None:
            from nat.observability.delivery.codec import item_count
            from nat.observability.delivery.spool import Spool, exporter_directory

            self._folder = exporter_directory(spool.directory, name)
            self._spool = Spool(
                self._folder,
                max_bytes=spool.max_bytes,
                max_age_s=spool.max_age_s,
                fsync=spool.fsync,
                items_of=item_count,
                clock=clock,
            )
        if dead_letters is not None:
            from nat.observability.delivery.dead_letters import DeadLetters

            self._letters = DeadLetters(dead_letters.directory, max_bytes=dead_letters.max_bytes, clock=clock)
        self._max_age_s = math.inf if spool is None or spool.max_age_s is None else spool.max_age_s
        self._is_failing = False
        self._put_off = _PutOff()
        self._left: Iterator[tuple[SpoolId, bytes]] | None = None
        self._acknowledged: list[SpoolId] = []
        self._expired = 0
        self._corrupt = 0
        self._letters_out: set[str] = set()
        self._letter_fates: dict[str, str | None] = {}

    # -- the spool -----------------------------------------------------------------------------------------------------

    @property
    def is_spooling(self) -> bool:
        """Whether there is a spool."""
        return self._spool is not None

    @property
    def is_durable(self) -> bool:
        """Whether there is a spool and it took what it was last given."""
        return self._spool is not None and not self._is_failing

    def keep(self, envelopes: Sequence[Envelope], *, is_again: bool = False) -> None:
        """Write envelopes to the spool, all in one go; those that were written have `kept` set and count as spooled.

        Args:
            envelopes: What to write.
            is_again: It has been tried with these before: a failure is not counted once more.
        """
        from nat.observability.delivery.spool import SpoolError, SpoolFullError

        assert self._spool is not None
        records: list[bytes] = []
        written: list[Envelope] = []
        for envelope in envelopes:
            record = self._record(envelope.value, _trace_id(envelope), envelope.count, "spool")
            if record is None:
                envelope.is_keepable = False
            else:
                records.append(record)
                written.append(envelope)
        try:
            ids = self._spool.append(records)
        except (SpoolError, SpoolFullError) as exc:
            self._is_failing = True
            if not is_again:
                reason = "spool_full" if isinstance(exc, SpoolFullError) else "spool_error"
                self._failed(reason, exc, sum(envelope.count for envelope in written))
            return
        for envelope, spool_id, record in zip(written, ids, records, strict=True):
            envelope.kept, envelope.record_bytes = spool_id, len(record)
            self._ledger.spool(envelope.count)
        if ids and self._is_failing:
            self._is_failing = False
            self._noise.warn("spool works", "%s: the spool takes items again", self._name)

    def is_lost(self, envelope: Envelope) -> bool:
        """Whether somebody has removed its record."""
        kept = envelope.kept
        return (
            self._spool is not None and kept is not None and not isinstance(kept, str) and not self._spool.holds(kept)
        )

    def is_removed(self) -> bool:
        """Whether somebody is found to have removed the spool: see `is_lost`."""
        return self._spool is not None and self._spool.is_removed()

    def lose_removed(self) -> None:
        """Count what was on disk only and has been removed."""
        assert self._spool is not None
        lost = sum(spool_id.items for spool_id in self._put_off.without(self._spool.holds))
        if lost:
            self._lose("spool_lost", lost, "their records were removed")

    def put_off(self, envelope: Envelope) -> None:
        """Let it wait until `load` gives it, in order: on disk only, or in memory if it is not on disk."""
        assert not isinstance(envelope.kept, str), "a dead letter"
        self._put_off.append(envelope if envelope.kept is None else envelope.kept)

    @property
    def has_put_off(self) -> bool:
        """Whether something was put off that `load` has not given yet."""
        return len(self._put_off) > 0

    @property
    def held(self) -> list[Envelope]:
        """What was put off and is in memory, in order."""
        return self._put_off.held

    def give_held(self) -> list[Envelope]:
        """Give what was put off and is in memory, in order, past what is on disk only."""
        return self._put_off.give_held()

    @property
    def has_more(self) -> bool:
        """Whether `load` may have something."""
        return self.has_put_off or self._left is not None

    def is_through(self, mark: int) -> bool:
        """Whether everything has been loaded that another process had left, and that was put off before `mark`."""
        return self._left is None and self._put_off.appended - len(self._put_off) >= mark

    @property
    def mark(self) -> int:
        """How many records have been put off so far."""
        return self._put_off.appended

    def look_for_left(self) -> None:
        """Let `load` give what processes that are gone have left, too."""
        if self._spool is not None and self._left is None:
            self._left = self._spool.recover()

    def load(self, max_bytes: int) -> list[Envelope]:
        """What was put off, in order, then what others have left on disk. About `max_bytes` of it."""
        loaded: list[Envelope] = []
        size = 0
        while size < max_bytes and (found := self._next()) is not None:
            if isinstance(found, Envelope):
                loaded.append(found)
                continue
            spool_id, data = found
            envelope = self._envelope(spool_id, data)
            if envelope is not None:
                loaded.append(envelope)
            size += len(data)
        self._count_expired()
        return loaded

    def _next(self) -> "tuple[SpoolId, bytes] | Envelope | None":
        from nat.observability.delivery.spool import SpoolError

        assert self._spool is not None
        while len(self._put_off):
            spool_id = self._put_off.popleft()
            if isinstance(spool_id, Envelope):
                return spool_id
            try:
                return spool_id, self._spool.read(spool_id)
            except KeyError:
                self._lose("spool_lost", spool_id.items, "its record was removed")
            except SpoolError as exc:
                self._lose("corrupt", spool_id.items, _why(exc))
                self._acknowledged.append(spool_id)
        try:
            found = None if self._left is None else next(self._left, None)
        except SpoolError as exc:
            self._noise.warn("recover", "%s: the spool cannot be read (%s)", self._name, _why(exc))
            found = None
        if found is None:
            self._left = None
            return None
        self._ledger.recover(found[0].items)
        return found

    def _envelope(self, spool_id: "SpoolId", data: bytes) -> Envelope | None:
        from nat.observability.delivery.codec import UndecodableError, decode

        try:
            record = decode(data)
        except UndecodableError as exc:  # written by a program that knows more types: it stays for one that does
            self._noise.warn("undecodable", "%s: an item in the spool stays there: %s", self._name, exc)
            return None
        if self._clock() - record.accepted_at > self._max_age_s:
            self._acknowledged.append(spool_id)
            self._lose("expired", spool_id.items, "older than spool.max_age")
            return None
        envelope = Envelope(record.value, None, spool_id.items)
        envelope.kept, envelope.record_bytes = spool_id, len(data)
        return envelope

    def _count_expired(self) -> None:
        """Count what the spool has thrown away by itself."""
        assert self._spool is not None
        counts = self._spool.counts()
        expired, self._expired = counts.expired - self._expired, counts.expired
        corrupt, self._corrupt = counts.corrupt - self._corrupt, counts.corrupt
        if expired:
            self._ledger.recover(expired)
            self._lose("expired", expired, "older than spool.max_age")
        if corrupt:
            self._ledger.recover(corrupt)
            self._lose("corrupt", corrupt, f"damaged, and set aside in {self._folder}/corrupt")

    def _lose(self, reason: str, count: int, why: str) -> None:
        self._ledger.drop(reason, count, is_spooled=True)
        self._noise.warn(reason, "%s: %d items of the spool are lost: %s", self._name, count, why)

    def _failed(self, reason: str, exc: Exception, count: int) -> None:
        self._failures[reason] += count
        self._noise.warn(
            "spool", "%s: %d items cannot be written to the spool and wait in memory only: %s",
            self._name, count, _why(exc),
        )  # fmt: skip

    def acknowledge(self, envelope: Envelope) -> None:
        """Its record need not be kept; `settle` writes that down."""
        if isinstance(envelope.kept, str):
            self._letters_out.discard(envelope.kept)
            self._letter_fates[envelope.kept] = None
            self._remove_letter(envelope.kept)
        elif envelope.kept is not None:
            self._acknowledged.append(envelope.kept)

    def settle(self) -> bool:
        """Write down what was acknowledged; whether that has shown that somebody has removed other records."""
        from nat.observability.delivery.spool import SpoolError

        if self._spool is None or not self._acknowledged:
            return False
        acknowledged, self._acknowledged = self._acknowledged, []
        try:
            return self._spool.acknowledge(acknowledged) > 0
        except SpoolError as exc:
            self._noise.warn(
                "acknowledge", "%s: what was delivered cannot be taken off the spool, and may be sent once more: %s",
                self._name, _why(exc),
            )  # fmt: skip
        return False

    def close(self) -> None:
        """Leave what is not acknowledged to the next process."""
        self.settle()
        self._put_off = _PutOff()
        self._left = None
        if self._spool is not None:
            self._spool.close()

    # -- dead letters --------------------------------------------------------------------------------------------------

    def bury(self, envelope: Envelope, reason: str, answer: str | None) -> int:
        """Keep what was refused for good, a letter for each run; how many accepted items are kept.

        Args:
            envelope: What was refused.
            reason: Why it is given up.
            answer: What the backend said.
        """
        if isinstance(envelope.kept, str):
            self._letters_out.discard(envelope.kept)
            self._letter_fates[envelope.kept] = reason
            return envelope.count  # its letter is still there
        if self._letters is None:
            return 0
        return sum(
            count
            for value, trace_id, count in _by_run(envelope)
            if self._bury(value, trace_id, count, reason=reason, answer=answer)
        )

    def _bury(self, value: Any, trace_id: int | None, count: int, *, reason: str, answer: str | None) -> bool:
        from nat.observability.delivery.dead_letters import DeadLettersFullError

        assert self._letters is not None
        record = self._record(value, trace_id, count, "dead letters")
        if record is None:
            return False
        try:
            self._letters.add(record, reason=reason, answer=answer, exporter=self._name, now=self._clock())
        except (DeadLettersFullError, OSError) as exc:
            self._failures["dead_letters_full" if isinstance(exc, DeadLettersFullError) else "dead_letters_error"] += (
                count
            )
            self._noise.warn("dead letters", "%s: cannot be kept as dead letters: %s", self._name, _why(exc))
            return False
        return True

    def letter(self, letter_id: str) -> Envelope | None:
        """A dead letter, to be sent again; counts as recovered. `None` if it is gone, unreadable, or on its way already."""
        from nat.observability.delivery.codec import UndecodableError, decode

        assert self._letters is not None
        if letter_id in self._letters_out:
            return None
        self._letter_fates.pop(letter_id, None)
        try:
            data = self._letters.read(letter_id)
            record = decode(data)
        except KeyError:  # another process was faster
            return None
        except (OSError, UndecodableError) as exc:
            self._letter_fates[letter_id] = f"cannot be read: {_why(exc)}"
            self._noise.warn("letter", "%s: dead letter %s stays where it is: %s", self._name, letter_id, _why(exc))
            return None
        envelope = Envelope(record.value, None, record.count)
        envelope.kept, envelope.record_bytes = letter_id, len(data)
        self._letters_out.add(letter_id)
        self._ledger.recover(record.count)
        return envelope

    @property
    def letter_fates(self) -> dict[str, str | None]:
        """What became of letters that were sent again, by id: why they stay, `None` for those delivered. From any thread."""
        return self._letter_fates.copy()

    def _remove_letter(self, letter_id: str) -> None:
        assert self._letters is not None
        try:
            self._letters.remove([letter_id])
        except OSError as exc:
            self._noise.warn("letter", "%s: dead letter %s was delivered and cannot be deleted: %s", self._name,
                             letter_id, _why(exc))  # fmt: skip

    # -- records -------------------------------------------------------------------------------------------------------

    def _record(self, value: Any, trace_id: int | None, count: int, where: str) -> bytes | None:
        from nat.observability.delivery.codec import NotSpoolableError, encode

        try:
            return encode(value, exporter=self._name, trace_id=trace_id, accepted_at=self._clock(), count=count)
        except NotSpoolableError as exc:
            self._failures["not_spoolable"] += count
            self._noise.warn("encode", "%s: an item cannot be written to the %s: %s", self._name, where, exc)
            return None


class _PutOff:
    """What waits until memory has room for it, in order. Of a record its place is held, in 12 bytes, of the rest the envelope.

    Attributes:
        appended: How many there were in all.
    """

    def __init__(self) -> None:
        self.appended = 0
        self._parts: deque[_Stretch | Envelope] = deque()
        self._count = 0
        self._held_count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, each: "SpoolId | Envelope") -> None:
        """Put it last."""
        self.appended += 1
        self._put(each)

    def _put(self, each: "SpoolId | Envelope") -> None:
        self._count += 1
        if isinstance(each, Envelope):
            self._held_count += 1
            self._parts.append(each)
            return
        last = self._parts[-1] if self._parts else None
        if not isinstance(last, _Stretch) or last.segment != each.segment:
            last = _Stretch(each.segment)
            self._parts.append(last)
        last.offsets.append(each.offset)
        last.items.append(each.items)

    def popleft(self) -> "SpoolId | Envelope":
        """Take the first."""
        self._count -= 1
        first = self._parts[0]
        if isinstance(first, Envelope):
            self._held_count -= 1
            self._parts.popleft()
            return first
        spool_id = first.at(first.start)
        first.start += 1
        if first.start == len(first.offsets):
            self._parts.popleft()
        return spool_id

    @property
    def held(self) -> list[Envelope]:
        """The envelopes."""
        return [each for each in self._parts if isinstance(each, Envelope)] if self._held_count else []

    def give_held(self) -> list[Envelope]:
        """Take the envelopes."""
        held = self.held
        if held:
            self._parts = deque(each for each in self._parts if not isinstance(each, Envelope))
            self._count -= self._held_count
            self._held_count = 0
        return held

    def without(self, is_there: "Callable[[SpoolId], bool]") -> "list[SpoolId]":
        """Take the records that are not there."""
        parts, gone = self._parts, []
        self._parts, self._count, self._held_count = deque(), 0, 0
        for part in parts:
            for each in (part,) if isinstance(part, Envelope) else part:
                if isinstance(each, Envelope) or is_there(each):
                    self._put(each)
                else:
                    gone.append(each)
        return gone


class _Stretch:
    """Records of one segment that follow each other; those before `start` were taken."""

    __slots__ = ("items", "offsets", "segment", "start")

    def __init__(self, segment: int) -> None:
        self.segment = segment
        self.start = 0
        self.offsets = array("Q")
        self.items = array("I")

    def at(self, index: int) -> "SpoolId":
        from nat.observability.delivery.spool import SpoolId

        return SpoolId(self.segment, self.offsets[index], self.items[index])

    def __iter__(self) -> "Iterator[SpoolId]":
        return map(self.at, range(self.start, len(self.offsets)))


def _why(exc: Exception) -> str:
    """An error of the disk, with its place."""
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.strerror}: {exc.filename}" if exc.filename else exc.strerror
    return str(exc)


def _trace_id(envelope: Envelope) -> int | None:
    """The run that all of it belongs to."""
    found = {trace_id for _, trace_id, _ in _by_run(envelope)}
    return found.pop() if len(found) == 1 else None


def _by_run(envelope: Envelope) -> list[tuple[Any, int | None, int]]:
    """An envelope's content by run, in order: value, trace id, how many accepted items it stands for."""
    if not isinstance(envelope.value, list):
        return [(envelope.value, _trace_id_of(envelope.value, envelope, 0), envelope.count)]
    by_run: dict[int | None, tuple[list[Any], list[int]]] = {}
    for index, (item, count) in enumerate(items_of(envelope)):
        items, counts = by_run.setdefault(_trace_id_of(item, envelope, index), ([], []))
        items.append(item)
        counts.append(count)
    return [(items, trace_id, sum(counts)) for trace_id, (items, counts) in by_run.items()]


def _trace_id_of(item: Any, envelope: Envelope, index: int) -> int | None:
    if envelope.run is not None:
        return envelope.run.trace_id
    if envelope.trace_ids is not None and envelope.trace_ids[index] is not None:
        return envelope.trace_ids[index]
    return item.context.trace_id if isinstance(item, Span) and item.context is not None else None
