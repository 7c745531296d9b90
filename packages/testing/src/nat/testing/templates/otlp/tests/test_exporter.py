"""What this exporter sends."""

from nat.observability import Telemetry
from nat.testing import FakeBackend, recorded_run, replay
from pydantic import SecretStr

from nat_acme.register import AcmeConfig


def test_spans_are_in_the_words_of_the_service(nat_backend: FakeBackend) -> None:
    with Telemetry(AcmeConfig(endpoint=nat_backend.base_url, project="weather")) as telemetry:
        replay(recorded_run("tool_call"), telemetry)

    assert len(nat_backend.spans) == 4
    assert {span.resource["acme.project"] for span in nat_backend.spans} == {"weather"}
    assert all(span.attributes["acme.duration_ms"] >= 0 for span in nat_backend.spans)


def test_the_key_is_a_bearer_token(nat_backend: FakeBackend) -> None:
    config = AcmeConfig(endpoint=nat_backend.base_url, api_key=SecretStr("key-1"))

    with Telemetry(config) as telemetry, telemetry.run("run"):
        pass

    (request,) = nat_backend.requests
    assert request.headers["authorization"] == "Bearer key-1"
