"""OpenTelemetry's environment variables, where a configuration is silent.

Source: OpenTelemetry specification, pages "OpenTelemetry Protocol Exporter" and "Environment Variable Specification", read
2026-11-26. The variables for traces go before those for all signals. Values in lists are percent-encoded.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import unquote

from nat.plugins.opentelemetry.transport import Compression, OtlpProtocol, TlsFiles

__all__ = ["OtlpEnvironment", "read_environment"]

_log = logging.getLogger("nat.observability.otlp")

ChoiceT = TypeVar("ChoiceT")

_PROTOCOLS: dict[str, OtlpProtocol] = {
    "http/protobuf": "http/protobuf",
    "http/json": "http/json",
    "grpc": "grpc",
}
_COMPRESSIONS: dict[str, Compression] = {"gzip": "gzip", "none": "none"}
_SHORTEST_TIMEOUT_MS = 100.0  # below it is somebody who counts in seconds, as opentelemetry-sdk for Python does


@dataclass(frozen=True, slots=True)
class OtlpEnvironment:
    """What the environment says; `None`, or empty, where it says nothing.

    Attributes:
        endpoint: Where to send.
        endpoint_is_complete: Whether that is the URL for traces, to which nothing is appended.
        headers: Of each request.
        protocol, compression, tls: How to send.
        timeout_s: Seconds that one attempt may take.
        is_insecure: Over gRPC, for an endpoint without a scheme: whether in plain text.
        resource_attributes: What is said of the process; the service's name among them.
    """

    endpoint: str | None = None
    endpoint_is_complete: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    protocol: OtlpProtocol | None = None
    compression: Compression | None = None
    tls: TlsFiles | None = None
    timeout_s: float | None = None
    is_insecure: bool | None = None
    resource_attributes: Mapping[str, str] = field(default_factory=dict)


def read_environment(environ: Mapping[str, str]) -> OtlpEnvironment:
    """What `OTEL_EXPORTER_OTLP_*`, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say.

    Raises:
        ValueError: A variable has a value that it cannot have; the message names it.
    """
    variables = _Variables(environ)
    for_traces = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    resource = _pairs("OTEL_RESOURCE_ATTRIBUTES", environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    if service_name := environ.get("OTEL_SERVICE_NAME", "").strip():
        resource["service.name"] = service_name
    return OtlpEnvironment(
        endpoint=for_traces or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or None,
        endpoint_is_complete=bool(for_traces),
        headers=_pairs(*variables.find("HEADERS")),
        protocol=_choice(*variables.find("PROTOCOL"), _PROTOCOLS),
        compression=_choice(*variables.find("COMPRESSION"), _COMPRESSIONS),
        tls=_tls(variables),
        timeout_s=_timeout_s(*variables.find("TIMEOUT")),
        is_insecure=_flag(*variables.find("INSECURE")),
        resource_attributes=resource,
    )


class _Variables:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def find(self, name: str) -> tuple[str, str]:
        """The variable that says it, the one for traces first, and its value; an empty one says nothing."""
        names = (f"OTEL_EXPORTER_OTLP_TRACES_{name}", f"OTEL_EXPORTER_OTLP_{name}")
        found = [(variable, self._environ[variable].strip()) for variable in names if self._environ.get(variable)]
        return next((pair for pair in found if pair[1]), (names[1], ""))


def _choice(name: str, value: str, choices: Mapping[str, ChoiceT]) -> ChoiceT | None:
    if not value:
        return None
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of: {', '.join(choices)}")
    return choices[value]


def _pairs(name: str, text: str) -> dict[str, str]:
    """A list of `key=value`, as in W3C Baggage."""
    pairs = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, separator, value = part.partition("=")
        if not separator or not key.strip():
            raise ValueError(f"{name} holds a part without '=', expected key=value,key=value")
        pairs[unquote(key.strip())] = unquote(value.strip())
    return pairs


def _tls(variables: _Variables) -> TlsFiles | None:
    names = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
    files = [variables.find(name)[1] or None for name in names]
    return TlsFiles(*files) if any(files) else None


def _timeout_s(name: str, value: str) -> float | None:
    if not value:
        return None
    try:
        timeout_ms = float(value)
    except ValueError:
        timeout_ms = -1.0
    if not 0 < timeout_ms < float("inf"):
        raise ValueError(f"{name} is {value!r}, expected milliseconds")
    if timeout_ms < _SHORTEST_TIMEOUT_MS:
        _log.warning(
            "%s is %s: OpenTelemetry counts it in milliseconds; set the key timeout instead, in seconds", name, value
        )
    return timeout_ms / 1000


def _flag(name: str, value: str) -> bool | None:
    if not value:
        return None
    if value.lower() not in ("true", "false"):
        raise ValueError(f"{name} is {value!r}, expected true or false")
    return value.lower() == "true"
