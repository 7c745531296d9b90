"""The `nat` command, as far as the contract names it."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nat.observability.registry import OWN_TYPES

COLUMNS = ("package", "version", "kind", "type", "description", "loads", "reason")


def nat(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("nat")), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.mark.contract("S20", "S21", "D1", "D25", "S198")
def test_the_list_of_exporters(tmp_path: Path) -> None:
    """Plain text; installed types as rows, ours that are missing in one closing line with the install command."""
    result = nat("info", "components", "-t", "tracing", cwd=tmp_path)

    assert (result.returncode, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    lines = result.stdout.strip().splitlines()
    for type_name, package in (("file", "nat-telemetry-file"), ("console", "nat-telemetry-core")):
        assert any(type_name in line and package in line for line in lines)
    listed = {line.split()[3] for line in lines[1:] if not line.startswith("Not installed: ")}
    missing = OWN_TYPES.keys() - listed
    assert lines[-1].startswith("Not installed: ") == bool(missing)
    assert all(name in lines[-1] and "pip install" in lines[-1] for name in missing)


@pytest.mark.contract("S20", "S21")
def test_the_list_as_json(tmp_path: Path) -> None:
    result = nat("info", "components", "-t", "tracing", "--json", cwd=tmp_path)

    rows = {row["type"]: row for row in json.loads(result.stdout)}
    assert {"file", "console"} <= set(rows)
    assert all(set(row) == set(COLUMNS) for row in rows.values())
    assert (rows["file"]["kind"], rows["file"]["loads"], rows["file"]["reason"]) == ("tracing", True, None)


@pytest.mark.contract("S20")
def test_an_unknown_kind_is_a_usage_error(tmp_path: Path) -> None:
    result = nat("info", "components", "-t", "nonsense", cwd=tmp_path)

    assert result.returncode == 2
    assert "nonsense" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.contract("D26", "S181")
def test_a_simple_workflow_runs_without_key_or_network(tmp_path: Path) -> None:
    """Its own module registers an exporter; stdout is the result; the root is the only span that `nat run` adds."""
    (tmp_path / "flow.py").write_text(
        textwrap.dedent(
            """
            from nat.observability import step


            def answer(question):
                with step("look", kind="tool", input=question) as looked:
                    looked.output = "found"
                return f"answer to {question}"
            """
        )
    )
    (tmp_path / "workflow.yaml").write_text(
        textwrap.dedent(
            """
            workflow: {entrypoint: "flow:answer", name: support}
            general:
              telemetry:
                tracing:
                  to_file: {_type: file, output_path: trace.jsonl}
            """
        )
    )

    result = nat("run", "--config_file", "workflow.yaml", "--input", "hello", cwd=tmp_path)

    assert (result.returncode, result.stdout.strip()) == (0, "answer to hello")
    payloads = [json.loads(line)["payload"] for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert [(payload["event_type"], payload["name"]) for payload in payloads] == [
        ("WORKFLOW_START", "support"),
        ("TOOL_START", "look"),
        ("TOOL_END", "look"),
        ("WORKFLOW_END", "support"),
    ]


@pytest.mark.contract("S5", "S8", "D9")
def test_a_workflow_that_fails_leaves_its_trace_and_an_exit_code(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text("def answer(question):\n    raise LookupError('nothing known')\n")
    (tmp_path / "workflow.yaml").write_text(
        "workflow: {_type: python, entrypoint: './flow.py:answer'}\n"
        "general: {telemetry: {tracing: {f: {_type: file, output_path: trace.jsonl, format: spans}}}}\n"
    )

    result = nat("run", "--config_file", "workflow.yaml", "--input", "hello", cwd=tmp_path)

    assert result.returncode == 1
    assert "nothing known" in result.stderr
    [span] = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert (span["status"]["code"], span["attributes"]["error.type"]) == ("ERROR", "LookupError")


@pytest.mark.contract("S104", "S162", "S173")
def test_a_configuration_error_is_one_message_without_traceback(tmp_path: Path) -> None:
    (tmp_path / "workflow.yaml").write_text("general: {telemetry: {tracing: {mine: {_type: fil}}}}\n")

    result = nat("run", "--config_file", "workflow.yaml", "--input", "hello", cwd=tmp_path)

    assert result.returncode == 2
    assert "general.telemetry.tracing.mine" in result.stderr
    assert "'file'" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
