"""The ledger: what became of every item that a lane accepted."""

import threading
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Counts", "Ledger"]


@dataclass(frozen=True, slots=True)
class Counts:
    """A reading of a ledger, consistent in itself.

    `accepted + recovered == delivered + rejected + sum(dropped.values()) + dead_lettered + spooled + pending`, always.

    Attributes:
        accepted: Items offered to the lane.
        delivered: Items that the backend acknowledged.
        rejected: Items that the backend refused for good.
        dropped: Items lost on purpose, by reason.
        dead_lettered: Items refused for good and kept.
        spooled: Items on disk, not acknowledged.
        recovered: Items that another process had left on disk, and dead letters that were sent again.
        pending: Items on their way.
    """

    accepted: int = 0
    delivered: int = 0
    rejected: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    dead_lettered: int = 0
    spooled: int = 0
    recovered: int = 0
    pending: int = 0

    @property
    def lost(self) -> int:
        """Items that did not and will not arrive and are not kept."""
        return self.rejected + sum(self.dropped.values())


class Ledger:
    """Counts items by fate. Thread-safe: every transition is one step for readers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accepted = 0
        self._pending = 0
        self._delivered = 0
        self._rejected = 0
        self._dropped: Counter[str] = Counter()
        self._dead_lettered = 0
        self._spooled = 0
        self._recovered = 0
        self._is_settled = False

    def accept(self, count: int = 1) -> None:
        """`count` items came in."""
        with self._lock:
            self._accepted += count
            self._pending += count

    def deliver(self, count: int = 1, *, is_spooled: bool = False) -> None:
        """`count` items were acknowledged: pending ones, or spooled ones."""
        with self._lock:
            if self._take(count, is_spooled):
                self._delivered += count

    def reject(self, count: int = 1, *, is_spooled: bool = False) -> None:
        """`count` items were refused for good."""
        with self._lock:
            if self._take(count, is_spooled):
                self._rejected += count

    def drop(self, reason: str, count: int = 1, *, is_spooled: bool = False) -> None:
        """`count` items are lost, for that reason."""
        with self._lock:
            if self._take(count, is_spooled):
                self._dropped[reason] += count

    def dead_letter(self, count: int = 1, *, is_spooled: bool = False) -> None:
        """`count` items were refused for good and kept."""
        with self._lock:
            if self._take(count, is_spooled):
                self._dead_lettered += count

    def spool(self, count: int = 1) -> None:
        """`count` pending items are on disk."""
        with self._lock:
            if self._take(count, is_spooled=False):
                self._spooled += count

    def unspool(self, count: int = 1) -> None:
        """`count` spooled items are in memory only again: somebody has removed what was on disk."""
        with self._lock:
            if self._take(count, is_spooled=True):
                self._pending += count

    def recover(self, count: int = 1) -> None:
        """`count` items were found on disk: as spooled ones, on their way from now on."""
        with self._lock:
            self._recovered += count
            self._spooled += count

    def _take(self, count: int, is_spooled: bool) -> bool:
        """Take items from where they were; false if that was given up already. Locked."""
        if self._is_settled:
            return False
        if is_spooled:
            self._spooled -= count
        else:
            self._pending -= count
        return True

    def settle(self, reason: str) -> int:
        """Everything pending is lost, for that reason; what becomes of it after all comes too late. Returns how much it was."""
        with self._lock:
            left, self._pending = self._pending, 0
            self._is_settled = True
            if left:
                self._dropped[reason] += left
            return left

    def refuse(self, reason: str, count: int = 1) -> None:
        """`count` items were offered and not taken in, for that reason."""
        with self._lock:
            self._accepted += count
            self._dropped[reason] += count

    @property
    def pending(self) -> int:
        """Items on their way."""
        return self._pending

    @property
    def waiting(self) -> int:
        """Items that wait to be delivered: those on their way, and those on disk."""
        with self._lock:
            return self._pending + self._spooled

    def counts(self, *, waiting: int = 0, refused: int = 0) -> Counts:
        """A reading; `waiting` items are still in the intake, `refused` ones did not fit into it."""
        with self._lock:
            dropped = dict(self._dropped)
            if refused:
                dropped["queue_full"] = dropped.get("queue_full", 0) + refused
            return Counts(
                accepted=self._accepted + waiting + refused,
                delivered=self._delivered,
                rejected=self._rejected,
                dropped=dropped,
                dead_lettered=self._dead_lettered,
                spooled=self._spooled,
                recovered=self._recovered,
                pending=self._pending + waiting,
            )
