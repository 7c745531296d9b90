"""Threads and open files of this process that were not there before."""

import os
import threading
from collections import Counter
from contextlib import suppress

from tests.support.waiting import PATIENCE_S, wait_for

__all__ = ["LeftBehind"]


class LeftBehind:
    """What is there now that was not there when this was made.

    Tests run one after the other in a process, and what an earlier one started may end at any moment: so the two
    moments are compared by what is there, and not by how much.
    """

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._files = _open_files()

    def assert_nothing(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the threads that came have left, and the files that were opened are closed."""
        wait_for(lambda: not self._left(), timeout_s, seen=self._left)

    def _left(self) -> list[str]:
        return [*self.threads(), *self.files()]

    def threads(self) -> list[str]:
        """Names of those that have come."""
        return sorted(thread.name for thread in set(threading.enumerate()) - self._threads)

    def files(self) -> list[str]:
        """Paths, pipes and sockets that have been opened."""
        return sorted((_open_files() - self._files).elements())


def _open_files() -> Counter[str]:
    found: Counter[str] = Counter()
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a path's iterdir() is still open while it is read
        with suppress(FileNotFoundError):  # that of the listing itself
            found[os.readlink(f"/proc/self/fd/{descriptor}")] += 1  # noqa: PTH115 - pipes and sockets are no paths
    return found
