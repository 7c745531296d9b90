"""Nothing that was planted comes out: not on any wire, in any file, spool, dead letter or log, of any exporter of ours."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.delivery import DeliveryConfig
from nat.data_models.errors import ConfigurationError
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability import Telemetry
from nat.observability.component import EXPORTER
from nat.observability.registry import ExporterEntry, exporter_entry, resolve
from nat.plugins.content.register import ContentConfig, OffloadConfig
from nat.plugins.enrich.register import EnrichConfig
from nat.testing import FakeBackend, closed_url, faults
from tests.conformance.catalyst import catalyst_replies, spans_in_document
from tests.support.canaries import PERSONAL, SECRETS, Canary, canaries, found_in, plant
from tests.support.waiting import wait_for

SECRETS_OF_A_KIND = 40
PERSONAL_OF_A_KIND = 150


class Everything:
    """Every exporter of ours, in every form that it has, and every byte that they put somewhere.

    Args:
        folder: For files, spool, dead letters and status files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[ExporterEntry] = []
        self._backends: list[FakeBackend] = []
        self._exit = ExitStack()

    def __enter__(self) -> "Everything":
        for format in ("steps", "spans", "otlp_json"):
            self._add("file", format, output_path=str(self.folder / f"{format}.jsonl"), format=format)
        stored = ContentConfig(offload=OffloadConfig(to=str(self.folder / "blobs"), over_chars=20))
        made = EnrichConfig(
            computed={"made": "{run.name} {run.session_id} {run.user_id} {metadata.headers}"}, resource=True
        )
        for format in ("steps", "spans"):
            path = str(self.folder / f"stored_{format}.jsonl")
            self._add("file", f"stored {format}", processors=[made, stored], output_path=path, format=format)
        self._add("console", "console", max_content_chars=100_000, color="never")
        for protocol in ("http/protobuf", "http/json"):
            self._add("otelcollector", protocol, endpoint=self._backend().url, protocol=protocol)
        self._add("otelcollector", "grpc", endpoint=self._grpc(), protocol="grpc")
        self._add("phoenix", "phoenix", endpoint=self._backend().url)
        self._add("phoenix", "phoenix grpc", endpoint=self._grpc(), protocol="grpc")
        keys: dict[str, Any] = {"public_key": "pk-lf-1", "secret_key": "a key"}
        self._add("langfuse", "langfuse", endpoint=self._backend("/api/public/otel/v1/traces").url, **keys)
        self._add("langsmith", "langsmith", endpoint=self._backend("/otel/v1/traces").url, api_key="a key")
        self._add("galileo", "galileo", endpoint=self._backend("/otel/traces").url, api_key="a key")
        self._add("patronus", "patronus", endpoint=self._grpc(), api_key="a key")
        self._add("patronus", "patronus http", endpoint=self._backend().url, protocol="http", api_key="a key")
        weave = self._backend("/otel/v1/traces").url
        self._add("weave", "weave", endpoint=weave, entity="team", project="p", api_key="a key")
        catalyst = self._backend("/bucket/trace", method="PUT", read=spans_in_document, replies=catalyst_replies())
        self._add("catalyst", "catalyst", endpoint=catalyst.base_url, access_key="a", secret_key="a key", project="p")
        spool = DeliveryConfig.model_validate({"spool": {"directory": str(self.folder / "spool")}})
        self._add("otelcollector", "spooled", delivery=spool, endpoint=closed_url())
        letters = DeliveryConfig.model_validate({"dead_letters": {"directory": str(self.folder / "letters")}})
        for name, protocol in (("buried", "http/protobuf"), ("buried json", "http/json")):
            refusing = self._backend()
            refusing.from_now_on(faults.status(400))
            self._add("otelcollector", name, delivery=letters, endpoint=refusing.url, protocol=protocol)
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _backend(self, path: str = "/v1/traces", **options: Any) -> FakeBackend:
        backend = self._exit.enter_context(FakeBackend(path, **options))
        self._backends.append(backend)
        return backend

    def _grpc(self) -> str:
        return f"http://{self._backend(grpc=True).grpc_endpoint}"

    def _add(
        self,
        type_name: str,
        name: str,
        *,
        delivery: DeliveryConfig | None = None,
        processors: Sequence[TelemetryProcessorBaseConfig] = (),
        **settings: Any,
    ) -> None:
        config = resolve(type_name).config_type(**settings)
        assert isinstance(config, TelemetryExporterBaseConfig)
        self.entries.append(exporter_entry(config, name=name, delivery=delivery, processors=processors))

    def parts(self) -> Iterator[tuple[str, bytes]]:
        """What has left, part by part: requests with their headers, and files."""
        for backend in self._backends:
            for request in backend.requests:
                said = f"{request.path}?{request.query} {request.headers}"
                yield f"request to {request.path}", request.body + said.encode()
        for file in self.folder.rglob("*"):
            if file.is_file():
                yield str(file.relative_to(self.folder)), file.read_bytes() + file.name.encode()


