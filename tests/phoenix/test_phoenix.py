"""The exporter `phoenix`: where it sends, as whom, into which project, and where a run can be looked at."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from nat.data_models.delivery import DeliveryConfig, RetryConfig
from nat.observability import Telemetry, step
from nat.observability.manager import ExporterStatus
from nat.plugins.phoenix.annotations import annotations_of
from nat.plugins.phoenix.place import place_of
from nat.plugins.phoenix.register import PhoenixConfig
from nat.testing import FakeBackend, Request, facts_of, faults, recorded_run, replay, tree_of

KEY = "phoenix-key-1234"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("OTEL_", "PHOENIX_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(grpc=True) as backend:
        yield backend


def send(config: PhoenixConfig) -> str:
    with Telemetry({"phoenix": config}) as telemetry:
        return replay(recorded_run("tool_call"), telemetry)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.contract("S39", "S196")
def test_a_run_arrives_in_its_project(backend: FakeBackend, protocol: Any) -> None:
    endpoint = backend.base_url if protocol == "http" else f"http://{backend.grpc_endpoint}"

    trace_id = send(PhoenixConfig(endpoint=endpoint, project="weather", api_key=SecretStr(KEY), protocol=protocol))

    spans = backend.wait_for_spans(4)
    assert tree_of(spans) == facts_of(recorded_run("tool_call")).tree
    assert {span.trace_id for span in spans} == {trace_id}
    assert {span.resource["openinference.project.name"] for span in spans} == {"weather"}
    assert backend.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_projects_of_one_process_stay_apart(backend: FakeBackend) -> None:
    configs = {name: PhoenixConfig(endpoint=backend.url, project=name) for name in ("a", "b")}

    with Telemetry(configs) as telemetry:
        replay(recorded_run("tool_call"), telemetry)

    spans = backend.wait_for_spans(4)
    by_project = {
        name: [span for span in spans if span.resource["openinference.project.name"] == name] for name in "ab"
    }
    assert [sorted(span.span_id for span in found) for found in by_project.values()] == [
        sorted({span.span_id for span in spans})
    ] * 2


def test_a_key_in_a_file_is_read_for_every_request(backend: FakeBackend, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first-key\n")

    with Telemetry(PhoenixConfig(endpoint=backend.url, api_key=SecretStr(f"file:{file}"))) as telemetry:
        replay(recorded_run("failed_run"), telemetry)
        telemetry.flush()
        file.write_text("second-key\n")
        replay(recorded_run("failed_run"), telemetry)
        telemetry.flush()

    keys = {request.headers["authorization"] for request in backend.requests}
    assert keys == {"Bearer first-key", "Bearer second-key"}


@pytest.mark.parametrize(
    ("settings", "environ", "endpoint"),
    [
        ({}, {}, "http://localhost:6006"),
        ({}, {"PHOENIX_COLLECTOR_ENDPOINT": " https://ph.example "}, "https://ph.example"),
        ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318"}, "http://otel:4318"),
        ({"endpoint": "http://own"}, {"PHOENIX_COLLECTOR_ENDPOINT": "http://other"}, "http://own"),
        ({"protocol": "grpc"}, {}, "http://localhost:4317"),
        ({"protocol": "grpc"}, {"PHOENIX_COLLECTOR_ENDPOINT": "https://ph:6006"}, "https://ph:4317"),
        ({"protocol": "grpc"}, {"PHOENIX_GRPC_PORT": "9999"}, "http://localhost:9999"),
        ({"protocol": "grpc", "endpoint": "ph:1"}, {"PHOENIX_GRPC_PORT": "9999"}, "ph:1"),
        ({"protocol": "grpc"}, {"PHOENIX_COLLECTOR_ENDPOINT": "http://[::1]:6006"}, "http://[::1]:4317"),
    ],
)
def test_the_endpoint(settings: Any, environ: dict[str, str], endpoint: str) -> None:
    assert place_of(PhoenixConfig.model_validate(settings), environ).endpoint == endpoint


@pytest.mark.parametrize(
    ("settings", "environ", "headers"),
    [
        ({}, {}, {}),
        ({"api_key": "k1"}, {"PHOENIX_API_KEY": "k2"}, {"authorization": "Bearer k1"}),
        ({}, {"PHOENIX_API_KEY": "k2"}, {"authorization": "Bearer k2"}),
        ({"headers": {"Authorization": "Basic b"}}, {"PHOENIX_API_KEY": "k2"}, {"authorization": "Basic b"}),
        ({"headers": {"X-Own": "1"}}, {"PHOENIX_API_KEY": "k2"}, {"x-own": "1", "authorization": "Bearer k2"}),
        ({"headers": {"X-Own": "1"}}, {"PHOENIX_CLIENT_HEADERS": "x-other=2"}, {"x-own": "1"}),
        ({"api_key": "k1"}, {"PHOENIX_CLIENT_HEADERS": "x-other=2"}, {"authorization": "Bearer k1"}),
        ({}, {"PHOENIX_CLIENT_HEADERS": "X-A=1,x-b=two%20words"}, {"x-a": "1", "x-b": "two words"}),
        (
            {},
            {"PHOENIX_CLIENT_HEADERS": "authorization=Basic%20b", "PHOENIX_API_KEY": "k2"},
            {"authorization": "Bearer k2"},
        ),
        ({}, {"OTEL_EXPORTER_OTLP_HEADERS": "x-otel=1"}, {"x-otel": "1"}),
        ({}, {"OTEL_EXPORTER_OTLP_HEADERS": "x-otel=1", "PHOENIX_API_KEY": "k2"}, {"authorization": "Bearer k2"}),
        ({}, {"OTEL_EXPORTER_OTLP_HEADERS": "x-otel=1", "PHOENIX_CLIENT_HEADERS": "x-p=1"}, {"x-p": "1"}),
    ],
)
def test_the_headers(settings: Any, environ: dict[str, str], headers: dict[str, str]) -> None:
    """As Phoenix's own client makes them of the same settings and variables; the product tests ask that."""
    assert place_of(PhoenixConfig.model_validate(settings), environ).headers == headers


