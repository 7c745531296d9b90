"""Phoenix and MLflow, sent OpenTelemetry's `gen_ai` names in place of OpenInference's: what they show of the recorded runs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.conventions import Conventions
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry
from nat.observability.registry import exporter_entry
from nat.plugins.file.register import FileConfig
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.plugins.phoenix.register import PhoenixConfig
from nat.testing import (
    MessageFacts,
    RecordedRun,
    RunFacts,
    SpanFacts,
    Tokens,
    facts_of,
    recorded_run,
    recorded_runs,
    replay,
    tree_of,
)
from tests.products.mlflow import Mlflow, opened, own_attributes
from tests.products.openinference import documents_in, messages_in, tool_schemas_in
from tests.products.phoenix import Phoenix
from tests.products.rest import call
from tests.products.shown import ShownSpan, read_spans
from tests.support.waiting import wait_for

_TIMEOUT_S = 90.0
_REPLACED = (
    "llm.",
    "tool.",
    "retrieval.",
    "agent.name",
    "embedding.model_name",
    "session.id",
)
"""What OpenInference's names of kinds, models, tokens, messages, tools and documents begin with."""

_TYPES = {"LLM": "CHAT_MODEL", "EMBEDDING": "EMBEDDING", "TOOL": "TOOL", "AGENT": "AGENT"}
"""MLflow's, for the operations that it knows."""


def _send(runs: list[RecordedRun], config: TelemetryExporterBaseConfig, conventions: Conventions, folder: Path) -> None:
    """Record runs and send them; nothing of what is sent has OpenInference's names for what `gen_ai` has one."""
    file = folder / "sent.jsonl"
    with Telemetry(
        exporter_entry(config, name="product", conventions=conventions),
        exporter_entry(FileConfig(output_path=str(file), format="spans"), conventions=conventions),
    ) as telemetry:
        for run in runs:
            replay(run, telemetry)
        telemetry.flush(_TIMEOUT_S)
    status = telemetry.status().exporters["product"]
    sent = read_spans(file)
    assert status.delivered == status.accepted == len(sent)
    for span in sent:
        named = [key for key in span.attributes if key.startswith(_REPLACED)]
        assert "gen_ai.operation.name" not in span.attributes or not named, named
        assert ("gen_ai.operation.name" in span.attributes) != ("openinference.span.kind" in span.attributes)


def _texts(messages: tuple[MessageFacts, ...]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(message.role, message.text or "", message.tool_names) for message in messages]


# -- Phoenix -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Span:
    """What is true of a span, what its page in Phoenix shows, and the span as the REST API gives it."""

    facts: SpanFacts
    page: Mapping[str, Any]
    rest: ShownSpan


@dataclass(frozen=True, slots=True)
class _Project:
    """What Phoenix shows of a project, and of its runs."""

    page: Mapping[str, Any]
    runs: list[tuple[RunFacts, list[_Span]]]

    def spans(self) -> Iterator[_Span]:
        return (span for _, spans in self.runs for span in spans)


@pytest.fixture(scope="module")
def in_phoenix(phoenix: Phoenix, tmp_path_factory: pytest.TempPathFactory) -> _Project:
    """The ten runs, in sessions of their own: Phoenix knows a session id only once."""
    runs = [run.in_session(f"{run.session_id} in gen_ai") for run in recorded_runs()]
    config = PhoenixConfig(endpoint=phoenix.url, project="gen_ai")
    _send(runs, config, "gen_ai", tmp_path_factory.mktemp("sent"))
    kept = phoenix.wait_for_spans("gen_ai", sum(len(facts_of(run).spans) for run in runs))
    pages = phoenix.span_pages("gen_ai")
    found = []
    for run in runs:
        facts = facts_of(run)
        [trace_id] = {span.trace_id for span in kept if (span.name, span.parent_id) == (run.name, None)}
        by_name = {span.name: span for span in kept if span.trace_id == trace_id}
        assert tree_of(by_name.values()) == facts.tree
        found.append((facts, [_Span(one, pages[by_name[one.name].span_id], by_name[one.name]) for one in facts.spans]))
    return _Project(phoenix.project("gen_ai"), found)


def test_phoenix_shows_kinds(in_phoenix: _Project) -> None:
    """All but that of a workflow, an operation that Phoenix does not know."""
    for facts, spans in in_phoenix.runs:
        for span in spans:
            is_workflow = span.facts is facts.root and span.facts.kind == "CHAIN"
            assert span.page["spanKind"].upper() == ("UNKNOWN" if is_workflow else span.facts.kind)


