"""`nat status`: what processes say about their telemetry, and the last that others have said."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nat.cli.main import cli
from tests.cli.command import NAT
from tests.docs import markdown
from tests.support.status_files import exporter_fields, locked, status_content, write_status_file

_REFERENCE = markdown.ROOT / "docs/reference/cli.md"
_STARTED_AT = 1_769_860_862.0  # 31 January 2026, 12:01:02 UTC
_EARLIER = 1_769_851_800.0  # 09:30:00


def nat(*arguments: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)), prog_name="nat")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A process that runs, one of whose two exporters has failed, and one that was killed two hours ago."""
    now = time.time()
    prod = exporter_fields("prod", type="langfuse", accepted=12_480, delivered=12_400, pending=78, rejected=2)
    trail = exporter_fields("trail", state="disabled", reason="OSError: Read-only file system", accepted=12_480)
    trail["dropped"] = {"exporter_disabled": 12_480}
    running = write_status_file(
        tmp_path / "status", status_content(prod, trail, started_at=_STARTED_AT, written_at=now - 1)
    )
    left = exporter_fields("prod", type="langfuse", accepted=310, delivered=298, pending=12)
    write_status_file(
        tmp_path / "status", status_content(left, pid=4642, started_at=_EARLIER, written_at=now - 2 * 3_600 - 5)
    )
    with locked(running):
        yield tmp_path / "status"


def test_the_reference_shows_what_is_printed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block for each process, the one that started first comes first; a pipe gets plain text."""
    section = _REFERENCE.read_text(encoding="utf-8").partition("## nat status\n")[2]
    shown = section.partition("```text\n")[2].partition("```")[0]
    monkeypatch.chdir(directory.parent)

    result = nat("status", "--directory", "status")

    assert (result.exit_code, re.sub(r"\d+ s ago", "1 s ago", result.output)) == (0, shown)


def test_programs_get_json(directory: Path) -> None:
    (directory / "7-00000000.json").write_text("half of")

    result = json.loads(nat("status", "--directory", directory, "--json").output)

    gone, running = result["processes"]
    assert (gone["pid"], gone["state"], gone["exporters"][0]["state"]) == (4642, "gone", "running")
    assert gone["exporters"][0]["pending"] == 12
    assert {key: running[key] for key in ("pid", "process_name", "state", "started_at")} == {
        "pid": 4711,
        "process_name": "agent.py",
        "state": "running",
        "started_at": _STARTED_AT,
    }
    assert (directory / running["file"]).exists()
    assert [exporter["name"] for exporter in running["exporters"]] == ["prod", "trail"]
    assert running["exporters"][1]["dropped"] == {"exporter_disabled": 12_480}
    assert result["unreadable"] == {"7-00000000.json": "is no status file"}


def test_a_file_that_says_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "7-00000000.json").write_text("half of")

    assert nat("status", "--directory", tmp_path).output == f"{tmp_path}/7-00000000.json: is no status file.\n"


def test_a_process_without_exporters_says_so(tmp_path: Path) -> None:
    write_status_file(tmp_path, status_content(state="stopped", written_at=time.time() + 100))

    result = nat("status", "--directory", tmp_path)

    assert result.output == (
        "4711 agent.py: stopped, as of 0 s ago, started 2026-01-31 12:01:02 UTC\n  no exporter is configured\n"
    )


def test_a_directory_without_files_is_no_error_and_one_that_is_not_there_a_wrong_option(tmp_path: Path) -> None:
    empty = nat("status", "--directory", tmp_path)
    missing = nat("status", "--directory", tmp_path / "nowhere")
    as_json = nat("status", "--directory", tmp_path, "--json")

    assert (empty.exit_code, empty.output) == (0, f"No process has written its status to {tmp_path}.\n")
    assert json.loads(as_json.output) == {"processes": [], "unreadable": {}}
    assert missing.exit_code == 2
    assert f"Directory '{tmp_path / 'nowhere'}' does not exist." in missing.output


def test_it_wants_to_know_where(tmp_path: Path) -> None:
    for arguments in ([], ["--directory", tmp_path, "--config_file", "w.yaml"]):
        result = nat("status", *arguments)

        assert result.exit_code == 2
        assert "expected either --directory DIR or --config_file FILE" in result.output


def test_a_workflow_file_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `nat run` with it; before, nobody has written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agent.py").write_text("def answer(question):\n    return question\n")
    (tmp_path / "w.yaml").write_text(
        "workflow: {entrypoint: ./agent.py:answer}\n"
        "general: {telemetry: {status_directory: status, tracing: {trail: {_type: file, output_path: trace.jsonl}}}}\n"
    )

    before = nat("status", "--config_file", "w.yaml")
    subprocess.run([NAT, "run", "--config_file", "w.yaml", "--input", "why?"], check=True, capture_output=True)
    after = nat("status", "--config_file", "w.yaml")

    assert (before.exit_code, before.output) == (0, f"No process has written its status to {tmp_path}/status.\n")
    first, _, row = after.output.splitlines()
    assert " nat: stopped, as of " in first
    assert row.split() == ["trail", "file", "stopped", "2", "0", "2", "0", "0", "0", "0"]


def test_a_workflow_file_that_does_not_say_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text("general: {telemetry: {}}")

    result = nat("status", "--config-file", tmp_path / "w.yaml")

    assert result.exit_code == 2
    assert result.output == (
        f"Error: {tmp_path}/w.yaml: has no general.telemetry.status_directory, so its processes keep no status files; "
        "add it.\n"
    )


def test_watching_prints_it_again_until_it_is_interrupted(directory: Path) -> None:
    """What a shell has put into the background would be deaf to it by inheritance."""
    hears_ctrl_c = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", hears_ctrl_c, NAT, "status", "--directory", str(directory), "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        seen: list[str] = []
        while sum("4711 agent.py: running" in line for line in seen) < 2:
            seen.append(process.stdout.readline())
            assert seen[-1], "it has ended"
        os.kill(process.pid, signal.SIGINT)
        complaint = process.stderr.read()
        process.stdout.read()

    assert process.returncode == 130
    assert complaint == "Interrupted.\n"


def test_a_look_at_status_files_imports_little(directory: Path) -> None:
    """It is there at once, also when it is asked for every second by a script."""
    code = f"""
import sys
from nat.cli.main import cli
cli.main(["status", "--directory", {str(directory)!r}], standalone_mode=False)
print(sys.modules.keys() & {{"asyncio", "orjson", "pydantic", "rich", "yaml"}})
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "set()"