@pytest.mark.parametrize(
    ("settings", "environ", "project"),
    [
        ({}, {}, "default"),
        ({}, {"PHOENIX_PROJECT_NAME": "alias"}, "alias"),
        ({}, {"PHOENIX_PROJECT_NAME": "alias", "PHOENIX_PROJECT": "canonical"}, "canonical"),
        ({"project": "own"}, {"PHOENIX_PROJECT": "canonical"}, "own"),
    ],
)
def test_the_project(settings: Any, environ: dict[str, str], project: str) -> None:
    environ["OTEL_RESOURCE_ATTRIBUTES"] = "team=blue"
    environ["OTEL_SERVICE_NAME"] = "weather"

    resource = place_of(PhoenixConfig.model_validate(settings), environ).resource

    assert resource == {"team": "blue", "service.name": "weather", "openinference.project.name": project}


@pytest.mark.parametrize(
    ("settings", "page"),
    [
        ({}, "http://localhost:6006"),
        ({"endpoint": "https://user:secret@ph.example/at/v1/traces?key=1"}, "https://ph.example/at"),
        ({"endpoint": "http://ph:4317", "protocol": "grpc", "web_url": "https://ph.example/"}, "https://ph.example"),
        ({"protocol": "grpc"}, "http://localhost:6006"),
    ],
)
def test_the_page_of_a_run(settings: Any, page: str) -> None:
    made = place_of(PhoenixConfig.model_validate(settings), {}).trace_page

    assert made is not None
    assert made(0xABC, 1) == f"{page}/redirects/traces/{0xABC:032x}"


