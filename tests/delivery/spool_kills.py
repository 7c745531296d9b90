"""Processes that use a spool, and what is found when one is killed."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nat.observability.delivery.spool import FsyncPolicy, Spool
from tests.delivery.spool_processes import number_of

__all__ = ["killed_while_appending", "line", "process", "tell"]

_PROCESSES = Path(__file__).with_name("spool_processes.py")

Process = subprocess.Popen[str]


@contextmanager
def process(*arguments: object) -> Iterator[Process]:
    command = [sys.executable, str(_PROCESSES), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def line(of: Process) -> list[str]:
    assert of.stdout is not None
    return of.stdout.readline().split()


def tell(to: Process, text: str = "\n") -> None:
    assert to.stdin is not None
    to.stdin.write(text)
    to.stdin.flush()


def killed_while_appending(directory: Path, first: int, fsync: FsyncPolicy) -> None:
    """Kill a process at a random moment: what was appended and not acknowledged comes back, what was acknowledged not."""
    seen: dict[str, set[int]] = {}
    lines_before = random.randrange(1, 120)
    with process("churn", directory, first, fsync) as writer:
        assert writer.stdout is not None
        for number, text in enumerate(writer.stdout):
            verb, *numbers = text.split()
            seen.setdefault(verb, set()).update(map(int, numbers))
            if number == lines_before:
                writer.send_signal(signal.SIGKILL)
    spool = Spool(directory, max_bytes=2**30)

    found = [number_of(data) for _, data in spool.recover()]

    assert len(found) == len(set(found))
    assert seen["appended"] - seen.get("acknowledging", set()) <= set(found)
    assert set(found) <= seen["appending"] - seen.get("acknowledged", set())
    assert spool.counts().corrupt == 0