def test_phoenix_shows_models_and_providers(in_phoenix: _Project) -> None:
    for span in in_phoenix.spans():
        if span.facts.kind == "LLM":
            assert span.rest.attributes["llm.model_name"] == span.facts.model
            assert span.rest.attributes.get("llm.provider") in (span.facts.provider, None)
        if span.facts.kind == "EMBEDDING":
            assert span.rest.attributes["embedding.model_name"] == span.facts.model


def test_phoenix_shows_tokens(in_phoenix: _Project) -> None:
    """Of each call, those from the provider's cache and into it on their own, and of all together."""
    for span in in_phoenix.spans():
        own = span.facts.tokens or Tokens()
        if span.facts.kind == "LLM":
            assert (span.page["tokenCountPrompt"] or 0, span.page["tokenCountCompletion"] or 0) == (
                own.prompt,
                own.completion,
            )
            assert span.page["tokenPromptDetails"] == {
                "cacheRead": own.cache_read or None,
                "cacheWrite": own.cache_write or None,
            }
    assert in_phoenix.page["tokenCountTotal"] == sum(
        span.facts.tokens.total for span in in_phoenix.spans() if span.facts.kind == "LLM" and span.facts.tokens
    )


def test_phoenix_shows_messages(in_phoenix: _Project) -> None:
    """Roles, texts and tool calls, of what a model was asked and of what it answered; texts that went into agents, too."""
    for span in in_phoenix.spans():
        shown = span.rest.attributes
        if span.facts.kind == "LLM" and span.facts.input_messages:
            assert _texts(messages_in(shown, "llm.input_messages")) == _texts(span.facts.input_messages)
            assert _texts(messages_in(shown, "llm.output_messages")) == _texts(span.facts.output_messages)
        if span.facts.kind == "AGENT" and isinstance(span.facts.input, str):
            assert _texts(messages_in(shown, "llm.input_messages")) == [("user", span.facts.input, ())]


def test_phoenix_shows_tools_and_documents(in_phoenix: _Project) -> None:
    for span in in_phoenix.spans():
        assert len(tool_schemas_in(span.rest.attributes)) == len(span.facts.tool_names)
        if span.facts.kind == "RETRIEVER":
            assert documents_in(span.rest.attributes, "retrieval.documents") == span.facts.documents


def test_phoenix_shows_sessions_and_errors(in_phoenix: _Project) -> None:
    assert in_phoenix.page["sessions"].keys() == {facts.session_id for facts, _ in in_phoenix.runs}
    for span in in_phoenix.spans():
        assert span.page["statusCode"] == ("OK" if span.facts.error is None else "ERROR")


def test_phoenix_shows_evaluations_as_annotations(phoenix: Phoenix, in_phoenix: _Project) -> None:
    """They go through its annotation API, whatever the names of attributes."""
    [judged] = (span for span in in_phoenix.spans() if span.facts.name == "judge the reply")
    url, query = f"{phoenix.url}/v1/projects/gen_ai/span_annotations", {"span_ids": judged.rest.span_id}

    wait_for(lambda: bool(call(url, query=query)["data"]))

    (found,) = call(url, query=query)["data"]
    assert (found["name"], found["result"]["score"]) == ("helpfulness", 0.9)


# -- MLflow ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Experiment:
    """The ten runs as MLflow shows them: what is true of each, what is said of its trace, and its spans by name."""

    runs: list[tuple[RunFacts, dict[str, Any], dict[str, ShownSpan]]]

    def spans(self) -> Iterator[tuple[SpanFacts, Mapping[str, Any]]]:
        return ((span, own_attributes(by_name[span.name])) for facts, _, by_name in self.runs for span in facts.spans)


