"""Type `patronus`: what it takes, and what Patronus gets, over gRPC and over HTTP."""

from typing import Any

import pytest
from pydantic import ValidationError

from nat.observability import Telemetry
from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter
from nat.plugins.patronus import register
from nat.plugins.patronus.register import PatronusConfig
from nat.testing import FakeBackend, recorded_run, replay
from tests.vendors import patronus


def _config(backend: FakeBackend, protocol: str, **settings: Any) -> PatronusConfig:
    address = f"http://{backend.grpc_endpoint}" if protocol == "grpc" else backend.base_url
    return PatronusConfig(**{"endpoint": address, "api_key": patronus.KEY, "protocol": protocol, **settings})


@pytest.mark.contract("S37")
@pytest.mark.parametrize("protocol", ["grpc", "http", "http/protobuf"])
def test_project_and_app_are_said_in_both_ways(protocol: str) -> None:
    """As metadata or header, and on every span; so is the key."""
    with patronus.stand_in() as backend:
        with Telemetry(_config(backend, protocol, project="shop", app="agent")) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
        (request,) = backend.requests

    assert request.protocol == ("grpc" if protocol == "grpc" else "http/protobuf")
    assert request.headers["x-api-key"] == patronus.KEY
    assert request.headers["pat-project-name"] == "shop"
    assert {(span.attributes["pat.project.name"], span.attributes["pat.app"]) for span in request.spans} == {
        ("shop", "agent")
    }


def test_spans_stay_as_openinference_has_them() -> None:
    with patronus.stand_in() as backend:
        with Telemetry(_config(backend, "grpc")) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
        (asked,) = (span for span in backend.spans if span.name == "choose a tool")

    assert asked.attributes["openinference.span.kind"] == "LLM"
    assert asked.attributes["llm.input_messages.1.message.content"] == "Do I need a coat in Bergen on Monday?"
    assert asked.attributes["llm.token_count.total"] == 163
    assert asked.attributes["session.id"] == "session-tool-call"


def test_without_settings_it_is_as_with_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATRONUS_API_KEY", "key")

    found = PatronusConfig()

    assert (found.project, found.app, found.protocol) == ("Global", "default", "grpc")
    assert found.endpoint == "https://otel.patronus.ai:4317"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("grpc", "https://otel.patronus.ai:4317")),
        ({"protocol": "http"}, ("http", "https://otel.patronus.ai/v1/traces")),
        ({"protocol": "http", "endpoint": "https://own:4318"}, ("http", "https://own:4318/v1/traces")),
        ({"endpoint": "own:4317"}, ("grpc", "https://own:4317")),
    ],
)
async def test_the_endpoint_fits_the_protocol(settings: dict[str, Any], expected: tuple[str, str]) -> None:
    config = PatronusConfig(api_key="key", **settings)

    async with register.patronus_exporter(config, None) as exporter:
        assert isinstance(exporter, OTLPSpanAdapterExporter)
        assert (config.protocol, exporter.endpoint) == expected
        await exporter.stop()


def test_variables_fill_what_the_configuration_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PATRONUS_API_KEY": "key",
        "PATRONUS_OTEL_ENDPOINT": "https://own:4318",
        "PATRONUS_OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "PATRONUS_PROJECT_NAME": "shop",
        "PATRONUS_APP": "agent",
    }.items():
        monkeypatch.setenv(name, value)

    found = PatronusConfig()

    assert (found.api_key, found.endpoint, found.protocol) == ("key", "https://own:4318", "http/protobuf")
    assert (found.project, found.app) == ("shop", "agent")


@pytest.mark.parametrize(
    ("settings", "place"),
    [({"project": "Läden"}, "project"), ({"protocol": "http/json"}, "protocol"), ({"endpoint": "a b"}, "endpoint")],
)
def test_what_cannot_be_sent_is_said_at_the_start(settings: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PatronusConfig(api_key="key", **settings)

    (error,) = caught.value.errors()
    assert error["loc"] == (place,)
