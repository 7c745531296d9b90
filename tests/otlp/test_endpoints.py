"""Endpoints as people write them: normalised, said, and what is probably wrong named with its mend."""

import logging
from typing import Any

import pytest

from nat.data_models.delivery import DeliveryConfig, RetryConfig
from nat.data_models.errors import ConfigurationError
from nat.observability import Telemetry
from nat.plugins.opentelemetry.endpoints import grpc_endpoint, http_endpoint, shown_url
from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.testing import FakeBackend
from tests.otlp.sending import sent


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
        ("http://localhost:4318/v1/traces", "http://localhost:4318/v1/traces"),
        ("http://localhost:4318/v1/traces/", "http://localhost:4318/v1/traces"),
        (" http://localhost:4318\n", "http://localhost:4318/v1/traces"),
        ("https://api.example.com/otel", "https://api.example.com/otel/v1/traces"),
        ("https://api.example.com/otel/", "https://api.example.com/otel/v1/traces"),
        ("https://api.example.com/otel/traces", "https://api.example.com/otel/traces"),
        ("https://api.example.com/otel?token=k#part", "https://api.example.com/otel/v1/traces?token=k"),
        ("HTTPS://Api.Example.com", "https://Api.Example.com/v1/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ("localhost:4318", "http://localhost:4318/v1/traces"),
        ("127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/v1/traces"),
        ("collector.example.com:4318", "https://collector.example.com:4318/v1/traces"),
        ("collector.example.com/otel", "https://collector.example.com/otel/v1/traces"),
    ],
)
def test_over_http(given: str, url: str) -> None:
    assert http_endpoint(given).url == url


@pytest.mark.parametrize(
    ("given", "is_insecure", "target", "is_secure"),
    [
        ("http://localhost:4317", None, "localhost:4317", False),
        ("https://localhost:4317", None, "localhost:4317", True),
        ("https://api.example.com", None, "api.example.com:443", True),
        ("http://localhost", None, "localhost:4317", False),
        ("http://localhost:4317/v1/traces", None, "localhost:4317", False),
        ("localhost:4317", None, "localhost:4317", False),
        ("localhost", None, "localhost:4317", False),
        ("[::1]:4317", None, "[::1]:4317", False),
        ("api.example.com:4317", None, "api.example.com:4317", True),
        ("api.example.com:4317", True, "api.example.com:4317", False),
        ("localhost:4317", False, "localhost:4317", True),
    ],
)
def test_over_grpc(given: str, is_insecure: bool | None, target: str, is_secure: bool) -> None:
    endpoint = grpc_endpoint(given, is_insecure=is_insecure)

    assert (endpoint.target, endpoint.is_secure) == (target, is_secure)
    assert endpoint.shown == f"{'https' if is_secure else 'http'}://{target}"


