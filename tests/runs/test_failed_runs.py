"""Runs that fail: the trace is complete and says so, and the exit code does too."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runs.scripts import nat_command
from tests.support.waiting import wait_for

AGENT = """\
import asyncio
import threading
from pathlib import Path

from nat.observability import carry_context, step


def raises(question):
    with step("outer"), step("inner", kind="tool", input=question):
        raise LookupError("nothing found")


async def is_cancelled(question):
    with step("waits"):
        asyncio.current_task().cancel()
        await asyncio.sleep(600)


def leaves_a_thread_behind(question):
    def never_ends():
        with step("stuck", kind="tool"):
            started.set()
            threading.Event().wait()

    started = threading.Event()
    threading.Thread(target=carry_context(never_ends), daemon=True).start()
    started.wait()
    return "answer"


async def waits(question):
    with step("waits"):
        Path("started").touch()
        await asyncio.sleep(600)


def blocks(question):
    with step("waits"):
        Path("started").touch()
        threading.Event().wait()
"""

WORKFLOW = """\
workflow: {{entrypoint: ./agent.py:{function}}}
general:
  telemetry:
    tracing:
      spans: {{_type: file, output_path: trace.jsonl, format: spans}}
"""


def command(folder: Path, function: str) -> list[str]:
    (folder / "agent.py").write_text(AGENT)
    (folder / "workflow.yaml").write_text(WORKFLOW.format(function=function))
    return [*nat_command(), "run", "--config_file", "workflow.yaml", "--input", "why?"]


def trace(folder: Path) -> dict[str, dict[str, Any]]:
    """The spans by name, after checking that they are one whole tree."""
    spans = [json.loads(line) for line in (folder / "trace.jsonl").read_text(encoding="utf-8").splitlines()]
    ids = {span["span_id"] for span in spans}
    assert len({span["trace_id"] for span in spans}) == 1
    assert [span for span in spans if span["parent_span_id"] is None] == spans[-1:]
    assert all(span["parent_span_id"] in ids for span in spans[:-1])
    return {span["name"]: span for span in spans}


def run(folder: Path, function: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(folder, function), cwd=folder, capture_output=True, text=True, check=False, timeout=180
    )


def test_a_run_that_raises(tmp_path: Path) -> None:
    result = run(tmp_path, "raises")

    spans = trace(tmp_path)
    assert result.returncode == 1
    assert "LookupError: nothing found" in result.stderr
    assert set(spans) == {"inner", "outer", "raises"}
    for span in spans.values():
        assert span["status"] == {"code": "ERROR", "message": "nothing found"}
        assert span["attributes"]["error.type"] == "LookupError"
        [event] = span["events"]
        assert event["name"] == "exception"
        assert event["attributes"]["exception.type"] == "LookupError"
        assert event["attributes"]["exception.message"] == "nothing found"
        assert 'raise LookupError("nothing found")' in event["attributes"]["exception.stacktrace"]


def test_a_run_that_is_cancelled(tmp_path: Path) -> None:
    result = run(tmp_path, "is_cancelled")

    spans = trace(tmp_path)
    assert result.returncode not in (0, 2)
    assert set(spans) == {"waits", "is_cancelled"}
    assert {span["status"]["code"] for span in spans.values()} == {"ERROR"}
    assert {span["attributes"]["error.type"] for span in spans.values()} == {"asyncio.exceptions.CancelledError"}


def test_a_run_whose_thread_never_ends_a_step(tmp_path: Path) -> None:
    result = run(tmp_path, "leaves_a_thread_behind")

    spans = trace(tmp_path)
    assert result.returncode == 1
    assert "stuck" in result.stderr
    assert spans["stuck"]["status"]["code"] == "ERROR"
    assert spans["stuck"]["attributes"]["nat.span.incomplete"] is True
    assert spans["leaves_a_thread_behind"]["status"] == {
        "code": "ERROR",
        "message": "1 step(s) never ended: 'stuck'",
    }


@pytest.mark.parametrize("function", ["waits", "blocks"])
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted(tmp_path: Path, function: str, signal_number: int) -> None:
    """Ctrl-C and a termination end the run as failed, also where it blocks in a thread."""
    process = subprocess.Popen(
        command(tmp_path, function), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: (tmp_path / "started").exists() or process.poll() is not None)
    os.kill(process.pid, signal_number)
    _, errors = process.communicate(timeout=180)

    spans = trace(tmp_path)
    assert process.returncode not in (0, 2), errors
    assert "Traceback" not in errors
    assert set(spans) == {"waits"} if function == "waits" else {"waits", "blocks"}
    assert {span["status"]["code"] for span in spans.values()} == {"ERROR"}


assert sys.platform != "win32", "these tests send POSIX signals"
