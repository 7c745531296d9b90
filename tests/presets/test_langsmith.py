"""Type `langsmith`: what it takes, and what LangSmith shows of a run."""

from typing import Any

import pytest
from pydantic import ValidationError

from nat.observability import Telemetry, step
from nat.plugins.enrich.register import EnrichConfig, PricesConfig
from nat.plugins.langsmith.register import LangsmithConfig
from nat.testing import FakeBackend, facts_of, recorded_run, recorded_runs, replay
from nat.testing.runs import RecordedRun
from tests.vendors import langsmith
from tests.vendors.langsmith import Run, run_of

_RUN_TYPES = {"LLM": "llm", "TOOL": "tool", "RETRIEVER": "retriever", "EMBEDDING": "embedding"}


def _config(backend: FakeBackend, **settings: Any) -> LangsmithConfig:
    return LangsmithConfig(**{"endpoint": backend.base_url, "api_key": langsmith.KEY, "project": "shop", **settings})


def _shown(run: RecordedRun, **settings: Any) -> dict[str, Run]:
    """A recorded run, as LangSmith shows it: its runs by name."""
    with langsmith.stand_in() as backend:
        with Telemetry(_config(backend, **settings)) as telemetry:
            replay(run, telemetry)
        return {span.name: run_of(span) for span in backend.spans}


@pytest.mark.contract("S35")
@pytest.mark.parametrize("run", recorded_runs(), ids=lambda run: run.id)
def test_a_run_is_shown_natively(run: RecordedRun) -> None:
    """Type, project, model, provider and failure of each run; session and user on all, tags and metadata on the root."""
    facts = facts_of(run)

    shown = _shown(run)

    assert {
        (one.name, one.run_type, one.project, one.model if one.run_type in ("llm", "embedding") else None)
        for one in shown.values()
    } == {
        (
            fact.name,
            _RUN_TYPES.get(fact.kind, "chain"),
            "shop",
            fact.model if fact.kind in ("LLM", "EMBEDDING") else None,
        )
        for fact in facts.spans
    }
    assert {one.name: one.provider for one in shown.values() if one.provider} == {
        fact.name: fact.provider for fact in facts.spans if fact.provider
    }
    assert {one.name: one.error for one in shown.values() if one.error} == {
        name: failure.message for name, failure in facts.errors.items()
    }
    assert {one.metadata.get("session_id") for one in shown.values()} == {facts.session_id}
    assert {one.metadata.get("user_id") for one in shown.values()} == {facts.user_id}
    assert facts.metadata.keys() == shown[run.name].metadata.keys() - {"session_id", "user_id"}


def test_costs_are_shown_beside_the_tokens() -> None:
    """In all, and what was paid for cached tokens."""
    prices = PricesConfig.model_validate({"models": {"m": {"input": 2, "output": 8, "cached_input": 1}}})
    with langsmith.stand_in() as backend:
        with Telemetry(_config(backend), processors=[EnrichConfig(prices=prices)]) as telemetry, telemetry.run("run"):
            with step("chat", kind="llm", model="m") as call:
                call.usage(prompt_tokens=1000, completion_tokens=100, cached_tokens=500)
        shown = {span.name: run_of(span) for span in backend.spans}

    costs = {key: value for key, value in shown["chat"].usage.items() if "cost" in key}
    assert costs == {
        "input_cost": 0.0015,
        "output_cost": 0.0008,
        "total_cost": 0.0023,
        "input_cost_details": {"cache_read": 0.0005},
    }


def test_tokens_are_shown_with_their_details() -> None:
    """The sums include cached tokens and those for reasoning, which are told in detail."""
    shown = _shown(recorded_run("cached_prompt"))

    assert {name: one.usage for name, one in shown.items() if one.usage} == {
        "first question": {
            "input_tokens": 2048,
            "output_tokens": 310,
            "total_tokens": 2358,
            "input_token_details": {"cache_creation": 1980},
            "output_token_details": {"reasoning": 256},
        },
        "second question": {
            "input_tokens": 2051,
            "output_tokens": 64,
            "total_tokens": 2115,
            "input_token_details": {"cache_read": 1980},
            "output_token_details": {"reasoning": 32},
        },
    }
    assert shown["contract reviewer"].tags == ["legal", "batch"]


