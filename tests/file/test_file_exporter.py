"""The exporters of type `file`: from pushed steps to lines on disk, and what a disk's failures mean."""

import asyncio
import inspect
import json
import os
import stat
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nat.builder.context import Context, ContextState
from nat.data_models.intermediate_step import IntermediateStepPayload, IntermediateStepType, StreamEventData
from nat.data_models.span import Span, SpanContext, SpanStatusCode
from nat.observability.delivery.errors import PermanentExportError, TransientExportError
from nat.observability.exporter.base_exporter import BaseExporter
from nat.plugins.file.file_exporter import FileExporter, SpanFileExporter
from nat.plugins.file.reader import read_lines, read_runs, read_spans, read_steps
from nat.plugins.file.register import FileConfig, file_exporter
from nat.plugins.file.writer import FileWriter

SPAN = Span(name="ask", context=SpanContext(trace_id=1, span_id=2), start_time=3, end_time=4)


def push(event_type: str, step_id: str, **data: Any) -> None:
    Context.get().intermediate_step_manager.push_intermediate_step(
        IntermediateStepPayload(
            event_type=IntermediateStepType(event_type), UUID=step_id, name=step_id, data=StreamEventData(**data)
        )
    )


def push_run(run: str) -> None:
    push("WORKFLOW_START", run, input="question")
    for n in range(3):
        push("LLM_START", f"{run}-llm-{n}", input=f"prompt {n}")
        push("LLM_END", f"{run}-llm-{n}", output=f"answer {n}")
    push("WORKFLOW_END", run, output="answer")


def built(config: FileConfig) -> AbstractAsyncContextManager[BaseExporter]:
    manager: AbstractAsyncContextManager[BaseExporter] = file_exporter(config, None)
    return manager


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def test_every_step_becomes_one_line_in_order(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"

    async with FileExporter(path).start():
        push_run("a")

    assert [f"{step.event_type} {step.UUID}" for step in read_steps(path)] == [
        "WORKFLOW_START a",
        "LLM_START a-llm-0",
        "LLM_END a-llm-0",
        "LLM_START a-llm-1",
        "LLM_END a-llm-1",
        "LLM_START a-llm-2",
        "LLM_END a-llm-2",
        "WORKFLOW_END a",
    ]


async def test_runs_at_once_in_one_file_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"

    async def run(name: str) -> None:
        push("WORKFLOW_START", name)
        await asyncio.sleep(0)
        push("TOOL_START", f"{name}-tool")
        await asyncio.sleep(0)
        push("TOOL_END", f"{name}-tool")
        push("WORKFLOW_END", name)

    async with FileExporter(path).start():
        await asyncio.gather(*(run(str(n)) for n in range(50)))

    runs = read_runs(path)
    assert sorted(runs) == sorted(str(n) for n in range(50))
    assert all([step.UUID for step in runs[n]] == [n, f"{n}-tool", f"{n}-tool", n] for n in runs)


@pytest.mark.parametrize("format", ["spans", "otlp_json"])
async def test_every_step_becomes_one_span(tmp_path: Path, format: Any) -> None:
    path = tmp_path / "spans.jsonl"

    async with SpanFileExporter(path, format=format).start():
        push_run("a")
        push("TOOL_START", "never ended")

    spans = {span.name: span for span in read_spans(path)}
    root = spans["a"]
    assert sorted(spans) == ["a", "a-llm-0", "a-llm-1", "a-llm-2", "never ended"]
    assert root.context.parent_span_id is None
    assert spans["a-llm-1"].context.parent_span_id == root.context.span_id
    assert spans["a-llm-1"].attributes["output.value"] == "answer 1"
    assert spans["never ended"].status.code is SpanStatusCode.ERROR


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, {"steps.jsonl"}),
        ({"format": "spans"}, {"spans.jsonl"}),
        ({"format": "otlp_json"}, {"otlp.jsonl"}),
        ({"project": "../shop v1.2"}, {"_._shop v1.2-steps.jsonl"}),
    ],
)
@pytest.mark.parametrize("suffix", ["", "/", "/new/deep/"])
async def test_a_directory_gets_a_file_named_after_format_and_project(
    tmp_path: Path, settings: dict[str, Any], names: set[str], suffix: str
) -> None:
    config = FileConfig(output_path=f"{tmp_path}{suffix}", **settings)

    async with built(config) as exporter, exporter.start():
        push_run("a")

    assert {path.name for path in files_below(Path(config.output_path))} == names
    assert all(line.data for line in read_lines(config.output_path))


@pytest.mark.parametrize("name", ["traces.jsonl", "traces", "a.b/c.txt"])
async def test_anything_else_is_a_file_of_exactly_that_name(tmp_path: Path, name: str) -> None:
    async with built(FileConfig(output_path=str(tmp_path / name))) as exporter, exporter.start():
        push_run("a")

    assert len(list(read_steps(tmp_path / name))) == 8
    assert files_below(tmp_path) == [tmp_path / name]


async def test_the_path_is_relative_to_the_working_directory_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exporter = FileExporter("traces/steps.jsonl")
    monkeypatch.chdir("/")

    await exporter.export_processed("{}")

    assert (tmp_path / "traces" / "steps.jsonl").read_text() == "{}\n"


