"""Waiting for what another process or thread does."""

import threading
import time
from collections.abc import Callable

__all__ = ["wait_for"]


def wait_for(is_true: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Return as soon as it is."""
    deadline = time.monotonic() + timeout_s
    tick = threading.Event()
    while not is_true():
        assert time.monotonic() < deadline
        tick.wait(0.02)
