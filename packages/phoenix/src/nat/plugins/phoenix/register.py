"""Registers the exporter type `phoenix`."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

from nat.cli.register_workflow import register_telemetry_exporter
from nat.plugins.opentelemetry.settings import OtlpConfig

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter

__all__ = ["PhoenixConfig", "phoenix_exporter"]


class PhoenixConfig(OtlpConfig, name="phoenix"):
    """Arize Phoenix, through OTLP."""

    route_keys: ClassVar[frozenset[str]] = frozenset(
        {"api_key", "endpoint", "headers", "project", "resource_attributes", "web_url"}
    )

    endpoint: str | None = Field(
        default=None,
        min_length=1,
        description="Where Phoenix is: the URL of its web server, with or without /v1/traces; for gRPC the address of its gRPC "
        "server. Unset: PHOENIX_COLLECTOR_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:6006; for gRPC that "
        "host at PHOENIX_GRPC_PORT, else 4317.",
    )
    project: str | None = Field(
        default=None,
        min_length=1,
        description="The project that shows the runs; made at the first one. Unset: PHOENIX_PROJECT, PHOENIX_PROJECT_NAME, "
        "else default.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="An API key, or any other bearer token; file:PATH is read from that file, for every request anew. Unset: "
        "PHOENIX_API_KEY; a Phoenix without log-in needs none.",
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="Headers of each request, a value file:PATH as above. Unset, and api_key too: PHOENIX_CLIENT_HEADERS, else "
        "OTEL_EXPORTER_OTLP_HEADERS.",
    )
    protocol: Literal["http", "grpc"] = Field(
        default="http", description="How to send: http is protobuf over HTTP; grpc needs the extra grpc."
    )
    insecure: bool | None = Field(
        default=None,
        description="Over gRPC, for an endpoint without http:// or https://: plain text instead of TLS. Unset: plain text on "
        "this machine only.",
    )
    web_url: str | None = Field(
        default=None,
        min_length=1,
        description="Phoenix's web server, for links to runs and for annotations. Unset: the endpoint, unless it is for gRPC.",
    )

    @field_validator("endpoint", "web_url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        from nat.plugins.opentelemetry.endpoints import grpc_endpoint

        try:
            if url is not None:
                grpc_endpoint(url)  # the form that allows more; which one it must be depends on the protocol
        except ValueError as error:
            raise PydanticCustomError("no_url", "{reason}", {"reason": str(error)}) from None
        return url


@register_telemetry_exporter(config_type=PhoenixConfig)
async def phoenix_exporter(config: PhoenixConfig, builder: "Builder") -> "AsyncIterator[OTLPSpanAdapterExporter]":
    """Build the exporter from the settings and, where they are silent, the variables that Phoenix's own client reads."""
    import os
    from functools import partial

    from nat.plugins.opentelemetry.preset import otlp_exporter
    from nat.plugins.phoenix.annotations import Annotator
    from nat.plugins.phoenix.phoenix_exporter import PhoenixExporter
    from nat.plugins.phoenix.place import place_of

    place = place_of(config, os.environ)
    annotator = None
    if place.web_url is not None:
        tls = None if config.tls is None else config.tls.files()
        annotator = Annotator(place.web_url, place.headers, tls=tls, proxy=config.proxy)
    yield otlp_exporter(
        config,
        endpoint=place.endpoint,
        headers=place.headers,
        protocol=config.protocol,
        insecure=config.insecure,
        resource_attributes=place.resource,
        trace_page=place.trace_page,
        make=partial(PhoenixExporter, annotator),
    )
