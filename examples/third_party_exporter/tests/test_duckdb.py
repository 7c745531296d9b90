"""What is particular to DuckDB: crashes, locks, processes that share a file, and what the command answers."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from nat.data_models.delivery import DeliveryConfig
from nat.observability import Telemetry, step
from nat.plugin_api import Span

from nat_duckdb.command import main
from nat_duckdb.exporter import DuckdbExporter
from nat_duckdb.register import DuckdbConfig
from nat_duckdb.store import Store

_WAIT_S = 60.0
_QUICK = DeliveryConfig.model_validate(
    {"retry": {"initial_interval": 0.02, "max_interval": 0.05}, "breaker": {"failures": 0}}
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "traces.duckdb"


def rows(file: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(file, read_only=True) as connection:
        return list(connection.execute(sql).fetchall())


def work(telemetry: Telemetry, name: str, steps: int = 3) -> None:
    """A run whose last step fails."""
    with suppress(ValueError), telemetry.run(name):
        for number in range(steps - 1):
            with step(f"{name} {number}", kind="tool"):
                pass
        with step(f"{name} fails", kind="tool"):
            raise ValueError("a reason")


def telemetry_for(file: Path) -> Telemetry:
    return Telemetry({"traces": DuckdbConfig(path=file)}, delivery=_QUICK)


def start(program: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)


# -- delivery ----------------------------------------------------------------------------------------------------------


def test_the_event_loop_goes_on_while_a_batch_is_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write ends only when the loop has done something meanwhile."""
    has_begun, may_end = threading.Event(), threading.Event()

    def write(store: Store, spans: Sequence[Span]) -> None:
        has_begun.set()
        assert may_end.wait(_WAIT_S), "the event loop waited for the write"

    monkeypatch.setattr(Store, "write", write)

    async def scenario() -> None:
        exporter = DuckdbExporter(DuckdbConfig(path=file))
        async with exporter.start():
            with step("work"):
                pass
            flushing = asyncio.create_task(exporter.wait_for_tasks(_WAIT_S))
            await asyncio.to_thread(has_begun.wait, _WAIT_S)
            may_end.set()  # by the loop
            await flushing

    asyncio.run(scenario())


def test_a_batch_that_comes_again_adds_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer gets lost after the commit."""
    answers = iter([duckdb.IOException("the answer is lost")])
    real = Store.write

    def write(store: Store, spans: Sequence[Span]) -> None:
        real(store, spans)
        for answer in answers:
            raise answer

    monkeypatch.setattr(Store, "write", write)

    with telemetry_for(file) as telemetry:
        work(telemetry, "run")
        status = telemetry.flush(_WAIT_S).exporters["traces"]

    assert (status.delivered, status.lost) == (4, 0)
    assert rows(file, "SELECT count(*), count(DISTINCT span_id) FROM spans") == [(4, 4)]
    assert rows(file, "SELECT count(*), count(DISTINCT span_id) FROM events") == [(2, 2)]


def test_while_another_process_has_the_file_batches_wait(file: Path) -> None:
    """They count as neither delivered nor lost, and arrive once the file is free."""
    file.parent.mkdir()
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder, telemetry_for(file) as telemetry:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        work(telemetry, "run")
        held = telemetry.flush(1.0).exporters["traces"]
        holder.communicate("")
        freed = telemetry.flush(_WAIT_S).exporters["traces"]

    assert (held.delivered, held.lost, held.pending) == (0, 0, 4)
    assert (freed.delivered, freed.lost) == (4, 0)
    assert rows(file, "SELECT count(*) FROM spans") == [(4,)]


def test_a_file_that_is_no_database_is_refused_for_good(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.parent.mkdir()
    file.write_text("something else " * 1_000)

    with telemetry_for(file) as telemetry:
        work(telemetry, "run")
        status = telemetry.flush(_WAIT_S).exporters["traces"]

    assert (status.delivered, status.rejected) == (0, 4)
    assert "this is no DuckDB file; name another one under path" in caplog.text
    assert file.read_text().startswith("something else")


def test_a_file_of_another_version_is_refused_without_quoting_what_was_written(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir()
    with duckdb.connect(file) as connection:
        connection.execute("CREATE TABLE spans (trace_id INTEGER)")

    with telemetry_for(file) as telemetry:
        with telemetry.run("run", input="what was asked"):
            pass
        status = telemetry.flush(_WAIT_S).exporters["traces"]

    assert (status.delivered, status.rejected) == (0, 1)
    assert "DuckDB refuses a batch (" in caplog.text
    assert "what was asked" not in caplog.text


def test_what_is_redacted_is_not_in_the_file(file: Path) -> None:
    key = "ghp_" + "a1B2c3D4e5F6" * 3

    with telemetry_for(file) as telemetry, telemetry.run("run", input=f"my key is {key}"):
        with step("look up", kind="tool", input={"key": key}):
            pass

    assert rows(file, "SELECT count(*) FROM spans") == [(2,)]
    assert key not in repr(rows(file, "FROM spans"))
    assert key.encode() not in file.read_bytes()


# -- processes ---------------------------------------------------------------------------------------------------------

WRITER = """
import sys
from nat.observability import Telemetry, step
from nat_duckdb.register import DuckdbConfig
from nat.data_models.delivery import DeliveryConfig

file, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
quick = DeliveryConfig(retry={"initial_interval": 0.02, "max_interval": 0.05}, breaker={"failures": 0})
with Telemetry({"traces": DuckdbConfig(path=file, batch_size=10, flush_interval=0.05)}, delivery=quick) as telemetry:
    for number in range(count):
        try:
            with telemetry.run(f"{name} {number}"), step("fails"):
                raise ValueError("a reason")
        except ValueError:
            pass
        if number % 20 == 19:
            telemetry.flush(60.0)
            print(telemetry.status().exporters["traces"].delivered, flush=True)
"""


def test_two_processes_share_a_file(file: Path) -> None:
    """Every span of both is there, once."""
    writers = [start(WRITER, str(file), name, "60") for name in ("a", "b")]
    for writer in writers:
        writer.communicate(timeout=_WAIT_S)

    assert [writer.returncode for writer in writers] == [0, 0]
    assert rows(file, "SELECT count(*), count(DISTINCT span_id) FROM spans") == [(240, 240)]


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not killed like this there")
def test_a_process_that_is_killed_leaves_whole_batches(file: Path) -> None:
    """Whatever counted as delivered is in the file, which opens as it is; each failed span has its event."""
    delivered = 0
    for kill in range(3):
        writer = start(WRITER, str(file), f"life {kill}", "1000000")
        assert writer.stdout is not None
        for _ in range(2):
            seen = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=_WAIT_S)
        delivered += seen

        ((count, distinct),) = rows(file, "SELECT count(*), count(DISTINCT span_id) FROM spans")
        assert count == distinct >= delivered
        failed = rows(file, "SELECT count(*) FROM spans WHERE status = 'ERROR'")
        assert rows(file, "SELECT count(*) FROM events WHERE name = 'exception'") == failed
        delivered = count


# -- questions ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    """What the command answers about three runs: a fast and two slow calls of a tool, two models, one error."""
    with telemetry_for(file) as telemetry:
        for number in range(2):
            with telemetry.run("shop", session_id="s1"):
                with step("search", kind="tool"):
                    pass
                with step("plan", kind="llm", metadata={"model": "large", "provider": "maker"}) as call:
                    call.usage(prompt_tokens=1_000, completion_tokens=100, cached_tokens=10)
                with step("embed", kind="embedder", metadata={"model": "tiny"}) as call:
                    call.usage(prompt_tokens=50 + number)
        with pytest.raises(LookupError), telemetry.run("shop"):
            with step("read", kind="tool"), step("fetch", kind="tool"):
                raise LookupError("no such page")

    def ask(*arguments: str) -> list[dict[str, Any]]:
        assert main([str(file), *arguments, "--json"]) == 0
        answer: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return answer

    return ask


def test_tools(asked: Callable[..., list[dict[str, Any]]]) -> None:
    answer = asked("tools")

    assert {row["tool"]: (row["calls"], row["failed"]) for row in answer} == {
        "search": (2, 0),
        "read": (1, 1),
        "fetch": (1, 1),
    }
    assert [row["p95_ms"] for row in answer] == sorted((row["p95_ms"] for row in answer), reverse=True)
    for row in answer:
        assert 0 <= row["median_ms"] <= row["p95_ms"] <= row["slowest_ms"]
        assert len(row["slowest_trace"]) == 32


def test_models_and_what_they_cost(asked: Callable[..., list[dict[str, Any]]]) -> None:
    """A price that is not known leaves the cost out."""
    assert asked("models", "--price", "large=2.50/10") == [
        {
            "model": "large",
            "provider": "maker",
            "calls": 2,
            "prompt_tokens": 2_000,
            "completion_tokens": 200,
            "cached_tokens": 20,
            "cost": pytest.approx(2_000 * 2.5e-6 + 200 * 10e-6),
        },
        {
            "model": "tiny",
            "provider": None,
            "calls": 2,
            "prompt_tokens": 101,
            "completion_tokens": None,
            "cached_tokens": None,
            "cost": None,
        },
    ]


def test_errors_are_named_where_they_began(asked: Callable[..., list[dict[str, Any]]]) -> None:
    (error,) = asked("errors")

    assert (error["workflow"], error["step"], error["error_type"]) == ("shop", "fetch", "LookupError")
    assert error["message"] == "no such page"


def test_runs(asked: Callable[..., list[dict[str, Any]]]) -> None:
    """The latest first; `--limit` and `--since` say how many."""
    answer = asked("runs")

    assert [(row["run"], row["status"], row["spans"], row["tokens"]) for row in answer] == [
        ("shop", "ERROR", 3, None),
        ("shop", "OK", 4, 1_151),
        ("shop", "OK", 4, 1_150),
    ]
    assert len(asked("runs", "--limit", "1")) == 1
    assert len(asked("runs", "--since", "1h")) == 3


def test_an_answer_for_people_is_a_table(
    file: Path, asked: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(file), "models", "-p", "large=2.50/10", "--limit", "1"]) == 0

    assert capsys.readouterr().out == (
        "model  provider  calls  prompt_tokens  completion_tokens  cached_tokens   cost\n"
        "large  maker         2           2000                200             20  0.007\n"
    )


@pytest.mark.parametrize("arguments", [["models", "--price", "large"], ["runs", "--since", "soon"], ["costs"]])
def test_wrong_usage_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["traces.duckdb", *arguments])

    assert ended.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([os.fspath(tmp_path / "nothing.duckdb"), "runs"]) == 1

    assert "nothing.duckdb" in capsys.readouterr().err
