"""The place of a Phoenix: where spans go, with which headers and under which project, and where people look at them.

Sources: arize-phoenix-otel, what `phoenix.otel.register` does with the same settings and variables (`.env.phoenix` files are
not looked for); Phoenix 20.26, path `/redirects/traces/{trace id}` of its pages. Read 2026-11-26.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from nat.plugins.opentelemetry.credentials import FILE_PREFIX, HeaderSource, resolved
from nat.plugins.opentelemetry.endpoints import TRACES_PATH, http_endpoint, shown_url
from nat.plugins.opentelemetry.environment import OtlpEnvironment, headers_in
from nat.plugins.phoenix.register import PhoenixConfig

__all__ = ["PROJECT_ATTRIBUTE", "Place", "place_of"]

PROJECT_ATTRIBUTE = "openinference.project.name"

_DEFAULT_URL = "http://localhost:6006"
_DEFAULT_GRPC_PORT = "4317"
_DEFAULT_PROJECT = "default"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one exporter's spans go.

    Attributes:
        endpoint: Of OTLP.
        headers: Of each request.
        resource: What is said of the process; the project among it.
        web_url: Phoenix's web server; `None`: it is not known where that is.
    """

    endpoint: str
    headers: HeaderSource
    resource: Mapping[str, Any]
    web_url: str | None

    @property
    def trace_page(self) -> Callable[[int, int], str] | None:
        """Gives the URL of the page that shows a trace."""
        base = self.web_url
        if base is None:
            return None
        shown = shown_url(base)
        return lambda trace_id, _: f"{shown}/redirects/traces/{trace_id:032x}"


def place_of(config: PhoenixConfig, environ: Mapping[str, str]) -> Place:
    """What the settings say, and where they are silent the environment.

    Raises:
        ValueError: A variable has a value that it cannot have; the message names it.
    """
    environment = {name: value.strip() for name, value in environ.items() if value.strip()}
    base = environment.get("PHOENIX_COLLECTOR_ENDPOINT") or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    is_grpc = config.protocol == "grpc"
    web_url = config.web_url or (None if is_grpc and config.endpoint else config.endpoint or base or _DEFAULT_URL)
    endpoint = config.endpoint or base or _DEFAULT_URL
    if is_grpc and config.endpoint is None:
        endpoint = _at_grpc_port(endpoint, environment.get("PHOENIX_GRPC_PORT", _DEFAULT_GRPC_PORT))
    project = config.project or environment.get("PHOENIX_PROJECT") or environment.get("PHOENIX_PROJECT_NAME")
    return Place(
        endpoint=endpoint,
        headers=_headers(config, environment),
        resource={**OtlpEnvironment(environ).resource_attributes, PROJECT_ATTRIBUTE: project or _DEFAULT_PROJECT},
        web_url=None if web_url is None else http_endpoint(web_url).url.partition("?")[0].removesuffix(TRACES_PATH),
    )


def _at_grpc_port(url: str, port: str) -> str:
    if not port.isdecimal():
        raise ValueError(f"PHOENIX_GRPC_PORT is {port!r}, expected a port")
    parts = urlsplit(url if "//" in url else f"//{url}")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme or 'http'}://{host}:{port}"


def _headers(config: PhoenixConfig, environment: Mapping[str, str]) -> HeaderSource:
    """As Phoenix's client has it: headers that are given replace those of the environment, the key is added to either."""
    given = {name.lower(): value for name, value in config.headers.items()}
    key = None if config.api_key is None else config.api_key.get_secret_value()
    if key is None and not given:
        given = _environment_headers(environment)
    if key is None and ("authorization" not in given or not config.headers):
        key = environment.get("PHOENIX_API_KEY")
    if key is None:
        return given
    if key.startswith(FILE_PREFIX):
        return lambda: {**given, "authorization": f"Bearer {resolved(key)}"}
    return {**given, "authorization": f"Bearer {key}"}


def _environment_headers(environment: Mapping[str, str]) -> dict[str, str]:
    """Phoenix's variables; where there are none, OpenTelemetry's."""
    if "PHOENIX_CLIENT_HEADERS" in environment or "PHOENIX_API_KEY" in environment:
        name = "PHOENIX_CLIENT_HEADERS"
    else:
        name = "OTEL_EXPORTER_OTLP_HEADERS"
    return {header.lower(): value for header, value in headers_in(name, environment.get(name, "")).items()}
