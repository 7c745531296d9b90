"""The examples that are packages: installed from their wheels they are there, and their commands work."""

from pathlib import Path

import pytest

from nat.testing import FakeBackend, faults
from tests.wheels.clean import CleanEnvironment, Once, install_into
from tools.build_wheels import build_project

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def with_run_reports(once: Once, dist: Path) -> CleanEnvironment:
    """A clean environment with `nat-telemetry` and the advanced example."""

    def make(path: Path) -> None:
        wheels = path.with_name("run_reports_dist")
        build_project(EXAMPLES / "observability/advanced_exporter", wheels)
        install_into(path, ["nat-telemetry", "nat-run-reports"], [dist, wheels])

    return CleanEnvironment(once("with_run_reports", make))


def test_the_advanced_exporter_is_installed_from_its_wheel(with_run_reports: CleanEnvironment, tmp_path: Path) -> None:
    """It is listed, runs without being named under `plugins`, and what a target refuses is sent again by its command."""
    (tmp_path / "agent.py").write_text("def answer(question: str) -> str:\n    raise LookupError(question)\n")
    with FakeBackend(path="/archive") as archive, FakeBackend(path="/alerts") as alerts:
        (tmp_path / "workflow.yaml").write_text(
            "workflow: {entrypoint: './agent.py:answer'}\n"
            "general: {telemetry: {tracing: {reports: "
            f"{{_type: run_reports, archive_url: '{archive.url}', alert_url: '{alerts.url}'}}"
            "}}}\n"
        )
        alerts.plan(faults.status(503))

        run = with_run_reports.run("nat", "run", "--config_file", "workflow.yaml", "--input", "why?", cwd=tmp_path)
        letters = "run-reports.dead.jsonl"
        replayed = with_run_reports.run("run-reports-replay", letters, f"alerts={alerts.url}", cwd=tmp_path)

    listed = with_run_reports.run("nat", "info", "components", "-t", "tracing")
    assert "nat-run-reports" in listed.stdout
    assert "run_reports" in listed.stdout
    assert run.returncode == 1, "the workflow fails"
    assert archive.requests[0].json()["error"] == "LookupError: why?"
    assert (replayed.returncode, replayed.stdout) == (0, f"1 sent, 0 kept in {letters}\n"), replayed.stderr
    assert [request.json()["alerts"] for request in alerts.acknowledged] == [["the run failed"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["__pycache__", "agent.py", "workflow.yaml"]
