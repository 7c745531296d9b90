"""OTLP over gRPC, against real servers: what is on the wire, and what each answer means for the spans."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from nat.data_models.delivery import DeliveryConfig, SpoolConfig
from nat.observability import Telemetry
from nat.observability.delivery.errors import (
    ItemTooLargeError,
    PartialExportError,
    PermanentExportError,
    TransientExportError,
)
from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.plugins.opentelemetry.transport import TlsFiles, user_agent
from nat.testing import FakeBackend, closed_url, faults
from nat.testing.tls import Authority
from tests.contract.keys import own_registrations
from tests.otlp.sending import QUICK, delivered, exporter_to, sent, span
from tests.support.collecting import emit
from tests.support.http_proxy import HttpProxy, Relay
from tests.support.lanes import assert_balanced

RETRIED = ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
FINAL = (
    "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "UNAUTHENTICATED", "FAILED_PRECONDITION",
    "UNIMPLEMENTED", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED",
)  # fmt: skip


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(grpc=True) as backend:
        yield backend


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def port_of(backend: FakeBackend) -> int:
    return int(backend.grpc_endpoint.rpartition(":")[2])


# -- what is on the wire -----------------------------------------------------------------------------------------------


async def test_spans_and_headers_arrive(backend: FakeBackend) -> None:
    """Names of headers in lower case, as gRPC has them; binary ones as bytes."""
    work = span("wörk", text="a", number=3, flag=True)

    await sent(
        f"http://{backend.grpc_endpoint}",
        work,
        protocol="grpc",
        headers={"X-Tenant": "a", "Authorization": "Bearer k", "trace-bin": "raw"},
        resource_attributes={"service.name": "shop"},
    )

    [request] = backend.requests
    [received] = request.spans
    assert request.headers["x-tenant"] == "a"
    assert request.headers["authorization"] == "Bearer k"
    assert request.headers["trace-bin"] == "raw"
    assert request.headers["user-agent"].startswith(f"{user_agent()} grpc-python/")
    assert (received.name, received.attributes) == ("wörk", work.attributes)
    assert received.resource["service.name"] == "shop"


@pytest.mark.parametrize(
    "given", ["http://{}", "{}", "http://{}/", "http://{}/v1/traces"], ids=["URL", "host and port", "slash", "path"]
)
async def test_endpoints_as_people_write_them(backend: FakeBackend, given: str) -> None:
    await sent(given.format(backend.grpc_endpoint), protocol="grpc")

    assert len(backend.spans) == 1


async def test_gzip(backend: FakeBackend) -> None:
    """grpcio's server decompresses by itself; what passes on the way is small."""
    size = 200_000
    relay = Relay(port_of(backend))
    with relay.running():
        await sent(f"http://127.0.0.1:{relay.port}", span(text="x" * size), protocol="grpc", compression="gzip")
        compressed = relay.byte_count
        await sent(f"http://127.0.0.1:{relay.port}", span(text="x" * size), protocol="grpc")

    assert [received.attributes["text"] for received in backend.spans] == ["x" * size] * 2
    assert compressed < size / 20
    assert relay.byte_count > size


def test_all_calls_of_a_lane_share_one_connection(backend: FakeBackend) -> None:
    relay = Relay(port_of(backend))
    for number in range(40):
        backend.plan(faults.grpc_status("UNAVAILABLE") if number % 7 == 0 else faults.OK)
    with relay.running():
        status = delivered(
            f"http://127.0.0.1:{relay.port}", protocol="grpc", steps=99, batch_size=1, flush_interval=0.01
        )

    assert (status.delivered, status.lost) == (100, 0)
    assert len(backend.requests) == 106
    assert relay.connection_count == 1


async def test_large_requests_are_not_limited_by_us(backend: FakeBackend) -> None:
    """grpcio's own limit, 4 MiB, is the receiver's business."""
    await sent(f"http://{backend.grpc_endpoint}", span(text="x" * 6_000_000), protocol="grpc")

    assert len(backend.spans[0].attributes["text"]) == 6_000_000


async def test_a_header_that_grpc_cannot_send_is_named(backend: FakeBackend) -> None:
    with pytest.raises(PermanentExportError, match="'x-project' holds a letter that gRPC does not take") as caught:
        await sent(f"http://{backend.grpc_endpoint}", protocol="grpc", headers={"x-project": "Größe"})

    assert "Größe" not in str(caught.value)


# -- TLS and proxies ---------------------------------------------------------------------------------------------------


async def test_tls_with_an_authority_of_ones_own(authority: Authority) -> None:
    with FakeBackend(grpc=True, tls=authority.server()) as backend:
        for endpoint in (f"https://{backend.grpc_endpoint}", backend.grpc_endpoint):
            await sent(endpoint, protocol="grpc", tls=TlsFiles(str(authority.ca_file)), insecure=_unless_url(endpoint))

        assert len(backend.spans) == 2


def _unless_url(endpoint: str) -> bool | None:
    return None if "://" in endpoint else False


