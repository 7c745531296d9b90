"""Speech: what is spoken on a port, found out by speaking to it.

Sources: RFC 9113, sections 3.4 (a connection of HTTP/2 begins with the client's preface, to which the server answers with a
SETTINGS frame) and 4.1 (the fourth byte of a frame is its type); RFC 7301 for ALPN.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Speech", "hear"]

_PATIENCE_S = 1.5  # for each word
_SETTINGS = 4
_EMPTY_SETTINGS = bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _EMPTY_SETTINGS


@dataclass(frozen=True, slots=True)
class Speech:
    """What is spoken on a port.

    Attributes:
        is_tls: Whether all else is spoken through TLS.
        is_http, is_http2: Which versions of HTTP are understood; gRPC is spoken over the latter.
    """

    is_tls: bool = False
    is_http: bool = False
    is_http2: bool = False


def hear(host: str, port: int) -> Speech | None:
    """Speak to a port, on connections of our own, and see what it understands; `None` if it cannot be connected to. Blocks."""
    is_tls = _answers_tls(host, port)
    if is_tls is None:
        return None
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("ascii", "replace")
    http = _answer(host, port, request, "http/1.1" if is_tls else None)
    http2 = _answer(host, port, _HTTP2_PREFACE, "h2" if is_tls else None)
    return Speech(
        is_tls=is_tls,
        is_http=http.startswith(b"HTTP/"),
        is_http2=http2[3:4] == bytes([_SETTINGS]),
    )


def _answers_tls(host: str, port: int) -> bool | None:
    try:
        with _connection(host, port, "h2", "http/1.1"):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # an alert is TLS, too
    except (ConnectionResetError, BrokenPipeError, TimeoutError):
        return False
    except OSError:
        return None


def _answer(host: str, port: int, words: bytes, protocol: str | None) -> bytes:
    """The first bytes of what comes back, none if nothing does; with a protocol for TLS, through that."""
    try:
        with _connection(host, port, *filter(None, [protocol])) as connection:
            connection.sendall(words)
            heard = b""
            while len(heard) < len(_EMPTY_SETTINGS) and (more := connection.recv(64)):
                heard += more
            return heard
    except OSError:
        return b""


@contextmanager
def _connection(host: str, port: int, *protocols: str) -> Iterator[socket.socket]:
    """A connection; with protocols, through TLS. Nothing is sent on it that a stranger may not read."""
    with socket.create_connection((host, port), _PATIENCE_S) as plain:
        if not protocols:
            yield plain
            return
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(list(protocols))
        with context.wrap_socket(plain, server_hostname=host) as secure:
            yield secure
