"""`nat doctor`: a test span through every exporter as it is configured, and why one does not arrive.

Backends are real: HTTP, gRPC and TLS over loopback sockets. Ports and times differ, so output is compared without them.
"""

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from nat.observability.delivery.causes import Cause
from nat.testing import FakeBackend, closed_url, faults
from nat.testing.faults import Fault
from nat.testing.tls import Authority, ServerTls
from tests.cli.sending import Workplace, workplace
from tests.support.http_proxy import HttpProxy, Relay

DOCTOR = ("doctor", "--config_file", "workflow.yaml")
KEY = "sesame-open-4711"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    """Proxies and OpenTelemetry's settings of whoever runs the tests have no effect on it."""
    for name in list(os.environ):
        if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with workplace(tmp_path) as place:
        yield place


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(grpc=True) as backend:
        yield backend


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls_backend(authority: Authority) -> Iterator[FakeBackend]:
    with FakeBackend(grpc=True, tls=authority.server()) as backend:
        yield backend


def otlp(endpoint: str, **settings: Any) -> dict[str, Any]:
    return {"_type": "otelcollector", "endpoint": endpoint, **settings}


def over_grpc(endpoint: str, **settings: Any) -> dict[str, Any]:
    return otlp(endpoint if "://" in endpoint else f"http://{endpoint}", protocol="grpc", **settings)


def trusting(authority: Authority) -> dict[str, Any]:
    return {"tls": {"ca_file": str(authority.ca_file)}}


def examined(place: Workplace, entry: Mapping[str, Any], *options: str, plugins: tuple[str, ...] = ()) -> Any:
    """What is found out about one exporter that does not deliver."""
    place.write({"prod": entry}, plugins=plugins)
    report = json.loads(place.nat(*DOCTOR, "--json", *options, code=1).stdout)
    [found] = report["exporters"]
    assert found["status"] == "failed"
    return found


def normal(text: str, **names: str) -> str:
    """Output without what differs from run to run."""
    for name, value in names.items():
        text = text.replace(value, name)
    text = re.sub(r"\b\d+ ms", "1 ms", text)
    return re.sub(r"trace [0-9a-f]{32}, session nat-doctor-[0-9a-f]{8}", "trace T, session S", text)


# -- what is sent ------------------------------------------------------------------------------------------------------


@pytest.mark.contract("S171")
def test_the_test_span_is_marked_and_arrives_as_any_other(place: Workplace, backend: FakeBackend) -> None:
    """One span, in a session of its own, over the exporter's own transport, with its headers and its project."""
    place.write({"prod": otlp(backend.base_url, headers={"x-api-key": KEY}, project="shop")})

    report = json.loads(place.nat(*DOCTOR, "--json").stdout)

    [request] = backend.requests
    [span] = backend.spans
    assert request.headers["x-api-key"] == KEY
    assert span.resource["service.name"] == "shop"
    assert span.name == "nat doctor"
    assert span.attributes["nat.doctor"] is True
    assert span.attributes["session.id"] == report["session_id"]
    assert span.attributes["tag.tags"] == ["nat doctor"]
    assert span.trace_id == report["trace_id"]
    assert re.fullmatch("nat-doctor-[0-9a-f]{8}", report["session_id"])
    assert report["exporters"] == [
        {
            "exporter": "prod",
            "type": "otelcollector",
            "endpoint": backend.url,
            "protocol": "http/protobuf",
            "status": "ok",
            "latency_ms": report["exporters"][0]["latency_ms"],
            "trace_url": None,
            "cause": None,
            "meaning": None,
            "said": None,
            "mend": None,
        }
    ]