async def test_a_client_certificate(authority: Authority) -> None:
    certificate, key = authority.client_files()
    with FakeBackend(grpc=True, tls=authority.server(demands_client_certificate=True)) as backend:
        endpoint = f"https://{backend.grpc_endpoint}"
        files = TlsFiles(str(authority.ca_file), str(certificate), str(key))
        await sent(endpoint, protocol="grpc", tls=files)
        with pytest.raises(TransientExportError, match=f"gRPC UNAVAILABLE from {endpoint}"):
            await sent(endpoint, protocol="grpc", tls=TlsFiles(str(authority.ca_file)))

        assert len(backend.spans) == 1


async def test_an_unknown_authority_is_not_trusted(authority: Authority) -> None:
    with FakeBackend(grpc=True, tls=authority.server()) as backend:
        with pytest.raises(TransientExportError, match=r"if its authority is your own, name it in tls\.ca_file"):
            await sent(f"https://{backend.grpc_endpoint}", protocol="grpc")

        assert backend.requests == []


async def test_through_a_tunnel(backend: FakeBackend) -> None:
    proxy = HttpProxy(credentials="Basic dXNlcjpvcGVu")
    with proxy.running():
        await sent(f"http://{backend.grpc_endpoint}", protocol="grpc", proxy=proxy.url.replace("//", "//user:open@"))

    [passage] = proxy.passages
    assert (passage.method, passage.target) == ("CONNECT", backend.grpc_endpoint)
    assert len(backend.spans) == 1


# -- what an answer means ----------------------------------------------------------------------------------------------


@pytest.mark.contract("D16", "S160")
@pytest.mark.parametrize("code", RETRIED)
def test_these_codes_are_tried_again(backend: FakeBackend, code: str) -> None:
    backend.plan(faults.grpc_status(code), faults.grpc_status(code))

    status = delivered(f"http://{backend.grpc_endpoint}", protocol="grpc")

    assert (status.delivered, status.lost) == (2, 0)
    assert set(backend.attempts.values()) == {3}


@pytest.mark.contract("D16")
@pytest.mark.parametrize("code", FINAL)
def test_all_others_are_final(backend: FakeBackend, code: str) -> None:
    """An exhausted resource too, unless the server says when to come again."""
    backend.from_now_on(faults.grpc_status(code))

    status = delivered(f"http://{backend.grpc_endpoint}", protocol="grpc")

    assert (status.delivered, status.rejected) == (0, 2)
    assert set(backend.attempts.values()) == {1}


@pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "UNAVAILABLE"])
def test_retry_info_is_kept(backend: FakeBackend, code: str) -> None:
    backend.plan(faults.grpc_status(code, retry_after_s=1.25))

    status = delivered(f"http://{backend.grpc_endpoint}", protocol="grpc")

    first, second = (request.time_s for request in backend.requests)
    assert status.delivered == 2
    assert 1.2 <= second - first < 11


def test_what_is_too_large_is_halved(backend: FakeBackend) -> None:
    backend.limit_bytes = 4_000

    status = delivered(f"http://{backend.grpc_endpoint}", protocol="grpc", steps=40)

    assert (status.delivered, status.lost) == (41, 0)
    assert backend.duplicates == []


async def test_too_large_says_so(backend: FakeBackend) -> None:
    backend.limit_bytes = 10

    with pytest.raises(ItemTooLargeError, match=r"gRPC RESOURCE_EXHAUSTED from http://.*larger than max"):
        await sent(f"http://{backend.grpc_endpoint}", protocol="grpc")


