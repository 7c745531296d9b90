"""A hot observable: what is pushed goes to everybody who subscribed before."""

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from nat.utils.forking import new_rlock

__all__ = ["OnComplete", "OnError", "OnNext", "Subject", "Subscription", "guarded", "lock"]

_log = logging.getLogger("nat.observability.stream")

T = TypeVar("T")

OnNext = Callable[[T], object]
OnError = Callable[[BaseException], object]
OnComplete = Callable[[], object]


lock = new_rlock()
"""For changes of who hears what: they are short, and a lock for each subject would cost every run.

Reentrant, since the garbage collector may run somebody's clean-up in the middle.
"""


class Subscription:
    """One subscriber's registration; `unsubscribe()` ends it and may be called more than once, from any thread."""

    __slots__ = ("_end",)

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def unsubscribe(self) -> None:
        """Receive nothing more."""
        self._end()


class Subject(Generic[T]):
    """Passes values to its subscribers at once, on the thread that pushes them. Thread-safe.

    One subscriber's exception is logged and never reaches the next subscriber or the pushing code.
    """

    def __init__(self) -> None:
        self._observers: tuple[tuple[OnNext[T], OnError | None, OnComplete | None], ...] = ()
        self._is_complete = False

    def subscribe(
        self, on_next: OnNext[T], on_error: OnError | None = None, on_complete: OnComplete | None = None
    ) -> Subscription:
        """Call `on_next` with every value pushed from now on.

        Subscribing to a completed subject calls `on_complete` at once.
        """
        observer = (on_next, on_error, on_complete)
        with lock:
            if not self._is_complete:
                self._observers += (observer,)
                return Subscription(lambda: self._remove(observer))
        if on_complete is not None:
            guarded(on_complete)
        return Subscription(lambda: None)

    def on_next(self, value: T) -> None:
        """Push one value; ignored after completion."""
        for on_next, _, _ in self._observers:
            guarded(on_next, value)

    def on_error(self, exc: BaseException) -> None:
        """Tell every subscriber of an error; the subject goes on."""
        for _, on_error, _ in self._observers:
            if on_error is not None:
                guarded(on_error, exc)

    def on_complete(self) -> None:
        """End the stream: subscribers are told once and released."""
        with lock:
            observers, self._observers = self._observers, ()
            self._is_complete = True
        for _, _, on_complete in observers:
            if on_complete is not None:
                guarded(on_complete)

    def _remove(self, observer: object) -> None:
        with lock:
            self._observers = tuple(kept for kept in self._observers if kept is not observer)


def guarded(call: Callable[..., object], *args: object) -> None:
    """Call somebody else's function; its exception is logged and goes no further."""
    try:
        call(*args)
    except Exception as exc:
        _log.warning("event stream: a subscriber raised %s; the others and the workflow go on", type(exc).__name__)