@pytest.mark.parametrize("read", [http_endpoint, grpc_endpoint])
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("ftp://host", "has the scheme ftp://, not http:// or https://; expected a URL such as"),
        ("grpc://host:4317", "has the scheme grpc://, not http:// or https://"),
        ("http://", "names no host"),
        ("http:///v1/traces", "names no host"),
        ("http://host name", "names no host"),
        ("http://host:port", "is no URL"),
        ("http://host:99999", "is no URL"),
        ("http://[::1", "is no URL"),
    ],
)
def test_what_is_no_url(read: Any, given: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(given)


def test_a_password_in_what_is_no_url_is_not_shown() -> None:
    with pytest.raises(ValueError, match="is no URL") as caught:
        http_endpoint("http://user:ses/ame@host")

    assert "ses" not in str(caught.value)
    assert "ame@" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "protocol", "level", "said"),
    [
        ("http://localhost:4318", "http", logging.INFO, "is taken as base: /v1/traces is appended"),
        ("http://localhost:4318/v1/traces/", "http", logging.INFO, "the slash at the end is left out"),
        ("localhost:4318", "http", logging.INFO, "http://localhost:4318 is meant, as no scheme is given"),
        ("localhost:4317", "grpc", logging.INFO, "plain text, as no scheme http:// or https:// is given"),
        ("https://api.example.com", "grpc", logging.INFO, "port 443, as no other is given"),
        ("http://localhost:4317/v1/traces", "grpc", logging.INFO, "the path /v1/traces is left out: gRPC has none"),
        (
            "http://localhost:4317",
            "http",
            logging.WARNING,
            "port 4317 is the one for OTLP over gRPC, and the protocol is HTTP; use port 4318, or protocol: grpc",
        ),
        (
            "http://localhost:4318",
            "grpc",
            logging.WARNING,
            "port 4318 is the one for OTLP over HTTP, and the protocol is gRPC; use port 4317, or protocol: http",
        ),
        ("http://host:443", "http", logging.WARNING, "port 443 is usually spoken to in https://, not http://"),
        ("https://host:80", "grpc", logging.WARNING, "port 80 is usually spoken to in http://, not https://"),
        (
            "http://localhost:4318/v1/metrics",
            "http",
            logging.WARNING,
            "the path is the one for metrics or logs; leave it out, or end it in /v1/traces",
        ),
        ("http://u:sesame@host:4317", "grpc", logging.WARNING, "gRPC has none; set headers instead"),
    ],
)
async def test_what_is_said(given: str, protocol: Any, level: int, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """When it starts: then it is known which entry of the configuration it is of."""
    caplog.set_level(logging.INFO, "nat.observability")

    async with OTLPSpanAdapterExporter(endpoint=given, protocol=protocol).start():
        pass

    [record] = [record for record in caplog.records if said in record.getMessage()]
    assert record.levelno == level
    assert "sesame" not in caplog.text


@pytest.mark.parametrize(("given", "insecure"), [("https://localhost:4317", True), ("http://localhost:4317", False)])
async def test_insecure_against_the_scheme_is_remarked_on(
    given: str, insecure: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with OTLPSpanAdapterExporter(endpoint=given, protocol="grpc", insecure=insecure).start():
        pass

    scheme = given.partition(":")[0]
    assert f"insecure: {str(insecure).lower()} has no effect beside {scheme}://, which decides" in caplog.text


async def test_a_plain_endpoint_makes_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    async with OTLPSpanAdapterExporter(endpoint="http://localhost:4318/v1/traces").start():
        async with OTLPSpanAdapterExporter(endpoint="http://localhost:4317", protocol="grpc").start():
            pass

    assert caplog.records == []


def test_what_is_said_names_the_entry_of_the_configuration(caplog: pytest.LogCaptureFixture) -> None:
    """And not the class, which is the same for all."""
    config = OtelCollectorConfig(endpoint="http://127.0.0.1:9/v1/metrics")
    delivery = DeliveryConfig(retry=RetryConfig(max_retries=0))

    with Telemetry({"prod": config}, delivery=delivery) as telemetry:
        telemetry.flush(20.0)

    assert [text for text in caplog.messages if "endpoint:" in text] == [
        "prod: endpoint: the path is the one for metrics or logs; leave it out, or end it in /v1/traces"
    ]


def test_it_is_a_problem_of_the_configuration_with_its_place(tmp_path: Any) -> None:
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text(
        "general:\n  telemetry:\n    tracing:\n      collector: {_type: otelcollector, endpoint: 'ftp://host'}\n"
    )

    with pytest.raises(ConfigurationError) as caught:
        Telemetry.from_file(workflow)

    assert "general.telemetry.tracing.collector.endpoint" in str(caught.value)
    assert "has the scheme ftp://, not http:// or https://" in str(caught.value)


@pytest.mark.parametrize("form", ["{base}", "{base}/", "{base}/v1/traces", "{base}/v1/traces/", "{netloc}"])
async def test_all_forms_reach_a_real_receiver(backend: FakeBackend, form: str) -> None:
    netloc = backend.base_url.removeprefix("http://")

    await sent(form.format(base=backend.base_url, netloc=netloc))

    assert [request.path for request in backend.requests] == ["/v1/traces"]


def test_urls_are_shown_without_what_may_be_secret() -> None:
    assert shown_url("https://u:sesame@host:1/path?key=sesame#part") == "https://host:1/path"
    assert shown_url("http://[") == ""
    assert "sesame" not in repr(http_endpoint("https://u:sesame@host"))
    assert "sesame" not in repr(OtelCollectorConfig(endpoint="https://u:sesame@host"))
