"""Causes: why an export fails, as far as that tells people what to do about it."""

import errno
import socket
import ssl
from collections.abc import Iterator
from enum import StrEnum

__all__ = ["Cause", "cause_of", "cause_of_status"]

_DEEPEST = 12  # errors that an error is looked for in


class Cause(StrEnum):
    """Why an export failed. An author names one on an error that says it better than its class does."""

    UNKNOWN_HOST = "unknown_host"
    REFUSED = "connection_refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CLOSED = "connection_closed"
    NO_HTTP = "no_http"
    SPEAKS_GRPC = "speaks_grpc"
    SPEAKS_HTTP = "speaks_http"
    TLS_EXPECTED = "tls_expected"
    NO_TLS = "no_tls"
    UNKNOWN_AUTHORITY = "unknown_authority"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_HOST = "certificate_host"
    CLIENT_CERTIFICATE = "client_certificate"
    TLS = "tls"
    PROXY = "proxy"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    PROJECT_MISSING = "project_missing"
    WRONG_PATH = "wrong_path"
    REDIRECT = "redirect"
    NO_RECEIVER = "no_receiver"
    WRONG_ENCODING = "wrong_encoding"
    REFUSED_REQUEST = "refused_request"
    REJECTED = "rejected"
    TOO_LARGE = "too_large"
    BUSY = "busy"
    BACKEND_FAILS = "backend_fails"
    MISSING_PACKAGE = "missing_package"
    MISCONFIGURED = "misconfigured"
    UNWRITABLE = "unwritable"
    PROCESSOR = "processor"
    FILTERED = "filtered"
    UNKNOWN = "unknown"

    @property
    def meaning(self) -> str:
        """The same in words."""
        return _WORDS[self][0]

    @property
    def mend(self) -> str:
        """What helps, unless whoever raises the error knows it better."""
        return _WORDS[self][1]


def cause_of(exc: BaseException) -> Cause:
    """What an exception says of the network, TLS, the disk or a missing package, itself or in what led to it."""
    for error in _chain(exc):
        cause = _of_one(error)
        if cause is not None:
            return cause
    return Cause.UNKNOWN


def cause_of_status(status: int) -> Cause:
    """What an HTTP status means for somebody who sends."""
    if status in _OF_STATUS:
        return _OF_STATUS[status]
    if 300 <= status < 400:
        return Cause.REDIRECT
    return Cause.BACKEND_FAILS if status >= 500 else Cause.REFUSED_REQUEST


