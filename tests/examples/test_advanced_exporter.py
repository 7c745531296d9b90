"""The advanced exporter: state over a run, two targets, a breaker for each, and dead letters that are sent again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from nat.observability import Telemetry, step
from nat.testing import FakeBackend, closed_url, faults
from tests.support.collecting import registered

from run_reports.exporter import RunReportExporter
from run_reports.register import RunReportsConfig

_FOLDER = Path(__file__).resolve().parents[2] / "examples/observability/advanced_exporter"
_NAT = Path(sys.executable).parent / "nat"


@pytest.fixture
def archive() -> Iterator[FakeBackend]:
    with FakeBackend(path="/archive") as backend:
        yield backend


@pytest.fixture
def alerts() -> Iterator[FakeBackend]:
    with FakeBackend(path="/alerts") as backend:
        yield backend


class Clock:
    """Monotonic seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dead_letters(tmp_path: Path) -> Path:
    return tmp_path / "letters" / "run-reports.dead.jsonl"


@pytest.fixture
def telemetry(archive: FakeBackend, alerts: FakeBackend, dead_letters: Path, clock: Clock) -> Iterator[Telemetry]:
    config = RunReportsConfig(
        archive_url=archive.url, alert_url=alerts.url, dead_letters=dead_letters, breaker_failures=2, token_budget=100
    )
    with Telemetry({"reports": registered(lambda: RunReportExporter(config, clock))()}) as telemetry:
        yield telemetry


def work(telemetry: Telemetry, name: str, *, fails: bool = False) -> None:
    """A run, and wait until its report has met its fate."""
    try:
        with telemetry.run(name), step("search", kind="tool", input=name):
            if fails:
                raise LookupError("not found")
    except LookupError:
        pass
    telemetry.flush(20.0)


def names(backend: FakeBackend) -> list[str]:
    """Runs whose reports the target has taken."""
    return [request.json()["name"] for request in backend.acknowledged]


def letters(file: Path) -> list[tuple[str, str, str]]:
    read = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [(letter["target"], letter["report"]["name"], letter["reason"]) for letter in read]


def replay(file: Path, *targets: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "run_reports.replay", str(file), *targets],
        cwd=_FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.mark.contract("S61", "S64")
def test_a_report_tells_what_one_run_did(
    telemetry: Telemetry, archive: FakeBackend, alerts: FakeBackend, dead_letters: Path
) -> None:
    """Calls, tokens, failures, repetitions and the slowest step; what is alarming goes to the alerts as well."""
    with telemetry.run("agent", session_id="s1") as run:
        for _ in range(3):
            with step("plan", kind="llm") as plan:
                plan.usage(prompt_tokens=40, completion_tokens=2)
            with step("search", kind="tool", input={"q": "x"}):
                pass
        with pytest.raises(LookupError), step("read", kind="tool", input="page"):
            raise LookupError("gone")
    telemetry.flush(20.0)

    (report,) = (request.json() for request in archive.requests)
    assert {key: report[key] for key in ("name", "error", "llm_calls", "tokens", "repeated")} == {
        "name": "agent",
        "error": None,
        "llm_calls": 3,
        "tokens": 126,
        "repeated": {"search": 3},
    }
    assert (report["trace_id"], report["session_id"]) == (f"{run.trace_id:032x}", "s1")
    assert (report["tool_calls"], report["tool_failures"]) == ({"search": 3, "read": 1}, {"read": 1})
    assert report["slowest"][0] in ("plan", "search", "read")
    assert (
        0
        <= report["slowest"][1]
        <= report["duration_s"]
        == pytest.approx(report["ended_at"] - report["started_at"], abs=1e-6)
    )
    assert report["alerts"] == ["search was called 3 times with the same input", "126 tokens are more than 100"]
    assert [request.json() for request in alerts.requests] == [report]
    assert not dead_letters.exists()


@pytest.mark.contract("S64", "S111", "S113")
def test_runs_side_by_side_have_reports_of_their_own(telemetry: Telemetry, archive: FakeBackend) -> None:
    with telemetry.run("outer"):
        with step("first", kind="tool"):
            pass
        with telemetry.run("other"):
            with step("second", kind="tool"):
                pass
        with step("third", kind="tool"):
            pass
    telemetry.flush(20.0)

    calls = {request.json()["name"]: request.json()["tool_calls"] for request in archive.requests}
    assert calls == {"other": {"second": 1}, "outer": {"first": 1, "third": 1}}
    assert len({request.json()["id"] for request in archive.requests}) == 2


