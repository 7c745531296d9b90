"""Every exporter that this project ships passes the tests that any exporter inherits."""

import json
from types import MappingProxyType
from typing import Any

import pytest

from nat.testing import ReceivedSpan
from nat.testing.conformance import ExporterConformance
from nat.testing.plain_spans import plain_spans_of
from tests.conformance.catalyst import catalyst_replies, spans_in_document


class TestOtelCollector(ExporterConformance):
    """OTLP over HTTP in protobuf, the default."""

    exporter_type = "otelcollector"
    reports_partial_success = True

    def settings(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint}

    def secret_settings(self, secret: str) -> dict[str, Any]:
        return {"headers": {"x-api-key": secret, "authorization": f"Bearer {secret}"}}


class TestOtelCollectorWithJson(TestOtelCollector):
    """OTLP over HTTP in JSON, compressed."""

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "protocol": "http/json", "compression": "gzip"}


class TestOtelCollectorOverGrpc(TestOtelCollector):
    """OTLP over gRPC."""

    uses_grpc = True

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "protocol": "grpc"}


class TestPhoenix(TestOtelCollector):
    """Phoenix, over HTTP."""

    exporter_type = "phoenix"

    def secret_settings(self, secret: str) -> dict[str, Any]:
        return {"api_key": secret}


class TestPhoenixOverGrpc(TestPhoenix):
    """Phoenix, over gRPC."""

    uses_grpc = True

    def settings(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint, "protocol": "grpc"}


class TestLangfuse(TestOtelCollector):
    """Langfuse, with Basic authentication."""

    exporter_type = "langfuse"
    backend_options = MappingProxyType({"path": "/api/public/otel/v1/traces"})

    def settings(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint, "public_key": "pk-lf-1", "secret_key": "sk-lf-1"}

    def secret_settings(self, secret: str) -> dict[str, Any]:
        return {"secret_key": f"sk-lf-{secret}"}


class _WithKey(TestOtelCollector):
    def settings(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint, "api_key": "key-1"}

    def secret_settings(self, secret: str) -> dict[str, Any]:
        return {"api_key": secret}


class TestLangsmith(_WithKey):
    """LangSmith."""

    exporter_type = "langsmith"
    backend_options = MappingProxyType({"path": "/otel/v1/traces"})


class TestGalileo(_WithKey):
    """Galileo."""

    exporter_type = "galileo"
    backend_options = MappingProxyType({"path": "/otel/traces"})


class TestPatronus(_WithKey):
    """Patronus, over gRPC, its default."""

    exporter_type = "patronus"
    uses_grpc = True


class TestPatronusOverHttp(_WithKey):
    """Patronus, over HTTP."""

    exporter_type = "patronus"

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "protocol": "http"}


class TestWeave(TestOtelCollector):
    """Weave: OTLP over HTTP, the session as a thread."""

    exporter_type = "weave"
    session_key = "wandb.thread_id"
    backend_options = MappingProxyType({"path": "/otel/v1/traces"})

    def settings(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint, "entity": "team", "project": "weather", "api_key": "key-1"}

    def secret_settings(self, secret: str) -> dict[str, Any]:
        return {"api_key": secret}


class TestCatalyst(ExporterConformance):
    """RagaAI Catalyst: what brings spans is the upload of a document."""

    exporter_type = "catalyst"
    checks_answers = False  # the storage says nothing but a status
    final_attempts = 2  # a URL that is refused is replaced by a new one
    backend_options = MappingProxyType(
        {"path": "/bucket/trace", "method": "PUT", "read": spans_in_document, "replies": catalyst_replies()}
    )

    def settings(self) -> dict[str, Any]:
        url = self.endpoint.replace("/bucket/trace", "").replace("/v1/traces", "")
        return {"endpoint": url, "access_key": "access-1", "secret_key": "secret-1", "project": "weather"}

    def secret_settings(self, secret: str) -> dict[str, Any]:
        return {"secret_key": secret}


class _Local(ExporterConformance):
    is_remote = False


class TestFileOfSpans(_Local):
    """The file exporter, a span a line."""

    exporter_type = "file"
    format = "spans"

    def settings(self) -> dict[str, Any]:
        return {"output_path": str(self.folder / "lines.jsonl"), "format": self.format}

    def received(self) -> list[ReceivedSpan]:
        lines = [json.loads(line) for line in self.written().splitlines()]
        return list(plain_spans_of(lines))

    def written(self) -> bytes:
        file = self.folder / "lines.jsonl"
        return file.read_bytes() if file.exists() else b""


class TestFileOfSteps(TestFileOfSpans):
    """The file exporter, a step a line."""

    format = "steps"
    can_be_read = False


class TestConsole(_Local):
    """The console exporter, with content."""

    exporter_type = "console"
    can_be_read = False
    uses_terminal = True

    @pytest.fixture(autouse=True)
    def _terminal(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._terminal_output = capfd

    def settings(self) -> dict[str, Any]:
        return {"max_content_chars": 1000}

    def written(self) -> bytes:
        printed = self._terminal_output.readouterr()
        return (printed.out + printed.err).encode()


class TestPosting(ExporterConformance):
    """An exporter as others write them."""

    exporter_type = "posting"
    modules = ("tests.conformance.posting",)
    reports_partial_success = True

    def settings(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint}

    def secret_settings(self, secret: str) -> dict[str, Any]:
        return {"api_key": secret}
