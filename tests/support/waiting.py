"""Waiting for what another process or thread does."""

import threading
import time
from collections.abc import Callable

__all__ = ["PATIENCE_S", "wait_for"]

PATIENCE_S = 60.0
"""What a machine with ten other things to do is given for what takes milliseconds; only a test that fails waits as long."""


def wait_for(
    is_true: Callable[[], bool], timeout_s: float = PATIENCE_S, *, seen: Callable[[], object] = lambda: ""
) -> None:
    """Return as soon as it is; if it never comes true, fail with what is `seen` then."""
    deadline = time.monotonic() + timeout_s
    tick = threading.Event()
    while not is_true():
        assert time.monotonic() < deadline, seen()
        tick.wait(0.02)
