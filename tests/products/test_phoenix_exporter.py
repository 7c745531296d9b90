"""Arize Phoenix itself: what the exporter `phoenix` sends is shown as a run, over HTTP and gRPC."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import SecretStr

from nat.observability import Telemetry
from nat.plugins.phoenix.register import PhoenixConfig
from nat.testing import RunFacts, SpanFacts, facts_of, recorded_run, recorded_runs, replay
from tests.cli.command import NAT
from tests.docs.markdown import ROOT
from tests.products.phoenix import Phoenix
from tests.products.sending import send
from tests.support.chats import recorded_chats
from tests.support.waiting import wait_for

Protocol = Literal["http", "grpc"]

_SPANS = """
query ($id: ID!) {
  node(id: $id) {
    ... on Project {
      traceCount
      tokenCountTotal
      sessions(first: 100) { edges { node { sessionId numTraces } } }
      spans(first: 1000) { edges { node {
        spanId parentId name spanKind statusCode statusMessage numDocuments
        tokenCountPrompt tokenCountCompletion cumulativeTokenCountPrompt cumulativeTokenCountCompletion
        input { value } output { value }
        events { name message }
      } } }
    }
  }
}
"""


def config(phoenix: Phoenix, project: str, protocol: Protocol = "http", key: str | None = None) -> PhoenixConfig:
    return PhoenixConfig(
        endpoint=phoenix.url if protocol == "http" else phoenix.grpc_url,
        project=project,
        protocol=protocol,
        api_key=None if key is None else SecretStr(key),
    )


def shown(phoenix: Phoenix, project: str) -> dict[str, Any]:
    """What the pages of a project show; its spans by id."""
    projects = phoenix.graphql("{ projects { edges { node { id name } } } }")["projects"]["edges"]
    (project_id,) = (edge["node"]["id"] for edge in projects if edge["node"]["name"] == project)
    page: dict[str, Any] = phoenix.graphql(_SPANS, id=project_id)["node"]
    page["spans"] = {edge["node"]["spanId"]: edge["node"] for edge in page["spans"]["edges"]}
    page["sessions"] = {edge["node"]["sessionId"]: edge["node"]["numTraces"] for edge in page["sessions"]["edges"]}
    return page


def parents(spans: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str | None]:
    """The parents of spans as Phoenix's REST API gives them, by trace and span id."""
    return {(span["context"]["trace_id"], span["context"]["span_id"]): span["parent_id"] for span in spans}


def messages_in(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if "_messages." in key}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_recorded_chats_are_shown_as_they_were(phoenix: Phoenix, protocol: Protocol, tmp_path: Path) -> None:
    """All 893 spans of 40 chats, each once: tree, kinds, messages, one session for each chat."""
    project = f"chats-{protocol}"
    chats = [replace(chat, session_id=f"{protocol} {chat.session_id}") for chat in recorded_chats()]

    sent = send(chats, config(phoenix, project, protocol), tmp_path)

    spans = phoenix.wait_for_spans(project, len(sent))
    assert len(spans) == len(sent) == 893
    assert parents(spans) == {(span.trace_id, span.span_id): span.parent_id for span in sent}
    by_id = {span["context"]["span_id"]: span for span in spans}
    for one in sent:
        there = by_id[one.span_id]
        assert (there["name"], there["status_code"]) == (one.name, one.status)
        assert there["span_kind"] == one.attributes["openinference.span.kind"]
        assert messages_in(there["attributes"]) == messages_in(one.attributes)
    page = shown(phoenix, project)
    assert page["traceCount"] == 40
    assert page["sessions"] == {chat.session_id: 1 for chat in chats}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_what_is_true_of_a_run_is_shown(phoenix: Phoenix, protocol: Protocol, tmp_path: Path) -> None:
    """Kinds, status, tokens of each span and added up, documents, errors, sessions, users, tools of the ten runs."""
    project = f"runs-{protocol}"
    runs = [run.in_session(f"{protocol} {run.session_id}") for run in recorded_runs()]

    sent = send(runs, config(phoenix, project, protocol), tmp_path)

    rest = {span["context"]["span_id"]: span for span in phoenix.wait_for_spans(project, len(sent))}
    page = shown(phoenix, project)
    assert page["sessions"] == {run.session_id: 1 for run in runs}
    for run in runs:
        facts = facts_of(run)
        (root,) = (span for span in sent if span.parent_id is None and span.name == run.name)
        of_run = [span for span in sent if span.trace_id == root.trace_id]
        assert len(of_run) == len(facts.spans)
        for one in of_run:
            (fact,) = (fact for fact in facts.spans if fact.name == one.name)
            _check(page["spans"][one.span_id], rest[one.span_id]["attributes"], fact, facts)
    assert page["tokenCountTotal"] == sum(_counted(facts_of(run).spans, 0)[2] for run in runs)


