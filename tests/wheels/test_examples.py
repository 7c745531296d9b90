"""The examples that are packages: installed from their wheels they are there, and their commands and tests work."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from nat.testing import FakeBackend, faults
from tests.wheels.clean import CleanEnvironment, Once, install_into
from tools import environments
from tools.build_wheels import build_project

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
THIRD_PARTY = EXAMPLES / "third_party_exporter"


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


@pytest.fixture(scope="module")
def with_duckdb(once: Once, dist: Path) -> CleanEnvironment:
    """A clean environment with `nat-telemetry`, the third party's exporter, and what its tests need."""

    def make(path: Path) -> None:
        wheels = path.with_name("duckdb_dist")
        build_project(THIRD_PARTY, wheels)
        wheelhouse = environments.installed("duckdb").wheelhouse
        install_into(path, ["nat-telemetry", "nat-duckdb[test]"], [dist, wheels, wheelhouse])

    return CleanEnvironment(once("with_duckdb", make))


@pytest.mark.contract("S2", "S17")
@pytest.mark.timeout(300)
def test_the_third_partys_own_tests_pass(with_duckdb: CleanEnvironment, tmp_path: Path) -> None:
    """Those that it inherits and those about DuckDB, against the installed wheel."""
    shutil.copytree(THIRD_PARTY / "tests", tmp_path / "tests")

    done = with_duckdb.run("python", "-m", "pytest", "-q", "-W", "error", "tests", cwd=tmp_path, timeout_s=280.0)

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_third_partys_readme_is_as_it_says(with_duckdb: CleanEnvironment, tmp_path: Path) -> None:
    """Its commands, one after the other, print what is shown there, but for times and ids."""
    for file in ("shop.py", "workflow.yaml"):
        shutil.copy(THIRD_PARTY / file, tmp_path)
    readme = (THIRD_PARTY / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```console\n(\$ pip install \.\n.+?)```", readme, re.DOTALL)
    (queries,) = re.findall(r"```sql\n(.+?)```", readme, re.DOTALL)
    _, _, *commands = re.split(r"^\$ ", block, flags=re.MULTILINE)

    for command in commands:
        line, _, shown = command.partition("\n")
        done = with_duckdb.run(*shlex.split(line), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert _normal(done.stdout + done.stderr) == _normal(shown)
    asked = with_duckdb.run(
        "python", "-c", f"import duckdb; duckdb.connect('traces.duckdb').sql({queries!r})", cwd=tmp_path
    )
    assert asked.returncode == 0, asked.stderr


def _normal(text: str) -> str:
    """Without what differs from run to run: ids, times, durations, the width of columns, and how long a first import takes."""
    text = re.sub(r"^WARNING .* the event loop has been blocked .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"[0-9a-f]{32}", "TRACE", text)
    return re.sub(r" +", " ", re.sub(r"\d+\.\d+(e-\d+)?|\d{4}-\d\d-\d\d \S+", "N", text))
