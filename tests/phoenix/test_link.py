"""`nat run` says where a run can be looked at."""

import subprocess
from pathlib import Path

import pytest

from nat.testing import FakeBackend, closed_url
from tests.cli.command import NAT

WORKFLOW = """
workflow: {{entrypoint: "flow:answer"}}
general:
  telemetry:
    delivery: {{retry: {{max_retries: 0}}}}
    tracing:
      phoenix: {{_type: phoenix, endpoint: "{endpoint}"}}
      to_file: {{_type: file, output_path: trace.jsonl}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flow.py").write_text("def answer(question):\n    return question\n")
    (tmp_path / "inputs.jsonl").write_text('"one"\n"two"\n')
    return tmp_path


def run(folder: Path, endpoint: str, *given: str) -> str:
    (folder / "workflow.yaml").write_text(WORKFLOW.format(endpoint=endpoint))
    command = [NAT, "run", "--config_file", "workflow.yaml", *given]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=180)
    return done.stderr


def test_the_summary_has_a_link_to_the_run(folder: Path) -> None:
    """One for each backend that has a page for it, and none for the others."""
    with FakeBackend() as backend:
        said = run(folder, backend.base_url, "--input", "hello")
        (span,) = backend.spans

    links = [line for line in said.splitlines() if line.startswith("trace in ")]
    assert links == [f"trace in phoenix: {backend.base_url}/redirects/traces/{span.trace_id}"]


def test_a_backend_that_has_nothing_of_the_run_gets_no_link(folder: Path) -> None:
    assert "trace in" not in run(folder, closed_url(), "--input", "hello")


def test_many_runs_get_no_links(folder: Path) -> None:
    with FakeBackend() as backend:
        assert "trace in" not in run(folder, backend.base_url, "--input_file", "inputs.jsonl")
