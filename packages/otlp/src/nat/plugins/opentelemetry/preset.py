"""Presets: what a backend's package needs to describe a backend that speaks OTLP."""

from collections.abc import Callable, Mapping
from typing import Any

from nat.data_models.conventions import Conventions
from nat.plugins.opentelemetry.credentials import HeaderSource
from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter, Translation
from nat.plugins.opentelemetry.settings import OtlpConfig
from nat.plugins.opentelemetry.transport import Compression, OtlpProtocol, TlsFiles

__all__ = ["Translation", "otlp_exporter"]


def otlp_exporter(
    config: OtlpConfig,
    *,
    endpoint: str,
    headers: HeaderSource | None = None,
    protocol: OtlpProtocol = "http",
    resource_attributes: Mapping[str, Any] | None = None,
    append_path: bool = True,
    insecure: bool | None = None,
    compression: Compression | None = None,
    tls: TlsFiles | None = None,
    timeout: float | None = None,
    translation: Translation | None = None,
    conventions: Conventions = "openinference",
    trace_page: Callable[[int, int], str] | None = None,
    make: Callable[..., OTLPSpanAdapterExporter] = OTLPSpanAdapterExporter,
) -> OTLPSpanAdapterExporter:
    """The exporter that a configuration asks for, with what its backend demands.

    Args:
        config: What all OTLP exporters share is taken from it.
        endpoint, headers, protocol, append_path, insecure, trace_page: See `OTLPSpanAdapterExporter`.
        resource_attributes: Beside those of the configuration, which win.
        compression, tls, timeout: In place of the configuration's.
        make: The exporter's class, or what makes one of a class below it.
        translation: From a span to its attributes in the backend's own words.
        conventions: What the backend is sent unless an entry says it.
    """
    return make(
        endpoint=endpoint,
        headers=headers,
        protocol=protocol,
        compression=compression or config.compression,
        tls=tls or (None if config.tls is None else config.tls.files()),
        proxy=config.proxy,
        append_path=append_path,
        insecure=insecure,
        trace_page=trace_page,
        translation=translation,
        conventions=conventions,
        batch_size=config.batch_size,
        flush_interval=config.flush_interval,
        max_queue_size=config.max_queue_size,
        drop_on_overflow=config.drop_on_overflow,
        shutdown_timeout=config.shutdown_timeout,
        resource_attributes={**(resource_attributes or {}), **config.resource_attributes},
        timeout=timeout or config.timeout,
        retries=config.retries,
    )
