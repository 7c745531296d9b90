"""The 40 recorded chats, where they are."""

import os
from pathlib import Path

import pytest

from nat.testing import RecordedRun, read_chats

__all__ = ["recorded_chats"]

_FOLDER_VARIABLE = "NAT_TEST_DATA"


def recorded_chats() -> list[RecordedRun]:
    """The 40 recorded chats; a test that asks for them is skipped where they are not."""
    file = Path(os.environ.get(_FOLDER_VARIABLE) or ".") / "agent_runs.jsonl"
    if not file.is_file():
        pytest.skip(f"{_FOLDER_VARIABLE} names no folder with {file.name}")
    return read_chats(file)
