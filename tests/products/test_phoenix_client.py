"""arize-phoenix-otel: for the same settings and variables, ours asks the same place, with the same headers and resource."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nat.observability import Telemetry
from nat.plugins.phoenix.register import PhoenixConfig
from nat.testing import FakeBackend, Request
from tests.products.servers import program

_CLIENT = Path(__file__).with_name("register_phoenix.py")
_OURS = {"telemetry.sdk.name", "telemetry.sdk.version", "telemetry.sdk.language", "service.instance.id"}
"""Facts of the resource that say who has sent it, or differ each time."""
_TRANSPORT = {
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "host",
    "user-agent",
    "te",
}


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(grpc=True) as backend:
        yield backend


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "PHOENIX_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def facts_of(request: Request) -> dict[str, Any]:
    """What both must agree on: how it came, where to, with which headers, from whom."""
    (span,) = request.spans
    return {
        "protocol": request.protocol,
        "path": request.path,
        "headers": {
            name: value
            for name, value in request.headers.items()
            if name not in _TRANSPORT and not name.startswith(("grpc-", ":"))
        },
        "resource": {name: value for name, value in span.resource.items() if name not in _OURS},
    }


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    ("settings", "variables"),
    [
        ({"endpoint": True, "project": "weather"}, {}),
        ({"endpoint": True, "api_key": "k1"}, {"PHOENIX_API_KEY": "k2", "PHOENIX_CLIENT_HEADERS": "x-a=1"}),
        ({"endpoint": True, "headers": {"X-Own": "1"}}, {"PHOENIX_API_KEY": "k2", "PHOENIX_CLIENT_HEADERS": "x-a=1"}),
        ({"endpoint": True, "headers": {"Authorization": "Basic b"}}, {"PHOENIX_API_KEY": "k2"}),
        ({"endpoint": True}, {"PHOENIX_API_KEY": "k2", "PHOENIX_CLIENT_HEADERS": "X-A=1,x-b=two%20words"}),
        ({"endpoint": True}, {"PHOENIX_CLIENT_HEADERS": "authorization=Basic%20b", "PHOENIX_API_KEY": "k2"}),
        ({"endpoint": True}, {"OTEL_EXPORTER_OTLP_HEADERS": "x-otel=1"}),
        ({}, {"PHOENIX_COLLECTOR_ENDPOINT": "", "PHOENIX_PROJECT_NAME": "alias"}),
        ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "", "PHOENIX_PROJECT": "canonical", "PHOENIX_PROJECT_NAME": "alias"}),
        ({}, {"PHOENIX_COLLECTOR_ENDPOINT": "", "OTEL_SERVICE_NAME": "s", "OTEL_RESOURCE_ATTRIBUTES": "team=blue"}),
    ],
)
def test_both_send_alike(
    backend: FakeBackend,
    protocol: Any,
    settings: Mapping[str, Any],
    variables: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grpc_url = f"http://{backend.grpc_endpoint}"
    given = dict(settings)
    if given.pop("endpoint", False):
        given["endpoint"] = backend.url if protocol == "http" else grpc_url
    for name, value in variables.items():
        monkeypatch.setenv(name, value or backend.base_url)
    monkeypatch.setenv("PHOENIX_GRPC_PORT", backend.grpc_endpoint.rpartition(":")[2])

    client = {"project_name" if name == "project" else name: value for name, value in given.items()}
    subprocess.run(
        [
            program("oracle-phoenix", "bin/python"),
            "-P",  # beside it is a phoenix.py
            str(_CLIENT),
            json.dumps({**client, "protocol": {"http": "http/protobuf"}.get(protocol, protocol)}),
        ],
        check=True,
    )
    with Telemetry(PhoenixConfig.model_validate({**given, "protocol": protocol})) as telemetry, telemetry.run("work"):
        pass

    theirs, ours = map(facts_of, backend.wait_for_requests(2))
    assert ours == theirs