def test_a_chat_with_tools_is_shown_as_one() -> None:
    shown = _shown(recorded_run("tool_call"))

    chosen = shown["choose a tool"]
    assert [message["role"] for message in chosen.inputs["messages"]] == ["system", "user"]
    assert [tool["function"]["name"] for tool in chosen.inputs["tools"]] == ["forecast", "send_alert"]
    (choice,) = chosen.outputs["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "forecast"
    assert shown["forecast"].inputs == {"place": "Bergen", "day": "2026-03-02"}
    assert shown["forecast"].outputs == {"rain_mm": 14, "high_c": 5}
    assert shown["weather agent"].inputs == {"input": "Do I need a coat in Bergen on Monday?"}
    assert shown["weather agent"].outputs == {"output": "Yes: five degrees and rain all day."}


def test_documents_are_shown_as_such() -> None:
    shown = _shown(recorded_run("grounded_answer"))

    first = shown["find passages"].outputs["documents"][0]
    assert first == {
        "type": "Document",
        "page_content": "Hold the button for five seconds to reset the router.",
        "metadata": {"source": "manual.pdf", "page": 12, "id": "manual-12", "score": 0.91},
    }


def test_environment_and_version_are_metadata_of_every_run() -> None:
    shown = _shown(
        recorded_run("tool_call"),
        resource_attributes={"deployment.environment.name": "staging", "service.version": "1.4.0"},
    )

    assert {(one.metadata["environment"], one.metadata["revision_id"]) for one in shown.values()} == {
        ("staging", "1.4.0")
    }


def test_tags_of_a_step_are_its_own() -> None:
    with langsmith.stand_in() as backend:
        with Telemetry(_config(backend)) as telemetry, telemetry.run("agent", tags=["beta"]):
            with step("look up", "tool", tags=["slow", "cached"], metadata={"index": "manuals", "ids": [1, 2]}):
                pass
        shown = {span.name: run_of(span) for span in backend.spans}

    assert (shown["agent"].tags, shown["look up"].tags) == (["beta"], ["slow", "cached"])
    assert shown["look up"].metadata == {"index": "manuals", "ids": "[1,2]"}


def test_parameters_are_those_that_the_sdk_sends() -> None:
    with langsmith.stand_in() as backend:
        with Telemetry(_config(backend)) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
        (asked,) = (span for span in backend.spans if span.name == "choose a tool")

    assert asked.attributes["gen_ai.request.temperature"] == 0.2
    assert asked.attributes["gen_ai.request.max_tokens"] == 200
    assert asked.attributes["gen_ai.response.finish_reasons"] == ["tool_calls"]
    assert asked.attributes["gen_ai.operation.name"] == "chat"
    assert asked.attributes["langsmith.metadata.invocation_params"] == '{"temperature":0.2,"max_tokens":200}'
    assert asked.attributes["langsmith.metadata.ls_model_name"] == "gpt-4o-mini"
    assert asked.attributes["langsmith.metadata.ls_provider"] == "openai"


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
@pytest.mark.parametrize("suffix", ["", "/otel", "/otel/v1/traces"])
def test_an_endpoint_may_have_its_path_or_not(prefix: str, suffix: str) -> None:
    """Self-hosted LangSmith has a prefix before it."""
    with langsmith.stand_in(f"{prefix}/otel/v1/traces") as backend:
        with Telemetry(_config(backend, endpoint=f"{backend.base_url}{prefix}{suffix}")) as telemetry:
            replay(recorded_run("tool_call"), telemetry)

        assert len(backend.spans) == 4


def test_a_key_of_several_workspaces_needs_one(caplog: pytest.LogCaptureFixture) -> None:
    with langsmith.stand_in() as backend:
        key = {"api_key": langsmith.KEY_OF_SEVERAL_WORKSPACES}
        with Telemetry(_config(backend, **key)) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
        assert backend.spans == []
        with Telemetry(_config(backend, **key, workspace_id=langsmith.WORKSPACE)) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
        assert len(backend.spans) == 4

    assert "org_scoped_key_requires_workspace" in caplog.text


def test_variables_fill_what_the_configuration_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newer names come first."""
    for name in ("ENDPOINT", "API_KEY", "PROJECT", "WORKSPACE_ID"):
        monkeypatch.setenv(f"LANGCHAIN_{name}", f"https://{name.lower()}.old")

    old = LangsmithConfig()
    for name in ("ENDPOINT", "API_KEY", "PROJECT", "WORKSPACE_ID"):
        monkeypatch.setenv(f"LANGSMITH_{name}", f"https://{name.lower()}.new")
    new = LangsmithConfig()

    assert [getattr(old, key) for key in ("endpoint", "api_key", "project", "workspace_id")] == [
        "https://endpoint.old",
        "https://api_key.old",
        "https://project.old",
        "https://workspace_id.old",
    ]
    assert [getattr(new, key).rpartition(".")[2] for key in ("endpoint", "api_key", "project", "workspace_id")] == [
        "new"
    ] * 4


def test_a_project_that_no_header_carries_is_said_at_the_start() -> None:
    with pytest.raises(ValidationError) as caught:
        LangsmithConfig(api_key="key", project="Läden")

    (error,) = caught.value.errors()
    assert (error["loc"], "ASCII" in error["msg"]) == (("project",), True)


def test_without_a_project_it_is_default() -> None:
    """As with LangSmith's SDK."""
    with langsmith.stand_in() as backend:
        with Telemetry(LangsmithConfig(endpoint=backend.base_url, api_key=langsmith.KEY)) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
        (request,) = backend.requests

    assert request.headers["langsmith-project"] == "default"
    assert "x-tenant-id" not in request.headers
