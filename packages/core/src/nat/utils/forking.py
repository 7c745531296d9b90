"""Fork: what a forked child must find free, and what it must never touch."""

import os
import threading
from typing import Any
from weakref import WeakSet

__all__ = ["keep_for_ever", "new_lock", "new_rlock"]

_locks: "WeakSet[Any]" = WeakSet()


def new_lock() -> threading.Lock:
    """A lock that is free in a forked child, even if another thread of the parent held it at that moment."""
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def new_rlock() -> "threading.RLock":
    """A reentrant lock that is free in a forked child."""
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def keep_for_ever(*inherited: object) -> None:
    """Never free these objects, not even when the interpreter ends.

    A forked child shares open connections and the event loops' selectors with its parent. Freeing a client there would say
    goodbye to the parent's server, and take the parent's sockets out of the selector that both use.
    """
    import ctypes  # only in a child that has something to keep

    for item in inherited:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(item))


def _free_locks() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # as `logging` and `threading` do with theirs


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_locks)
