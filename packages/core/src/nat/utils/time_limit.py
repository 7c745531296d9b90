"""Time limit: how long something may be awaited, at no cost as long as it does not wait at all."""

import asyncio
import types
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

__all__ = ["TimeLimitExceededError", "within"]

T = TypeVar("T")


class TimeLimitExceededError(Exception):
    """What was awaited has not ended in time, and was cancelled."""


async def within(limit_s: float | None, awaitable: Awaitable[T]) -> T:
    """Await something, for `limit_s` seconds at most; `None`: without a limit.

    It is begun at once. A timer is set only if it waits for something, which what only computes never does.

    Raises:
        TimeLimitExceededError: It has not ended in time.
    """
    if limit_s is None:
        return await awaitable
    begun: Any = awaitable.__await__()
    try:
        waits_for = begun.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            rest: T = await _rest(begun, waits_for)
            return rest
    except TimeoutError:
        if limit.expired():
            raise TimeLimitExceededError(f"did not end within {limit_s:g} s") from None
        raise


@types.coroutine
def _rest(begun: Any, waits_for: Any) -> Generator[Any, Any, Any]:
    """What is left of an awaitable that waits for something."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as exc:
            resume, argument = begun.throw, exc
        else:
            resume, argument = begun.send, sent
        try:
            waits_for = resume(argument)
        except StopIteration as done:
            return done.value
