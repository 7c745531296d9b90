"""Noise: a fault that lasts is said once, then summed up at most once a minute."""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable
from pathlib import PurePath

__all__ = ["Noise", "Outage", "is_ours", "raised"]

_INTERVAL_S = 60.0


class Noise:
    """Warnings of one lane, at most one of a kind a minute; what was kept back is counted in the next.

    Args:
        log: Where to.
        clock: Monotonic seconds.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._last: dict[str, float] = {}
        self._kept_back: dict[str, int] = {}

    def warn(self, kind: str, message: str, *args: object) -> None:
        """Say `message` unless something of that kind was said within the last minute."""
        now = self._clock()
        if now - self._last.get(kind, -_INTERVAL_S) < _INTERVAL_S:
            self._kept_back[kind] = self._kept_back.get(kind, 0) + 1
            self._log.debug(message, *args)
            return
        self._last[kind] = now
        kept_back = self._kept_back.pop(kind, 0)
        if kept_back:
            message += " (and %d more since the last message)"
            args = (*args, kept_back)
        self._log.warning(message, *args)


class Outage:
    """Says that sending begins to fail, once a minute that it still does, and that the backend answers again.

    A second outage within a minute of the last message is not announced, and neither is its end.

    Args:
        log: Where to.
        name: Who fails.
        clock: Monotonic seconds.
    """

    def __init__(self, log: logging.Logger, name: str, clock: Callable[[], float]) -> None:
        self._log = log
        self._name = name
        self._clock = clock
        self._said_at = -_INTERVAL_S
        self._since: float | None = None
        self._is_announced = False
        self._attempts = 0
        self._waiting = 0

    def failed(self, cause: object, waiting: int, next_s: float) -> None:
        """An attempt has failed for `cause`; `waiting` items are on their way, and the next attempt comes in `next_s`."""
        now = self._clock()
        since = self._since
        if since is None:
            self._since, self._attempts, self._waiting, self._is_announced = now, 0, 0, False
        self._attempts += 1
        self._waiting = max(self._waiting, waiting)
        if now - self._said_at < _INTERVAL_S:
            return
        self._said_at, self._is_announced = now, True
        if since is None:
            self._log.warning(
                "%s: export failed (%s); %d items wait and are sent again in %.1f s",
                self._name, cause, waiting, next_s,
            )  # fmt: skip
        else:
            self._log.warning(
                "%s: export still fails (%s), for %.0f s now: %d attempts, %d items wait; the next attempt is in %.1f s",
                self._name, cause, now - since, self._attempts, waiting, next_s,
            )  # fmt: skip

    def ended(self) -> None:
        """An attempt has got an answer."""
        if self._since is not None and self._is_announced:
            self._log.warning(
                "%s: the backend answers again after %.1f s and %d failed attempts; up to %d items waited",
                self._name, self._clock() - self._since, self._attempts, self._waiting,
            )  # fmt: skip
        self._since = None


def is_ours(exc: BaseException) -> bool:
    """Whether what comes out of someone else's code is meant for us: the running task's cancellation, or Ctrl-C.

    Everything else is theirs and stays at the edge: a `SystemExit` for a missing key, a `CancelledError` of their own, a panic
    in an extension module, which is no `Exception`.
    """
    if not isinstance(exc, asyncio.CancelledError):
        return isinstance(exc, KeyboardInterrupt)
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return False
    return task is not None and task.cancelling() > 0


def raised(exc: BaseException) -> str:
    """An exception for logs: its class and where it was raised, without its text, which may quote a payload or a key."""
    frames = traceback.extract_tb(exc.__traceback__)
    place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(exc).__name__}{place}"
