"""Processes killed at random moments for as long as we are given: the spool keeps what it said it had."""

import shutil
import time
from pathlib import Path

import pytest

from nat.observability.delivery.spool import FsyncPolicy
from tests.delivery.spool_kills import killed_while_appending


@pytest.mark.parametrize("fsync", ["never", "batch", "always"])
def test_no_kill_loses_what_was_kept(tmp_path: Path, fsync: FsyncPolicy, seconds_per_test: float) -> None:
    end = time.monotonic() + seconds_per_test
    number = 0
    while time.monotonic() < end:
        number += 1
        killed_while_appending(tmp_path / "spool", number * 1_000_000, fsync)
        shutil.rmtree(tmp_path / "spool")