@pytest.mark.contract("S62", "S63")
def test_a_target_that_fails_is_left_alone_and_harms_no_other(
    telemetry: Telemetry, archive: FakeBackend, alerts: FakeBackend, dead_letters: Path, clock: Clock
) -> None:
    """Its breaker opens, lets one request pass after a while, and closes when that is taken; nothing is lost meanwhile."""
    alerts.from_now_on(faults.status(503))
    for number in range(1, 4):
        work(telemetry, f"run {number}", fails=True)

    assert len(alerts.requests) == 2, "the breaker opens after two failures"
    assert letters(dead_letters) == [
        ("alerts", "run 1", "HTTP 503"),
        ("alerts", "run 2", "HTTP 503"),
        ("alerts", "run 3", "the breaker is open"),
    ]

    clock.now_s += 30.0
    work(telemetry, "run 4", fails=True)
    work(telemetry, "run 5", fails=True)

    assert len(alerts.requests) == 3, "half-open: one request tries, fails, and the breaker is open again"
    assert letters(dead_letters)[3:] == [("alerts", "run 4", "HTTP 503"), ("alerts", "run 5", "the breaker is open")]

    alerts.recover()
    clock.now_s += 30.0
    work(telemetry, "run 6", fails=True)
    work(telemetry, "run 7", fails=True)

    assert names(alerts) == ["run 6", "run 7"]
    assert names(archive) == [f"run {number}" for number in range(1, 8)]
    assert len(letters(dead_letters)) == 5
    status = telemetry.status().exporters["reports"]
    assert (status.delivered, status.rejected) == (7, 0)


@pytest.mark.contract("S63")
def test_dead_letters_are_sent_again(
    telemetry: Telemetry, archive: FakeBackend, alerts: FakeBackend, dead_letters: Path
) -> None:
    """Each once, under the id of its report; what is refused again, and what is for others, stays in the file."""
    alerts.from_now_on(faults.status(500))
    archive.from_now_on(faults.status(400))
    for name in ("first", "second"):
        work(telemetry, name, fails=True)
    alerts.recover()
    alerts.plan(faults.OK, faults.status(429))

    done = replay(dead_letters, f"alerts={alerts.url}")

    assert (done.returncode, done.stdout) == (1, f"1 sent, 3 kept in {dead_letters}\n")
    assert len(names(alerts)) == 1
    kept = letters(dead_letters)
    assert sorted(target for target, _, _ in kept) == ["alerts", "archive", "archive"]
    assert sorted(reason for _, _, reason in kept) == ["HTTP 400", "HTTP 400", "HTTP 429"]

    archive.recover()
    done = replay(dead_letters, f"alerts={alerts.url}", f"archive={archive.url}")

    assert (done.returncode, done.stdout) == (0, f"3 sent, 0 kept in {dead_letters}\n")
    assert sorted(names(alerts)) == sorted(names(archive)) == ["first", "second"]
    for request in (*alerts.acknowledged, *archive.acknowledged):
        assert request.headers["idempotency-key"] == request.json()["id"]
    assert list(dead_letters.parent.iterdir()) == []


@pytest.mark.contract("S63")
def test_a_replay_that_died_is_taken_up(dead_letters: Path, archive: FakeBackend) -> None:
    """What it had put aside goes first, and a line that was cut short stops nothing."""
    dead_letters.parent.mkdir()
    letter = {"target": "archive", "reason": "HTTP 503"}
    aside = dead_letters.with_name(f"{dead_letters.name}.replaying")
    aside.write_text(json.dumps({**letter, "report": {"id": "1", "name": "earlier"}}) + '\n{"target": "arch')
    dead_letters.write_text(json.dumps({**letter, "report": {"id": "2", "name": "later"}}) + "\n")

    first = replay(dead_letters, f"archive={archive.url}")
    second = replay(dead_letters, f"archive={archive.url}")

    assert (first.returncode, second.returncode) == (0, 0)
    assert names(archive) == ["earlier", "later"]


def test_a_report_that_can_be_neither_sent_nor_kept_counts_as_lost(tmp_path: Path, archive: FakeBackend) -> None:
    (tmp_path / "file").write_text("in the way of a folder")
    config = RunReportsConfig(
        archive_url=closed_url("/archive"), alert_url=archive.url, dead_letters=tmp_path / "file" / "dead.jsonl"
    )

    with Telemetry({"reports": registered(partial(RunReportExporter, config))()}) as telemetry:
        work(telemetry, "run")

    status = telemetry.status().exporters["reports"]
    assert (status.delivered, status.rejected) == (0, 1)


def test_the_key_is_sent_and_shown_nowhere(
    tmp_path: Path, archive: FakeBackend, alerts: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    archive.from_now_on(faults.status(401))
    config = RunReportsConfig.model_validate(
        {"archive_url": archive.url, "alert_url": alerts.url, "dead_letters": tmp_path / "dead", "api_key": "k-4f1e8a"}
    )

    with Telemetry(config) as telemetry:
        work(telemetry, "run")

    assert archive.requests[0].headers["authorization"] == "Bearer k-4f1e8a"
    assert "k-4f1e8a" not in caplog.text + repr(config) + (tmp_path / "dead").read_text()


@pytest.mark.contract("S61", "S185")
def test_its_workflow_file_runs(tmp_path: Path, archive: FakeBackend, alerts: FakeBackend) -> None:
    """As its README says: the agent asks the same three times, and both targets hear of it."""
    done = subprocess.run(
        [_NAT, "run", "--config_file", _FOLDER / "workflow.yaml", "--input", "Weather in Bergen?"],
        cwd=tmp_path,
        env={**os.environ, "ARCHIVE_URL": archive.url, "ALERT_URL": alerts.url, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )

    assert (done.returncode, done.stdout) == (0, "Bergen: rain\n"), done.stderr
    assert names(archive) == names(alerts) == ["weather"]
    assert archive.requests[0].json()["alerts"] == ["forecast was called 3 times with the same input"]
