"""An event loop whose time jumps: waiting costs nothing, and how long something waited is exact.

For what waits on the loop itself, such as an exporter that a test starts there; not for sockets and other threads, whose
time is the real one.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["now", "run", "settle", "sleep", "until"]

T = TypeVar("T")


class _Jumping(selectors.SelectSelector):
    """Never waits: the time that it is to wait is over at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "virtual time: every task waits for something that will never happen"
            self.now += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time, which begins at 0."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(coroutine)


def now() -> float:
    """Virtual seconds since the beginning."""
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let everything happen that needs no time to pass."""
    for _ in range(100):
        await asyncio.sleep(0)


async def sleep(seconds: float) -> None:
    """Let time pass."""
    await asyncio.sleep(seconds)


async def until(is_true: Callable[[], bool]) -> None:
    """Let time pass, a tenth of a second at a time, until something is true."""
    while not is_true():
        await sleep(0.1)
