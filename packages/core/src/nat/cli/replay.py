"""Dead letters sent again through the exporters of a workflow file, and what became of each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from nat.cli.errors import EXIT_FAILURE
from nat.cli.letters import FoundLetter, store_in
from nat.cli.sending import Sending
from nat.cli.tables import aligned
from nat.data_models.delivery import DeadLettersConfig, DeliveryConfig, SpoolConfig
from nat.observability.delivery.options import directory_of
from nat.observability.registry import ExporterEntry

__all__ = ["Fate", "Outcome", "Replay"]


class Outcome(StrEnum):
    """What became of a letter."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    LEFT = "left"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a letter, and why it stays, if that is known."""

    outcome: Outcome
    why: str | None = None


class Replay:
    """Sends dead letters again; for one `nat dead-letters replay`.

    Args:
        config_file: Where the exporters are from, for messages.
        entries: The exporters. Their spools are left alone.
        directory: Where the letters of all of them are; `None`: where each one's settings say, also if they switch letters off.
    """

    def __init__(self, config_file: Path, entries: Sequence[ExporterEntry], directory: Path | None = None) -> None:
        self._config_file = config_file
        self._entries = {entry.name: _with_letters(entry, directory) for entry in entries}
        self._chosen: list[FoundLetter] = []
        self._sending: Sending | None = None
        self._still_there: set[str] = set()

    @property
    def places(self) -> list[Path]:
        """Where the exporters' letters are."""
        return list(dict.fromkeys(map(_place_of, self._entries.values())))

    def choose(self, chosen: Sequence[FoundLetter]) -> list[str]:
        """Take these letters; a message for each exporter whose letters cannot be sent."""
        self._chosen = list(chosen)
        stuck = Counter((each.letter.exporter, obstacle) for each in chosen if (obstacle := self._obstacle(each)))
        return [f"{count} dead letters of {name!r} stay: {obstacle}." for (name, obstacle), count in stuck.items()]

    @property
    def sendable_count(self) -> int:
        """How many of the letters can be sent."""
        return sum(self._obstacle(each) is None for each in self._chosen)

    def run(self, timeout_s: float) -> None:
        """Send the letters, until all have met their fate or none has for so many seconds."""
        by_exporter: dict[str, list[str]] = {}
        count = 0
        for each in self._chosen:
            if self._obstacle(each) is None:
                by_exporter.setdefault(each.letter.exporter, []).append(each.letter.id)
                count += each.letter.count
        if by_exporter:
            self._sending = Sending([self._entries[name] for name in by_exporter], timeout_s=timeout_s)
            self._sending.run(count, by_exporter)
        self._still_there = {letter.id for place in self.places for letter in store_in(place).entries()}

    @property
    def exit_code(self) -> int:
        """0 if everything was delivered."""
        interrupted = None if self._sending is None else self._sending.exit_code
        is_complete = all(fate.outcome is Outcome.DELIVERED for fate in self.fates())
        return interrupted or (0 if is_complete else EXIT_FAILURE)

    def fates(self) -> list[Fate]:
        """What became of each letter, in the order in which they were chosen."""
        known = (
            {} if self._sending is None else {name: self._sending.letter_fates(name) for name in self._sending.status}
        )
        return [self._fate(each, known.get(each.letter.exporter, {})) for each in self._chosen]

    def summary(self) -> list[str]:
        """A table of items by exporter, and why letters stay."""
        items: dict[str, Counter[Outcome]] = {}
        whys: dict[str, Counter[str]] = {}
        for each, fate in zip(self._chosen, self.fates(), strict=True):
            items.setdefault(each.letter.exporter, Counter())[fate.outcome] += each.letter.count
            if fate.why is not None:
                whys.setdefault(each.letter.exporter, Counter())[fate.why] += 1
            elif fate.outcome is Outcome.GONE:
                whys.setdefault(each.letter.exporter, Counter())["removed by another process"] += 1
        columns = (Outcome.DELIVERED, Outcome.REFUSED, Outcome.LEFT)
        rows = [["exporter", *columns, ""]]
        for name, counts in items.items():
            notes = [why if count == 1 else f"{why} ({count} letters)" for why, count in whys.get(name, {}).items()]
            rows.append([name, *(f"{counts[outcome]:,}" for outcome in columns), "; ".join(notes)])
        return aligned(rows, numbers=(1, 2, 3))

    def _fate(self, found: FoundLetter, known: dict[str, str | None]) -> Fate:
        letter_id = found.letter.id
        obstacle = self._obstacle(found)
        if obstacle is not None:
            return Fate(Outcome.LEFT, obstacle)
        if letter_id in known:
            why = known[letter_id]
            return Fate(Outcome.DELIVERED if why is None else Outcome.REFUSED, why)
        if letter_id not in self._still_there:
            return Fate(Outcome.GONE)
        status = None if self._sending is None else self._sending.status[found.letter.exporter]
        return Fate(Outcome.LEFT, None if status is None or status.reason is None else f"disabled: {status.reason}")

    def _obstacle(self, found: FoundLetter) -> str | None:
        """Why a letter cannot be sent; `None` if it can."""
        entry = self._entries.get(found.letter.exporter)
        if entry is None:
            return f"{self._config_file} has no exporter of that name that is enabled"
        place = _place_of(entry)
        if place != found.place:
            return f"they are in {found.place}, and {self._config_file} says {place}; give --directory {found.place}"
        return None


def _place_of(entry: ExporterEntry) -> Path:
    return directory_of("dead-letters", entry.delivery)


def _with_letters(entry: ExporterEntry, directory: Path | None) -> ExporterEntry:
    """The entry with dead letters, in `directory` or where it says, and without a spool: what it sends is on disk already."""
    place = directory_of("dead-letters", entry.delivery) if directory is None else directory.absolute()
    own = DeliveryConfig(
        dead_letters=DeadLettersConfig(enabled=True, directory=str(place)), spool=SpoolConfig(enabled=False)
    )
    return replace(entry, delivery=own if entry.delivery is None else own.over(entry.delivery))
