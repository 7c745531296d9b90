"""Type `langfuse`: what it takes, and what Langfuse shows of a run."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nat.data_models.span import Span, SpanContext
from nat.observability import Telemetry, step
from nat.plugins.enrich.register import EnrichConfig, PricesConfig
from nat.plugins.langfuse.attributes import langfuse_attributes
from nat.plugins.langfuse.register import LangfuseConfig
from nat.testing import FakeBackend, ReceivedSpan, facts_of, recorded_run, recorded_runs, replay
from nat.testing.runs import RecordedRun
from tests.vendors import langfuse
from tests.vendors.langfuse import observation, trace_of

_TYPES = {"LLM": "generation", "RERANKER": "span"}  # the others are called as in OpenInference


def _send(run: RecordedRun, backend: FakeBackend, **settings: Any) -> list[ReceivedSpan]:
    config = LangfuseConfig(
        **{
            "endpoint": backend.base_url,
            "public_key": langfuse.PUBLIC_KEY,
            "secret_key": langfuse.SECRET_KEY,
            **settings,
        }
    )
    with Telemetry(config) as telemetry:
        replay(run, telemetry)
    return backend.spans


@pytest.mark.parametrize("run", recorded_runs(), ids=lambda run: run.id)
def test_a_run_is_shown_natively(run: RecordedRun) -> None:
    """Type, model and failure of each observation; name, session, user, tags and metadata of the trace."""
    facts = facts_of(run)

    with langfuse.stand_in() as backend:
        spans = _send(run, backend)

    assert len(spans) == len(facts.spans)
    shown = {(span.name, observation(span).type, observation(span).model, observation(span).level) for span in spans}
    assert shown == {
        (fact.name, _TYPES.get(fact.kind, fact.kind.lower()), fact.model, "ERROR" if fact.error else "DEFAULT")
        for fact in facts.spans
    }
    trace = trace_of(spans)
    assert (trace["name"], trace["session_id"], trace["user_id"]) == (run.name, facts.session_id, facts.user_id)
    assert trace["tags"] == list(facts.tags)
    assert trace["metadata"].keys() == facts.metadata.keys()
    assert {span.attributes.get("session.id") for span in spans} == {facts.session_id}


def test_tokens_are_counted_once() -> None:
    """Kinds of tokens do not overlap: cached tokens are not in `input` as well, nor those for reasoning in `output`."""
    with langfuse.stand_in() as backend:
        spans = _send(recorded_run("cached_prompt"), backend)

    assert {span.name: observation(span).usage for span in spans} == {
        "contract reviewer": {},
        "first question": {
            "input": 68,
            "input_cache_creation": 1980,
            "output": 54,
            "output_reasoning_tokens": 256,
            "total": 2358,
        },
        "second question": {
            "input": 71,
            "input_cached_tokens": 1980,
            "output": 32,
            "output_reasoning_tokens": 32,
            "total": 2115,
        },
    }


def test_costs_are_those_of_the_kinds_of_tokens() -> None:
    """What was paid for cached and reasoning tokens is not in what was paid for others; the rest is as a whole."""
    prices = PricesConfig.model_validate({"models": {"m": {"input": 2, "output": 8, "cached_input": 1}}})
    with langfuse.stand_in() as backend:
        config = LangfuseConfig(
            endpoint=backend.base_url, public_key=langfuse.PUBLIC_KEY, secret_key=langfuse.SECRET_KEY
        )
        with Telemetry(config, processors=[EnrichConfig(prices=prices)]) as telemetry, telemetry.run("run"):
            for name, cached in (("cached", 500), ("plain", None)):
                with step(name, kind="llm", model="m") as call:
                    call.usage(prompt_tokens=1000, completion_tokens=100, cached_tokens=cached)
        spans = {span.name: span for span in backend.spans}

    costs = {name: span.attributes.get("langfuse.observation.cost_details") for name, span in spans.items()}
    assert {name: json.loads(cost) for name, cost in costs.items() if cost is not None} == {
        "cached": {"input": 0.001, "input_cached_tokens": 0.0005, "output": 0.0008, "total": 0.0023},
        "plain": {"input": 0.002, "output": 0.0008, "total": 0.0028},
    }
    assert not any(key.startswith("llm.cost") for span in spans.values() for key in span.attributes)


def test_a_chat_with_tools_is_shown_as_one() -> None:
    """Messages and tools are in the form that Langfuse draws; a tool's arguments and result are its input and output."""
    with langfuse.stand_in() as backend:
        spans = {span.name: observation(span) for span in _send(recorded_run("tool_call"), backend)}

    chosen = spans["choose a tool"]
    assert [message["role"] for message in chosen.input["messages"]] == ["system", "user"]
    assert [tool["function"]["name"] for tool in chosen.input["tools"]] == ["forecast", "send_alert"]
    assert chosen.parameters == {"temperature": 0.2, "max_tokens": 200}
    (call,) = chosen.output["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("call_1", "forecast")
    assert [message["role"] for message in spans["answer"].input["messages"]] == ["system", "user", "assistant", "tool"]
    assert spans["answer"].input["messages"][3]["tool_call_id"] == "call_1"
    assert spans["forecast"].input == {"place": "Bergen", "day": "2026-03-02"}
    assert spans["forecast"].output == {"rain_mm": 14, "high_c": 5}


def test_what_has_a_field_is_sent_once() -> None:
    """Contents are not sent a second time under OpenInference's names, which would fill Langfuse's metadata."""
    with langfuse.stand_in() as backend:
        spans = _send(recorded_run("tool_call"), backend)

    (asked,) = (span for span in spans if span.name == "choose a tool")
    moved = (
        "input.",
        "output.",
        "llm.input_messages",
        "llm.output_messages",
        "llm.tools",
        "llm.token_count",
        "metadata",
    )
    assert [key for key in asked.attributes if key.startswith(moved)] == []
    assert asked.attributes["openinference.span.kind"] == "LLM"


def test_tags_of_a_step_leave_those_of_the_trace_alone() -> None:
    with langfuse.stand_in() as backend:
        config = LangfuseConfig(endpoint=backend.url, public_key=langfuse.PUBLIC_KEY, secret_key=langfuse.SECRET_KEY)
        with Telemetry(config) as telemetry, telemetry.run("agent", tags=["beta"], metadata={"tenant": "acme"}):
            with step("look up", "tool", tags=["slow"], metadata={"index": "manuals"}):
                pass
        spans = backend.spans

    assert trace_of(spans)["tags"] == ["beta"]
    assert trace_of(spans)["metadata"] == {"tenant": "acme"}
    (looked_up,) = (span for span in spans if span.name == "look up")
    assert observation(looked_up).metadata == {"index": "manuals", "tags": ["slow"]}


def test_environment_release_and_version_are_those_of_the_trace() -> None:
    with langfuse.stand_in() as backend:
        spans = _send(
            recorded_run("tool_call"),
            backend,
            environment="staging",
            release="2026-11",
            resource_attributes={"service.version": "1.4.0"},
        )

    trace = trace_of(spans)
    assert (trace["environment"], trace["release"], trace["version"]) == ("staging", "2026-11", "1.4.0")


def test_the_first_token_has_a_time() -> None:
    with langfuse.stand_in() as backend:
        spans = _send(recorded_run("streamed_answer"), backend)

    (streamed,) = (span for span in spans if span.name == "stream a line")
    started = streamed.attributes["langfuse.observation.completion_start_time"]
    assert started.startswith("20")
    assert started.endswith("+00:00")


def test_no_start_time_makes_it_raise() -> None:
    """A start in microseconds, say, gives no time for the first token, and the span is still sent."""
    context = SpanContext(trace_id=1, span_id=2)
    span = Span(
        name="odd", context=context, start_time=2**63 - 1, attributes={"nat.stream.time_to_first_chunk_s": 1e18}
    )

    assert "langfuse.observation.completion_start_time" not in langfuse_attributes(span, {})


@pytest.mark.contract("S34")
def test_headers_are_those_of_the_sdk() -> None:
    with langfuse.stand_in() as backend:
        _send(recorded_run("tool_call"), backend)
        (request,) = backend.requests

    assert request.path == "/api/public/otel/v1/traces"
    assert request.headers["x-langfuse-public-key"] == langfuse.PUBLIC_KEY
    assert request.headers["x-langfuse-ingestion-version"] == "4"
    assert request.headers["x-langfuse-sdk-name"] == "nat-telemetry"
    assert request.headers["x-langfuse-sdk-version"].count(".") == 2


@pytest.mark.parametrize(
    "suffix", ["", "/", "/api/public/otel", "/api/public/otel/v1/traces", "/api/public/otel/v1/traces/"]
)
def test_an_endpoint_may_have_its_path_or_not(suffix: str) -> None:
    with langfuse.stand_in() as backend:
        spans = _send(recorded_run("tool_call"), backend, endpoint=backend.base_url + suffix)

    assert len(spans) == 4


def test_keys_in_files_are_read_again(tmp_path: Path) -> None:
    """A secret that was replaced is used from the next request on."""
    secret = tmp_path / "secret"
    secret.write_text("sk-lf-old\n")

    with langfuse.stand_in() as backend:
        config = LangfuseConfig(endpoint=backend.url, public_key=langfuse.PUBLIC_KEY, secret_key=f"file:{secret}")
        with Telemetry(config) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
            telemetry.flush()
            secret.write_text(f"{langfuse.SECRET_KEY}\n")
            replay(recorded_run("cached_prompt"), telemetry)
            telemetry.flush()
            status = telemetry.status().exporters["langfuse"]

    assert (status.rejected, status.delivered) == (4, 3)


def test_variables_fill_what_the_configuration_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "LANGFUSE_HOST": "https://old.example.com",
        "LANGFUSE_PUBLIC_KEY": "pk-env",
        "LANGFUSE_SECRET_KEY": "sk-env",
        "LANGFUSE_TRACING_ENVIRONMENT": "ci",
        "LANGFUSE_RELEASE": "r7",
    }.items():
        monkeypatch.setenv(name, value)

    found = LangfuseConfig(public_key="pk-own")

    assert (found.public_key, found.secret_key) == ("pk-own", "sk-env")
    assert (found.endpoint, found.environment, found.release) == ("https://old.example.com", "ci", "r7")
    monkeypatch.setenv("LANGFUSE_BASE_URL", "https://new.example.com")
    assert LangfuseConfig().endpoint == "https://new.example.com"


@pytest.mark.parametrize(
    ("settings", "place", "words"),
    [
        ({"environment": "Production"}, "environment", "is 'Production', expected up to 40 small letters"),
        ({"environment": "langfuse-x"}, "environment", "not beginning with langfuse"),
        ({"endpoint": "ftp://host"}, "endpoint", "expected a URL such as"),
    ],
)
def test_what_langfuse_would_not_take_is_said_at_the_start(settings: dict[str, Any], place: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LangfuseConfig(public_key="pk", secret_key="sk", **settings)

    (error,) = caught.value.errors()
    assert error["loc"] == (place,)
    assert words in error["msg"]
