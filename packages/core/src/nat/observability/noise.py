"""Noise: a fault that lasts is said once, then summed up at most once a minute."""

import logging
import time
import traceback
from collections.abc import Callable
from pathlib import PurePath

__all__ = ["Noise", "raised"]

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


def raised(exc: BaseException) -> str:
    """An exception for logs: its class and where it was raised, without its text, which may quote a payload or a key."""
    frames = traceback.extract_tb(exc.__traceback__)
    place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(exc).__name__}{place}"
