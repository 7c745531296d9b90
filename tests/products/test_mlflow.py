"""MLflow, the product: an independent judge of whether attributes say what the conventions mean by them."""

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from nat.observability import Telemetry
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.testing import (
    MessageFacts,
    RunFacts,
    SpanFacts,
    Tokens,
    facts_of,
    recorded_run,
    recorded_runs,
    replay,
    tree_of,
)
from tests.products.mlflow import Mlflow, as_kept, opened, own_attributes, without_own_attributes
from tests.products.openinference import documents_in, messages_in
from tests.products.sending import send
from tests.products.shown import ShownSpan, assert_arrived
from tests.support.chats import recorded_chats

Protocol = Literal["http/protobuf", "http/json"]


def config(mlflow: Mlflow, experiment_id: str, protocol: Protocol = "http/protobuf") -> OtelCollectorConfig:
    return OtelCollectorConfig(
        endpoint=mlflow.url,
        protocol=protocol,
        headers={"x-mlflow-experiment-id": experiment_id},
    )


def test_recorded_chats_arrive_as_they_were(mlflow: Mlflow, tmp_path: Path) -> None:
    """All 893 spans of 40 chats, each once: ids, parents, times to the nanosecond, status, kinds, messages, and the rest."""
    experiment_id = mlflow.create_experiment("chats")

    sent = send(recorded_chats(), config(mlflow, experiment_id), tmp_path)

    trace_ids = mlflow.trace_ids(experiment_id)
    kept = [without_own_attributes(span) for trace_id in trace_ids for span in mlflow.trace(trace_id)[1]]
    assert (len(trace_ids), len(sent)) == (40, 893)
    assert_arrived(sent, kept, as_kept)


# -- the ten runs ------------------------------------------------------------------------------------------------------

Run = tuple[RunFacts, dict[str, Any], dict[str, ShownSpan]]
"""What is true of a run, what MLflow says of its trace, and its spans by name."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The ten runs in one experiment: what was sent, and each run as MLflow shows it."""

    sent: list[ShownSpan]
    runs: list[Run]

    def spans(self) -> list[tuple[SpanFacts, ShownSpan]]:
        return [(span, by_name[span.name]) for facts, _, by_name in self.runs for span in facts.spans]


