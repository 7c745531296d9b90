"""What the guide to instrumenting says a trace holds, it does: its code is run inside a run, and the spans are read."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from nat.data_models.span import Span, SpanStatusCode
from nat.observability import Telemetry
from nat.plugins.file.reader import read_spans
from nat.plugins.file.register import FileConfig
from tests.docs import markdown

_PAGE = markdown.ROOT / "docs/guide/instrument.md"


class Client:
    """The guide's model client."""

    def chat(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "model": "gpt-4o-mini-2024",
            "choices": [
                {"finish_reason": "stop", "message": {"role": "assistant", "content": f"{len(messages)} heard"}}
            ],
            "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
        }


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Span]]:
    folder = tmp_path_factory.mktemp("guide")
    recorded = folder / "recorded.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        names: dict[str, Any] = {}
        with (
            Telemetry(FileConfig(output_path=str(recorded), format="spans")) as telemetry,
            telemetry.run("guide", session_id="outer"),
        ):
            for block in markdown.blocks(_PAGE):
                if block.language == "python":
                    exec(compile(block.text, f"{_PAGE}:{block.line}", "exec"), names)
            assert names["ask"](Client(), [{"role": "user", "content": "Hello?"}]) == "1 heard"
            assert asyncio.run(names["convert"](100.0, to="EUR")) == 92.0
            names["plan"]("What is new?")
        yield list(read_spans(recorded))


def named(spans: list[Span], name: str) -> list[Span]:
    return sorted((span for span in spans if span.name == name), key=lambda span: span.start_time)


def test_a_model_call_is_read_from_messages_and_response(spans: list[Span]) -> None:
    """Model, provider, parameters, tools, messages, finish reason and tokens."""
    call = next(span.attributes for span in named(spans, "chat") if "llm.provider" in span.attributes)

    assert call["openinference.span.kind"] == "LLM"
    assert call["llm.model_name"] == "gpt-4o-mini"
    assert call["llm.provider"] == "openai"
    assert call["llm.invocation_parameters"] == '{"temperature":0.2}'
    assert "weather" in str(call["llm.tools.0.tool.json_schema"])
    assert call["llm.input_messages.0.message.content"] == "Hello?"
    assert call["llm.output_messages.0.message.content"] == "1 heard"
    assert call["llm.token_count.total"] == 11


def test_usage_is_as_it_was_said(spans: list[Span]) -> None:
    """Total is the sum of both; cached tokens are a detail of the prompt's."""
    call = next(span.attributes for span in named(spans, "chat") if span.attributes.get("llm.token_count.prompt") == 12)

    assert call["llm.token_count.completion"] == 3
    assert call["llm.token_count.total"] == 15
    assert call["llm.token_count.prompt_details.cache_read"] == 8


def test_chunks_are_counted_and_are_no_spans(spans: list[Span]) -> None:
    """For `chunk` as for a generator, whose output is what it yielded in all."""
    streamed = [span for span in spans if span.attributes.get("nat.stream.chunk_count")]

    assert {span.name for span in streamed} == {"chat", "stream"}
    assert {span.attributes["nat.stream.chunk_count"] for span in streamed} == {2}
    assert named(spans, "stream")[0].attributes["output.value"] == "Hello."


def test_documents_are_the_retrievers_output(spans: list[Span]) -> None:
    """Content, id and score of each."""
    search = named(spans, "search")[0].attributes

    assert search["retrieval.documents.0.document.id"] == "faq-3"
    assert search["retrieval.documents.0.document.content"] == "Returns are free."
    assert search["retrieval.documents.0.document.score"] == 0.83


def test_an_error_is_on_its_step_alone(spans: list[Span]) -> None:
    """The step failed, and the run, which caught it, did not."""
    failed = [span for span in spans if span.status.code is SpanStatusCode.ERROR]

    assert [(span.name, span.status.message) for span in failed] == [("search", "search is down")]
    assert failed[0].attributes["error.type"] == "ConnectionError"
    assert "exception.stacktrace" in failed[0].events[0].attributes


def test_carried_context_keeps_the_parent(spans: list[Span]) -> None:
    """The threads' steps hang below the step around the pool."""
    around = named(spans, "search everywhere")[0]

    below = [span for span in spans if span.context.parent_span_id == around.context.span_id]

    assert [span.name for span in below] == ["weather", "weather"]
    assert len({span.context.trace_id for span in spans}) == 1


def test_pushed_events_make_a_span(spans: list[Span]) -> None:
    """START and END of one id, with the usage of the END."""
    pushed = next(span for span in named(spans, "chat") if span.attributes.get("input.value") == "Hello?")

    assert pushed.attributes["output.value"] == "Hello!"
    assert pushed.attributes["llm.token_count.total"] == 4


def test_input_is_recorded_only_if_it_may_be(spans: list[Span]) -> None:
    """`capture_input=False` keeps the arguments out; a single argument is recorded as it is."""
    assert "input.value" not in named(spans, "currency converter")[0].attributes
    assert named(spans, "plan")[0].attributes["input.value"] == "What is new?"


def test_who_a_run_was_for_is_on_its_spans(spans: list[Span]) -> None:
    """Session and user everywhere, tags and metadata on the run's root."""
    root = named(spans, "shop assistant")[0].attributes

    assert (root["session.id"], root["user.id"]) == ("conversation-7", "customer-42")
    assert root["tag.tags"] == ["beta"]
    assert root["metadata"] == '{"shop":"berlin"}'