def test_every_kind_of_exporter(place: Workplace, backend: FakeBackend) -> None:
    """Of steps, of spans, of ours and of others; stdout is the report, and what the console draws on stderr is there."""
    place.write(
        {
            "collector": otlp(backend.base_url),
            "grpc": over_grpc(backend.grpc_endpoint),
            "other": backend.url.replace("/v1/traces", "/spans"),
            "trail": {"_type": "file", "output_path": "trail.jsonl"},
            "tree": {"_type": "console"},
        }
    )
    backend.reply_at("/spans", faults.OK)

    result = place.nat(*DOCTOR)

    shown = normal(result.stdout, URL=backend.base_url, GRPC=f"http://{backend.grpc_endpoint}", HERE=str(place.folder))
    assert re.sub(" {2,}", "  ", shown) == (
        "exporter  type  endpoint  status  latency\n"
        "collector  otelcollector  URL/v1/traces (http/protobuf)  ok  1 ms\n"
        "grpc  otelcollector  GRPC (grpc)  ok  1 ms\n"
        "other  test_sender  URL/spans  ok  1 ms\n"
        "trail  file  HERE/trail.jsonl  ok  1 ms\n"
        "tree  console  stderr  ok  1 ms\n"
        "\nThe test span is in trace T, session S.\n"
    )
    assert result.stderr.startswith("✓ workflow nat doctor")
    assert (place.folder / "trail.jsonl").read_text(encoding="utf-8").count("nat doctor") == 2


def test_json_is_all_of_stdout(place: Workplace) -> None:
    """Also if an exporter writes there."""
    place.write({"tree": {"_type": "console", "stream": "stdout"}})

    result = place.nat(*DOCTOR, "--json")

    assert json.loads(result.stdout)["exporters"][0]["status"] == "ok"
    assert "workflow nat doctor" in result.stderr