_WORDS = {
    Cause.UNKNOWN_HOST: (
        "the name of the host does not resolve",
        "correct the host of the endpoint, or this machine's DNS; a name from inside a cluster is known only there",
    ),
    Cause.REFUSED: (
        "nothing listens at that host and port",
        "start the backend, or correct host and port; inside a container, localhost is the container",
    ),
    Cause.UNREACHABLE: (
        "no way leads to that host from here",
        "look at the network between: VPN, routes, firewall",
    ),
    Cause.TIMEOUT: (
        "no answer came in time",
        "see whether the backend is up and a firewall lets the traffic through; a slow one needs a longer timeout",
    ),
    Cause.CLOSED: (
        "the connection was closed without an answer",
        "see whether scheme, port and protocol are those of the backend, and what its own log says",
    ),
    Cause.NO_HTTP: (
        "what answers on this port speaks no HTTP",
        "correct the port of the endpoint",
    ),
    Cause.SPEAKS_GRPC: (
        "this port speaks gRPC, and was spoken to over HTTP",
        "send over gRPC (protocol: grpc), or to the port for HTTP (for OTLP usually 4318)",
    ),
    Cause.SPEAKS_HTTP: (
        "this port speaks HTTP, and was spoken to over gRPC",
        "send over HTTP (protocol: http), or to the port for gRPC (for OTLP usually 4317)",
    ),
    Cause.TLS_EXPECTED: (
        "this port speaks TLS, and was spoken to in plain text",
        "use https:// in the endpoint",
    ),
    Cause.NO_TLS: (
        "this port speaks plain text, and was spoken to through TLS",
        "use http:// in the endpoint, or the port for TLS",
    ),
    Cause.UNKNOWN_AUTHORITY: (
        "the authority that vouches for the backend's certificate is not trusted here",
        "if it is your own, trust it (tls.ca_file); else somebody may be listening in",
    ),
    Cause.CERTIFICATE_EXPIRED: (
        "the backend's certificate is not valid today",
        "renew it at the backend, or set this machine's clock",
    ),
    Cause.CERTIFICATE_HOST: (
        "the backend's certificate is for another host",
        "use the host that it is for in the endpoint, or have it issued for this one",
    ),
    Cause.CLIENT_CERTIFICATE: (
        "the backend asks for a client certificate, and takes none of what it gets",
        "give one that it trusts (tls.certificate_file)",
    ),
    Cause.TLS: (
        "the TLS handshake failed",
        "see which versions of TLS and which ciphers the backend takes",
    ),
    Cause.PROXY: (
        "the proxy does not let it through",
        "correct the proxy (proxy, or HTTP_PROXY and HTTPS_PROXY), or name the host in NO_PROXY",
    ),
    Cause.UNAUTHENTICATED: (
        "the backend does not accept the key, or got none",
        "check the key and the environment variable that it comes from, and that it is one of this backend's region",
    ),
    Cause.FORBIDDEN: (
        "the backend refuses the key: it is wrong, or may not write there",
        "check the key, its project and its region; use one that may write traces there",
    ),
    Cause.PROJECT_MISSING: (
        "the backend does not know the project",
        "create it there, or correct its name in the configuration",
    ),
    Cause.WRONG_PATH: (
        "the backend has nothing at that path",
        "correct the path of the endpoint (for OTLP usually /v1/traces)",
    ),
    Cause.REDIRECT: (
        "the backend sends the request elsewhere",
        "set the endpoint to where it leads",
    ),
    Cause.NO_RECEIVER: (
        "what answers takes no traces",
        "correct the endpoint: this may be a log-in page, a proxy, or another service",
    ),
    Cause.WRONG_ENCODING: (
        "the backend does not take this encoding or compression",
        "use another one, if the exporter has a setting for it",
    ),
    Cause.REFUSED_REQUEST: (
        "the backend cannot read what was sent, or misses something in it",
        "do what it says; else see that the endpoint is the one for traces",
    ),
    Cause.REJECTED: (
        "the backend has taken the request and rejected the span",
        "do what it says; its own log may say more",
    ),
    Cause.TOO_LARGE: (
        "the backend takes nothing of that size",
        "raise its limit, or lower delivery.batch.bytes",
    ),
    Cause.BUSY: (
        "the backend takes nothing more for now",
        "wait, or have its limit raised",
    ),
    Cause.BACKEND_FAILS: (
        "the backend is not well",
        "look at its own log and status page; or at those of what stands before it",
    ),
    Cause.MISSING_PACKAGE: (
        "a package that it needs is not installed",
        "install it",
    ),
    Cause.MISCONFIGURED: (
        "its configuration cannot be used",
        "correct what it names",
    ),
    Cause.UNWRITABLE: (
        "it cannot be written there",
        "free some space, set the permissions, or choose another place",
    ),
    Cause.PROCESSOR: (
        "a processor failed, and what it has not processed is never sent",
        "correct the processor, or its settings",
    ),
    Cause.FILTERED: (
        "nothing was sent: its processors let the test span not pass",
        "let spans with the attribute nat.doctor pass, to see whether they arrive",
    ),
    Cause.UNKNOWN: (
        "why is not known",
        "nat --debug doctor shows where it comes from",
    ),
}
_OF_STATUS = {
    401: Cause.UNAUTHENTICATED,
    403: Cause.FORBIDDEN,
    404: Cause.WRONG_PATH,
    405: Cause.WRONG_PATH,
    407: Cause.PROXY,
    408: Cause.TIMEOUT,
    410: Cause.WRONG_PATH,
    413: Cause.TOO_LARGE,
    415: Cause.WRONG_ENCODING,
    425: Cause.BUSY,
    429: Cause.BUSY,
    504: Cause.TIMEOUT,
}
_OF_ERRNO = {
    errno.ENETUNREACH: Cause.UNREACHABLE,
    errno.EHOSTUNREACH: Cause.UNREACHABLE,
    errno.ENETDOWN: Cause.UNREACHABLE,
    **dict.fromkeys(
        (
            errno.EACCES,
            errno.EDQUOT,
            errno.EFBIG,
            errno.EISDIR,
            errno.ENAMETOOLONG,
            errno.ENOENT,
            errno.ENOSPC,
            errno.ENOTDIR,
            errno.EPERM,
            errno.EROFS,
        ),
        Cause.UNWRITABLE,
    ),
}
_OF_TLS = {  # parts of OpenSSL's reasons
    "WRONG_VERSION_NUMBER": Cause.NO_TLS,
    "RECORD_LAYER_FAILURE": Cause.NO_TLS,
    "HTTP_REQUEST": Cause.NO_TLS,
    "CERTIFICATE_REQUIRED": Cause.CLIENT_CERTIFICATE,
    "UNEXPECTED_EOF": Cause.CLOSED,
}
_OF_VERIFICATION = {  # X509_V_ERR_… of OpenSSL
    9: Cause.CERTIFICATE_EXPIRED,  # not valid yet
    10: Cause.CERTIFICATE_EXPIRED,
    62: Cause.CERTIFICATE_HOST,
    64: Cause.CERTIFICATE_HOST,  # an IP address
}
_OF_CLIENT = {  # classes of HTTP clients, by package and name; none of them is imported here
    ("aiohttp", "ClientHttpProxyError"): Cause.PROXY,
    ("aiohttp", "ClientProxyConnectionError"): Cause.PROXY,
    ("aiohttp", "ServerDisconnectedError"): Cause.CLOSED,
    ("httpx", "ProxyError"): Cause.PROXY,
    ("httpx", "RemoteProtocolError"): Cause.CLOSED,
    ("httpx", "TimeoutException"): Cause.TIMEOUT,
    ("http", "RemoteDisconnected"): Cause.CLOSED,
    ("http", "BadStatusLine"): Cause.NO_HTTP,
    ("requests", "ProxyError"): Cause.PROXY,
    ("requests", "Timeout"): Cause.TIMEOUT,
    ("urllib3", "ProxyError"): Cause.PROXY,
    ("urllib3", "TimeoutError"): Cause.TIMEOUT,
}


