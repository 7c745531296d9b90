"""Type `galileo`: what it takes, and what Galileo gets."""

import json
from typing import Any

import pytest

from nat.observability import Telemetry, step
from nat.plugins.galileo.register import GalileoConfig
from nat.testing import FakeBackend, ReceivedSpan, facts_of, recorded_run, recorded_runs, replay
from nat.testing.runs import RecordedRun
from tests.vendors import galileo

_SESSION = "5d8f1f0e-2f0d-4c69-9d3c-7a2f7a1c9b10"


def _config(backend: FakeBackend, **settings: Any) -> GalileoConfig:
    return GalileoConfig(
        **{
            "endpoint": backend.base_url,
            "api_key": galileo.KEY,
            "project": "shop",
            "logstream": "production",
            **settings,
        }
    )


def _send(run: RecordedRun, **settings: Any) -> list[ReceivedSpan]:
    with galileo.stand_in() as backend:
        with Telemetry(_config(backend, **settings)) as telemetry:
            replay(run, telemetry)
        return backend.spans


@pytest.mark.contract("S38")
def test_project_and_log_stream_are_said_as_the_sdk_says_them() -> None:
    """As headers, of the resource, and on every span."""
    names = {"galileo.project.name": "shop", "galileo.logstream.name": "production"}

    spans = _send(recorded_run("tool_call"))

    headers = spans[0].request.headers
    assert (headers["galileo-api-key"], headers["project"], headers["logstream"]) == (
        galileo.KEY,
        "shop",
        "production",
    )
    assert spans[0].request.path == "/otel/traces"
    for span in spans:
        assert span.attributes.items() >= names.items()
        assert span.resource.items() >= names.items()


@pytest.mark.parametrize("run", recorded_runs(), ids=lambda run: run.id)
def test_spans_have_what_galileo_asks_for(run: RecordedRun) -> None:
    """Every span that ended well has what Galileo's minimum for its class demands, so far as the agent has said it."""
    facts = {fact.name: fact for fact in facts_of(run).spans}

    spans = _send(run)

    for span in spans:
        fact = facts[span.name]
        unknown = {"output"} if fact.error else set()
        if fact.output is None:
            unknown.add("output")
        if fact.provider is None:
            unknown.add("provider")
        assert set(galileo.missing_of(span)) <= unknown, span.name


def test_tokens_and_models_have_both_names() -> None:
    spans = {span.name: span.attributes for span in _send(recorded_run("cached_prompt"))}

    found = spans["second question"]
    assert found["gen_ai.usage.input_tokens"] == found["llm.token_count.prompt"] == 2051
    assert found["gen_ai.usage.cache_read.input_tokens"] == 1980
    assert found["gen_ai.request.model"] == found["llm.model_name"] == "claude-sonnet-4"
    assert found["gen_ai.provider.name"] == "anthropic"
    assert spans["first question"]["gen_ai.usage.cache_creation.input_tokens"] == 1980


def test_steps_are_classified() -> None:
    tools = {span.name: span.attributes for span in _send(recorded_run("tool_call"))}
    found = {span.name: span.attributes for span in _send(recorded_run("grounded_answer"))}

    assert tools["forecast"]["gen_ai.operation.name"] == "execute_tool"
    assert (tools["forecast"]["gen_ai.tool.name"], tools["forecast"]["gen_ai.tool.call.id"]) == ("forecast", "call_1")
    assert tools["weather agent"]["gen_ai.operation.name"] == "invoke_agent"
    assert found["find passages"]["db.operation"] == "search"
    assert found["embed the question"]["gen_ai.operation.name"] == "embeddings"
    assert found["answer from passages"]["gen_ai.provider.name"] == "azure.ai.openai"
    assert "gen_ai.operation.name" not in found["manual search"]


def test_contents_are_sent_once() -> None:
    """Galileo reads OpenInference's messages; `gen_ai` ones are added only for a call that has none."""
    with galileo.stand_in() as backend:
        with Telemetry(_config(backend)) as telemetry, telemetry.run("agent"):
            with step("complete", "llm", input="Once upon", model="m", provider="openai") as call:
                call.output = "a time"
            with step("chat", "llm", input=[{"role": "user", "content": "Hi"}], model="m", provider="openai") as call:
                call.output = {"role": "assistant", "content": "Hello"}
        spans = {span.name: span.attributes for span in backend.spans}

    assert json.loads(spans["complete"]["gen_ai.input.messages"]) == [{"role": "user", "content": "Once upon"}]
    assert json.loads(spans["complete"]["gen_ai.output.messages"]) == [{"role": "assistant", "content": "a time"}]
    assert [key for key in spans["chat"] if key.startswith("gen_ai.") and key.endswith(".messages")] == []


@pytest.mark.parametrize(
    ("session_id", "is_galileos"), [(_SESSION, True), ("session-1", False), (_SESSION[:-1], False)]
)
def test_a_session_of_galileo_is_named(session_id: str, is_galileos: bool) -> None:
    """Galileo's own sessions have UUIDs; any other id is the conversation's."""
    spans = _send(recorded_run("tool_call").in_session(session_id))

    for span in spans:
        assert span.attributes["gen_ai.conversation.id"] == span.attributes["session.id"] == session_id
        assert span.attributes.get("galileo.session.id") == (session_id if is_galileos else None)


@pytest.mark.parametrize("path", ["", "/", "/otel", galileo.PATH, "/otel/v1/traces", galileo.OLDER_PATH])
def test_an_endpoint_may_have_its_path_or_not(path: str) -> None:
    """The older endpoint works when it is given."""
    with galileo.stand_in() as backend:
        with Telemetry(_config(backend, endpoint=backend.base_url + path)) as telemetry:
            replay(recorded_run("tool_call"), telemetry)

        assert len(backend.spans) == 4


def test_an_unknown_project_is_said_with_galileos_words(caplog: pytest.LogCaptureFixture) -> None:
    with galileo.stand_in(projects=("other",)) as backend:
        with Telemetry({"prod": _config(backend)}) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
            status = telemetry.flush().exporters["prod"]

    assert status.rejected == 4
    assert "Project not found." in caplog.text


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "https://api.galileo.ai"),
        ({"GALILEO_API_URL": "https://api.own.example"}, "https://api.own.example"),
        ({"GALILEO_CONSOLE_URL": "https://app.galileo.ai/"}, "https://api.galileo.ai"),
        ({"GALILEO_CONSOLE_URL": "https://console.own.example"}, "https://api.own.example"),
        (
            {"GALILEO_CONSOLE_URL": "https://console.own.example", "GALILEO_API_URL": "https://a.example"},
            "https://a.example",
        ),
    ],
)
def test_the_api_is_found_as_the_sdk_finds_it(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "GALILEO_API_KEY": "key",
        "GALILEO_PROJECT": "p",
        "GALILEO_LOG_STREAM": "s",
        **variables,
    }.items():
        monkeypatch.setenv(name, value)

    found = GalileoConfig()

    assert (found.endpoint, found.api_key, found.project, found.logstream) == (expected, "key", "p", "s")


def test_without_settings_project_and_log_stream_are_default() -> None:
    """As with Galileo's SDK."""
    found = GalileoConfig(api_key="key")

    assert (found.project, found.logstream) == ("default", "default")
