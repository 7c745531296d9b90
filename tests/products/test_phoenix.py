"""Phoenix, the product: what it shows of recorded runs, through the APIs behind its own pages."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.plugins.phoenix.register import PhoenixConfig
from nat.testing import RecordedRun, RunFacts, SpanFacts, Tokens, facts_of, recorded_runs, tree_of
from tests.products.openinference import documents_in, messages_in, tool_schemas_in
from tests.products.phoenix import Phoenix, as_kept
from tests.products.sending import send
from tests.products.shown import ShownSpan, assert_arrived
from tests.support.chats import recorded_chats

_NO_JSON = (
    "numbers",
    "lone surrogate",
)  # values that neither JSON nor UTF-8 has, which are sent as texts that tell them


def config(phoenix: Phoenix, way: str, project: str) -> TelemetryExporterBaseConfig:
    """The way to send: `otelcollector`, or the exporter that is made for Phoenix, over one of two protocols."""
    if way == "otelcollector":
        return OtelCollectorConfig(endpoint=phoenix.url, resource_attributes={"openinference.project.name": project})
    if way == "phoenix over gRPC":
        return PhoenixConfig(endpoint=phoenix.grpc_url, project=project, protocol="grpc")
    return PhoenixConfig(endpoint=phoenix.url, project=project)


in_all_ways = pytest.mark.parametrize("way", ["otelcollector", "phoenix", "phoenix over gRPC"])


@in_all_ways
def test_recorded_chats_arrive_as_they_were(phoenix: Phoenix, way: str, tmp_path: Path) -> None:
    """All 893 spans of 40 chats, each once: ids, parents, times to the microsecond, status, kinds, messages, and the rest."""
    project = f"chats by {way}"
    chats = [chat.in_session(f"{chat.id} by {way}") for chat in recorded_chats()]

    sent = send(chats, config(phoenix, way, project), tmp_path)

    kept = phoenix.wait_for_spans(project, len(sent))
    assert len(sent) == 893
    assert_arrived(sent, kept, as_kept)
    page = phoenix.project(project)
    assert page["traceCount"] == 40
    assert {name: session["numTraces"] for name, session in page["sessions"].items()} == {
        chat.session_id: 1 for chat in chats
    }


# -- the ten runs ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Span:
    """What is true of a span, what its page shows, and the span as the REST API gives it."""

    facts: SpanFacts
    page: dict[str, Any]
    rest: ShownSpan


@dataclass(frozen=True, slots=True)
class Shown:
    """A project with the ten runs: what was sent and kept, its page, and each run with its spans, the root first."""

    sent: list[ShownSpan]
    kept: list[ShownSpan]
    project: dict[str, Any]
    runs: list[tuple[RunFacts, list[Span]]]

    def spans(self) -> list[Span]:
        return [span for _, spans in self.runs for span in spans]


@pytest.fixture(scope="module", params=["otelcollector", "phoenix", "phoenix over gRPC"])
def shown(phoenix: Phoenix, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The ten runs, sent and stored. Phoenix knows a session id only once, so each project has ids of its own."""
    way: str = request.param
    project = f"runs by {way}"
    runs = [run.in_session(f"{run.session_id} by {way}") for run in recorded_runs()]
    sent = send(runs, config(phoenix, way, project), tmp_path_factory.mktemp("sent"))
    kept = phoenix.wait_for_spans(project, len(sent))
    pages = phoenix.span_pages(project)
    assert len(pages) == len(kept)
    return Shown(sent, kept, phoenix.project(project), [_shown(run, kept, pages) for run in runs])


def _shown(run: RecordedRun, kept: list[ShownSpan], pages: dict[str, dict[str, Any]]) -> tuple[RunFacts, list[Span]]:
    facts = facts_of(run)
    [trace_id] = {span.trace_id for span in kept if (span.name, span.parent_id) == (run.name, None)}
    by_name = {span.name: span for span in kept if span.trace_id == trace_id}
    assert tree_of(by_name.values()) == facts.tree
    return facts, [Span(span, pages[by_name[span.name].span_id], by_name[span.name]) for span in facts.spans]


def test_own_runs_arrive_as_they_were(shown: Shown) -> None:
    """So do the ten runs with tokens, documents, failures, and values that break naive exporters."""
    assert_arrived(shown.sent, shown.kept, as_kept)


def test_kinds(shown: Shown) -> None:
    for span in shown.spans():
        assert span.page["spanKind"].upper() == span.rest.attributes["span_kind"] == span.facts.kind


def test_models_and_providers(shown: Shown) -> None:
    for span in shown.spans():
        if span.facts.kind == "LLM":
            assert span.rest.attributes["llm.model_name"] == span.facts.model
            assert span.rest.attributes["llm.provider"] == span.facts.provider


