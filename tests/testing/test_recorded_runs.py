"""The ten recorded runs arrive as their facts say, and have everything between them that a backend shows."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.span import SpanAttributes as Keys
from nat.observability import Telemetry
from nat.plugins.file.register import FileConfig
from nat.testing import (
    Failure,
    ReceivedSpan,
    RecordedRun,
    SpanFacts,
    Tokens,
    facts_of,
    read_chats,
    recorded_run,
    recorded_runs,
    replay,
    tree_of,
)
from nat.testing.plain_spans import plain_spans_of

RUNS = pytest.mark.parametrize("run", recorded_runs(), ids=lambda run: run.id)


def replayed(run: RecordedRun, folder: Path) -> list[ReceivedSpan]:
    """The run's spans, in the order in which they start."""
    file = folder / "spans.jsonl"
    with Telemetry(FileConfig(output_path=str(file), format="spans")) as telemetry:
        trace_id = replay(run, telemetry)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    spans = sorted(plain_spans_of(lines), key=lambda span: span.start_ns)
    assert {span.trace_id for span in spans} == {trace_id}
    return spans


def failure_of(span: ReceivedSpan) -> Failure | None:
    return Failure(span.attributes["error.type"], span.status_message) if span.status == "ERROR" else None


def tokens_of(span: ReceivedSpan) -> Tokens | None:
    prefix = "llm.token_count."
    found = {key.removeprefix(prefix): count for key, count in span.attributes.items() if key.startswith(prefix)}
    if not found:
        return None
    return Tokens(
        found.get("prompt", 0),
        found.get("completion", 0),
        found.get("total", 0),
        found.get("prompt_details.cache_read", 0),
        found.get("prompt_details.cache_write", 0),
        found.get("completion_details.reasoning", 0),
    )


def indexed(span: ReceivedSpan, prefix: str, suffix: str) -> list[Any]:
    """Values of a flattened list, in order."""
    values: list[Any] = []
    while (key := f"{prefix}.{len(values)}.{suffix}") in span.attributes:
        values.append(span.attributes[key])
    return values


def assert_is(span: ReceivedSpan, facts: SpanFacts) -> None:
    assert span.name == facts.name
    assert span.attributes[Keys.SPAN_KIND] == facts.kind
    assert span.attributes.get(Keys.LLM_MODEL_NAME, span.attributes.get("embedding.model_name")) == (
        facts.model if facts.kind in ("LLM", "EMBEDDING") else None
    )
    assert span.attributes.get(Keys.LLM_PROVIDER) == facts.provider
    assert tokens_of(span) == facts.tokens
    assert failure_of(span) == facts.error
    assert span.attributes.get("nat.span.incomplete", False) is facts.is_incomplete
    assert span.attributes.get("nat.stream.chunk_count", 0) == facts.chunk_count
    roles = [message.role for message in facts.input_messages]
    assert indexed(span, Keys.LLM_INPUT_MESSAGES, "message.role") == roles
    texts = [message.text for message in facts.output_messages if message.text is not None]
    if facts.error is None:
        assert indexed(span, Keys.LLM_OUTPUT_MESSAGES, "message.content") == texts
    schemas = [json.loads(schema) for schema in indexed(span, Keys.LLM_TOOLS, "tool.json_schema")]
    assert tuple(schema["function"]["name"] for schema in schemas) == facts.tool_names
    prefix = Keys.RETRIEVAL_DOCUMENTS if facts.kind == "RETRIEVER" else Keys.RERANKER_OUTPUT_DOCUMENTS
    assert indexed(span, prefix, "document.id") == [document.id for document in facts.documents]
    assert indexed(span, prefix, "document.score") == [document.score for document in facts.documents]


@RUNS
def test_a_run_arrives_as_its_facts_say(run: RecordedRun, tmp_path: Path) -> None:
    facts = facts_of(run)

    spans = replayed(run, tmp_path)

    assert tree_of(spans) == facts.tree
    for span, expected in zip(spans, facts.spans, strict=True):
        assert_is(span, expected)
        assert span.attributes[Keys.SESSION_ID] == facts.session_id
        assert span.attributes[Keys.USER_ID] == facts.user_id
    assert spans[0].attributes.get(Keys.TAGS, []) == list(facts.tags)
    if run.id != "odd_values":
        assert json.loads(spans[0].attributes.get(Keys.METADATA, "{}")) == facts.metadata


def test_the_facts_of_a_run_are_these() -> None:
    """One run written out, so that the facts do not merely agree with themselves."""
    facts = facts_of(recorded_run("nested_agents"))

    assert facts.tree == (
        "coordinator",
        (
            ("compare", ()),
            ("plan", ()),
            ("plane agent", (("ask for planes", ()),)),
            ("train agent", (("ask for trains", ()), ("timetable", (("parse timetable", ()),)))),
        ),
    )
    assert facts.kinds == {"AGENT": 3, "LLM": 4, "TOOL": 1, "CHAIN": 1}
    assert facts.models == {"gpt-4o", "gpt-4o-mini"}
    assert facts.tokens == Tokens(1000, 100, 1100, cache_read=128, reasoning=16)
    assert facts.span("train agent").cumulative_tokens == Tokens(200, 20, 220)
    assert facts.span("train agent").tokens is None
    assert (facts.session_id, facts.user_id, facts.tags) == (
        "session-nested-agents",
        "user-lin",
        ("travel", "agents"),
    )
    assert facts.errors == {}