def test_the_workflow_is_not_imported(place: Workplace, backend: FakeBackend) -> None:
    (place.folder / "agent.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    place.write({"prod": otlp(backend.base_url)})

    place.nat(*DOCTOR)

    assert len(backend.spans) == 1


# -- the report --------------------------------------------------------------------------------------------------------


@pytest.mark.contract("S171")
def test_each_failure_is_explained(place: Workplace, backend: FakeBackend) -> None:
    """What it means, what the exporter says, and what to do; nothing about it in the log, and no secret anywhere."""
    closed = closed_url("")
    backend.from_now_on(faults.status(401, body={"message": f"no such key: {KEY}"}))
    place.write(
        {
            "prod": otlp(f"{backend.base_url}?token={KEY}", headers={"authorization": f"Bearer {KEY}"}),
            "spare": otlp(closed.replace("://", f"://user:{KEY}@")),
            "trail": {"_type": "file", "output_path": "trail.jsonl"},
        }
    )

    result = place.nat(*DOCTOR, code=1)

    assert normal(result.stdout, URL=backend.base_url, CLOSED=closed, HERE=str(place.folder)).splitlines()[4:] == [
        "",
        "prod: the backend does not accept the key, or got none (unauthenticated).",
        "  it says: HTTP 401 from URL/v1/traces: no such key: **********",
        "  mend: check the key, and the variable or file that it comes from",
        "",
        "spare: nothing listens at that host and port (connection_refused).",
        "  it says: no connection to CLOSED/v1/traces: Connection refused",
        "  mend: start the backend, or correct host and port; inside a container, localhost is the container",
        "",
        "see docs/guide/traces-do-not-arrive.md",
        "",
        "The test span is in trace T, session S.",
    ]
    assert result.stderr == ""
    assert KEY not in result.stdout


def test_debug_shows_the_log_as_well(place: Workplace) -> None:
    place.write({"prod": otlp(closed_url(""))})

    _, stderr = place.start(*DOCTOR, "--debug").communicate(timeout=180)

    assert "WARNING nat.observability.delivery: prod: export failed" in stderr


def test_one_attempt_and_nothing_is_kept(place: Workplace, backend: FakeBackend) -> None:
    """Retries, spool and dead letters of the configuration have no part in it, nor has a status file."""
    keeps = {"spool": True, "dead_letters": True, "retry": {"max_retries": 50, "initial_interval": 0.01}}
    backend.from_now_on(faults.status(503))
    place.write({"busy": otlp(backend.base_url, retries=9), "wrong": otlp(f"{backend.base_url}/no/traces")}, keeps)

    report = json.loads(place.nat(*DOCTOR, "--json", code=1).stdout)

    assert [found["cause"] for found in report["exporters"]] == ["backend_fails", "wrong_path"]
    assert len(backend.requests) == 2
    assert not (place.folder / "state").exists()


def test_required_exporters_are_examined_like_others(place: Workplace) -> None:
    found = examined(place, otlp("http://127.0.0.1:9", tls={"ca_file": str(Path(__file__))}, required=True))

    assert found["cause"] == "misconfigured"
    assert found["said"] == f"ValueError: tls.ca_file: {__file__!r} holds no certificate in PEM"
    assert found["latency_ms"] is None


def test_a_wrong_file_is_wrong_usage(place: Workplace) -> None:
    place.write({"prod": {"_type": "otelcolector"}})
    assert "no exporter of type 'otelcolector'" in place.nat(*DOCTOR, code=2).stderr

    place.write({})
    assert place.nat(*DOCTOR, code=2).stderr == (
        "Error: workflow.yaml: configures no exporter under general.telemetry.tracing.\n"
    )


def test_ctrl_c(place: Workplace, backend: FakeBackend) -> None:
    backend.from_now_on(faults.HANG)
    place.write({"prod": otlp(backend.base_url)})

    process = place.start(*DOCTOR, "--timeout", "60")
    backend.wait_for_requests(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=180)

    assert process.returncode == 130


# -- causes ------------------------------------------------------------------------------------------------------------


def test_a_closed_port(place: Workplace) -> None:
    for entry in (otlp(closed_url("")), over_grpc(closed_url(""))):
        found = examined(place, entry)

        assert found["cause"] == "connection_refused"
        assert "Connection refused" in found["said"]


def test_a_name_that_does_not_resolve(place: Workplace) -> None:
    for entry in (otlp("http://nowhere.invalid:4318"), over_grpc("nowhere.invalid:4317")):
        found = examined(place, entry)

        assert found["cause"] == "unknown_host"
        assert found["mend"].startswith("correct the host of the endpoint")


def test_plain_text_to_a_tls_port(place: Workplace, tls_backend: FakeBackend) -> None:
    plain = tls_backend.base_url.replace("https", "http")
    for entry in (otlp(plain), over_grpc(tls_backend.grpc_endpoint), otlp(f"http://{tls_backend.grpc_endpoint}")):
        found = examined(place, entry)

        assert (found["cause"], found["mend"]) == ("tls_expected", "use https:// in the endpoint")


def test_tls_to_a_plain_port(place: Workplace, backend: FakeBackend) -> None:
    for entry in (
        otlp(backend.base_url.replace("http", "https")),
        otlp(f"https://{backend.grpc_endpoint}"),
        over_grpc(f"https://{backend.grpc_endpoint}"),
    ):
        found = examined(place, entry)

        assert (found["cause"], found["mend"]) == ("no_tls", "it speaks no TLS on this port: use http://")


def test_http_to_a_grpc_port(
    place: Workplace, backend: FakeBackend, tls_backend: FakeBackend, authority: Authority
) -> None:
    for entry in (
        otlp(f"http://{backend.grpc_endpoint}"),
        otlp(f"https://{tls_backend.grpc_endpoint}", **trusting(authority)),
    ):
        found = examined(place, entry)

        assert found["cause"] == "speaks_grpc"
        assert found["mend"] == "send over gRPC (protocol: grpc), or to the port for HTTP (for OTLP usually 4318)"


def test_grpc_to_an_http_port(
    place: Workplace, backend: FakeBackend, tls_backend: FakeBackend, authority: Authority
) -> None:
    for entry in (over_grpc(backend.base_url), over_grpc(tls_backend.base_url, **trusting(authority))):
        found = examined(place, entry)

        assert found["cause"] == "speaks_http"
        assert found["mend"] == "HTTP is spoken on this port: use protocol: http, or the port for gRPC, usually 4317"


def test_an_unknown_authority(place: Workplace, tls_backend: FakeBackend) -> None:
    for entry in (otlp(tls_backend.base_url), over_grpc(f"https://{tls_backend.grpc_endpoint}")):
        found = examined(place, entry)

        assert found["cause"] == "unknown_authority"
        assert found["mend"] == "if its authority is your own, name it in tls.ca_file"


def test_an_expired_certificate(place: Workplace, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    expired = authority.issue_cert("127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    server = ServerTls(expired.cert_chain_pems[0].bytes(), expired.private_key_pem.bytes())
    with FakeBackend(grpc=True, tls=server) as backend:
        for entry in (otlp(backend.base_url), over_grpc(f"https://{backend.grpc_endpoint}")):
            found = examined(place, {**entry, "tls": {"ca_file": str(tmp_path / "ca.pem")}})

            assert found["cause"] == "certificate_expired"
            assert found["mend"] == "renew it at the backend, or set this machine's clock"


def test_a_certificate_for_another_host(place: Workplace, tls_backend: FakeBackend, authority: Authority) -> None:
    grpc_port = int(tls_backend.grpc_endpoint.rpartition(":")[2])
    http, grpc = Relay(urlsplit(tls_backend.url).port or 0, host="127.0.0.2"), Relay(grpc_port, host="127.0.0.2")
    with http.running(), grpc.running():
        for entry in (otlp(f"https://127.0.0.2:{http.port}"), over_grpc(f"https://127.0.0.2:{grpc.port}")):
            assert examined(place, {**entry, **trusting(authority)})["cause"] == "certificate_host"


def test_a_client_certificate_is_missing(place: Workplace, authority: Authority) -> None:
    with FakeBackend(grpc=True, tls=authority.server(demands_client_certificate=True)) as backend:
        for entry in (otlp(backend.base_url), over_grpc(f"https://{backend.grpc_endpoint}")):
            found = examined(place, {**entry, **trusting(authority)})

            assert (found["cause"], found["mend"]) == (
                "client_certificate",
                "give one that it trusts (tls.certificate_file)",
            )


@pytest.mark.parametrize(
    ("fault", "cause", "said"),
    [
        (faults.status(400, body={"message": "bad span id"}), "refused_request", "HTTP 400 from URL: bad span id"),
        (faults.status(401), "unauthenticated", "HTTP 401 from URL: status 401"),
        (faults.status(403), "forbidden", "HTTP 403 from URL: status 403"),
        (faults.status(404), "wrong_path", "HTTP 404 from URL: status 404"),
        (
            faults.status(404, body={"message": "Project 'shop' not found"}),
            "project_missing",
            "HTTP 404 from URL: Project 'shop' not found",
        ),
        (faults.status(405), "wrong_path", "HTTP 405 from URL: status 405"),
        (faults.status(413), "too_large", "HTTP 413 from URL"),
        (faults.status(415), "wrong_encoding", "HTTP 415 from URL: status 415"),
        (faults.status(429), "busy", "HTTP 429 from URL: status 429"),
        (faults.status(503), "backend_fails", "HTTP 503 from URL: status 503"),
        (
            faults.redirect("https://elsewhere.example.com/v1/traces"),
            "redirect",
            "HTTP 302 from URL: redirect 302: it redirects to https://elsewhere.example.com/v1/traces",
        ),
        (
            faults.status(200, body="<html>Log in</html>", content_type="text/html"),
            "no_receiver",
            "HTTP 200 from URL with text/html, where OTLP answers with application/x-protobuf: this is no OTLP receiver",
        ),
        (faults.partial_success(1, "span too old"), "rejected", "span too old"),
        (faults.RESET, "connection_closed", "URL closed the connection without an answer"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_what_a_backend_answers(place: Workplace, backend: FakeBackend, fault: Fault, cause: str, said: str) -> None:
    backend.from_now_on(fault)

    found = examined(place, otlp(backend.base_url))

    assert found["cause"] == cause
    assert found["said"].replace(backend.url, "URL").startswith(said)
    assert found["meaning"] == Cause(cause).meaning
    assert found["mend"]


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (faults.status(401), "unauthenticated"),
        (faults.status(403), "forbidden"),
        (faults.grpc_status("UNIMPLEMENTED"), "no_receiver"),
        (faults.grpc_status("NOT_FOUND"), "project_missing"),
        (faults.grpc_status("RESOURCE_EXHAUSTED", retry_after_s=1), "busy"),
        (faults.partial_success(1), "rejected"),
        (faults.status(503), "backend_fails"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_what_a_backend_answers_over_grpc(place: Workplace, backend: FakeBackend, fault: Fault, cause: str) -> None:
    backend.from_now_on(fault)

    assert examined(place, over_grpc(backend.grpc_endpoint))["cause"] == cause


def test_a_backend_that_does_not_answer(place: Workplace, backend: FakeBackend) -> None:
    backend.from_now_on(faults.HANG)

    for entry in (otlp(backend.base_url), over_grpc(backend.grpc_endpoint)):
        assert examined(place, entry, "--timeout", "0.5")["cause"] == "timeout"


def test_proxies(place: Workplace, backend: FakeBackend) -> None:
    closed, locked = closed_url(""), HttpProxy(credentials="Basic dXNlcjpvcGVu")
    with locked.running():
        for proxy, mend in (
            (closed, Cause.PROXY.mend),
            (locked.url, "put user and password into the proxy's URL: http://user:password@host:port"),
        ):
            found = examined(place, otlp(backend.base_url, proxy=proxy))

            assert (found["cause"], found["mend"]) == ("proxy", mend)


def test_another_service_on_the_port(place: Workplace) -> None:
    """One that speaks neither HTTP nor TLS."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = examined(place, otlp(f"http://127.0.0.1:{silent.getsockname()[1]}"), "--timeout", "0.5")

    assert found["cause"] == "timeout"


def test_grpc_is_not_installed(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nat.plugins.opentelemetry.grpc_transport", raising=False)
    monkeypatch.setitem(sys.modules, "grpc", None)

    place.write({"prod": over_grpc("127.0.0.1:4317")})

    assert 'install it: pip install "nat-telemetry-otlp[grpc]"' in place.nat(*DOCTOR, code=2).stderr


def test_a_file_that_cannot_be_written(place: Workplace) -> None:
    found = examined(place, {"_type": "file", "output_path": "/dev/full"})

    assert (found["cause"], found["endpoint"], found["said"]) == (
        "unwritable",
        "/dev/full",
        "cannot write to /dev/full: No space left on device",
    )


# -- exporters of others -----------------------------------------------------------------------------------------------

_OTHERS = """\
import time
import urllib.request

import aiohttp
from pydantic import SecretStr

from nat.plugin_api import (
    Cause, PermanentExportError, Processor, Span, SpanExporter, TelemetryExporterBaseConfig, register_telemetry_exporter,
)


class OtherConfig(TelemetryExporterBaseConfig, name="other"):
    how: str
    endpoint: str = "http://127.0.0.1:9/spans?key=sesame-open-4711"
    api_key: SecretStr = SecretStr("none")


class Keeps(Processor[Span, Span]):
    async def process(self, item: Span) -> Span | None:
        return None


class Fails(Processor[Span, Span]):
    async def process(self, item: Span) -> Span | None:
        raise LookupError("no such pattern")


class Other(SpanExporter[Span, Span]):
    def __init__(self, config):
        super().__init__()
        self._config = config
        if config.how == "refuses to start":
            raise ValueError(f"the key {config.api_key.get_secret_value()} is malformed")
        if config.how == "lacks a package":
            import nowhere_to_be_found
        if config.how in ("filters", "fails to process"):
            self.add_processor(Keeps() if config.how == "filters" else Fails())

    async def export_processed(self, item):
        how, url = self._config.how, self._config.endpoint
        if how == "names the cause":
            raise PermanentExportError("there is no space 'shop'", cause=Cause.PROJECT_MISSING, mend="create it with mkspace")
        if how == "asks with aiohttp":
            async with aiohttp.ClientSession() as session, session.post(url, data=b"") as response:
                response.raise_for_status()
        if how == "asks with urllib":
            urllib.request.urlopen(url, data=b"")
        if how == "is broken":
            raise LookupError(f"cannot post to {url} with {self._config.api_key.get_secret_value()}")
        if how == "blocks":
            time.sleep(60)

    async def _flush(self):
        if self._config.how == "sends at the end":
            raise ConnectionRefusedError("nobody is there")


@register_telemetry_exporter(config_type=OtherConfig)
async def other(config, builder):
    yield Other(config)
"""


@pytest.fixture
def others(place: Workplace) -> Callable[..., Any]:
    (place.folder / "others.py").write_text(_OTHERS, encoding="utf-8")

    def examine(how: str, *options: str, **settings: Any) -> Any:
        entry = {"_type": "other", "how": how, "api_key": KEY, **settings}
        return examined(place, entry, *options, plugins=("./others.py",))

    return examine


def test_what_an_author_names_is_shown(others: Callable[..., Any]) -> None:
    found = others("names the cause")

    assert (found["cause"], found["said"], found["mend"]) == (
        "project_missing",
        "there is no space 'shop'",
        "create it with mkspace",
    )
    assert found["endpoint"] == "http://127.0.0.1:9/spans"


@pytest.mark.parametrize("client", ["aiohttp", "urllib"])
def test_what_clients_raise_is_understood(others: Callable[..., Any], backend: FakeBackend, client: str) -> None:
    """A status, a port where nobody listens, a port that speaks something else; nothing secret is quoted."""
    how = f"asks with {client}"
    backend.from_now_on(faults.status(403))

    answered = others(how, endpoint=backend.url)
    closed = others(how, endpoint=closed_url(f"/spans?key={KEY}"))
    other_protocol = others(how, endpoint=f"http://{backend.grpc_endpoint}/spans")

    assert (answered["cause"], closed["cause"], other_protocol["cause"]) == (
        "wrong_encoding",  # the backend's answer to a body that is no OTLP
        "connection_refused",
        "speaks_grpc",
    )
    assert KEY not in json.dumps([answered, closed, other_protocol])


def test_other_errors_are_quoted_without_secrets(others: Callable[..., Any]) -> None:
    broken, unstartable = others("is broken"), others("refuses to start")

    assert (broken["cause"], broken["said"]) == (
        "unknown",
        "LookupError: cannot post to http://127.0.0.1:9/spans?********** with **********",
    )
    assert (unstartable["cause"], unstartable["said"]) == (
        "misconfigured",
        "ValueError: the key ********** is malformed",
    )


def test_a_package_is_missing(others: Callable[..., Any]) -> None:
    found = others("lacks a package")

    assert (found["cause"], found["said"]) == (
        "missing_package",
        "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
    )


def test_what_is_sent_at_the_end_of_a_run(others: Callable[..., Any]) -> None:
    assert others("sends at the end")["cause"] == "connection_refused"


def test_processors_are_part_of_it(others: Callable[..., Any]) -> None:
    filters, fails = others("filters"), others("fails to process")

    assert (filters["cause"], filters["latency_ms"]) == ("filtered", None)
    assert fails["cause"] == "processor"
    assert re.fullmatch(r"processor Fails raised LookupError at others\.py:\d+", fails["said"])


def test_an_exporter_that_blocks(others: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nat.cli.examination._START_S", 0.2)
    monkeypatch.setattr("nat.cli.examination._CLOSE_S", 0.2)

    assert others("blocks", "--timeout", "0.2")["cause"] == "timeout"


def test_every_route_of_an_exporter_is_tried(place: Workplace, backend: FakeBackend) -> None:
    """Each with its own key; where runs are withheld, there is nothing to try."""
    backend.refuse = lambda request: faults.status(401) if request.headers.get("x-api-key") == "wrong" else None
    routes = {name: {"headers": {"x-api-key": key}} for name, key in (("acme", KEY), ("globex", "wrong"))}
    route = {"_type": "route", "by": "tenant", "routes": routes, "otherwise": "withhold"}
    place.write({"prod": otlp(backend.base_url, processors=[route])})

    report = json.loads(place.nat(*DOCTOR, "--json", code=1).stdout)

    assert [(found["exporter"], found["status"], found["cause"]) for found in report["exporters"]] == [
        ("prod/acme", "ok", None),
        ("prod/globex", "failed", "unauthenticated"),
    ]
