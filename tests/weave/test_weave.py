"""The exporter `weave`: where it sends, as whom, into which project, and a span as a Weave call."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nat.data_models.span import Span, SpanContext, SpanStatus, SpanStatusCode
from nat.observability import Telemetry, step
from nat.plugins.weave.calls import call_of, otlp_attributes
from nat.plugins.weave.native import native_call
from nat.plugins.weave.place import call_page, server_of
from nat.plugins.weave.register import WeaveConfig
from nat.testing import FakeBackend, facts_of, faults, recorded_run, replay, tree_of

KEY = "wandb-key-1234"
PATH = "/otel/v1/traces"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "WANDB_", "WF_", "NETRC")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(PATH) as backend:
        yield backend


def config(**settings: Any) -> WeaveConfig:
    return WeaveConfig.model_validate({"entity": "team", "project": "weather", "api_key": KEY, **settings})


# -- where to, and as whom -------------------------------------------------------------------------------------------------


@pytest.mark.contract("S41", "D24")
@pytest.mark.parametrize("path", ["", "/otel", PATH])
def test_a_run_arrives_in_its_project(backend: FakeBackend, path: str) -> None:
    with Telemetry(config(endpoint=backend.base_url + path)) as telemetry:
        replay(recorded_run("tool_call"), telemetry)

    spans = backend.wait_for_spans(4)
    assert tree_of(spans) == facts_of(recorded_run("tool_call")).tree
    assert {(span.resource["wandb.entity"], span.resource["wandb.project"]) for span in spans} == {("team", "weather")}
    assert backend.requests[0].headers["wandb-api-key"] == KEY


def test_a_key_in_a_file_is_read_for_every_request(backend: FakeBackend, tmp_path: Path) -> None:
    file = tmp_path / "key"

    with Telemetry(config(endpoint=backend.base_url, api_key=f"file:{file}")) as telemetry:
        for key in ("first-key", "second-key"):
            file.write_text(f"{key}\n")
            replay(recorded_run("failed_run"), telemetry)
            telemetry.flush()

    assert [request.headers["wandb-api-key"] for request in backend.requests] == ["first-key", "second-key"]


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({}, "https://trace.wandb.ai"),
        ({"WANDB_BASE_URL": "https://api.wandb.ai"}, "https://trace.wandb.ai"),
        ({"WANDB_BASE_URL": "https://team.wandb.io/"}, "https://team.wandb.io/traces"),
        ({"WANDB_BASE_URL": "http://inside", "WANDB_PUBLIC_BASE_URL": "https://outside"}, "https://outside/traces"),
        ({"WF_TRACE_SERVER_URL": "http://here:1", "WANDB_BASE_URL": "https://team.wandb.io"}, "http://here:1"),
    ],
)
def test_the_server_is_the_one_that_weaves_client_asks(
    variables: dict[str, str], endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert config().endpoint == endpoint


@pytest.mark.parametrize(
    ("settings", "variables", "place"),
    [
        ({"entity": "a", "project": "p"}, {"WANDB_ENTITY": "x", "WANDB_PROJECT": "y"}, ("a", "p")),
        ({"entity": "", "project": "a/p"}, {"WANDB_ENTITY": "x"}, ("a", "p")),
        ({"entity": "a", "project": "a/p"}, {}, ("a", "p")),
        ({"entity": "", "project": ""}, {"WANDB_ENTITY": "x", "WANDB_PROJECT": "y"}, ("x", "y")),
    ],
)
def test_the_project(
    settings: dict[str, str], variables: dict[str, str], place: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert config(**settings).place == place


@pytest.mark.parametrize(
    ("machine", "variables", "settings"),
    [
        ("api.wandb.ai", {}, {}),
        ("team.wandb.io", {"WANDB_BASE_URL": "https://team.wandb.io"}, {}),
        ("trace.example.com:8080", {}, {"endpoint": "https://trace.example.com:8080"}),
    ],
)
@pytest.mark.parametrize("name", [".netrc", "_netrc", "elsewhere"])
def test_a_key_is_found_where_wandb_login_leaves_it(
    machine: str,
    variables: dict[str, str],
    settings: dict[str, str],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / name
    file.write_text(
        f"machine other.example.com login user password wrong\nmachine {machine} login user password {KEY}\n"
    )
    file.chmod(0o600)
    if name == "elsewhere":
        monkeypatch.setenv("NETRC", str(file))
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)

    assert config(api_key="", **settings).api_key == KEY


def test_the_variable_comes_before_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password other\n")
    monkeypatch.setenv("WANDB_API_KEY", KEY)

    assert config(api_key="").api_key == KEY


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"api_key": ""}, "is empty; set it or the environment variable WANDB_API_KEY, or log in"),
        ({"project": ""}, "is empty; set it or the environment variable WANDB_PROJECT"),
        (
            {"entity": ""},
            "is empty; set it or the environment variable WANDB_ENTITY, or write project as entity/project",
        ),
        ({"entity": "a", "project": "b/p"}, "project is 'b/p' and entity is 'a'; expected one entity"),
        ({"endpoint": "ftp://x"}, "has the scheme ftp://"),
        ({"mode": "native"}, 'install it: pip install "nat-telemetry-weave\\[native\\]"'),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        config(**settings)


def test_a_netrc_that_cannot_be_read_is_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(f"machine api.wandb.ai login user passwort {KEY}\n")

    with pytest.raises(ValidationError, match=r"\.netrc cannot be read \(NetrcParseError\)") as caught:
        config(api_key="")

    assert KEY not in str(caught.value)


def test_settings_of_otlp_are_refused_in_mode_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nat.plugins.weave.register.find_spec", lambda name: object())

    with pytest.raises(ValidationError, match="compression and proxy has no effect with mode native"):
        config(mode="native", compression="gzip", proxy="http://proxy:1")


@pytest.mark.parametrize(
    ("endpoint", "variables", "page"),
    [
        ("https://trace.wandb.ai/otel/v1/traces", {}, "https://wandb.ai/team/my%20project/r/call/"),
        ("https://u:secret@team.wandb.io/traces", {}, "https://team.wandb.io/team/my%20project/r/call/"),
        ("http://x", {"WANDB_APP_URL": "https://app.example/"}, "https://app.example/team/my%20project/r/call/"),
    ],
)
def test_the_page_of_a_run(
    endpoint: str, variables: dict[str, str], page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert call_page(endpoint, "team", "my project")(1, 0xABC) == f"{page}{0xABC:016x}"


@pytest.mark.parametrize("given", ["http://h/traces", "http://h/traces/", "http://h/traces/otel/v1/traces"])
def test_the_address_of_the_server(given: str) -> None:
    assert server_of(given) == "http://h/traces"


# -- a span as a call ------------------------------------------------------------------------------------------------------


def span(**fields: Any) -> Span:
    given = {
        "name": "work",
        "context": SpanContext(trace_id=0xA, span_id=0xB, parent_span_id=0xC),
        "start_time": 1_700_000_000_000_000_000,
        "end_time": 1_700_000_001_500_000_000,
        "status": SpanStatus(code=SpanStatusCode.OK),
    }
    return Span(**{**given, **fields})


def sent(backend: FakeBackend, run_id: str) -> dict[str, dict[str, Any]]:
    """Attributes of the spans of a recorded run, by name."""
    with Telemetry(config(endpoint=backend.base_url)) as telemetry:
        replay(recorded_run(run_id), telemetry)
    return {span.name: span.attributes for span in backend.spans}


def test_a_model_call_over_otlp(backend: FakeBackend) -> None:
    attributes = sent(backend, "tool_call")["choose a tool"]

    inputs, output = json.loads(attributes["inputs"]), json.loads(attributes["outputs"])
    assert [message["role"] for message in inputs["messages"]] == ["system", "user"]
    assert [tool["function"]["name"] for tool in inputs["tools"]] == ["forecast", "send_alert"]
    assert output["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "forecast"
    assert {key: value for key, value in attributes.items() if key.startswith(("llm.", "openinference."))} == {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o-mini",
        "llm.provider": "openai",
        "llm.invocation_parameters": '{"temperature":0.2,"max_tokens":200}',
        "llm.token_count.prompt": 142,
        "llm.token_count.completion": 21,
        "llm.token_count.total": 163,
    }


def test_a_session_is_a_thread_and_its_runs_are_turns(backend: FakeBackend) -> None:
    attributes = sent(backend, "tool_call")

    assert {each["wandb.thread_id"] for each in attributes.values()} == {"session-tool-call"}
    assert [name for name, each in attributes.items() if each.get("wandb.is_turn")] == ["weather agent"]
    assert all(each["wandb.display_name"] == name for name, each in attributes.items())


def test_no_attribute_is_the_beginning_of_another(backend: FakeBackend) -> None:
    """Weave refuses such spans; whatever is set on a step, none comes of it."""
    with Telemetry(config(endpoint=backend.base_url)) as telemetry, telemetry.run("run"), step("work") as work:
        for key in ("a", "a.b", "inputs.x", "wandb", "metadata.x", "llm.model_name.y"):
            work.set_attribute(key, 1)

    (attributes,) = (span.attributes for span in backend.wait_for_spans(2) if span.name == "work")
    keys = sorted(attributes)
    assert [key for key in keys for other in keys if other.startswith(f"{key}.")] == []
    assert json.loads(attributes["wandb.attributes"])["a.b"] == 1


def test_what_weave_rejects_is_counted(backend: FakeBackend, caplog: pytest.LogCaptureFixture) -> None:
    backend.plan(faults.partial_success(1, "Invalid attribute structure"))

    with Telemetry(config(endpoint=backend.base_url)) as telemetry:
        replay(recorded_run("tool_call"), telemetry)
        status = telemetry.flush().exporters["weave"]

    assert (status.delivered, status.rejected) == (3, 1)
    assert "Invalid attribute structure" in caplog.text


@pytest.mark.parametrize(
    ("value", "mime_type", "inputs", "output"),
    [
        ("a text", "text/plain", {"input": "a text"}, "a text"),
        ('{"a": 1}', "application/json", {"a": 1}, {"a": 1}),
        ("[1, 2]", "application/json", {"input": [1, 2]}, [1, 2]),
        ("7", "application/json", {"input": 7}, "7"),
        ("null", "application/json", {}, "null"),
        ("", "text/plain", {"input": ""}, None),
        ("{not json", "application/json", {"input": "{not json"}, "{not json"),
    ],
)
def test_what_goes_in_is_an_object_and_what_comes_out_is_a_value(
    value: str, mime_type: str, inputs: dict[str, Any], output: Any
) -> None:
    call = call_of(
        span(
            attributes={
                "input.value": value,
                "input.mime_type": mime_type,
                "output.value": value,
                "output.mime_type": mime_type,
            }
        )
    )

    assert (call.inputs, call.output) == (inputs, output)


def test_a_native_call() -> None:
    """With everything that Weave has a place for, and usage under the model."""
    failed = span(
        name="chat",
        context=SpanContext(trace_id=0xA, span_id=0xB),
        status=SpanStatus(code=SpanStatusCode.ERROR, message="no such model"),
        attributes={
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 11,
            "llm.token_count.completion": 7,
            "session.id": "s-1",
            "metadata": '{"a": 1}',
            "input.value": "hi",
            "input.mime_type": "text/plain",
        },
    )

    assert native_call(failed, "team/weather") == {
        "project_id": "team/weather",
        "id": "000000000000000b",
        "trace_id": f"{0xA:032x}",
        "parent_id": None,
        "op_name": "chat",
        "display_name": "chat",
        "thread_id": "s-1",
        "turn_id": "000000000000000b",
        "started_at": "2023-11-14T22:13:20+00:00",
        "ended_at": "2023-11-14T22:13:21.500000+00:00",
        "attributes": {"kind": "LLM", "model": "gpt-4o", "session.id": "s-1", "metadata": {"a": 1}},
        "inputs": {"input": "hi"},
        "output": None,
        "summary": {"usage": {"gpt-4o": {"prompt_tokens": 11, "completion_tokens": 7, "requests": 1}}},
        "exception": "no such model",
    }


def test_a_span_is_not_changed() -> None:
    before = span(attributes={"session.id": "s", "llm.token_count.prompt": 1, "input.value": "x"})
    copy = before.model_copy(deep=True)

    otlp_attributes(before)
    native_call(before, "a/b")

    assert before == copy