def _of_one(error: BaseException) -> Cause | None:
    for cls in type(error).__mro__:
        cause = _OF_CLIENT.get((cls.__module__.partition(".")[0], cls.__name__))
        if cause is not None:
            return cause
    is_of_ssl = type(error).__module__ == "ssl"  # a client's own, derived from it, has the real one in it
    if is_of_ssl and isinstance(error, ssl.SSLCertVerificationError):
        return _OF_VERIFICATION.get(error.verify_code, Cause.UNKNOWN_AUTHORITY)
    if is_of_ssl and isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        return next((cause for part, cause in _OF_TLS.items() if part in reason), Cause.TLS)
    if isinstance(error, socket.gaierror):
        return Cause.UNKNOWN_HOST
    if isinstance(error, TimeoutError):
        return Cause.TIMEOUT
    if isinstance(error, ConnectionError):
        return Cause.REFUSED if isinstance(error, ConnectionRefusedError) else Cause.CLOSED
    if isinstance(error, ModuleNotFoundError):
        return Cause.MISSING_PACKAGE
    if isinstance(error, OSError) and type(error).__module__ == "builtins":
        return _OF_ERRNO.get(error.errno or 0)
    return None


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it: what clients keep of them, and what Python does."""
    seen: list[BaseException] = []
    waiting: list[object] = [exc]
    while waiting and len(seen) < _DEEPEST:
        error = waiting.pop(0)
        if not isinstance(error, BaseException) or any(error is other for other in seen):
            continue
        seen.append(error)
        yield error
        inner = None if error.__suppress_context__ else error.__context__
        kept = (getattr(error, name, None) for name in ("certificate_error", "os_error", "reason"))
        waiting += [*kept, *error.args[:1], error.__cause__, inner]