def _check(there: Mapping[str, Any], attributes: Mapping[str, Any], fact: SpanFacts, facts: RunFacts) -> None:
    assert there["spanKind"].upper() == fact.kind
    assert there["statusCode"] == ("ERROR" if fact.error else "OK")
    assert there["statusMessage"] == (fact.error.message if fact.error else "")
    assert [event["message"] for event in there["events"]] == ([fact.error.message] if fact.error else [])
    prompt, completion, _ = _counted(facts.spans, facts.spans.index(fact))
    assert (there["cumulativeTokenCountPrompt"], there["cumulativeTokenCountCompletion"]) == (prompt, completion)
    if fact.kind == "LLM" and fact.tokens is not None:
        assert (there["tokenCountPrompt"], there["tokenCountCompletion"]) == (
            fact.tokens.prompt,
            fact.tokens.completion,
        )
        details = attributes.get("llm.token_count.prompt_details.cache_read", 0)
        assert details == fact.tokens.cache_read
    assert there["numDocuments"] == len(fact.documents)
    assert (attributes["session.id"], attributes["user.id"]) == (facts.session_id, facts.user_id)
    tools = [json.loads(attributes[key])["function"]["name"] for key in sorted(attributes) if ".json_schema" in key]
    assert tuple(tools) == fact.tool_names
    for index, document in enumerate(fact.documents):
        prefix = "retrieval.documents" if fact.kind == "RETRIEVER" else "reranker.output_documents"
        assert attributes[f"{prefix}.{index}.document.content"] == document.text
        assert attributes[f"{prefix}.{index}.document.score"] == document.score
    for index, message in enumerate(fact.input_messages):
        assert attributes[f"llm.input_messages.{index}.message.role"] == message.role


def _counted(spans: tuple[SpanFacts, ...], number: int) -> tuple[int, int, int]:
    """Tokens of a span and those below it, as Phoenix counts: of model calls only."""
    own = spans[number].tokens if spans[number].kind == "LLM" else None
    sums = (0, 0, 0) if own is None else (own.prompt, own.completion, own.total)
    for below, span in enumerate(spans):
        if span.parent == number:
            sums = tuple(a + b for a, b in zip(sums, _counted(spans, below), strict=True))  # type: ignore[assignment]
    return sums


def test_projects_of_one_process_stay_apart(phoenix: Phoenix) -> None:
    """Two agents in one process, each with a project, whose runs go on at the same time."""
    names = ("apart-one", "apart-other")

    def work(name: str) -> set[str]:
        with Telemetry(config(phoenix, name)) as telemetry:
            return {replay(recorded_run("tool_call").in_session(name), telemetry) for _ in range(5)}

    with ThreadPoolExecutor(2) as threads:
        trace_ids = list(threads.map(work, names))

    found = [phoenix.wait_for_spans(name, 20) for name in names]
    assert [{span["context"]["trace_id"] for span in spans} for spans in found] == trace_ids
    assert [len(spans) for spans in found] == [20, 20]


def test_a_span_is_kept_in_one_project_only(phoenix: Phoenix) -> None:
    """A limit of Phoenix, which the docs name: it knows a span id once, and drops what comes again without a word."""
    configs = {name: config(phoenix, f"once-{name}") for name in ("one", "other")}

    with Telemetry(configs) as telemetry:
        replay(recorded_run("nested_agents").in_session("once"), telemetry)
        status = telemetry.flush(60.0).exporters

    assert [status[name].delivered for name in configs] == [9, 9]
    wait_for(lambda: sum(phoenix.span_count(f"once-{name}") for name in configs) == 9)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_who_has_the_key_is_let_in(guarded_phoenix: Phoenix, protocol: Protocol) -> None:
    key = guarded_phoenix.headers["Authorization"].removeprefix("Bearer ")
    configs = {
        "right": config(guarded_phoenix, f"right-{protocol}", protocol, key),
        "wrong": config(guarded_phoenix, f"wrong-{protocol}", protocol, "wrong-key"),
    }

    with Telemetry(configs) as telemetry:
        replay(recorded_run("tool_call"), telemetry)
        status = telemetry.flush(60.0).exporters

    assert (status["right"].delivered, status["right"].lost) == (4, 0)
    assert (status["wrong"].delivered, status["wrong"].rejected) == (0, 4)
    assert len(guarded_phoenix.wait_for_spans(f"right-{protocol}", 4)) == 4
    assert guarded_phoenix.spans(f"wrong-{protocol}") == []


@pytest.mark.contract("S39")
def test_the_example_is_shown_and_its_page_is_named(phoenix: Phoenix) -> None:
    """The quickstart's agent, through `nat run` and the example's workflow file."""
    command = [NAT, "run", "--config_file", "examples/observability/phoenix/workflow.yaml"]
    environment = {**os.environ, "PHOENIX_ENDPOINT": phoenix.url}

    done = subprocess.run(
        [*command, "--input", "How do I write an exporter?"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    spans = phoenix.wait_for_spans("quickstart", 7)
    (root,) = (span for span in spans if span["parent_id"] is None)
    assert {span["span_kind"] for span in spans} == {"AGENT", "CHAIN", "LLM", "RETRIEVER", "TOOL"}
    assert f"trace in phoenix: {phoenix.url}/redirects/traces/{root['context']['trace_id']}\n" in done.stderr
