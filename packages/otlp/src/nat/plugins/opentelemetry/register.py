"""Registers the exporter type `otelcollector`."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from nat.cli.register_workflow import register_telemetry_exporter
from nat.plugins.opentelemetry.settings import OtlpConfig, check_installed

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter

__all__ = ["OtelCollectorConfig", "otelcollector_exporter"]

_DEFAULT_ENDPOINTS = {"grpc": "http://localhost:4317"}
_DEFAULT_ENDPOINT = "http://localhost:4318"


class OtelCollectorConfig(OtlpConfig, name="otelcollector"):
    """Any OpenTelemetry Collector or OTLP endpoint."""

    route_keys: ClassVar[frozenset[str]] = frozenset({"endpoint", "headers", "project", "resource_attributes"})

    endpoint: str | None = Field(
        default=None,
        min_length=1,
        description="Where to send: a base URL, to which /v1/traces is appended, or one whose path ends in /traces; for gRPC "
        "the address of the server. Unset: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT, else this machine.",
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="Headers of each request, beside those of OTEL_EXPORTER_OTLP_HEADERS. A value file:PATH is read from that "
        "file, for every request anew.",
    )
    protocol: Literal["http", "http/protobuf", "http/json", "grpc"] | None = Field(
        default=None,
        description="http is http/protobuf; grpc needs the extra grpc. Unset: OTEL_EXPORTER_OTLP_PROTOCOL, else http.",
    )
    append_path: bool = Field(
        default=True, description="Whether /v1/traces is appended to an endpoint whose path does not end in /traces."
    )
    insecure: bool | None = Field(
        default=None,
        description="For an endpoint without http:// or https://: plain text instead of TLS. Unset: "
        "OTEL_EXPORTER_OTLP_INSECURE, else plain text on this machine only.",
    )
    project: str | None = Field(default=None, min_length=1, description="The resource's service.name.")

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        from nat.plugins.opentelemetry.credentials import checked_headers

        with _told():
            return checked_headers(headers)

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, endpoint: str | None) -> str | None:
        from nat.plugins.opentelemetry.endpoints import grpc_endpoint

        with _told():
            if endpoint is not None:
                grpc_endpoint(endpoint)  # as over HTTP, what is no URL is none
        return endpoint

    @model_validator(mode="after")
    def _environment_fits(self) -> Self:
        with _told():
            _with_environment(self)
        return self


@register_telemetry_exporter(config_type=OtelCollectorConfig)
async def otelcollector_exporter(
    config: OtelCollectorConfig, builder: "Builder"
) -> "AsyncIterator[OTLPSpanAdapterExporter]":
    """Build the exporter from the settings and, where they are silent, OpenTelemetry's environment variables."""
    from nat.plugins.opentelemetry.preset import otlp_exporter

    yield otlp_exporter(config, **_with_environment(config))


def _with_environment(config: OtelCollectorConfig) -> dict[str, Any]:
    """Arguments for `otlp_exporter`: what the settings say and, where they are silent, the environment.

    Raises:
        ValueError: A variable that is needed holds what it cannot.
    """
    import os

    from nat.plugins.opentelemetry.environment import OtlpEnvironment

    environment, given = OtlpEnvironment(os.environ), config.model_fields_set
    protocol = config.protocol or environment.protocol or "http"
    check_installed(protocol)
    endpoint, append_path = config.endpoint, config.append_path
    if endpoint is None:
        endpoint = environment.endpoint or _DEFAULT_ENDPOINTS.get(protocol, _DEFAULT_ENDPOINT)
        append_path = append_path and not environment.endpoint_is_complete
    own_resource = {} if config.project is None else {"service.name": config.project}
    return {
        "endpoint": endpoint,
        "headers": {**environment.headers, **config.headers},
        "protocol": protocol,
        "resource_attributes": {**environment.resource_attributes, **own_resource},
        "append_path": append_path,
        "insecure": environment.is_insecure if config.insecure is None else config.insecure,
        "compression": None if "compression" in given else environment.compression,
        "tls": environment.tls if config.tls is None else None,
        "timeout": None if "timeout" in given else environment.timeout_s,
    }


@contextmanager
def _told() -> Iterator[None]:
    """Tell a user of the settings what is wrong with them."""
    try:
        yield
    except ValueError as error:
        raise PydanticCustomError("otlp", "{reason}", {"reason": str(error)}) from None
