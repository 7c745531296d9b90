"""What holds for every preset, against a stand-in that refuses what the vendor refuses."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import ValidationError

from nat.data_models.delivery import DeadLettersConfig, DeliveryConfig, RetryConfig
from nat.data_models.errors import ConfigurationError
from nat.observability import Telemetry
from nat.observability.delivery.dead_letters import DeadLetters
from nat.runtime.loader import load_workflow
from nat.testing import FakeBackend, Request, recorded_run, recorded_runs, replay, tree_of
from nat.testing.facts import facts_of
from tests.vendors.reading import sent_again
from tests.vendors.vendors import VENDORS, Vendor

_QUICK = RetryConfig(initial_interval=0.02, max_interval=0.05)

_OVER_HTTP = [vendor for vendor in VENDORS if vendor.id != "patronus"]


@pytest.fixture(params=VENDORS, ids=lambda vendor: vendor.id)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    found: Vendor = request.param
    return found


def test_all_runs_are_taken_once(vendor: Vendor) -> None:
    """Every span of the ten recorded runs arrives once, below its parent, and none is refused."""
    with vendor.stand_in() as backend, Telemetry(vendor.config(backend)) as telemetry:
        trace_ids = {run.id: replay(run, telemetry) for run in recorded_runs()}
        status = telemetry.flush().exporters[vendor.type]

        assert (status.rejected, status.dropped, status.pending) == (0, {}, 0)
        assert backend.duplicates == []
        for run in recorded_runs():
            spans = [span for span in backend.spans if span.trace_id == trace_ids[run.id]]
            assert tree_of(spans) == facts_of(run).tree


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_settings_of_the_request_are_on_the_wire(vendor: Vendor, compression: str) -> None:
    """Resource attributes are in the payload, and it is compressed if that is asked for."""
    attributes = {"service.name": "shop", "deployment.environment.name": "staging", "team": ["a", "b"], "shard": 7}

    with vendor.stand_in() as backend:
        config = vendor.config(backend, resource_attributes=attributes, compression=compression)
        with Telemetry(config) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
        (request,) = backend.requests

    if request.protocol != "grpc":  # where it is the channel's own business
        assert request.headers.get("content-encoding", "none") == compression
    for span in request.spans:
        assert span.resource.items() >= attributes.items()


@pytest.mark.parametrize("setting", ["value", "file"])
def test_a_wrong_key_is_said_once_and_not_tried_again(
    vendor: Vendor, setting: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One request for each list, one message that says what to do and shows no key, and the spans are kept as dead letters."""
    wrong = "wrong-key-8c1d"
    (tmp_path / "key").write_text(wrong)
    key = list(vendor.keys)[-1]
    delivery = DeliveryConfig(retry=_QUICK, dead_letters=DeadLettersConfig(directory=str(tmp_path / "letters")))

    with vendor.stand_in() as backend:
        config = vendor.config(backend, **{key: wrong if setting == "value" else f"file:{tmp_path / 'key'}"})
        with caplog.at_level(logging.DEBUG), Telemetry({"prod": config}, delivery=delivery) as telemetry:
            for run in recorded_runs()[:3]:
                replay(run, telemetry)
                telemetry.flush()
            status = telemetry.status().exporters["prod"]

        assert backend.spans == []
        assert len(backend.requests) == 3
    sent = sum(len(facts_of(run).spans) for run in recorded_runs()[:3])
    assert (status.delivered, status.dead_lettered, status.dropped) == (0, sent, {})
    letters = list(DeadLetters(tmp_path / "letters", max_bytes=2**30).entries())
    assert sum(letter.count for letter in letters) == sent
    (said,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert "prod" in said
    assert vendor.says in said
    assert wrong not in caplog.text
    assert not any(wrong in letter.reason + (letter.answer or "") for letter in letters)


def test_missing_keys_are_named_with_their_variables(vendor: Vendor, tmp_path: Path) -> None:
    """Each is one problem of the workflow file, with its place and the variable that could give it."""
    file = tmp_path / "workflow.yaml"
    file.write_text(f"general: {{telemetry: {{tracing: {{prod: {{_type: {vendor.type}}}}}}}}}\n")

    with pytest.raises(ConfigurationError) as caught:
        load_workflow(file, entrypoint="optional")

    for key, variable in vendor.variables.items():
        place = f"general.telemetry.tracing.prod.{key}"
        assert f"{place}: is empty; set it or the environment variable {variable}" in str(caught.value)


def test_a_key_from_its_variable_is_used(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, variable in vendor.variables.items():
        monkeypatch.setenv(variable, f" {vendor.keys[key]}\n")

    with vendor.stand_in() as backend:
        config = vendor.config(backend, **dict.fromkeys(vendor.keys, ""))
        with Telemetry(config) as telemetry:
            replay(recorded_run("tool_call"), telemetry)

        assert len(backend.spans) == 4


def test_no_key_is_shown(vendor: Vendor) -> None:
    with vendor.stand_in() as backend:
        config = vendor.config(backend)
        with pytest.raises(ValidationError) as caught:
            vendor.config(backend, batch_size="many")

    shown = f"{config!r} {config} {caught.value}"
    assert [key for key in vendor.keys.values() if key in shown] == []


class TestTampered:
    """A request that was taken is refused once something in it is changed."""

    def test_key(self, vendor: Vendor, taken: Request, backend: FakeBackend) -> None:
        without = {key: value for key, value in taken.headers.items() if key != vendor.key_header}

        assert sent_again(backend, taken, headers=without) in (401, 403)
        assert sent_again(backend, taken, headers={**without, vendor.key_header: "other"}) in (401, 403)

    def test_path(self, taken: Request, backend: FakeBackend) -> None:
        assert sent_again(backend, taken, path="/v2/traces") == 404
        assert sent_again(backend, taken, path=f"{taken.path}/more") == 404

    def test_content_type(self, taken: Request, backend: FakeBackend) -> None:
        assert sent_again(backend, taken, headers={**taken.headers, "content-type": "text/plain"}) in (400, 415)

    def test_body(self, taken: Request, backend: FakeBackend) -> None:
        assert sent_again(backend, taken, body=b"\xff" + taken.body) in (400, 422)
        assert sent_again(backend, taken, body=taken.body[:-1]) in (400, 422)

    @pytest.mark.parametrize(("field", "value"), [("trace_id", b"\x01"), ("span_id", b"\x01" * 16), ("span_id", b"")])
    def test_ids(self, taken: Request, backend: FakeBackend, field: str, value: bytes) -> None:
        message = ExportTraceServiceRequest.FromString(taken.body)
        setattr(message.resource_spans[0].scope_spans[0].spans[0], field, value)

        assert sent_again(backend, taken, body=message.SerializeToString()) in (400, 422)

    @pytest.fixture(params=_OVER_HTTP, ids=lambda vendor: vendor.id)
    def vendor(self, request: pytest.FixtureRequest) -> Vendor:
        found: Vendor = request.param
        return found

    @pytest.fixture
    def backend(self, vendor: Vendor) -> Any:
        with vendor.stand_in() as backend:
            yield backend

    @pytest.fixture
    def taken(self, vendor: Vendor, backend: FakeBackend) -> Request:
        with Telemetry(vendor.config(backend)) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
        (request,) = backend.requests
        assert sent_again(backend, request) == 200
        assert Counter(backend.attempts.values()) == {2: len(request.spans)}
        return request
