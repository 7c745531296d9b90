"""What this exporter sends."""

from nat.observability import Telemetry
from nat.testing import FakeBackend, recorded_run, replay
from pydantic import SecretStr

from nat_acme.register import AcmeConfig


def test_each_span_is_a_request(nat_backend: FakeBackend) -> None:
    with Telemetry(AcmeConfig(endpoint=nat_backend.url)) as telemetry:
        replay(recorded_run("tool_call"), telemetry)

    names = sorted(span.name for span in nat_backend.spans)
    assert names == ["answer", "choose a tool", "forecast", "weather agent"]
    assert len(nat_backend.requests) == 4


def test_the_key_is_a_bearer_token(nat_backend: FakeBackend) -> None:
    config = AcmeConfig(endpoint=nat_backend.url, api_key=SecretStr("key-1"))

    with Telemetry(config) as telemetry, telemetry.run("run", input="Why?"):
        pass

    (span,) = nat_backend.spans
    assert span.request.headers["authorization"] == "Bearer key-1"
    assert span.attributes["input.value"] == "Why?"
