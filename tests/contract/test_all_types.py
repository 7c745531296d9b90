"""All types of the guide in one workflow file, side by side on the same runs."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nat.observability import Telemetry
from nat.observability.registry import OWN_TYPES, components
from nat.testing import FakeBackend, recorded_runs, replay
from tests.conformance.catalyst import catalyst_replies, spans_in_document

_PATHS = {
    "otelcollector": "/v1/traces",
    "phoenix": "/v1/traces",
    "langfuse": "/api/public/otel/v1/traces",
    "langsmith": "/otel/v1/traces",
    "galileo": "/otel/traces",
    "patronus": "/v1/traces",
    "weave": "/otel/v1/traces",
}
_SETTINGS: dict[str, dict[str, Any]] = {
    "otelcollector": {},
    "phoenix": {"project": "p"},
    "langfuse": {"public_key": "pk-lf-1", "secret_key": "sk-lf-1"},
    "langsmith": {"api_key": "k", "project": "p"},
    "galileo": {"api_key": "k", "project": "p"},
    "patronus": {"api_key": "k", "protocol": "http"},
    "weave": {"api_key": "k", "entity": "e", "project": "p"},
    "catalyst": {"access_key": "a", "secret_key": "s", "project": "p"},
}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    said = ("OTEL_", "LANGCHAIN_", "WANDB_", "WF_", "RAGAAI_", *(f"{name.upper()}_" for name in OWN_TYPES))
    for name in list(os.environ):
        if name.startswith(said) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def backends() -> Iterator[dict[str, FakeBackend]]:
    """One for each type that sends something."""
    found = {name: FakeBackend(path) for name, path in _PATHS.items()}
    found["catalyst"] = FakeBackend("/bucket/trace", method="PUT", read=spans_in_document, replies=catalyst_replies())
    with ExitStack() as running:
        for backend in found.values():
            running.enter_context(backend)
        yield found


@pytest.mark.contract("S20", "S99")
def test_all_types_of_the_guide_are_listed() -> None:
    rows = {row.type: row for row in components() if row.kind == "tracing"}

    assert {*_SETTINGS, "file", "console"} <= rows.keys()
    assert all(rows[name].loads for name in _SETTINGS)


@pytest.mark.contract("S99", "S100")
def test_all_types_work_side_by_side_and_agree_on_ids(backends: dict[str, FakeBackend], tmp_path: Path) -> None:
    """Trace, span and parent ids of the ten runs are the same everywhere, and each span is everywhere once."""
    file = tmp_path / "spans.jsonl"
    tracing: dict[str, Any] = {
        name: {"_type": name, "endpoint": backend.base_url, **_SETTINGS[name]} for name, backend in backends.items()
    }
    tracing["file"] = {"_type": "file", "output_path": str(file), "format": "spans"}
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text(json.dumps({"general": {"telemetry": {"tracing": tracing}}}))

    with Telemetry.from_file(workflow) as telemetry:
        for run in recorded_runs():
            replay(run, telemetry)
        result = telemetry.flush(60.0)

    assert {name: (status.delivered, status.lost) for name, status in result.exporters.items()} == dict.fromkeys(
        tracing, (47, 0)
    )
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    expected = sorted((line["trace_id"], line["span_id"], line["parent_span_id"] or "") for line in lines)
    for name, backend in backends.items():
        found = sorted((span.trace_id, span.span_id, span.parent_id or "") for span in backend.spans)
        assert found == expected, name
