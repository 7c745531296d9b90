"""Endpoints: from what users write to the URL that spans are sent to, and what there is to say about it.

Sources: OTLP specification, sections "OTLP/HTTP Request" (default port 4318, path `/v1/traces`) and "OTLP/gRPC" (4317);
OpenTelemetry's "Protocol Exporter" page for endpoints without a path. Read 2026-11-26.
"""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit, urlunsplit

__all__ = ["TRACES_PATH", "GrpcEndpoint", "HttpEndpoint", "grpc_endpoint", "http_endpoint", "shown_url"]

TRACES_PATH = "/v1/traces"

_GRPC_PORT, _HTTP_PORT = 4317, 4318
_TLS_PORT = 443
_OTHER_SIGNALS = ("/v1/metrics", "/v1/logs")
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """Where requests are posted.

    Attributes:
        url: Complete.
        notes: What was made of what was given.
        warnings: What is probably a mistake.
    """

    url: str = field(repr=False)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The URL without user, password and query, which may hold keys."""
        return shown_url(self.url)


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


def http_endpoint(given: str, *, appends_path: bool = True, is_insecure: bool | None = None) -> HttpEndpoint:
    """The URL for OTLP over HTTP: a base URL gets `/v1/traces`, a path that ends in `/traces` is complete.

    Args:
        given: What the user has written: a URL, or one without its scheme.
        appends_path: False: any path is complete.
        is_insecure: Without a scheme: whether in plain text. `None`: only on this machine.

    Raises:
        ValueError: It is no URL of HTTP.
    """
    parts = _split(given, f"http://localhost:{_HTTP_PORT}")
    notes: list[str] = []
    if not parts.scheme:
        parts = parts._replace(scheme="https" if _is_secure(parts, is_insecure) else "http")
        notes.append(f"{shown_url(urlunsplit(parts))} is meant, as no scheme is given")
    path, said = _traces_path(parts, appends_path=appends_path)
    notes += said
    warnings = _scheme_warnings(parts, is_insecure)
    if parts.port == _GRPC_PORT:
        warnings.append(_misfit(_GRPC_PORT, "gRPC", "HTTP", f"port {_HTTP_PORT}, or protocol: grpc"))
    if appends_path and path.removesuffix(TRACES_PATH).endswith(_OTHER_SIGNALS):
        warnings.append("the path is the one for metrics or logs; leave it out, or end it in /v1/traces")
    return HttpEndpoint(urlunsplit(parts._replace(path=path, fragment="")), tuple(notes), tuple(warnings))


def grpc_endpoint(given: str, *, is_insecure: bool | None = None) -> GrpcEndpoint:
    """The target for OTLP over gRPC: `http://` is plain text, `https://` is TLS.

    Args:
        given: What the user has written: a URL, or host and port.
        is_insecure: Without a scheme: whether in plain text. `None`: only on this machine.

    Raises:
        ValueError: It is neither.
    """
    parts = _split(given, f"http://localhost:{_GRPC_PORT}")
    is_secure = parts.scheme == "https" if parts.scheme else _is_secure(parts, is_insecure)
    default_port = _TLS_PORT if parts.scheme == "https" else _GRPC_PORT
    port = parts.port or default_port
    notes: list[str] = []
    if not parts.scheme:
        notes.append(f"{'TLS' if is_secure else 'plain text'}, as no scheme http:// or https:// is given")
    if parts.port is None:
        notes.append(f"port {port}, as no other is given")
    if parts.path.strip("/"):
        notes.append(f"the path {parts.path} is left out: gRPC has none")
    warnings = _scheme_warnings(parts, is_insecure)
    if parts.username or parts.query:
        warnings.append("user, password and query of a URL are left out: gRPC has none; set headers instead")
    if port == _HTTP_PORT:
        warnings.append(_misfit(_HTTP_PORT, "HTTP", "gRPC", f"port {_GRPC_PORT}, or protocol: http"))
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return GrpcEndpoint(f"{host}:{port}", is_secure, tuple(notes), tuple(warnings))


def shown_url(url: str) -> str:
    """A URL without user, password and query, which may hold keys; nothing of a text that is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _traces_path(parts: SplitResult, *, appends_path: bool) -> tuple[str, list[str]]:
    """The path to post to, and what was made of the one that is given."""
    if not appends_path:
        return parts.path, []
    path = parts.path.rstrip("/")
    if not path.endswith("/traces"):
        return path + TRACES_PATH, [f"{shown_url(urlunsplit(parts))} is taken as base: {TRACES_PATH} is appended"]
    return path, ["the slash at the end is left out"] if path != parts.path else []


def _is_secure(parts: SplitResult, is_insecure: bool | None) -> bool:
    """Whether TLS is spoken where no scheme is given."""
    return not (parts.hostname in _LOCAL if is_insecure is None else is_insecure)


def _scheme_warnings(parts: SplitResult, is_insecure: bool | None) -> list[str]:
    warnings = []
    if is_insecure is not None and parts.scheme and is_insecure is not (parts.scheme == "http"):
        warnings.append(f"insecure: {str(is_insecure).lower()} has no effect beside {parts.scheme}://, which decides")
    if (parts.scheme, parts.port) in (("http", _TLS_PORT), ("https", 80)):
        other = {"http": "https", "https": "http"}[parts.scheme]
        warnings.append(f"port {parts.port} is usually spoken to in {other}://, not {parts.scheme}://")
    return warnings


def _misfit(port: int, usual: str, protocol: str, remedy: str) -> str:
    return f"port {port} is the one for OTLP over {usual}, and the protocol is {protocol}; use {remedy}"


def _split(given: str, example: str) -> SplitResult:
    """The parts of a URL, which may lack its scheme."""
    text, expected = given.strip(), f'expected a URL such as "{example}"'
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        _ = parts.port  # raises if it is none
    except ValueError:  # its text may quote a password
        raise ValueError(f"is no URL; {expected}") from None
    if parts.scheme not in ("http", "https", ""):
        raise ValueError(f"has the scheme {parts.scheme}://, not http:// or https://; {expected}")
    if not parts.hostname or any(char.isspace() for char in text):
        raise ValueError(f"names no host; {expected}")
    return parts
