"""The built-in type `file`."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from nat.observability import Telemetry
from nat.plugins.file.file_exporter import FileExporter
from tests.support.collecting import emit, step


def _telemetry(folder: Path, output_path: str, **settings: Any) -> Telemetry:
    workflow = folder / "workflow.yaml"
    entry = {"_type": "file", "output_path": output_path, **settings}
    workflow.write_text(json.dumps({"general": {"telemetry": {"tracing": {"to_file": entry}}}}))
    return Telemetry.from_file(workflow)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.contract("S16", "S31", "S32", "S157")
def test_a_file_gets_one_json_line_per_event_under_exactly_its_name(tmp_path: Path) -> None:
    path = tmp_path / "out" / "trace.jsonl"

    with _telemetry(tmp_path, str(path)) as telemetry, telemetry.run("run", input="q") as run:
        emit("work", "TOOL", input={"a": 1}, output="done")
        run.output = "a"

    payloads = [line["payload"] for line in _lines(path)]
    assert [(payload["event_type"], payload["name"]) for payload in payloads] == [
        ("WORKFLOW_START", "run"),
        ("TOOL_START", "work"),
        ("TOOL_END", "work"),
        ("WORKFLOW_END", "run"),
    ]
    assert payloads[1]["data"]["input"] == {"a": 1}
    assert [child.name for child in path.parent.iterdir()] == ["trace.jsonl"]


@pytest.mark.contract("S33")
@pytest.mark.parametrize("exists", [True, False])
def test_a_directory_gets_files(tmp_path: Path, exists: bool) -> None:
    """An existing folder, or a path that ends in a slash."""
    folder = tmp_path / "traces"
    if exists:
        folder.mkdir()

    with _telemetry(tmp_path, str(folder) if exists else f"{folder}/") as telemetry, telemetry.run("run"):
        pass

    written = [line["payload"]["event_type"] for path in folder.iterdir() for line in _lines(path)]
    assert written == ["WORKFLOW_START", "WORKFLOW_END"]


@pytest.mark.contract("S5", "S16")
def test_spans_can_be_written_instead(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"

    def fail(telemetry: Telemetry) -> None:
        with telemetry.run("bad"):
            raise LookupError("nothing there")

    with _telemetry(tmp_path, str(path), format="spans") as telemetry:
        with telemetry.run("good"):
            pass
        with pytest.raises(LookupError):
            fail(telemetry)

    good, bad = _lines(path)
    assert (good["name"], good["status"]["code"], good["parent_span_id"]) == ("good", "OK", None)
    assert (bad["name"], bad["status"]["code"], bad["attributes"]["error.type"]) == ("bad", "ERROR", "LookupError")
    assert len(good["trace_id"]) == 32
    assert len(good["span_id"]) == 16
    assert good["trace_id"] != bad["trace_id"]


@pytest.mark.contract("S107")
def test_lines_of_concurrent_runs_do_not_interleave(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"

    with _telemetry(tmp_path, str(path)) as telemetry:

        def work(number: int) -> None:
            with telemetry.run(f"run {number}"):
                for _ in range(20):
                    emit("work", output="x" * 5_000)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    assert len(_lines(path)) == 8 * 42


@pytest.mark.contract("S18", "S153", "S154", "S165")
async def test_the_exporter_can_be_used_directly(tmp_path: Path) -> None:
    """Constructed and started by user code; its file handle is released (warnings are errors)."""
    path = tmp_path / "trace.jsonl"
    exporter = FileExporter(output_path=str(path))

    async with exporter.start():
        emit("work")

    assert [line["payload"]["event_type"] for line in _lines(path)] == ["FUNCTION_START", "FUNCTION_END"]
    assert step().payload.name == "work"