@pytest.fixture(scope="module", params=["gen_ai@1.41", "gen_ai@0.1.0"])
def in_mlflow(mlflow: Mlflow, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _Experiment:
    conventions: Conventions = request.param
    experiment_id = mlflow.create_experiment(conventions)
    config = OtelCollectorConfig(endpoint=mlflow.url, headers={"x-mlflow-experiment-id": experiment_id})
    _send(list(recorded_runs()), config, conventions, tmp_path_factory.mktemp("sent"))
    traces = [mlflow.trace(trace_id) for trace_id in mlflow.trace_ids(experiment_id)]
    by_root = {span.name: (info, spans) for info, spans in traces for span in spans if span.parent_id is None}
    runs = []
    for run in recorded_runs():
        info, spans = by_root[run.name]
        assert tree_of(spans) == facts_of(run).tree
        runs.append((facts_of(run), info, {span.name: span for span in spans}))
    return _Experiment(runs)


def test_mlflow_shows_types(in_mlflow: _Experiment) -> None:
    """All but those of workflows and retrievers, operations that MLflow does not know."""
    for facts, _, by_name in in_mlflow.runs:
        for span in facts.spans:
            is_workflow = span is facts.root and span.kind == "CHAIN"
            known = None if is_workflow or span.kind == "RETRIEVER" else _TYPES.get(span.kind, span.kind)
            assert own_attributes(by_name[span.name]).get("spanType") == known


def test_mlflow_shows_models_tokens_and_sessions(in_mlflow: _Experiment) -> None:
    for facts, shown in in_mlflow.spans():
        if facts.kind in ("LLM", "EMBEDDING"):
            assert shown["llm.model"] == facts.model
        if facts.kind == "LLM" and facts.tokens is not None:
            usage = shown["chat.tokenUsage"]
            assert (usage["input_tokens"], usage["output_tokens"]) == (facts.tokens.prompt, facts.tokens.completion)
            assert usage.get("cache_read_input_tokens", 0) == facts.tokens.cache_read
            assert usage.get("cache_creation_input_tokens", 0) == facts.tokens.cache_write
    for run, info, _ in in_mlflow.runs:
        about = info["trace_metadata"]
        assert (about["mlflow.trace.session"], about["mlflow.trace.user"]) == (run.session_id, run.user_id)
        if run.tokens.total:
            usage = json.loads(about["mlflow.trace.tokenUsage"])
            assert (usage["input_tokens"], usage["output_tokens"]) == (run.tokens.prompt, run.tokens.completion)


def test_mlflow_shows_messages(in_mlflow: _Experiment) -> None:
    """Of models and agents as messages, of tools as arguments; nothing for what is empty."""
    for facts, shown in in_mlflow.spans():
        if facts.kind == "LLM" and facts.input_messages:
            for key, messages in (("spanInputs", facts.input_messages), ("spanOutputs", facts.output_messages)):
                assert [_said(message) for message in shown.get(key, [])] == _texts_of(messages)
        if facts.kind == "TOOL" and facts.input:
            assert shown["spanInputs"] == facts.input


def _said(message: Mapping[str, Any]) -> tuple[str, list[Any], list[str]]:
    parts = message["parts"]
    texts = [part["content"] for part in parts if part["type"] == "text"]
    results = [part["response"] for part in parts if part["type"] == "tool_call_response"]
    calls = [part["name"] for part in parts if part["type"] == "tool_call"]
    return message["role"], [opened(text) for text in texts + results], calls


def _texts_of(messages: tuple[MessageFacts, ...]) -> list[tuple[str, list[Any], list[str]]]:
    return [
        (message.role, [] if message.text is None else [opened(message.text)], list(message.tool_names))
        for message in messages
    ]


# -- both --------------------------------------------------------------------------------------------------------------


def test_both_are_not_shown_twice(phoenix: Phoenix, mlflow: Mlflow, tmp_path: Path) -> None:
    """Kinds as OpenInference has them, also of workflows; each message and each token once."""
    run = recorded_run("cached_prompt").in_session("both")
    facts, experiment_id = facts_of(run), mlflow.create_experiment("both")
    to_mlflow = OtelCollectorConfig(endpoint=mlflow.url, headers={"x-mlflow-experiment-id": experiment_id})

    with Telemetry(
        exporter_entry(PhoenixConfig(endpoint=phoenix.url, project="both"), conventions="both"),
        exporter_entry(to_mlflow, conventions="both"),
    ) as telemetry:
        trace_id = replay(run, telemetry)
        telemetry.flush(_TIMEOUT_S)

    kept = {span.name: span for span in phoenix.wait_for_spans("both", len(facts.spans))}
    info, spans = mlflow.trace(trace_id)
    types = {span.name: own_attributes(span)["spanType"] for span in spans}
    for span in facts.spans:
        assert kept[span.name].attributes["span_kind"] == types[span.name] == span.kind
        assert messages_in(kept[span.name].attributes, "llm.input_messages") == span.input_messages
    assert phoenix.project("both")["tokenCountTotal"] == facts.tokens.total
    assert json.loads(info["trace_metadata"]["mlflow.trace.tokenUsage"])["total_tokens"] == facts.tokens.total
