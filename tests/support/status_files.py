"""Status files as other processes leave them."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["exporter_fields", "locked", "status_content", "write_status_file"]


def exporter_fields(name: str = "prod", **changes: Any) -> dict[str, Any]:
    """What a status file says of an exporter that has not done anything."""
    counts = ("accepted", "delivered", "rejected", "dead_lettered", "spooled", "recovered", "pending")
    fields: dict[str, Any] = {"name": name, "type": "file", "state": "running", "reason": None, "dropped": {}}
    return {**fields, **dict.fromkeys(counts, 0), **changes}


def status_content(*exporters: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """All of a status file."""
    content = {
        "schema_version": 1,
        "pid": 4711,
        "process_name": "agent.py",
        "state": "running",
        "started_at": 1_769_860_862.0,  # 31 January 2026, 12:01:02 UTC
        "written_at": 1_769_860_922.0,
        "exporters": list(exporters),
    }
    return {**content, **changes}


def write_status_file(directory: Path, content: dict[str, Any], *, written_at: float | None = None) -> Path:
    """A file of a process that is gone, last written at that time."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{content['pid']}-{os.urandom(4).hex()}.json"
    path.write_text(json.dumps(content))
    if written_at is not None:
        os.utime(path, (written_at, written_at))
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file as a process does that runs."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
