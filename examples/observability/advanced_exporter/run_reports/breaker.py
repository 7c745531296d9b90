"""Circuit breaker: a target that fails again and again is left alone for a while."""

import time
from collections.abc import Callable
from typing import Literal

__all__ = ["Breaker"]


class Breaker:
    """Closed, everything passes; open, nothing does; half-open, one request does, and decides what comes next.

    Args:
        failures: In a row, which open it.
        open_for_s: Seconds until a request may try again.
        clock: Monotonic seconds.
    """

    def __init__(self, failures: int, open_for_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._open_for_s = open_for_s
        self._clock = clock
        self._failures = 0
        self._opened_at_s: float | None = None
        self._is_probing = False

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """Where it is now."""
        if self._opened_at_s is None:
            return "closed"
        is_over = self._clock() - self._opened_at_s >= self._open_for_s
        return "half-open" if is_over or self._is_probing else "open"

    def lets_pass(self) -> bool:
        """Whether a request may be made now; whoever makes it says how it went."""
        if self.state != "half-open":
            return self.state == "closed"
        if self._is_probing:
            return False
        self._is_probing = True
        return True

    def succeeded(self) -> None:
        """The target has answered."""
        self._failures = 0
        self._opened_at_s = None
        self._is_probing = False

    def failed(self) -> None:
        """It has not, or not with an answer that means anything."""
        self._failures += 1
        if self._is_probing or self._failures >= self._limit:
            self._opened_at_s = self._clock()
        self._is_probing = False
