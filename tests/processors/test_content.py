"""How much of their content spans and steps keep: everything, short texts, what is said about it, or nothing."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nat.data_models.intermediate_step import IntermediateStep, TraceMetadata
from nat.data_models.span import Span, SpanContext, SpanEvent, SpanStatus, SpanStatusCode
from nat.observability import Telemetry, exporter_entry, step
from nat.plugins.content.register import ContentConfig
from nat.plugins.file.register import FileConfig
from nat.runtime.loader import load_workflow
from tests.support.collecting import SpanCollector, StepCollector, emit, push, registered
from tests.support.processing import SpanFunction, registered_processor

WORD = "CANARY"


def run_everything(telemetry: Telemetry) -> None:
    """A run with the word in everything that is content."""
    tool_call = {"id": "c-1", "type": "function", "function": {"name": "pay", "arguments": f'{{"to": "{WORD}"}}'}}
    image = {"type": "image_url", "image_url": {"url": f"https://example.com/{WORD}.png"}}
    asked = [
        {"role": "user", "content": [{"type": "text", "text": WORD}, image]},
        {"role": "assistant", "content": None, "tool_calls": [tool_call]},
        {"role": "tool", "tool_call_id": "c-1", "content": WORD},
    ]
    with suppress(ValueError), telemetry.run("run", input=WORD, metadata={"plan": "gold"}):
        with step("chat", kind="llm", input=asked, model="m-1", metadata={"tools_schema": [{"name": WORD}]}) as chat:
            chat.chunk(WORD)
            chat.output = {"role": "assistant", "content": WORD}
            chat.set_attribute("gen_ai.input.messages", json.dumps([WORD]))
            chat.set_attribute("gen_ai.prompt.name", "greeting")
            chat.set_attribute("team", "search")
        with step("look up", kind="retriever", input=WORD) as retriever:
            retriever.output = [{"id": "d-1", "content": WORD, "score": 0.5, "metadata": {"page": WORD}}]
        with step("embed", kind="embedder", input=[WORD]):
            pass
        with step("rank", kind="reranker", input={"query": WORD, "documents": [{"id": "d-2", "text": WORD}]}):
            pass
        evaluation = {"name": "tone", "score": 1.0, "explanation": WORD}
        with step("judge", kind="evaluator", input={"answer": WORD}, metadata={"evaluations": [evaluation]}):
            pass
        emit("extra", input=WORD, output=WORD, metadata=TraceMetadata(tool_inputs=WORD, span_outputs=[WORD]))
        with step("pay", kind="tool", input={"to": WORD}):
            raise ValueError(WORD)


def collected(**settings: Any) -> tuple[dict[str, Span], list[IntermediateStep]]:
    """Spans by name, and steps, of that run with these settings."""
    spans, steps = SpanCollector(), StepCollector()
    with Telemetry(
        registered(lambda: spans)(), registered(lambda: steps)(), processors=[ContentConfig(**settings)]
    ) as telemetry:
        run_everything(telemetry)
    return spans.by_name(), steps.received.items


def text_of(items: Any) -> str:
    return "\n".join(item.model_dump_json() for item in items)


def test_full_is_all_of_it() -> None:
    spans, steps = collected(mode="full")

    assert spans["chat"].attributes["llm.input_messages.0.message.contents.0.message_content.text"] == WORD
    assert all(WORD in text_of([span]) for span in spans.values())
    assert WORD in text_of(steps)


@pytest.mark.parametrize("mode", ["none", "metadata"])
def test_nothing_of_the_content_is_left(mode: str) -> None:
    """In no copy: inputs, outputs, messages, arguments, documents, chunks, explanations, exceptions, stack traces."""
    spans, steps = collected(mode=mode)

    assert WORD not in text_of([*spans.values(), *steps])
    assert len(spans) == 8
    assert spans["chat"].attributes["team"] == "search"
    assert spans["chat"].attributes["gen_ai.prompt.name"] == "greeting"
    assert json.loads(spans["run"].attributes["metadata"]) == {"plan": "gold"}
    assert spans["judge"].attributes["evaluations.0.evaluation.score"] == 1.0


def test_metadata_says_what_kind_of_content_there_was() -> None:
    spans, steps = collected(mode="metadata")

    chat = {key: value for key, value in spans["chat"].attributes.items() if "_messages." in key or "content" in key}
    assert chat == {
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.type": "text",
        "llm.input_messages.0.message.contents.1.message_content.type": "image",
        "llm.input_messages.1.message.role": "assistant",
        "llm.input_messages.1.message.tool_calls.0.tool_call.id": "c-1",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "pay",
        "llm.input_messages.2.message.role": "tool",
        "llm.input_messages.2.message.tool_call_id": "c-1",
        "llm.output_messages.0.message.role": "assistant",
        "nat.content.input_chars": 334,
        "nat.content.output_chars": 39,
    }
    assert spans["look up"].attributes["retrieval.documents.0.document.score"] == 0.5
    assert spans["look up"].attributes["input.mime_type"] == "text/plain"
    (ended,) = (one for one in steps if one.event_type == "LLM_END")
    assert ended.metadata == {"nat.content.output_chars": 39}


def test_none_says_not_even_that() -> None:
    spans, steps = collected(mode="none")

    said = [key for key in spans["chat"].attributes if "input" in key or "output" in key or "content" in key]
    assert said == []
    assert all(one.data is None for one in steps)


@pytest.mark.parametrize("mode", ["none", "metadata", "truncate:3"])
def test_what_failed_has_failed_still(mode: str) -> None:
    """Status, kind of error and the fact that there was one are no content."""
    spans, steps = collected(mode=mode)

    failed = spans["pay"]
    assert failed.status.code is SpanStatusCode.ERROR
    assert failed.attributes["error.type"] == "ValueError"
    assert [event.attributes["exception.type"] for event in failed.events] == ["ValueError"]
    (ended,) = (one for one in steps if one.event_type == "TOOL_END")
    assert isinstance(ended.metadata, dict)
    assert ended.metadata["error_type"] == "ValueError"
    assert ended.metadata["error"]


def test_truncate_cuts_code_points_and_says_how_many() -> None:
    spans, steps = SpanCollector(), StepCollector()

    with Telemetry(
        registered(lambda: spans)(), registered(lambda: steps)(), processors=[ContentConfig(mode="truncate:5")]
    ) as telemetry:
        with telemetry.run("run", input="a🙂é漢字xyz", metadata={"note": "long enough"}):
            pass

    (span,), (start, _) = spans.received.items, steps.received.items
    assert span.attributes["input.value"] == "a🙂é漢…"
    assert span.attributes["nat.content.cut_chars"] == 3
    assert span.attributes["nat.content.cut_attributes"] == ["input.value"]
    assert span.attributes["metadata"] == '{"note":"long enough"}'
    assert start.data is not None
    assert start.data.input == "a🙂é漢…"
    assert start.metadata == {"nat.content.cut_chars": 3, "nat.content.cut_attributes": ["data.input"]}


def test_what_is_short_enough_is_untouched() -> None:
    before, _ = collected(mode="full")
    after, _ = collected(mode="truncate:1000000")

    for name, span in before.items():
        timeless = {"nat.step.id": "", "nat.stream.time_to_first_chunk_s": 0.0}
        assert span.attributes | timeless == after[name].attributes | timeless


@pytest.mark.parametrize("limit", [1, 2, 7, 30, 60, 100, 200, 363])
def test_no_text_is_longer_than_it_may_be(limit: int) -> None:
    spans, steps = collected(mode=f"truncate:{limit}")

    kept = ("nat.", "openinference.", "mime_type", "message.role", "_call_id", "_call.id", "function.name", ".type")
    for span in spans.values():
        events = [(key, text) for event in span.events for key, text in event.attributes.items()]
        for key, value in [*span.attributes.items(), *events, ("status", span.status.message)]:
            if isinstance(value, str) and not any(
                part in key for part in (*kept, "model_name", "tool.name", "metadata")
            ):
                assert len(value) <= max(limit, 6 if key in ("team", "gen_ai.prompt.name") else 0, 8), (key, value)
    for one in steps:
        if one.data is not None:
            for value in (one.data.input, one.data.output, one.data.chunk):
                assert value is None or len(value if isinstance(value, str) else _written(value)) <= limit


def _written(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def test_json_stays_json_as_long_as_that_is_possible() -> None:
    """The texts in it are cut; where its frame alone is too long, it becomes a text and says so."""
    wide, narrow = SpanCollector(), SpanCollector()
    entries = [
        exporter_entry(registered(lambda: wide)(), processors=[ContentConfig(mode="truncate:200")]),
        exporter_entry(registered(lambda: narrow)(), processors=[ContentConfig(mode="truncate:12")]),
    ]
    with Telemetry(*entries) as telemetry, telemetry.run("run"):
        with step("pay", kind="tool", input={"to": "x" * 900, "why": ["y" * 900, "z"], "n": 5}):
            pass

    fitted, cut = wide.by_name()["pay"].attributes, narrow.by_name()["pay"].attributes
    value = json.loads(fitted["input.value"])
    assert (value["n"], value["why"][1], value["to"][-1], set(value["to"][:-1])) == (5, "z", "…", {"x"})
    assert 120 < len(fitted["input.value"]) <= 200
    assert (fitted["input.mime_type"], json.loads(fitted["tool.parameters"])) == ("application/json", value)
    assert (cut["input.value"], cut["input.mime_type"]) == ('{"to":"xxxx…', "text/plain")


def test_texts_of_any_shape_are_cut() -> None:
    """Deep, long, escaped, or no JSON after all; numbers in lists stay."""
    deep = "[" * 5000 + "]" * 5000
    shapes: dict[str, Any] = {
        "input.value": deep,
        "output.value": json.dumps(['"\\' * 5000]),
        "llm.prompts": ["a" * 50, "b"],
        "tool.parameters": "{" + "x" * 200,
        "embedding.vector": [0.5] * 100,
        "gen_ai.output.messages": json.dumps([{"n": index} for index in range(10_000)]),
    }
    made = registered_processor(lambda: SpanFunction(lambda span: span.model_copy(update={"attributes": shapes})))()
    collector = SpanCollector()

    with Telemetry(registered(lambda: collector)(), processors=[made, ContentConfig(mode="truncate:40")]) as telemetry:
        with telemetry.run("run"):
            pass

    (span,) = collector.received.items
    assert span.attributes["input.value"] == "[" * 39 + "…"
    assert [text[-1] for text in json.loads(span.attributes["output.value"])] == ["…"]
    assert [text[:1] for text in span.attributes["llm.prompts"]] == ["a", "b"]
    assert span.attributes["tool.parameters"] == "{" + "x" * 38 + "…"
    assert span.attributes["embedding.vector"] == [0.5] * 100
    assert len(span.attributes["gen_ai.output.messages"]) == 40


def test_events_of_others_keep_no_content() -> None:
    """What a processor adds beside exceptions, as other instrumentation does."""

    def add(span: Span) -> Span:
        span.add_event("gen_ai.user.message", {"role": "user", "content": WORD, "gen_ai.system": "openai"})
        return span

    collector = SpanCollector()
    processors = [registered_processor(lambda: SpanFunction(add))(), ContentConfig(mode="none")]
    with Telemetry(registered(lambda: collector)(), processors=processors) as telemetry, telemetry.run("run"):
        pass

    (span,) = collector.received.items
    assert [event.attributes for event in span.events] == [{"role": "user", "gen_ai.system": "openai"}]


def test_chunks_of_steps_are_content() -> None:
    collector = StepCollector()

    with Telemetry(registered(lambda: collector)(), processors=[ContentConfig(mode="none")]) as telemetry:
        with telemetry.run("run"):
            push("LLM_NEW_TOKEN", "chat", chunk=WORD)

    assert [one.event_type.value for one in collector.received.items][1] == "LLM_NEW_TOKEN"
    assert WORD not in text_of(collector.received.items)


async def test_the_item_that_is_given_is_not_changed() -> None:
    from nat.observability.processor.content_processor import ContentMode, ContentProcessor

    span = Span(
        name="s",
        context=SpanContext(trace_id=1, span_id=2),
        status=SpanStatus(code=SpanStatusCode.ERROR, message=WORD),
        attributes={"input.value": WORD, "metadata": "not an object"},
        events=[SpanEvent(name="exception", attributes={"exception.message": WORD})],
    )
    before = span.model_dump_json()

    changed = await ContentProcessor(ContentMode("none")).process(span)

    assert span.model_dump_json() == before
    assert WORD not in changed.model_dump_json()
    assert isinstance(changed, Span)
    assert changed.attributes == {"metadata": "not an object"}


@pytest.mark.parametrize("mode", ["half", "truncate", "truncate:0", "truncate:-1", "truncate:many", "None", ""])
def test_other_modes_are_refused(mode: str) -> None:
    with pytest.raises(
        ValidationError, match=r"expected full, truncate:N with a number of characters, metadata or none"
    ):
        ContentConfig(mode=mode)


def test_the_short_form_is_for_all_and_for_one(tmp_path: Path) -> None:
    """An entry's own goes before, and both come behind all other processors."""
    file = tmp_path / "w.yaml"
    file.write_text(
        """
        general:
          telemetry:
            content: none
            processors: [{_type: redact}]
            tracing:
              general: {_type: file, output_path: a}
              own: {_type: file, output_path: b, content: truncate:20, processors: [{_type: redact}]}
              mapped: {_type: file, output_path: c, content: {mode: metadata, timeout: 3}}
        """,
    )

    entries = {entry.name: entry for entry in load_workflow(file).exporters}

    said = {
        name: [(one.registration.type_name, one.path) for one in entry.processors] for name, entry in entries.items()
    }
    general = ("redact", "general.telemetry.processors[0]")
    assert said == {
        "general": [general, ("content", "general.telemetry.content")],
        "own": [
            general,
            ("redact", "general.telemetry.tracing.own.processors[0]"),
            ("content", "general.telemetry.tracing.own.content"),
        ],
        "mapped": [general, ("content", "general.telemetry.tracing.mapped.content")],
    }
    configs = {name: entry.processors[-1].config for name, entry in entries.items()}
    assert configs == {
        "general": ContentConfig(mode="none"),
        "own": ContentConfig(mode="truncate:20"),
        "mapped": ContentConfig(mode="metadata"),
    }
    assert entries["mapped"].processors[-1].timeout_s == 3


