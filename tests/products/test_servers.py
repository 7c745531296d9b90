"""Servers of the product tests: what they say when they do not start, and that none outlives the tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT
from tests.products.servers import running_server
from tests.support.waiting import wait_for

_SLEEPING = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
child.wait()
"""
_TESTS = """
import sys, threading
from tests.products.servers import running_server

with running_server("sleeper", [sys.executable, "-c", sys.argv[1]], lambda: True) as server:
    while not server.output:
        threading.Event().wait(0.02)
    print(server.output, flush=True)
    threading.Event().wait()
"""


def test_server_that_ends_is_told_with_its_last_words() -> None:
    command = [sys.executable, "-c", "print('no such store'); raise SystemExit(3)"]

    with pytest.raises(RuntimeError, match="broken ended with 3:\nno such store"):
        with running_server("broken", command, lambda: False):
            pass


def test_server_is_stopped_with_what_it_has_started() -> None:
    with running_server("sleeper", [sys.executable, "-c", _SLEEPING], lambda: True) as server:
        wait_for(lambda: server.output.endswith("\n"))
        child = int(server.output)
        assert _is_running(child)

    wait_for(lambda: not _is_running(child))


def test_server_does_not_outlive_tests_that_are_killed() -> None:
    tests = subprocess.Popen(
        [sys.executable, "-c", _TESTS, _SLEEPING],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with tests:
        assert tests.stdout is not None
        child = int(tests.stdout.readline())
        assert _is_running(child)
        tests.kill()

    wait_for(lambda: not _is_running(child))


def _is_running(pid: int) -> bool:
    """Whether a process is there and no zombie, which nobody may have looked after."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