@pytest.mark.parametrize("has_spool", [False, True], ids=["memory", "spool"])
def test_partial_success_counts_what_was_rejected(
    backend: FakeBackend, has_spool: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend.plan(faults.partial_success(3, "attributes too large"))
    delivery = DeliveryConfig(retry=QUICK.retry, spool=SpoolConfig(enabled=has_spool, directory=str(tmp_path)))

    status = delivered(f"http://{backend.grpc_endpoint}", protocol="grpc", steps=9, delivery=delivery)

    assert (status.accepted, status.delivered, status.rejected, status.spooled) == (10, 7, 3, 0)
    assert_balanced(status)
    [record] = [record for record in caplog.records if "rejected" in record.getMessage()]
    assert "attributes too large" in record.getMessage()


def test_a_warning_beside_full_success_is_said_once(backend: FakeBackend, caplog: pytest.LogCaptureFixture) -> None:
    backend.from_now_on(faults.partial_success(0, "this endpoint is going away"))

    status = delivered(f"http://{backend.grpc_endpoint}", protocol="grpc", steps=9, batch_size=1)

    assert (status.delivered, status.rejected) == (10, 0)
    [record] = [record for record in caplog.records if "going away" in record.getMessage()]
    assert record.levelno == logging.WARNING


def test_an_answer_that_is_no_message_is_not_counted_as_delivered(backend: FakeBackend) -> None:
    backend.plan(faults.TRUNCATED)

    status = delivered(f"http://{backend.grpc_endpoint}", protocol="grpc")

    assert (status.delivered, status.lost) == (2, 0)
    assert len(backend.requests) == 2


def test_a_call_without_an_answer_ends_at_the_timeout(backend: FakeBackend) -> None:
    backend.plan(faults.HANG)

    status = delivered(f"http://{backend.grpc_endpoint}", protocol="grpc", timeout=0.3)

    assert (status.delivered, status.lost) == (2, 0)
    assert len(backend.requests) >= 2


async def test_a_call_that_hangs_blocks_nobody(backend: FakeBackend) -> None:
    backend.plan(faults.HANG)
    async with exporter_to(f"http://{backend.grpc_endpoint}", protocol="grpc") as exporter:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await exporter.export_processed([span()])
        await exporter.export_processed([span("second")])

    assert [received.name for received in backend.spans] == ["second"]


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (
            faults.grpc_status("UNAUTHENTICATED", message="who are you"),
            PermanentExportError,
            "who are you; check the key",
        ),
        (faults.grpc_status("PERMISSION_DENIED"), PermanentExportError, "; check the key: it is wrong"),
        (faults.grpc_status("UNIMPLEMENTED"), PermanentExportError, "; no OTLP receiver for traces listens there"),
        (faults.grpc_status("ABORTED", message="two\nlines"), TransientExportError, ": two lines"),
        (faults.partial_success(1), PartialExportError, "no reason given"),
    ],
)
async def test_what_is_said(backend: FakeBackend, fault: faults.Fault, error: type[Exception], words: str) -> None:
    backend.plan(fault)

    with pytest.raises(error, match=words.replace(".", r"\.")) as caught:
        await sent(f"http://{backend.grpc_endpoint}", protocol="grpc")

    if error is not PartialExportError:
        assert f"from http://{backend.grpc_endpoint}" in str(caught.value)


# -- no answer at all --------------------------------------------------------------------------------------------------


@pytest.mark.contract("S174")
async def test_a_closed_port() -> None:
    endpoint = closed_url("")

    with pytest.raises(TransientExportError, match=f"gRPC UNAVAILABLE from {endpoint}: .*Connection refused"):
        await sent(endpoint, protocol="grpc")


async def test_a_port_where_http_is_spoken() -> None:
    with FakeBackend() as http:
        with pytest.raises(TransientExportError, match="HTTP is spoken on this port: use protocol: http"):
            await sent(f"http://{urlsplit(http.url).netloc}", protocol="grpc")


async def test_grpcs_port_spoken_to_over_http(backend: FakeBackend) -> None:
    with pytest.raises(TransientExportError, match="perhaps gRPC is spoken on this port"):
        await sent(f"http://{backend.grpc_endpoint}")


async def test_tls_to_a_port_that_speaks_plain_text(backend: FakeBackend) -> None:
    with pytest.raises(TransientExportError, match="it speaks no TLS on this port: use http://"):
        await sent(f"https://{backend.grpc_endpoint}", protocol="grpc")


async def test_plain_text_to_a_port_that_speaks_tls(authority: Authority) -> None:
    with FakeBackend(grpc=True, tls=authority.server()) as backend:
        with pytest.raises(TransientExportError, match="if it expects TLS, use https://"):
            await sent(f"http://{backend.grpc_endpoint}", protocol="grpc")


# -- its life ----------------------------------------------------------------------------------------------------------


@pytest.mark.contract("S165")
def test_a_channel_is_closed_with_its_exporter(backend: FakeBackend) -> None:
    relay = Relay(port_of(backend))
    with relay.running():
        for _ in range(2):
            config = OtelCollectorConfig(endpoint=f"http://127.0.0.1:{relay.port}", protocol="grpc")
            with Telemetry({"collector": config}) as telemetry:
                with telemetry.run("run"):
                    emit("work")
            relay.wait_until_closed()

    assert len(backend.spans) == 4
    assert relay.connection_count == 2


async def test_closing_twice_and_before_anything_was_sent(backend: FakeBackend) -> None:
    async with exporter_to(f"http://{backend.grpc_endpoint}", protocol="grpc") as exporter:
        await exporter.stop()
        await exporter.stop()


@pytest.mark.contract("D1", "S198")
def test_without_grpcio_the_install_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """For every configuration that has the key `protocol`, as a problem of that key; for code as Python's own error."""
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.delitem(sys.modules, "nat.plugins.opentelemetry.grpc_transport", raising=False)
    all_types: list[Any] = [found.config_type for found in own_registrations()]
    config_types = [config_type for config_type in all_types if "protocol" in config_type.model_fields]
    assert OtelCollectorConfig in config_types

    for config_type in config_types:
        with pytest.raises(ValidationError) as problem:
            config_type(protocol="grpc")
        [line] = [line for line in problem.value.errors() if line["loc"] == ("protocol",)]
        assert 'pip install "nat-telemetry-otlp[grpc]", or use protocol: http' in line["msg"]
    with pytest.raises(ModuleNotFoundError, match=r'pip install "nat-telemetry-otlp\[grpc\]"'):
        OTLPSpanAdapterExporter(endpoint="http://localhost:4317", protocol="grpc")
    OtelCollectorConfig(protocol="http")