@pytest.fixture
def everything(tmp_path: Path) -> Iterator[Everything]:
    with Everything(tmp_path) as made:
        yield made


def test_every_exporter_of_ours_is_there(everything: Everything) -> None:
    """One that is added must be searched, too."""
    known = {entry.registration.type_name for entry in everything.entries}

    assert {name for name in EXPORTER.own if _is_installed(name)} == known


def _is_installed(type_name: str) -> bool:
    try:
        resolve(type_name)
    except ConfigurationError:
        return False
    return True


Leaks = Callable[[list[Canary], Any], dict[str, list[Canary]]]


@pytest.fixture
def leaks(
    everything: Everything, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Leaks:
    """Plants canaries with a profile, and says what leaves of them, and where."""

    def search(planted: list[Canary], redact: Any) -> dict[str, list[Canary]]:
        caplog.set_level(logging.DEBUG)
        telemetry = Telemetry(*everything.entries, redact=redact, status_directory=tmp_path / "status").start()
        plant(telemetry, planted)
        wait_for(lambda: all(one.pending == 0 for one in telemetry.status().exporters.values()), timeout_s=250.0)
        telemetry.close(1.0)  # one of the backends is not there
        status = telemetry.status().exporters
        sent = {name: one.delivered + one.rejected + one.dead_lettered + one.spooled for name, one in status.items()}
        assert min(sent.values()) > 40, sent
        printed = capfd.readouterr()
        parts = [
            *everything.parts(),
            ("terminal", (printed.out + printed.err).encode()),
            ("logs", caplog.text.encode()),
        ]
        assert {"steps.jsonl", "spans.jsonl", "otlp_json.jsonl"} <= {name for name, _ in parts}
        assert sum(name.startswith("blobs/") for name, _ in parts) > 100
        assert any(name.startswith("spool") for name, _ in parts)
        assert any(name.startswith("letters") for name, _ in parts)
        found = {name: found_in(data, planted) for name, data in parts}
        return {name: canaries for name, canaries in found.items() if canaries}

    return search


@pytest.mark.timeout(300)
@pytest.mark.contract("S168")
def test_no_secret_leaves_by_default(leaks: Leaks) -> None:
    """Thousands of them, each in one of the places where users put values."""
    planted = canaries(SECRETS, SECRETS_OF_A_KIND)

    assert len(planted) >= 2000
    assert leaks(planted, None) == {}


@pytest.mark.timeout(300)
@pytest.mark.contract("S168")
def test_no_personal_data_leaves_with_pii(leaks: Leaks) -> None:
    planted = canaries(PERSONAL, PERSONAL_OF_A_KIND) + canaries(SECRETS, 5)

    assert len(planted) >= 1000
    assert leaks(planted, "pii") == {}


def test_canaries_would_be_found(leaks: Leaks) -> None:
    """Without redaction they are everywhere, so that not finding any means something."""
    planted = canaries(SECRETS, 2) + canaries(PERSONAL, 4)

    found = leaks(planted, "none")

    seen = {canary.core for canaries in found.values() for canary in canaries}
    assert {canary.core for canary in planted} - seen == set()
    places = {name for name, found_there in found.items() if len(found_there) > 20}
    assert {"steps.jsonl", "spans.jsonl", "otlp_json.jsonl", "terminal"} <= places
    assert any(name.startswith("spool") for name in places)
    assert any(name.startswith("letters") for name in places)
    assert sum(name.startswith("request") for name in places) >= 4
