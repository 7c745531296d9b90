"""Dead letters in any number of directories."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from nat.cli.errors import CommandFailed
from nat.observability.delivery.dead_letters import DeadLetter, DeadLetters

__all__ = ["FoundLetter", "find_letters", "store_in", "unknown_letter"]


class FoundLetter(NamedTuple):
    """A dead letter, and the directory that it is in."""

    place: Path
    letter: DeadLetter


def store_in(place: Path) -> DeadLetters:
    """The dead letters of a directory, to read and remove."""
    return DeadLetters(place, max_bytes=1)  # nothing is added


def find_letters(
    places: Sequence[Path],
    ids: Collection[str] = (),
    *,
    exporter: str | None = None,
    run: str | None = None,
    older_than_s: float | None = None,
) -> list[FoundLetter]:
    """The letters that fit the filters, by directory and exporter, oldest first; of these the ones with `ids` if there are any.

    Raises:
        CommandFailed: One that is named is not there, or does not fit.
    """
    found = [
        FoundLetter(place, letter)
        for place in places
        for letter in store_in(place).entries(exporter=exporter, run=run, older_than_s=older_than_s)
    ]
    if not ids:
        return found
    missing = set(ids) - {each.letter.id for each in found}
    if missing:
        raise unknown_letter(*sorted(missing))
    return [each for each in found if each.letter.id in ids]


def unknown_letter(*letter_ids: str) -> CommandFailed:
    """What to raise for ids of no letter."""
    named = ", ".join(map(repr, letter_ids))
    return CommandFailed(f"no dead letter {named} fits; `nat dead-letters list` lists them.")
