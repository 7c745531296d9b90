"""The reader: what was written comes back, over rolled files and folders, past a line that is being written."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nat.data_models.intermediate_step import (
    IntermediateStep,
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
)
from nat.data_models.span import Span, SpanContext, SpanEvent, SpanLink, SpanStatus, SpanStatusCode
from nat.observability.processor.intermediate_step_serializer import IntermediateStepSerializer
from nat.plugins.file.lines import line_of_request, line_of_span, line_of_step
from nat.plugins.file.reader import CorruptLineError, Line, read_lines, read_runs, read_spans, read_steps
from nat.plugins.file.writer import FileWriter, Rolling


def make_step(event_type: str, step_id: str, parent_id: str = "root", **data: Any) -> IntermediateStep:
    payload = IntermediateStepPayload(
        event_type=IntermediateStepType(event_type), UUID=step_id, name=step_id, data=StreamEventData(**data)
    )
    return IntermediateStep(parent_id=parent_id, payload=payload)


async def write_steps(path: Path, *steps: IntermediateStep, project: str | None = None) -> None:
    serialized = [await IntermediateStepSerializer().process(step) for step in steps]
    FileWriter(path).write([line_of_step(text, project) for text in serialized])


def make_span(name: str = "ask", **attributes: Any) -> Span:
    return Span(
        name=name,
        context=SpanContext(trace_id=1, span_id=2, parent_span_id=3),
        start_time=1_700_000_000_000_000_001,
        end_time=1_700_000_000_000_000_009,
        status=SpanStatus(code=SpanStatusCode.ERROR, message="no answer"),
        attributes=attributes,
        events=[SpanEvent(name="exception", timestamp=1_700_000_000_000_000_005, attributes={"exception.type": "E"})],
        links=[SpanLink(context=SpanContext(trace_id=7, span_id=8), attributes={"why": "retry"})],
    )


async def test_steps_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    steps = [make_step("LLM_START", "a", input={"q": [1, 2.5, None]}), make_step("LLM_END", "a", output="\u2028 x\ny")]

    await write_steps(path, *steps, project="shop")

    assert list(read_steps(path)) == steps
    assert [line.data["project"] for line in read_lines(path)] == ["shop", "shop"]


@pytest.mark.parametrize("encode", [line_of_span, line_of_request])
def test_spans_come_back_as_they_were(tmp_path: Path, encode: Any) -> None:
    path = tmp_path / "spans.jsonl"
    spans = [
        make_span(text="é\u2028\n", yes=True, count=-(2**63), share=0.5, many=["a", "b"], deep={"a": [1, {"b": 2.0}]}),
        Span(name="root", context=SpanContext(trace_id=2**128 - 1, span_id=2**64 - 1), start_time=1),
    ]

    FileWriter(path).write([encode(span, "shop") for span in spans])

    assert list(read_spans(path)) == spans


def test_a_span_line_is_one_flat_object(tmp_path: Path) -> None:
    line = json.loads(line_of_span(make_span(**{"input.value": "hi"}), None))

    assert line == {
        "trace_id": "00000000000000000000000000000001",
        "span_id": "0000000000000002",
        "parent_span_id": "0000000000000003",
        "name": "ask",
        "start_time": 1_700_000_000_000_000_001,
        "end_time": 1_700_000_000_000_000_009,
        "status": {"code": "ERROR", "message": "no answer"},
        "attributes": {"input.value": "hi"},
        "events": [
            {"name": "exception", "timestamp": 1_700_000_000_000_000_005, "attributes": {"exception.type": "E"}}
        ],
        "links": [
            {
                "trace_id": "00000000000000000000000000000007",
                "span_id": "0000000000000008",
                "attributes": {"why": "retry"},
            }
        ],
    }


def test_rolled_files_are_read_first_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    writer = FileWriter(path, rolling=Rolling(max_file_size_bytes=1_000, max_files=100))

    for n in range(40):
        writer.write([line_of_span(make_span(str(n)), None)])

    assert len(list(tmp_path.iterdir())) > 10
    assert [span.name for span in read_spans(path)] == [str(n) for n in range(40)]
    assert [span.name for span in read_spans(tmp_path)] == [str(n) for n in range(40)]


def test_a_file_that_is_rolled_while_being_read_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    writer = FileWriter(path, rolling=Rolling(max_file_size_bytes=1_000, max_files=100))
    writer.write([line_of_span(make_span(str(n)), None) for n in range(5)])

    names: list[str] = []
    for n, span in enumerate(read_spans(path)):
        names.append(span.name)
        writer.write([line_of_span(make_span(str(5 + n)), None)])

    assert names[:5] == ["0", "1", "2", "3", "4"]
    assert len(set(names)) == len(names)


async def test_a_folder_gives_the_files_of_the_asked_kind(tmp_path: Path) -> None:
    await write_steps(tmp_path / "steps.jsonl", make_step("TOOL_START", "a"))
    FileWriter(tmp_path / "mine.jsonl").write([line_of_span(make_span("b"), None)])
    FileWriter(tmp_path / "otlp.jsonl").write([line_of_request(make_span("c"), None)])
    (tmp_path / "empty.jsonl").touch()

    assert [step.name for step in read_steps(tmp_path)] == ["a"]
    assert [span.name for span in read_spans(tmp_path)] == ["b", "c"]
    assert [line.kind for line in read_lines(tmp_path)] == ["span", "otlp", "step"]


def test_a_line_that_is_being_written_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n": 1}\n\n{"n": 2}\n{"n": ')

    assert list(read_lines(path)) == [Line(path, 1, {"n": 1}), Line(path, 3, {"n": 2})]


@pytest.mark.parametrize(
    ("read", "text", "problem"),
    [
        (read_lines, '{"payload": {}}\n{"n": 1\n', "2: not JSON: "),
        (read_lines, "[1]\n", "1: expected a JSON object, found list"),
        (read_steps, '{"payload": {"event_type": "NOPE"}}\n', "1: payload.event_type: Input should be "),
        (read_steps, '{"span_id": ""}\n', "1: expected steps, found a line of format 'spans'"),
        (read_spans, '{"payload": {}}\n', "1: expected spans, found a line of format 'steps'"),
        (read_spans, '{"hello": 1}\n', "1: expected spans, found an object of another format"),
        (read_spans, '{"span_id": "x"}\n', "1: not in the expected form (KeyError: 'name')"),
        (
            read_spans,
            '{"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}\n',
            "1: not in the expected form (KeyError",
        ),
    ],
)
def test_a_corrupt_line_is_named(tmp_path: Path, read: Any, text: str, problem: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)

    with pytest.raises(CorruptLineError) as caught:
        list(read(path))

    assert str(caught.value).startswith(f"{path}:{problem}")


@pytest.mark.parametrize("read", [read_lines, read_steps, read_spans, read_runs])
@pytest.mark.parametrize("name", ["", "missing.jsonl"])
def test_nothing_to_read_is_said(tmp_path: Path, read: Any, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        list(read(tmp_path / name))


def test_a_folder_without_the_asked_kind_is_said(tmp_path: Path) -> None:
    FileWriter(tmp_path / "spans.jsonl").write([line_of_span(make_span(), None)])

    with pytest.raises(FileNotFoundError, match="none of its files holds steps"):
        list(read_steps(tmp_path))


async def test_steps_of_interleaved_runs_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    await write_steps(
        path,
        make_step("WORKFLOW_START", "run-1"),
        make_step("WORKFLOW_START", "run-2"),
        make_step("LLM_START", "llm-2", "run-2"),
        make_step("TOOL_START", "tool-1", "run-1"),
        make_step("LLM_START", "llm-1", "tool-1"),
        make_step("LLM_END", "llm-2", "run-2"),
        make_step("LLM_END", "late", "rolled-away"),
        make_step("LLM_END", "llm-1", "tool-1"),
        make_step("TOOL_END", "tool-1", "run-1"),
        make_step("WORKFLOW_END", "run-2"),
        make_step("WORKFLOW_END", "run-1"),
    )

    runs = {run: [f"{step.event_state} {step.UUID}" for step in steps] for run, steps in read_runs(path).items()}

    assert runs == {
        "run-1": ["START run-1", "START tool-1", "START llm-1", "END llm-1", "END tool-1", "END run-1"],
        "run-2": ["START run-2", "START llm-2", "END llm-2", "END run-2"],
        "rolled-away": ["END late"],
    }


_text = st.text(st.characters(), max_size=30) | st.sampled_from(["\ud800", "\n", "\r\n", "\u2028", "\x85", '"}\n{'])
_number = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_key = st.text(st.characters(codec="utf-8"), max_size=10)  # two keys that are the same once cleaned are another story
_json = st.recursive(
    st.none() | st.booleans() | _number | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_key, inner, max_size=3),
    max_leaves=8,
)


def _clean(value: Any) -> Any:
    """`value` as UTF-8 can hold it."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(name=_text, value=_json)
async def test_odd_text_makes_one_line_and_comes_back(tmp_path: Path, name: str, value: Any) -> None:
    path = tmp_path / "odd.jsonl"
    path.unlink(missing_ok=True)
    step = make_step("TOOL_START", "a", input=value)
    step.payload.name = name
    await write_steps(path, step, project="\ud800\n")

    assert path.read_bytes().count(b"\n") == len(path.read_text().splitlines()) == 1
    (found,) = read_steps(path)
    assert (found.name, found.data and found.data.input) == (_clean(name), _clean(value))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(name=_text, value=_json.filter(lambda value: value is not None))
@pytest.mark.parametrize("encode", [line_of_span, line_of_request])
def test_odd_attributes_make_one_line_and_come_back(tmp_path: Path, encode: Any, name: str, value: Any) -> None:
    path = tmp_path / "odd.jsonl"
    path.unlink(missing_ok=True)
    FileWriter(path).write([encode(make_span(name, value=value), None)])

    assert path.read_bytes().count(b"\n") == len(path.read_text().splitlines()) == 1
    (found,) = read_spans(path)
    assert (found.name, found.attributes["value"]) == (_clean(name), _clean(value))
