"""Dead letters: reports that a target did not take, a line each, in a file from which they can be sent again."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["DeadLetterFile", "Letter"]


@dataclass(frozen=True, slots=True)
class Letter:
    """One report that one target did not take, and why."""

    target: str
    reason: str
    report: dict[str, Any]


class DeadLetterFile:
    """Blocking: call it on a thread. Processes may share a file, since a letter is one write at its end.

    Args:
        path: The file; made, with its folder, when there is a letter.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, letter: Letter) -> None:
        """Keep a letter: it is on disk on return.

        Raises:
            OSError: It is not.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(asdict(letter)).encode() + b"\n"
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.write(file, line) != len(line):
                raise OSError(f"{self._path}: a letter was written in part only")
            os.fsync(file)
        finally:
            os.close(file)

    def replay(self, send: Callable[[Letter], str | None]) -> tuple[int, int]:
        """Send all letters again: those that are taken are gone, the others stay.

        The file is put aside first, so that an exporter may go on writing to it. Should this process die, the rest is in the
        file that was put aside, and the next replay begins with it.

        Args:
            send: Returns why a letter is not taken, or `None`.

        Returns:
            How many were taken, and how many stay.
        """
        aside = self._path.with_name(f"{self._path.name}.replaying")
        if not aside.exists():
            with suppress(FileNotFoundError):
                self._path.rename(aside)
        taken = kept = 0
        for letter in _read(aside):
            reason = send(letter)
            if reason is None:
                taken += 1
            else:
                kept += 1
                self.append(Letter(letter.target, reason, letter.report))
        aside.unlink(missing_ok=True)
        return taken, kept


def _read(path: Path) -> list[Letter]:
    """The letters in a file; a line that a crash has cut short is passed over."""
    letters = []
    with suppress(FileNotFoundError):
        for line in path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, TypeError):
                letters.append(Letter(**json.loads(line)))
    return letters