def test_there_is_no_page_where_only_the_grpc_server_is_known() -> None:
    assert place_of(PhoenixConfig(endpoint="http://ph:4317", protocol="grpc"), {}).trace_page is None


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"PHOENIX_GRPC_PORT": "high"}, "PHOENIX_GRPC_PORT is 'high'"),
        ({"PHOENIX_CLIENT_HEADERS": "no pair"}, "PHOENIX_CLIENT_HEADERS: a part has no"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(environ: Mapping[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        place_of(PhoenixConfig(protocol="grpc"), environ)


@pytest.mark.parametrize("key", ["endpoint", "web_url"])
def test_what_is_no_url_is_told_before_anything_runs(key: str) -> None:
    with pytest.raises(ValidationError, match="has the scheme ftp://"):
        PhoenixConfig.model_validate({key: "ftp://phoenix"})


def test_the_key_is_in_no_repr() -> None:
    assert KEY not in repr(PhoenixConfig(api_key=SecretStr(KEY), headers={"authorization": KEY}))


# -- evaluations -----------------------------------------------------------------------------------------------------------

_ANNOTATIONS = "/v1/span_annotations"


def annotated(backend: FakeBackend, **settings: Any) -> tuple[ExporterStatus, list[Request]]:
    """A run with an evaluation, sent; what became of it, and the requests with annotations."""
    delivery = DeliveryConfig(retry=RetryConfig(initial_interval=0.02, max_interval=0.05))
    config = PhoenixConfig.model_validate({"endpoint": backend.base_url, "api_key": KEY, **settings})
    with Telemetry({"phoenix": config}, delivery=delivery) as telemetry:
        replay(recorded_run("guarded_answer"), telemetry)
        status = telemetry.flush(60.0).exporters["phoenix"]
    return status, [request for request in backend.requests if request.path == _ANNOTATIONS]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_evaluations_are_annotations_of_their_spans(backend: FakeBackend, protocol: str) -> None:
    backend.reply_at(_ANNOTATIONS, faults.OK)
    grpc = {"endpoint": f"http://{backend.grpc_endpoint}", "web_url": backend.base_url, "protocol": "grpc"}

    status, requests = annotated(backend, **(grpc if protocol == "grpc" else {}))

    (judged,) = (span for span in backend.spans if span.name == "judge the reply")
    (request,) = requests
    assert (status.delivered, status.lost) == (4, 0)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json() == {
        "data": [
            {
                "span_id": judged.span_id,
                "name": "helpfulness",
                "annotator_kind": "LLM",
                "result": {"score": 0.9, "label": "good", "explanation": "Says where to look."},
                "identifier": "",
            }
        ]
    }


def test_attributes_that_code_has_set_are_evaluations_too(backend: FakeBackend) -> None:
    backend.reply_at(_ANNOTATIONS, faults.OK)
    config = PhoenixConfig(endpoint=backend.base_url)

    with Telemetry({"phoenix": config}) as telemetry, telemetry.run("run"), step("judge") as judge:
        judge.set_attribute("evaluations.0.evaluation.name", "tone")
        judge.set_attribute("evaluations.0.evaluation.score", 1.0)

    (request,) = (request for request in backend.requests if request.path == _ANNOTATIONS)
    assert [one["name"] for one in request.json()["data"]] == ["tone"]
    assert request.json()["data"][0]["annotator_kind"] == "CODE"


def test_annotations_that_may_be_taken_later_are_sent_again(backend: FakeBackend) -> None:
    answers = iter([faults.status(503), faults.RESET])
    backend.reply_at(_ANNOTATIONS, lambda request: next(answers, faults.OK))

    status, requests = annotated(backend)

    assert (status.delivered, status.lost) == (4, 0)
    assert len(requests) == 3


def test_annotations_that_are_refused_cost_no_span(backend: FakeBackend, caplog: pytest.LogCaptureFixture) -> None:
    status, requests = annotated(backend)  # there is no such path

    assert (status.delivered, status.lost) == (4, 0)
    assert len(requests) == 1
    assert "1 evaluations are attributes of their spans only: HTTP 404" in caplog.text


def test_over_grpc_alone_evaluations_stay_attributes(backend: FakeBackend) -> None:
    status, requests = annotated(backend, endpoint=f"http://{backend.grpc_endpoint}", protocol="grpc")

    assert (status.delivered, requests) == (4, [])


def test_what_is_no_evaluation_is_no_annotation() -> None:
    """Without a name, or with the one that Phoenix keeps for notes."""
    attributes = {
        "evaluations.0.evaluation.score": 1.0,
        "evaluations.1.evaluation.name": "note",
        "evaluations.2.evaluation.name": "tone",
        "evaluations.2.evaluation.metadata": '{"by": "me"}',
        "evaluations.2.evaluation.identifier": "run-1",
        "evaluations.2.evaluation.annotator_kind": "HUMAN",
        "evaluations": "something else",
    }

    assert annotations_of(0xAB, attributes) == [
        {
            "span_id": "00000000000000ab",
            "name": "tone",
            "annotator_kind": "HUMAN",
            "result": {},
            "identifier": "run-1",
            "metadata": {"by": "me"},
        }
    ]