def test_tokens_of_each_call(shown: Shown) -> None:
    """Phoenix counts those of model calls; those of an embedder it keeps as attributes."""
    for span in shown.spans():
        own, page = span.facts.tokens or Tokens(), span.page
        if span.facts.kind == "LLM":
            assert (page["tokenCountPrompt"] or 0, page["tokenCountCompletion"] or 0) == (own.prompt, own.completion)
            assert page["tokenCountTotal"] == own.total
            assert page["tokenPromptDetails"] == {
                "cacheRead": own.cache_read or None,
                "cacheWrite": own.cache_write or None,
            }
        elif span.facts.kind == "EMBEDDING":
            assert span.rest.attributes["llm.token_count.total"] == own.total
    assert shown.project["tokenCountTotal"] == sum(
        span.facts.tokens.total for span in shown.spans() if span.facts.kind == "LLM" and span.facts.tokens
    )


def test_tokens_add_up_along_the_tree(shown: Shown) -> None:
    """Without those of embedders, which Phoenix does not add."""
    for facts, spans in shown.runs:
        embedded = sum(span.tokens.prompt for span in facts.spans if span.kind == "EMBEDDING" and span.tokens)
        for span in spans:
            if span.facts.kind == "EMBEDDING":
                continue
            expected = span.facts.cumulative_tokens
            left_out = embedded if span.facts.parent is None else 0
            assert span.page["cumulativeTokenCountPrompt"] == expected.prompt - left_out
            assert span.page["cumulativeTokenCountCompletion"] == expected.completion


def test_messages(shown: Shown) -> None:
    """Roles, texts and tool calls of what a model was asked and of what it answered, in order."""
    for span in shown.spans():
        assert messages_in(span.rest.attributes, "llm.input_messages") == span.facts.input_messages
        assert messages_in(span.rest.attributes, "llm.output_messages") == span.facts.output_messages


def test_tools_that_a_model_may_call(shown: Shown) -> None:
    for span in shown.spans():
        schemas = [json.loads(schema) for schema in tool_schemas_in(span.rest.attributes)]
        assert tuple(schema["function"]["name"] for schema in schemas) == span.facts.tool_names


def test_documents(shown: Shown) -> None:
    """Of a retriever and of a reranker: ids, texts and scores, in order, and their number on the page."""
    for span in shown.spans():
        prefix = "reranker.output_documents" if span.facts.kind == "RERANKER" else "retrieval.documents"
        assert documents_in(span.rest.attributes, prefix) == span.facts.documents
        assert span.page["numDocuments"] == len(span.facts.documents)
    assert sum(span.page["numDocuments"] for span in shown.spans()) == 5


def test_inputs_and_outputs(shown: Shown) -> None:
    """Texts as they are, everything else as JSON, and said to be that. An empty text is not shown."""
    for span in shown.spans():
        if span.facts.error is not None or span.facts.name in _NO_JSON:
            continue
        for value, side in ((span.facts.input, span.page["input"]), (span.facts.output, span.page["output"])):
            if value in (None, ""):
                assert side is None
            elif isinstance(value, str):
                assert (side["value"], side["mimeType"]) == (value, "text")
            else:
                assert (json.loads(side["value"]), side["mimeType"]) == (value, "json")


def test_errors(shown: Shown) -> None:
    """What failed is red and says why; what did not, is not."""
    for span in shown.spans():
        error, page = span.facts.error, span.page
        if error is None:
            assert (page["statusCode"], page["statusMessage"], page["events"]) == ("OK", "", [])
        else:
            assert (page["statusCode"], page["statusMessage"]) == ("ERROR", error.message)
            assert page["events"] == [{"name": "exception", "message": error.message}]
            assert span.rest.events[0].attributes["exception.type"] == error.type
    assert sum(span.page["statusCode"] == "ERROR" for span in shown.spans()) == 8


def test_sessions_and_users(shown: Shown) -> None:
    """A page for each session: its user, its runs and how many failed, first input, last output, tokens."""
    for facts, spans in shown.runs:
        assert {span.page["trace"]["session"]["sessionId"] for span in spans} == {facts.session_id}
        assert {span.page["userId"] for span in spans} == {facts.user_id}
        session, root = shown.project["sessions"][facts.session_id], spans[0].rest.attributes
        assert session["userId"] == facts.user_id
        assert (session["numTraces"], session["numTracesWithError"]) == (1, 1 if facts.errors else 0)
        assert session["firstInput"] == {"value": root["input.value"]}
        assert session["lastOutput"] == ({"value": root["output.value"]} if "output.value" in root else None)
        calls = [span.facts.tokens for span in spans if span.facts.kind == "LLM" and span.facts.tokens]
        assert session["tokenUsage"] == {
            "prompt": sum(tokens.prompt for tokens in calls),
            "completion": sum(tokens.completion for tokens in calls),
        }
    assert len(shown.project["sessions"]) == shown.project["traceCount"] == 10


def test_tags_and_metadata_of_the_run(shown: Shown) -> None:
    for facts, (root, *_) in shown.runs:
        assert tuple(root.rest.attributes.get("tag.tags", ())) == facts.tags
        assert json.loads(root.page["metadata"] or "{}") == facts.metadata
