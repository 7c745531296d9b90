"""What a port speaks is found out by speaking to it."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from nat.cli.speech import Speech, hear
from nat.testing import FakeBackend, closed_url
from nat.testing.tls import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=["plain", "TLS", "TLS with client certificates"])
def backend(request: pytest.FixtureRequest, authority: Authority) -> Iterator[FakeBackend]:
    is_mutual = request.param == "TLS with client certificates"
    tls = None if request.param == "plain" else authority.server(demands_client_certificate=is_mutual)
    with FakeBackend(grpc=True, tls=tls) as backend:
        yield backend


def heard(address: str) -> Speech | None:
    parts = urlsplit(address if "//" in address else f"//{address}")
    return hear(parts.hostname or "", parts.port or 0)


@pytest.mark.parametrize(
    ("backend", "http", "grpc"),
    [
        ("plain", Speech(is_http=True), Speech(is_http2=True)),
        ("TLS", Speech(is_tls=True, is_http=True), Speech(is_tls=True, is_http2=True)),
        ("TLS with client certificates", Speech(is_tls=True), Speech(is_tls=True)),
    ],
    indirect=["backend"],
)
def test_servers(backend: FakeBackend, http: Speech, grpc: Speech) -> None:
    assert heard(backend.url) == http
    assert heard(backend.grpc_endpoint) == grpc


def test_nobody_is_there() -> None:
    assert heard(closed_url()) is None
    assert hear("nowhere.invalid", 4317) is None


def test_somebody_who_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nat.cli.speech._PATIENCE_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert hear("127.0.0.1", silent.getsockname()[1]) == Speech()
