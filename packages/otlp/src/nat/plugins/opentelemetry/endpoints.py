"""Endpoints: from what users write to the URL that spans are sent to, and what there is to say about it.

Sources: OTLP specification, sections "OTLP/HTTP Request" (default port 4318, path `/v1/traces`) and "OTLP/gRPC" (4317);
OpenTelemetry's "Protocol Exporter" page for endpoints without a path. Read 2026-11-26.
"""

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

__all__ = ["TRACES_PATH", "GrpcEndpoint", "HttpEndpoint", "grpc_endpoint", "http_endpoint"]

TRACES_PATH = "/v1/traces"

_GRPC_PORT, _HTTP_PORT = 4317, 4318


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """Where requests are posted.

    Attributes:
        url: Complete.
        notes: What was made of what was given.
        warnings: What is probably a mistake.
    """

    url: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The URL without user, password and query, which may hold keys."""
        return _shown(urlsplit(self.url))


@dataclass(frozen=True, slots=True)
class GrpcEndpoint:
    """Where a channel leads.

    Attributes:
        target: Host and port.
        is_secure: Whether through TLS.
        notes: What was made of what was given.
        warnings: What is probably a mistake.
    """

    target: str
    is_secure: bool
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The target as a URL."""
        return f"{'https' if self.is_secure else 'http'}://{self.target}"


def http_endpoint(given: str, *, appends_path: bool = True) -> HttpEndpoint:
    """The URL for OTLP over HTTP: a base URL gets `/v1/traces`, a path that ends in `/traces` is complete.

    Args:
        given: What the user has written.
        appends_path: False: any path is complete.

    Raises:
        ValueError: It is no URL of HTTP.
    """
    parts = _split(given, 'expected a URL such as "http://localhost:4318"')
    path = parts.path.rstrip("/")
    notes: list[str] = []
    if appends_path and not path.endswith("/traces"):
        notes.append(f"{_shown(parts)} is taken as base: {TRACES_PATH} is appended")
        path += TRACES_PATH
    elif appends_path and path != parts.path:
        notes.append("the slash at the end is left out")
    else:
        path = parts.path
    warnings = []
    if parts.port == _GRPC_PORT:
        warnings.append(_misfit(_GRPC_PORT, "gRPC", "HTTP", f"port {_HTTP_PORT}, or protocol: grpc"))
    return HttpEndpoint(urlunsplit(parts._replace(path=path, fragment="")), tuple(notes), tuple(warnings))


def grpc_endpoint(given: str, *, is_insecure: bool | None = None) -> GrpcEndpoint:
    """The target for OTLP over gRPC: `http://` is plain text, `https://` is TLS.

    Args:
        given: What the user has written: a URL, or host and port.
        is_insecure: For host and port without a scheme: whether in plain text. `None`: only on this machine.

    Raises:
        ValueError: It is neither.
    """
    expected = 'expected a URL such as "http://localhost:4317"'
    has_scheme = "://" in given
    parts = _split(given if has_scheme else f"//{given}", expected)
    if has_scheme:
        is_secure = parts.scheme == "https"
    else:
        is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        is_secure = not (is_local if is_insecure is None else is_insecure)
    port = parts.port or _GRPC_PORT
    notes: list[str] = []
    if parts.port is None:
        notes.append(f"port {_GRPC_PORT}, as no other is given")
    if parts.path.strip("/"):
        notes.append(f"the path {parts.path} is left out: gRPC has none")
    warnings = []
    if port == _HTTP_PORT:
        warnings.append(_misfit(_HTTP_PORT, "HTTP", "gRPC", f"port {_GRPC_PORT}, or protocol: http"))
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return GrpcEndpoint(f"{host}:{port}", is_secure, tuple(notes), tuple(warnings))


def _misfit(port: int, usual: str, protocol: str, remedy: str) -> str:
    return f"port {port} is the one for OTLP over {usual}, and the protocol is {protocol}; use {remedy}"


def _split(given: str, expected: str) -> SplitResult:
    try:
        parts = urlsplit(given.strip())
        _ = parts.port  # raises if it is none
    except ValueError as error:
        raise ValueError(f"is no URL ({error}); {expected}") from None
    if parts.scheme not in ("http", "https", "") or (not parts.scheme and not given.startswith("//")):
        raise ValueError(f"has no scheme http:// or https://; {expected}")
    if not parts.hostname:
        raise ValueError(f"names no host; {expected}")
    return parts


def _shown(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
