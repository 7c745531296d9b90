"""TLS: real handshakes, with certificates of an authority that only its own file vouches for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from nat.observability.delivery.errors import TransientExportError
from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.plugins.opentelemetry.transport import TlsFiles
from nat.testing import FakeBackend
from nat.testing.tls import Authority
from tests.otlp.sending import delivered, sent
from tests.support.http_proxy import HttpProxy, Relay


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls_backend(authority: Authority) -> Iterator[FakeBackend]:
    with FakeBackend(tls=authority.server()) as backend:
        yield backend


@pytest.fixture
def mutual_backend(authority: Authority) -> Iterator[FakeBackend]:
    with FakeBackend(tls=authority.server(demands_client_certificate=True)) as backend:
        yield backend


@pytest.fixture
def trust(authority: Authority) -> TlsFiles:
    return TlsFiles(ca_file=str(authority.ca_file))


def test_an_authority_of_ones_own(tls_backend: FakeBackend, authority: Authority) -> None:
    status = delivered(tls_backend.base_url, tls={"ca_file": str(authority.ca_file)})

    assert (status.delivered, status.lost) == (2, 0)
    assert tls_backend.url.startswith("https://")


async def test_an_unknown_authority_is_not_trusted(tls_backend: FakeBackend) -> None:
    with pytest.raises(TransientExportError) as caught:
        await sent(tls_backend.url)

    assert str(caught.value) == (
        f"TLS with {tls_backend.url} failed: unable to get local issuer certificate; "
        "if its authority is your own, name it in tls.ca_file"
    )
    assert tls_backend.requests == []


async def test_a_certificate_for_another_host_is_not_trusted(tls_backend: FakeBackend, trust: TlsFiles) -> None:
    relay = Relay(urlsplit(tls_backend.url).port or 0, host="127.0.0.2")
    with relay.running():
        with pytest.raises(TransientExportError, match=r"certificate is not valid for '127\.0\.0\.2'"):
            await sent(f"https://127.0.0.2:{relay.port}", tls=trust)

    assert tls_backend.requests == []


@pytest.mark.parametrize("is_one_file", [False, True], ids=["two files", "one file"])
async def test_a_client_certificate(
    mutual_backend: FakeBackend, authority: Authority, tmp_path: Path, is_one_file: bool
) -> None:
    certificate, key = authority.client_files()
    files = TlsFiles(str(authority.ca_file), str(certificate), str(key))
    if is_one_file:
        both = tmp_path / "both.pem"
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        files = TlsFiles(str(authority.ca_file), str(both))

    await sent(mutual_backend.url, tls=files)

    assert len(mutual_backend.spans) == 1


async def test_without_a_client_certificate_it_is_refused(mutual_backend: FakeBackend, trust: TlsFiles) -> None:
    with pytest.raises(TransientExportError) as caught:
        await sent(mutual_backend.url, tls=trust)

    assert mutual_backend.url in str(caught.value)
    assert mutual_backend.requests == []


async def test_through_a_tunnel(tls_backend: FakeBackend, trust: TlsFiles) -> None:
    proxy = HttpProxy(credentials="Basic dXNlcjpvcGVu")
    with proxy.running():
        await sent(tls_backend.url, tls=trust, proxy=proxy.url.replace("//", "//user:open@"))

    [passage] = proxy.passages
    assert (passage.method, passage.target) == ("CONNECT", urlsplit(tls_backend.url).netloc)
    assert "authorization" not in passage.headers
    assert len(tls_backend.spans) == 1


@pytest.mark.parametrize("status", [502, 403])
async def test_a_proxy_that_makes_no_tunnel(tls_backend: FakeBackend, trust: TlsFiles, status: int) -> None:
    proxy = HttpProxy(status=status)
    with proxy.running():
        with pytest.raises(Exception, match=f"the proxy {proxy.url} answers {status} for {tls_backend.url}") as caught:
            await sent(tls_backend.url, tls=trust, proxy=proxy.url)

    assert isinstance(caught.value, TransientExportError) == (status == 502)


async def test_plain_text_to_a_port_that_speaks_tls(tls_backend: FakeBackend) -> None:
    with pytest.raises(TransientExportError, match="if it expects TLS, use https://"):
        await sent(tls_backend.url.replace("https", "http"))


async def test_tls_to_a_port_that_speaks_plain_text() -> None:
    with FakeBackend() as backend:
        with pytest.raises(TransientExportError, match="it speaks no TLS on this port: use http://"):
            await sent(backend.url.replace("http", "https"))


async def test_files_for_tls_beside_plain_text_are_remarked_on(
    trust: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeBackend() as backend:
        async with OTLPSpanAdapterExporter(endpoint=backend.url, tls=trust).start():
            pass

    assert "files for TLS have no effect" in caplog.text


def test_files_that_are_not_there_are_problems_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no file .*nowhere"):
        OtelCollectorConfig.model_validate({"tls": {"ca_file": str(tmp_path / "nowhere.pem")}})
    with pytest.raises(ValueError, match="certificate_file"):
        OtelCollectorConfig.model_validate({"tls": {"key_file": __file__}})


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_file_that_holds_something_else_disables_the_exporter(
    authority: Authority, tmp_path: Path, protocol: Any
) -> None:
    file = tmp_path / "file.pem"
    file.write_text("no certificate")
    _, key = authority.client_files("other")

    as_authority = delivered("https://127.0.0.1:9", tls={"ca_file": str(file)}, protocol=protocol)
    as_certificate = delivered(
        "https://127.0.0.1:9", tls={"certificate_file": str(file), "key_file": str(key)}, protocol=protocol
    )

    assert (as_authority.state, as_certificate.state) == ("disabled", "disabled")
    assert as_authority.reason == f"ValueError: tls.ca_file: {str(file)!r} holds no certificate in PEM"
    assert as_certificate.reason is not None
    assert f"{str(file)!r} and {str(key)!r} hold no certificate" in as_certificate.reason