@pytest.fixture(scope="module", params=["http/protobuf", "http/json"])
def shown(mlflow: Mlflow, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    protocol: Protocol = request.param
    experiment_id = mlflow.create_experiment(f"runs {protocol}")
    sent = send(recorded_runs(), config(mlflow, experiment_id, protocol), tmp_path_factory.mktemp("sent"))
    traces = [mlflow.trace(trace_id) for trace_id in mlflow.trace_ids(experiment_id)]
    by_root = {span.name: (info, spans) for info, spans in traces for span in spans if span.parent_id is None}
    runs = [(facts_of(run), *by_root[run.name]) for run in recorded_runs()]
    for facts, _, spans in runs:
        assert tree_of(spans) == facts.tree
    return Shown(sent, [(facts, info, {span.name: span for span in spans}) for facts, info, spans in runs])


def test_own_runs_arrive_as_they_were(shown: Shown) -> None:
    """So do the ten runs with tokens, documents, failures, and values that break naive exporters."""
    kept = [without_own_attributes(span) for _, _, by_name in shown.runs for span in by_name.values()]

    assert_arrived(shown.sent, kept, as_kept)


def test_span_types(shown: Shown) -> None:
    for facts, span in shown.spans():
        assert own_attributes(span)["spanType"] == facts.kind


def test_models_providers_and_tokens(shown: Shown) -> None:
    """What a call cost in tokens, those from the provider's cache and into it on their own."""
    for facts, span in shown.spans():
        own = own_attributes(span)
        if facts.kind in ("LLM", "EMBEDDING"):
            assert (own["llm.model"], own["llm.provider"]) == (facts.model, facts.provider)
        assert own.get("chat.tokenUsage") == _usage(facts.tokens, is_embedder=facts.kind == "EMBEDDING")


def _usage(tokens: Tokens | None, *, is_embedder: bool = False) -> dict[str, int] | None:
    """Tokens in MLflow's words, which leave out what there is none of."""
    if tokens is None:
        return None
    usage = {"input_tokens": tokens.prompt, "output_tokens": tokens.completion, "total_tokens": tokens.total}
    if is_embedder:
        del usage["output_tokens"]
    cached = {"cache_read_input_tokens": tokens.cache_read, "cache_creation_input_tokens": tokens.cache_write}
    return usage | {name: count for name, count in cached.items() if count}


def test_messages(shown: Shown) -> None:
    """Roles, texts and tool calls of what a model was asked and of what it answered, in order."""
    for facts, span in shown.spans():
        assert _texts(messages_in(span.attributes, "llm.input_messages")) == _texts(facts.input_messages)
        assert _texts(messages_in(span.attributes, "llm.output_messages")) == _texts(facts.output_messages)


def _texts(messages: tuple[MessageFacts, ...]) -> list[MessageFacts]:
    """Messages whose texts, where they are JSON, are opened, as MLflow shows them."""
    return [replace(message, text=opened(message.text)) for message in messages]


def test_documents(shown: Shown) -> None:
    for facts, span in shown.spans():
        prefix = "reranker.output_documents" if facts.kind == "RERANKER" else "retrieval.documents"
        assert documents_in(span.attributes, prefix) == facts.documents


def test_errors(shown: Shown) -> None:
    for facts, span in shown.spans():
        if facts.error is None:
            assert (span.status, span.status_message, span.events) == ("OK", "", ())
        else:
            assert (span.status, span.status_message) == ("ERROR", facts.error.message)
            [event] = span.events
            assert event.attributes["exception.type"] == facts.error.type
    for run, info, _ in shown.runs:
        assert info["state"] == ("OK" if run.root.error is None else "ERROR")


def test_sessions_users_and_tokens_of_the_run(shown: Shown) -> None:
    """In the list of traces: session, user, tokens of all calls, question and answer; an empty one is not shown."""
    for facts, info, by_name in shown.runs:
        about, root = info["trace_metadata"], own_attributes(by_name[facts.root.name])
        assert (about["mlflow.trace.session"], about["mlflow.trace.user"]) == (facts.session_id, facts.user_id)
        has_tokens = any(span.tokens is not None for span in facts.spans)
        assert json.loads(about.get("mlflow.trace.tokenUsage", "null")) == (
            _usage(facts.tokens) if has_tokens else None
        )
        assert (root.get("spanInputs"), root.get("spanOutputs")) == (
            facts.root.input or None,
            facts.root.output or None,
        )


def test_what_comes_twice_is_there_once(mlflow: Mlflow) -> None:
    """So a request that is sent again, since its answer was lost, does no harm."""
    settings = config(mlflow, mlflow.create_experiment("twice"))

    with Telemetry({"one": settings, "other": settings}) as telemetry:
        trace_id = replay(recorded_run("failed_run"), telemetry)
        telemetry.flush()
        status = telemetry.status().exporters

    assert (status["one"].delivered, status["other"].delivered) == (4, 4)
    assert len(mlflow.trace(trace_id)[1]) == 4


# -- what it refuses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({}, 422, "header x-mlflow-experiment-id: Field required"),
        ({"x-mlflow-experiment-id": "999999999"}, 404, "No Experiment with id="),
    ],
    ids=["no experiment", "unknown experiment"],
)
def test_experiment_that_is_not_there_is_told_once(
    mlflow: Mlflow, headers: dict[str, str], status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The spans are rejected, not tried again, and the one message has MLflow's own words."""
    settings = OtelCollectorConfig(endpoint=mlflow.url, headers=headers)

    with Telemetry({"mlflow": settings}) as telemetry:
        for _ in range(3):
            replay(recorded_run("failed_run"), telemetry)
            telemetry.flush()
        counts = telemetry.status().exporters["mlflow"]

    assert (counts.rejected, counts.delivered, counts.pending) == (12, 0, 0)
    [message] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"HTTP {status} from {mlflow.url}/v1/traces" in message
    assert words in message
