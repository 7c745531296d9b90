"""OpenTelemetry's environment variables: honoured where the configuration is silent, and only there."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.errors import ConfigurationError
from nat.observability import Telemetry
from nat.plugins.opentelemetry.environment import OtlpEnvironment
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.testing import FakeBackend, ReceivedSpan
from nat.testing.tls import Authority


def sent_to(backend: FakeBackend, **settings: Any) -> ReceivedSpan:
    """One span, with these settings beside the environment's."""
    with Telemetry({"collector": OtelCollectorConfig(**settings)}) as telemetry:
        with telemetry.run("run"):
            pass
    [span] = backend.wait_for_spans(1)
    return span


@pytest.fixture
def elsewhere() -> Iterator[FakeBackend]:
    with FakeBackend(path="/custom/intake", grpc=True) as backend:
        yield backend


def test_the_endpoint_of_all_signals_is_a_base(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{backend.base_url}/")

    assert sent_to(backend).request.path == "/v1/traces"


def test_the_endpoint_for_traces_goes_before_and_is_complete(
    elsewhere: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", elsewhere.url)

    assert sent_to(elsewhere).request.path == "/custom/intake"


def test_the_configurations_endpoint_goes_before_both(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")

    assert sent_to(backend, endpoint=backend.base_url).request.path == "/v1/traces"


def test_headers_name_by_name(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Percent-encoded; those for traces take the place of those for all; the configuration's win by name."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-lost=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Bearer%20k, x-tenant=theirs ,")

    headers = sent_to(backend, endpoint=backend.url, headers={"x-tenant": "ours"}).request.headers

    assert (headers["authorization"], headers["x-tenant"]) == ("Bearer k", "ours")
    assert "x-lost" not in headers


@pytest.mark.parametrize(
    ("variable", "configured", "expected"),
    [
        (None, None, "http/protobuf"),
        ("http/json", None, "http/json"),
        ("grpc", None, "grpc"),
        ("http/json", "http", "http/protobuf"),
        ("", None, "http/protobuf"),
    ],
)
def test_protocol(variable: str | None, configured: Any, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if variable is not None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", variable)
    with FakeBackend(grpc=True) as backend:
        endpoint = f"http://{backend.grpc_endpoint}" if expected == "grpc" else backend.base_url

        assert sent_to(backend, endpoint=endpoint, protocol=configured).request.protocol == expected


@pytest.mark.parametrize(
    ("variable", "settings", "expected"),
    [("gzip", {}, "gzip"), ("gzip", {"compression": "none"}, None), ("none", {"compression": "gzip"}, "gzip")],
)
def test_compression(
    backend: FakeBackend, variable: str, settings: dict[str, Any], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", variable)

    headers = sent_to(backend, endpoint=backend.url, **settings).request.headers

    assert headers.get("content-encoding") == expected


def test_resource(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable for the service's name goes before the one for attributes; the configuration before both."""
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES", "service.name=a,deployment.environment.name=test%2Fone,service.version=1"
    )
    monkeypatch.setenv("OTEL_SERVICE_NAME", "b")

    resource = sent_to(backend, endpoint=backend.url, resource_attributes={"service.version": "2"}).resource

    assert resource["service.name"] == "b"
    assert resource["deployment.environment.name"] == "test/one"
    assert resource["service.version"] == "2"


def test_project_goes_before_the_service_name(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "b")

    assert sent_to(backend, endpoint=backend.url, project="ours").resource["service.name"] == "ours"


def test_tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.client_files()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(authority.ca_file))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", str(certificate))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", str(key))

    with FakeBackend(tls=authority.server(demands_client_certificate=True)) as backend:
        assert sent_to(backend, endpoint=backend.url).name == "run"


def test_the_configurations_tls_takes_the_place_of_all_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", __file__)

    with FakeBackend(tls=authority.server()) as backend:
        assert sent_to(backend, endpoint=backend.url, tls={"ca_file": str(authority.ca_file)}).name == "run"


@pytest.mark.parametrize(("variable", "is_plain"), [("true", True), ("FALSE", False), (None, True)])
def test_insecure_decides_where_there_is_no_scheme(
    variable: str | None, is_plain: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if variable is not None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_INSECURE", variable)
    authority = Authority(tmp_path)
    with FakeBackend(grpc=True, tls=None if is_plain else authority.server()) as backend:
        tls = {"ca_file": str(authority.ca_file)}

        assert sent_to(backend, endpoint=backend.grpc_endpoint, protocol="grpc", tls=tls).name == "run"


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [("10000", 10.0), ("2500.5", 2.5005), ("100", 0.1), ("10", 10.0), ("", None)],
)
def test_timeout_in_milliseconds_unless_it_can_only_be_seconds(text: str, expected_s: float | None) -> None:
    timeout_s = OtlpEnvironment({"OTEL_EXPORTER_OTLP_TIMEOUT": text}).timeout_s

    assert timeout_s == expected_s or math.isclose(timeout_s or 0, expected_s or 0)


def test_timeout_has_an_effect(monkeypatch: pytest.MonkeyPatch, backend: FakeBackend) -> None:
    from nat.plugins.opentelemetry.register import otelcollector_exporter

    async def timeout_of(**settings: Any) -> float | None:
        async with otelcollector_exporter(OtelCollectorConfig(**settings), None) as exporter:
            return exporter.delivery_options.timeout_s

    import asyncio

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2500")
    assert asyncio.run(timeout_of()) == 2.5
    assert asyncio.run(timeout_of(timeout=7.0)) == 7.0


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http",
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'http', expected one of: http/protobuf,",
        ),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "OTEL_EXPORTER_OTLP_COMPRESSION is 'zstd', expected one of: gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "OTEL_EXPORTER_OTLP_TIMEOUT is 'soon', expected milliseconds"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "yes", "OTEL_EXPORTER_OTLP_INSECURE is 'yes', expected true or false"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "open-sesame", "OTEL_EXPORTER_OTLP_HEADERS: a part has no '='"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "host=open-sesame", "OTEL_EXPORTER_OTLP_HEADERS: the header 'host' is set"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://host", "OTEL_EXPORTER_OTLP_ENDPOINT: has the scheme ftp://"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem", "OTEL_EXPORTER_OTLP_CERTIFICATE: there is no file"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", __file__, "OTEL_EXPORTER_OTLP_CLIENT_KEY has no effect without"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a", "OTEL_RESOURCE_ATTRIBUTES: a part has no '='"),
    ],
)
def test_a_variable_that_holds_what_it_cannot_is_a_problem_of_the_configuration(
    name: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Said with all other problems of the file, before anything is sent; nothing of a header is shown."""
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text("general: {telemetry: {tracing: {collector: {_type: otelcollector}}}}")
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as caught:
        Telemetry.from_file(workflow)

    assert "general.telemetry.tracing.collector" in str(caught.value)
    assert problem in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_a_variable_that_is_not_needed_may_hold_anything(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "PROTOCOL", "COMPRESSION", "TIMEOUT", "INSECURE"):
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", "ftp://nonsense")

    span = sent_to(backend, endpoint=backend.url, protocol="http", compression="none", timeout=5.0, insecure=True)

    assert span.name == "run"