async def test_the_project_is_on_every_line(tmp_path: Path) -> None:
    for format in ("steps", "spans", "otlp_json"):
        config = FileConfig(output_path=str(tmp_path / format), format=format, project="shop")
        async with built(config) as exporter, exporter.start():
            push_run("a")

    assert {line.data["project"] for line in read_lines(tmp_path / "steps")} == {"shop"}
    assert {line.data["project"] for line in read_lines(tmp_path / "spans")} == {"shop"}
    for line in read_lines(tmp_path / "otlp_json"):
        (resource_spans,) = line.data["resourceSpans"]
        assert resource_spans["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "shop"}}]


async def test_it_can_be_called_without_a_start(tmp_path: Path) -> None:
    steps = FileExporter(tmp_path / "steps.jsonl")
    spans = SpanFileExporter(tmp_path / "spans.jsonl")

    await steps.export_processed('{"a": 1}')
    await steps.export_processed(['{"a":\n 2}', '{"a": 3}'])
    await spans.export_processed(SPAN)
    await spans.export_processed([SPAN, SPAN])

    assert steps.path.read_text() == '{"a": 1}\n{"a":  2}\n{"a": 3}\n'
    assert list(read_spans(spans.path)) == [SPAN] * 3


async def test_a_copy_for_a_run_writes_to_the_same_file(tmp_path: Path) -> None:
    original = FileExporter(tmp_path / "steps.jsonl", mode="overwrite")
    copies = [original.create_isolated_instance(ContextState.get()) for _ in range(3)]

    for n, isolated in enumerate(copies):
        await isolated.export_processed(f'{{"n": {n}}}')

    assert [line.data["n"] for line in read_lines(original.path)] == [0, 1, 2]


async def test_rolling_keeps_the_newest_steps(tmp_path: Path) -> None:
    config = FileConfig(
        output_path=str(tmp_path / "a.jsonl"), enable_rolling=True, max_file_size=2_000, max_files=3, project="p"
    )

    async with built(config) as exporter, exporter.start():
        for n in range(20):
            push_run(str(n))

    files = files_below(tmp_path)
    assert len(files) == 3
    assert all(file.stat().st_size <= 2_000 for file in files)
    assert list(read_steps(tmp_path / "a.jsonl"))[-1].UUID == "19"


async def test_a_full_disk_is_transient() -> None:
    with pytest.raises(TransientExportError, match=r"^cannot write to /dev/full: No space left on device$"):
        await FileExporter("/dev/full").export_processed("{}")


async def test_a_full_disk_at_the_start_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "steps.jsonl"

    def no_space(self: FileWriter) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        exporter = FileExporter(path)
        patch.setattr(FileWriter, "prepare", no_space)
        manager = exporter.start()
        await manager.__aenter__()
    push_run("a")
    await manager.__aexit__(None, None, None)

    assert len(list(read_steps(path))) == 8


@pytest.mark.parametrize("name", ["file/steps.jsonl", "folder", "x" * 300])
async def test_what_cannot_be_written_is_permanent(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    exporter = FileExporter(tmp_path / name)
    (tmp_path / "folder").mkdir()

    with pytest.raises(PermanentExportError, match=f"^cannot write to {tmp_path}/{name}: "):
        await exporter.export_processed("{}")
    with pytest.raises(PermanentExportError):
        async with exporter.start():
            pytest.fail("started")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{tmp}/file/steps.jsonl", "choose a file or folder that can be written ('{tmp}/file' is not a folder)"),
        ("{tmp}/file/", "choose a file or folder that can be written ('{tmp}/file' is not a folder)"),
        ("/proc/traces/", "(cannot create a file in '/proc': No such file or directory)"),
        ("/proc/traces.jsonl", "(cannot create a file in '/proc': No such file or directory)"),
        ("{tmp}/socket", "(cannot write '{tmp}/socket': No such device or address)"),
        ("{tmp}/loop", "(cannot write '{tmp}/loop': Too many levels of symbolic links)"),
        ("{tmp}/" + "x" * 300, ": File name too long)"),
        ("", "not a path: ''; give a file"),
        ("a\0b", "not a path: 'a\\x00b'; give a file"),
    ],
)
def test_a_place_that_cannot_be_written_is_a_configuration_error(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "file").touch()
    os.mknod(tmp_path / "socket", stat.S_IFSOCK)
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(ValidationError) as caught:
        FileConfig(output_path=path.format(tmp=tmp_path))

    (error,) = caught.value.errors()
    assert error["loc"] == ("output_path",)
    assert message.format(tmp=tmp_path) in error["msg"]


@pytest.mark.parametrize("path", ["{tmp}/new/deep/steps.jsonl", "{tmp}", "{tmp}/old.jsonl", "/dev/null", "/dev/full"])
def test_checking_a_place_leaves_nothing_behind(tmp_path: Path, path: str) -> None:
    old = tmp_path / "old.jsonl"
    old.write_text("{}\n")

    FileConfig(output_path=path.format(tmp=tmp_path))

    assert list(tmp_path.iterdir()) == [old]
    assert old.read_text() == "{}\n"


@pytest.mark.parametrize("settings", [{"max_files": 0}, {"max_file_size": 0}, {"mode": "w"}, {"format": "x"}])
def test_settings_out_of_range_are_configuration_errors(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        FileConfig.model_validate({"output_path": str(tmp_path), **settings})

    assert [error["loc"] for error in caught.value.errors()] == [(key,) for key in settings]


@pytest.mark.parametrize("exporter_class", [FileExporter, SpanFileExporter])
def test_the_configuration_and_the_classes_have_the_same_defaults(exporter_class: type) -> None:
    config = FileConfig(output_path="traces.jsonl").model_dump(exclude={"output_path"})

    parameters = inspect.signature(exporter_class).parameters.values()
    defaults = {
        parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty
    }
    defaults.pop("conventions", None)  # of an entry, not of the configuration
    assert {**defaults, "format": "steps"} == {**config, "context_state": None}


def test_every_key_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "backends" / "file.md").read_text()

    for key, field in FileConfig.model_fields.items():
        assert f"| `{key}` |" in page
        assert field.is_required() or f"`{json.dumps(field.default).strip(chr(34))}`" in page
