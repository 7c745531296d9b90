"""Programs that end: nothing that was captured is left out of the file, however they do it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.runs.scripts import nat_command, run_script, unmeasured

TRIES = 20

SETUP = """\
import sys, threading
from nat.observability import Telemetry, carry_context, step
from nat.plugins.file.register import FileConfig

telemetry = Telemetry(FileConfig(output_path="trace.jsonl", format="spans")).start()

def run(number):
    with telemetry.run(f"run {number}"):
        for index in range(3):
            with step("call", kind="llm", input="question") as call:
                call.output = "answer"

"""

AGENT = """\
from nat.observability import step

def answer(question):
    with step("call", kind="llm", input=question) as call:
        call.output = "answer"
    with step("search", kind="tool", input={"q": question}) as search:
        search.output = ["found"]
    return "done"
"""

WORKFLOW = """\
workflow: {entrypoint: ./agent.py:answer}
general:
  telemetry:
    tracing:
      steps: {_type: file, output_path: steps.jsonl}
      spans: {_type: file, output_path: trace.jsonl, format: spans}
"""

ENDINGS = {
    "falls off the end": ("run(0)", 0),
    "calls sys.exit": ("run(0)\nsys.exit(3)", 3),
    "raises": ("run(0)\nraise ValueError('no')", 1),
    "ends while a thread still works": (
        """
gate = threading.Event()
def late():
    gate.wait()
    run(0)
threading.Thread(target=late).start()
gate.set()
""",
        0,
    ),
}


def spans_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trace.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_program_that_closes_nothing_leaves_a_complete_file(tmp_path: Path, ending: str) -> None:
    source, code = ENDINGS[ending]

    result = run_script(SETUP + source, tmp_path)

    assert result.returncode == code, result.stderr
    assert [span["name"] for span in spans_in(tmp_path)] == ["call", "call", "call", "run 0"]


def test_three_hundred_runs_flat_out_are_all_in_the_file(tmp_path: Path) -> None:
    result = run_script(SETUP + "for number in range(300): run(number)", tmp_path)

    assert (result.returncode, result.stderr) == (0, "")
    spans = spans_in(tmp_path)
    assert len(spans) == 300 * 4
    assert len({span["trace_id"] for span in spans}) == 300


def test_nat_run_leaves_every_event_in_the_file_every_time(tmp_path: Path) -> None:
    """In 20 of 20 tries: six step events and three spans a run."""
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "workflow.yaml").write_text(WORKFLOW)
    command = [*nat_command(), "run", "--config_file", "workflow.yaml", "--input", "why?"]

    for attempt in range(1, TRIES + 1):
        result = subprocess.run(
            command, cwd=tmp_path, env=unmeasured(), capture_output=True, text=True, check=False, timeout=180
        )

        assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
        assert len((tmp_path / "steps.jsonl").read_text().splitlines()) == 6 * attempt
        assert [span["name"] for span in spans_in(tmp_path)] == ["call", "search", "answer"] * attempt
