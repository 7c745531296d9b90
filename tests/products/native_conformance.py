"""Run by pytest in the environments `weave` and `weave-client`: mode native of `weave` passes what every exporter inherits."""

from collections.abc import Iterator
from datetime import datetime
from types import MappingProxyType
from typing import Any

from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry
from nat.observability.registry import resolve
from nat.testing import FakeBackend, ReceivedSpan, Request
from nat.testing.conformance import ExporterConformance
from nat.testing.plain_spans import plain_spans_of
from tests.support.canaries import SECRETS, Canary, canaries, found_in, plant

_PATH = "/v2/team/weather/calls/complete"


def spans_in_batch(request: Request) -> Iterator[ReceivedSpan]:
    """Completed calls as spans."""
    document = request.json()
    for call in document.get("batch", ()):
        plain = {
            "trace_id": call["trace_id"],
            "span_id": call["id"],
            "parent_span_id": call["parent_id"],
            "name": call["op_name"],
            "start_time": _ns(call["started_at"]),
            "end_time": _ns(call["ended_at"]),
            "status": {"code": "ERROR" if call["exception"] else "OK", "message": call["exception"]},
            "attributes": {**call["attributes"], "thread_id": call["thread_id"]},
        }
        yield from plain_spans_of(plain, request)


def _ns(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e9)


class TestWeaveNative(ExporterConformance):
    """Weave through its own client, which looks at the status of an answer, and at nothing else.

    What it sends cannot be called back, so a call may come again; with the same id, as which it replaces itself.
    """

    exporter_type = "weave"
    session_key = "thread_id"
    checks_answers = False
    backend_options = MappingProxyType({"path": _PATH, "read": spans_in_batch})

    def settings(self) -> dict[str, Any]:
        url = self.endpoint.removesuffix(_PATH).removesuffix("/v1/traces")
        return {"endpoint": url, "entity": "team", "project": "weather", "api_key": "key-1" * 8, "mode": "native"}

    def received(self) -> list[ReceivedSpan]:
        return list({span.span_id: span for span in super().received()}.values())

    def secret_settings(self, secret: str) -> dict[str, Any]:
        return {"api_key": f"{secret}{'0' * 40}"}

    def test_no_planted_secret_leaves(self) -> None:
        """Redacted as everything is; without redaction they are there."""
        planted = canaries(SECRETS, 5)
        leaks = {redact: self._leaked(planted, redact) for redact in (None, "none")}

        assert leaks[None] == []
        assert len(leaks["none"]) > len(planted) // 2

    def _leaked(self, planted: list[Canary], redact: Any) -> list[Canary]:
        with FakeBackend(**self.backend_options) as backend:
            config = resolve("weave").config_type(**{**self.settings(), "endpoint": backend.base_url})
            assert isinstance(config, TelemetryExporterBaseConfig)
            with Telemetry({"weave": config}, redact=redact) as telemetry:
                plant(telemetry, planted)
                status = telemetry.flush(60.0).exporters["weave"]
            assert (status.delivered, status.lost) == (status.accepted, 0)
            return found_in(b"\n".join(request.body for request in backend.requests), planted)