@pytest.mark.parametrize("conventions", ["openinference", "gen_ai", "gen_ai@0.1.0", "both"])
@pytest.mark.parametrize("mode", ["none", "metadata"])
def test_no_convention_brings_it_back(mode: str, conventions: Any, tmp_path: Path) -> None:
    """Names are translated after everything else."""
    config = FileConfig(output_path=str(tmp_path / "spans.jsonl"), format="spans")
    entry = exporter_entry(config, conventions=conventions, processors=[ContentConfig(mode=mode)])

    with Telemetry(entry) as telemetry:
        run_everything(telemetry)

    written = (tmp_path / "spans.jsonl").read_text()
    assert written.count("\n") == 8
    assert WORD not in written


def test_exporters_differ() -> None:
    """Three of them, three modes, one run."""
    collectors = {mode: SpanCollector() for mode in ("full", "truncate:2", "none")}
    entries = [
        exporter_entry(registered(lambda made=made: made)(), name=mode, processors=[ContentConfig(mode=mode)])  # type: ignore[misc]  # mypy 1 cannot infer it
        for mode, made in collectors.items()
    ]

    with Telemetry(*entries) as telemetry, telemetry.run("run", input=WORD):
        pass

    seen = {mode: made.received.items[0].attributes.get("input.value") for mode, made in collectors.items()}
    assert seen == {"full": WORD, "truncate:2": "C…", "none": None}