def test_the_errors_of_runs_are_these() -> None:
    refused = Failure("PermissionError", "the model 'gpt-5-internal' is not available to this project")

    errors = {run.id: facts_of(run).errors for run in recorded_runs() if facts_of(run).errors}

    assert errors == {
        "failing_tool": {
            "reserve": Failure("TimeoutError", "the booking system did not answer within 5 s"),
            "reserve again": Failure("ConnectionResetError", "the booking system hung up"),
        },
        "failed_run": {"translator": refused, "translate page": refused, "translate": refused},
        "unfinished_step": {
            "report builder": Failure(
                "incomplete", "2 step(s) never ended: 'upload in the background', 'wait for a signature'"
            ),
            "upload in the background": Failure("incomplete", "step never ended"),
            "wait for a signature": Failure("incomplete", "step never ended"),
        },
    }


def test_between_them_they_have_everything() -> None:
    """Whoever removes a run sees what is missing then."""
    facts = [facts_of(run) for run in recorded_runs()]
    spans = [span for run in facts for span in run.spans]

    assert len(facts) == 10
    assert {span.kind for span in spans} == {
        *("AGENT", "CHAIN", "EMBEDDING", "EVALUATOR", "GUARDRAIL", "LLM", "RERANKER", "RETRIEVER", "TOOL"),
    }
    tokens = sum((run.tokens for run in facts), Tokens())
    assert min(tokens.prompt, tokens.completion, tokens.cache_read, tokens.cache_write, tokens.reasoning) > 0
    assert all(run.session_id and run.user_id for run in facts)
    assert len({run.session_id for run in facts}) == 10
    assert any(run.tags for run in facts)
    assert any(run.metadata for run in facts)
    assert any(span.documents for span in spans)
    assert any(span.tool_names for span in spans)
    assert any(len(span.input_messages) > 2 for span in spans)
    assert any(span.chunk_count for span in spans)
    assert any(len(str(span.input)) > 100_000 for span in spans)
    assert {step.through for run in recorded_runs() for step in run.steps} == {"step", "push", "run"}


def test_a_run_can_be_taken_to_another_session() -> None:
    run = recorded_run("tool_call").in_session("another")

    assert facts_of(run).session_id == "another"
    assert recorded_run("tool_call").session_id == "session-tool-call"


def test_an_unknown_run_is_told_with_those_that_there_are() -> None:
    with pytest.raises(KeyError, match="no recorded run 'tool_cal'; there are: cached_prompt, failed_run"):
        recorded_run("tool_cal")


def test_runs_can_be_replayed_at_once(tmp_path: Path) -> None:
    """Threads that replay the same runs do not mix them."""
    file = tmp_path / "spans.jsonl"
    everybody = threading.Barrier(10)

    def play(run: RecordedRun) -> None:
        everybody.wait()
        replay(run, telemetry)

    with Telemetry(FileConfig(output_path=str(file), format="spans")) as telemetry:
        threads = [threading.Thread(target=play, args=(run,)) for run in recorded_runs()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    by_trace: dict[str, list[ReceivedSpan]] = {}
    for span in plain_spans_of(lines):
        by_trace.setdefault(span.trace_id, []).append(span)
    assert sorted(map(tree_of, by_trace.values())) == sorted(facts_of(run).tree for run in recorded_runs())


def test_a_tree_needs_all_its_spans(tmp_path: Path) -> None:
    spans = replayed(recorded_run("nested_agents"), tmp_path)

    with pytest.raises(
        ValueError, match=r"8 spans are no tree: 1 roots, spans without their parent: \['parse timetable'\]"
    ):
        tree_of([span for span in spans if span.name != "timetable"])


def test_a_chat_becomes_a_run(tmp_path: Path) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"id": 7}'}}]
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Where is my parcel?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "name": "look_up", "content": "in Lyon"},
        {"role": "assistant", "content": "It is in Lyon."},
    ]
    file = tmp_path / "chats.jsonl"
    file.write_text(json.dumps({"run_id": "parcel-1", "messages": messages}) + "\n", encoding="utf-8")

    (run,) = read_chats(file)
    facts = facts_of(run)
    spans = replayed(run, tmp_path)

    assert facts.tree == tree_of(spans) == ("parcel-1", (("chat", ()), ("chat", ()), ("look_up", ())))
    assert (run.input, run.output, run.session_id) == ("Where is my parcel?", "It is in Lyon.", "parcel-1")
    for span, expected in zip(spans, facts.spans, strict=True):
        assert_is(span, expected)
    assert spans[2].attributes["tool.parameters"] == '{"id": 7}'
