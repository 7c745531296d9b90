"""OpenTelemetry's environment variables, where a configuration is silent.

Source: OpenTelemetry specification, pages "OpenTelemetry Protocol Exporter" and "Environment Variable Specification", read
2026-11-26. The variables for traces go before those for all signals; an empty one says nothing. Values in lists are
percent-encoded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from nat.plugins.opentelemetry.credentials import checked_headers
from nat.plugins.opentelemetry.endpoints import grpc_endpoint
from nat.plugins.opentelemetry.transport import Compression, OtlpProtocol, TlsFiles
from nat.utils.pairs import pairs_in

__all__ = ["OtlpEnvironment", "headers_in"]

ChoiceT = TypeVar("ChoiceT")

_PROTOCOLS: dict[str, OtlpProtocol] = {
    "http/protobuf": "http/protobuf",
    "http/json": "http/json",
    "grpc": "grpc",
}
_COMPRESSIONS: dict[str, Compression] = {"gzip": "gzip", "none": "none"}
_SHORTEST_TIMEOUT_MS = 100.0


class OtlpEnvironment:
    """What `OTEL_EXPORTER_OTLP_*`, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say; `None`, or empty, for nothing.

    A variable is looked at when it is asked for, so one that is not needed may hold anything. Each property raises
    `ValueError` for a value that its variable cannot have; the message names the variable, and shows nothing of a header.

    Args:
        environ: Names and values.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @property
    def endpoint(self) -> str | None:
        """Where to send."""
        name, value = self._find("ENDPOINT")
        try:
            if value:
                grpc_endpoint(value)  # as over HTTP, what is no URL is none
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        return value or None

    @property
    def endpoint_is_complete(self) -> bool:
        """Whether that is the URL for traces, to which nothing is appended."""
        return bool(self._value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))

    @property
    def headers(self) -> dict[str, str]:
        """Headers of each request."""
        return headers_in(*self._find("HEADERS"))

    @property
    def protocol(self) -> OtlpProtocol | None:
        """How requests are written."""
        return _choice(*self._find("PROTOCOL"), _PROTOCOLS)

    @property
    def compression(self) -> Compression | None:
        """How requests are compressed."""
        return _choice(*self._find("COMPRESSION"), _COMPRESSIONS)

    @property
    def tls(self) -> TlsFiles | None:
        """Files for TLS."""
        variables = [self._find(name) for name in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")]
        for name, path in variables:
            if path and not Path(path).is_file():
                raise ValueError(f"{name}: there is no file {path!r}")
        (_, ca_file), (_, certificate_file), (key_name, key_file) = variables
        if key_file and not certificate_file:
            raise ValueError(f"{key_name} has no effect without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE; set both")
        return (
            TlsFiles(ca_file or None, certificate_file or None, key_file or None)
            if ca_file or certificate_file
            else None
        )

    @property
    def timeout_s(self) -> float | None:
        """Seconds that one attempt may take. Numbers below 100 are seconds, as opentelemetry-sdk for Python has them."""
        name, value = self._find("TIMEOUT")
        if not value:
            return None
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 < number < float("inf"):
            raise ValueError(f"{name} is {value!r}, expected milliseconds")
        return number if number < _SHORTEST_TIMEOUT_MS else number / 1000

    @property
    def is_insecure(self) -> bool | None:
        """For an endpoint without a scheme: whether in plain text."""
        name, value = self._find("INSECURE")
        if value and value.lower() not in ("true", "false"):
            raise ValueError(f"{name} is {value!r}, expected true or false")
        return value.lower() == "true" if value else None

    @property
    def resource_attributes(self) -> dict[str, str]:
        """What is said of the process; the service's name among them."""
        try:
            attributes = pairs_in(self._value("OTEL_RESOURCE_ATTRIBUTES"))
        except ValueError as error:
            raise ValueError(f"OTEL_RESOURCE_ATTRIBUTES: {error}") from None
        service_name = self._value("OTEL_SERVICE_NAME")
        return {**attributes, "service.name": service_name} if service_name else attributes

    def _value(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def _find(self, name: str) -> tuple[str, str]:
        """The variable that says it, and what it says."""
        for_all = f"OTEL_EXPORTER_OTLP_{name}"
        for_traces = f"OTEL_EXPORTER_OTLP_TRACES_{name}"
        value = self._value(for_traces)
        return (for_traces, value) if value else (for_all, self._value(for_all))


def headers_in(variable: str, text: str) -> dict[str, str]:
    """Headers as a variable of that name says them.

    Raises:
        ValueError: It does not; the message names the variable, and shows nothing of a header.
    """
    try:
        return checked_headers(pairs_in(text))
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from None


def _choice(name: str, value: str, choices: Mapping[str, ChoiceT]) -> ChoiceT | None:
    if not value:
        return None
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of: {', '.join(choices)}")
    return choices[value]
