"""`nat doctor` at Phoenix: well, with a wrong key, a wrong path, a wrong port, and an encoding that it does not take."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.sending import Workplace, workplace
from tests.products.phoenix import Phoenix

DOCTOR = ("doctor", "--config_file", "workflow.yaml", "--json", "--timeout", "30")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    with workplace(tmp_path) as place:
        yield place


def otlp(endpoint: str, project: str = "doctor", **settings: Any) -> dict[str, Any]:
    resource = {"openinference.project.name": project}
    return {"_type": "otelcollector", "endpoint": endpoint, "resource_attributes": resource, **settings}


@pytest.mark.parametrize("project", ["doctor", "doctor_http", "doctor_grpc"])
def test_it_is_well(place: Workplace, phoenix: Phoenix, project: str) -> None:
    """The test span is shown, in a session of its own, and the report leads to it."""
    entries = {
        "doctor": {"_type": "phoenix", "endpoint": phoenix.url, "project": project},
        "doctor_http": otlp(phoenix.url, project),
        "doctor_grpc": otlp(phoenix.grpc_url, project, protocol="grpc"),
    }
    place.write({"prod": entries[project]})

    report = json.loads(place.nat(*DOCTOR).stdout)

    [found], [span] = report["exporters"], phoenix.wait_for_spans(project, 1)
    page = f"{phoenix.url}/redirects/traces/{report['trace_id']}"
    assert (found["status"], found["trace_url"]) == ("ok", page if project == "doctor" else None)
    assert (span.name, span.attributes["span_kind"]) == ("nat doctor", "CHAIN")
    assert span.trace_id == report["trace_id"]
    assert span.attributes["nat.doctor"] is True
    assert span.attributes["session.id"] == report["session_id"]


def test_what_is_wrong_with_it(place: Workplace, phoenix: Phoenix, guarded_phoenix: Phoenix) -> None:
    wrong_key = {"authorization": "Bearer wrong-key"}
    place.write(
        {
            "key": otlp(guarded_phoenix.url, headers=wrong_key),
            "key_over_grpc": otlp(guarded_phoenix.grpc_url, protocol="grpc", headers=wrong_key),
            "path": otlp(f"{phoenix.url}/v2/traces"),
            "json": otlp(phoenix.url, protocol="http/json"),
            "http_to_grpc": otlp(phoenix.grpc_url),
            "grpc_to_http": otlp(phoenix.url, protocol="grpc"),
            "tls": otlp(phoenix.url.replace("http", "https")),
        }
    )

    report = json.loads(place.nat(*DOCTOR, code=1).stdout)

    assert {found["exporter"]: found["cause"] for found in report["exporters"]} == {
        "key": "unauthenticated",
        "key_over_grpc": "unauthenticated",
        "path": "wrong_path",
        "json": "wrong_encoding",
        "http_to_grpc": "speaks_grpc",
        "grpc_to_http": "speaks_http",
        "tls": "no_tls",
    }
