"""Programs that end without a word: a live backend, addressed by name, gets everything all the same."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.delivery.programs import end_group, read_spans, run_program, start_program
from tests.runs.scripts import nat_command
from tests.support.http_backend import HttpBackend, running_backend
from tests.support.waiting import PATIENCE_S

SPANS = 300

PROGRAM = f"""\
import sys
from nat.observability import Telemetry, step
from sender import SenderConfig

telemetry = Telemetry(SenderConfig(url=sys.argv[1]))
with telemetry.run("agent"):
    for number in range({SPANS}):
        with step(f"work {{number}}"):
            pass
"""

AGENT = f"""\
import asyncio
import sender
from nat.observability import step

async def answer(question):
    for number in range({SPANS}):
        with step(f"work {{number}}"):
            pass
    print("ready", flush=True)
    await asyncio.sleep(600)
"""


@pytest.fixture
def backend() -> Iterator[HttpBackend]:
    with running_backend() as backend:
        yield backend


def by_name(backend: HttpBackend) -> str:
    """Its address with a host name, which has to be resolved while the interpreter exits."""
    return backend.url.replace("127.0.0.1", "localhost")


EXPECTED = Counter(["agent", *(f"work {number}" for number in range(SPANS))])


def test_a_program_of_ten_lines_that_never_flushes(tmp_path: Path, backend: HttpBackend) -> None:
    result = run_program(PROGRAM, tmp_path, by_name(backend))

    assert (result.returncode, result.stderr) == (0, "")
    assert Counter(span["name"] for span in read_spans(backend)) == EXPECTED


def test_a_program_killed_by_sigterm_under_nat_run(tmp_path: Path, backend: HttpBackend) -> None:
    (tmp_path / "agent.py").write_text(AGENT, encoding="utf-8")
    (tmp_path / "workflow.yaml").write_text(
        "workflow: {entrypoint: ./agent.py:answer, name: agent}\n"
        f"general: {{telemetry: {{tracing: {{backend: {{_type: test_sender, url: '{by_name(backend)}'}}}}}}}}\n",
        encoding="utf-8",
    )
    process = start_program([*nat_command(), "run", "--config_file", "workflow.yaml", "--input", "why?"], tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        end_group(process)

    assert process.returncode == 128 + signal.SIGTERM, output
    assert Counter(span["name"] for span in read_spans(backend)) == EXPECTED
