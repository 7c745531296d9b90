"""`OTLPSpanAdapterExporter`: sends spans to any OTLP endpoint."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from nat.builder.context import ContextState
from nat.data_models.conventions import Conventions
from nat.data_models.span import Span
from nat.observability.delivery.worker import Lane
from nat.observability.spans.capture import CapturedSpan
from nat.observability.spans.describe import description_of, span_of
from nat.observability.spans.genai import Said, genai_of, said_span
from nat.observability.spans.otlp_json import request_of
from nat.plugins.opentelemetry.credentials import HeaderSource, checked_headers
from nat.plugins.opentelemetry.encoding import (
    encode_captured,
    encode_description,
    encode_request,
    encode_span,
)
from nat.plugins.opentelemetry.endpoints import grpc_endpoint, http_endpoint
from nat.plugins.opentelemetry.instrumentation import uninstrumented
from nat.plugins.opentelemetry.otel_span import OtelSpan
from nat.plugins.opentelemetry.otel_span_exporter import OtelSpanExporter
from nat.plugins.opentelemetry.transport import Compression, OtlpProtocol, TlsFiles, Transport

__all__ = ["OTLPSpanAdapterExporter", "Translation"]

_log = logging.getLogger("nat.observability.otlp")


Translation = Callable[[Span], dict[str, Any]]
"""Gives the attributes that a backend wants to see on a span; changes nothing of the span, and never raises."""


class OTLPSpanAdapterExporter(OtelSpanExporter):
    """Sends spans over OTLP: over HTTP in protobuf or JSON, or over gRPC.

    Does not block the event loop. What the receiver answers decides: HTTP 429, 502, 503 and 504 and connection errors are tried
    again, honouring `Retry-After`; a partial success counts the spans that were refused; everything else is final.

    Args:
        endpoint: Base URL, to which `/v1/traces` is appended, or a complete one whose path ends in `/traces`; for gRPC the
            address of the server.
        headers: Of each request: a mapping, or a function that gives one. A value `file:PATH` is the content of that file.
        protocol: `http` is `http/protobuf`. `grpc` needs the extra `grpc`.
        compression: Of requests.
        tls: Files for TLS beside the system's authorities.
        proxy: URL of an HTTP proxy; `None`: as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say. Over HTTP only.
        append_path: False: a path that does not end in `/traces` is complete, too. Over HTTP only.
        insecure: For an endpoint without a scheme: plain text instead of TLS; `None`: on this machine only.
        trace_page: Gives the URL of the page that shows a trace, of its id and that of its root span; for links.
        translation: Says a span's attributes in the backend's own words, when it is sent.
        conventions: In whose names attributes are written that the translation leaves in OpenInference's, unless an entry of
            the configuration says it.

    The other arguments are those of `OtelSpanExporter`.

    Raises:
        ValueError: The endpoint, a header or an option is wrong.
        OSError: A file for TLS cannot be read.
        ModuleNotFoundError: `grpc` without grpcio; the message says how to install it.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        headers: HeaderSource | None = None,
        protocol: OtlpProtocol = "http",
        compression: Compression = "none",
        tls: TlsFiles | None = None,
        proxy: str | None = None,
        append_path: bool = True,
        insecure: bool | None = None,
        trace_page: Callable[[int, int], str] | None = None,
        translation: Translation | None = None,
        conventions: Conventions = "openinference",
        context_state: ContextState | None = None,
        batch_size: int = 100,
        flush_interval: float = 5.0,
        max_queue_size: int = 1000,
        drop_on_overflow: bool = False,
        shutdown_timeout: float = 10.0,
        resource_attributes: Mapping[str, Any] | None = None,
        timeout: float = 10.0,
        retries: int | None = None,
    ) -> None:
        super().__init__(
            context_state,
            batch_size=batch_size,
            flush_interval=flush_interval,
            max_queue_size=max_queue_size,
            drop_on_overflow=drop_on_overflow,
            shutdown_timeout=shutdown_timeout,
            resource_attributes=resource_attributes,
            timeout=timeout,
            retries=retries,
        )
        self._trace_page = trace_page
        self.protocol = "http/protobuf" if protocol == "http" else protocol
        self._translation = translation
        self._conventions: Conventions = conventions
        self._genai = genai_of(conventions)
        self._is_json = protocol == "http/json"
        source = headers if callable(headers) else checked_headers(headers or {})
        self._transport: Transport
        if protocol == "grpc":
            target = grpc_endpoint(endpoint, is_insecure=insecure)
            self._remarks = _remarks(target.notes, target.warnings, is_secure=target.is_secure, tls=tls)
            from nat.plugins.opentelemetry.grpc_transport import GrpcTransport

            self._transport = GrpcTransport(target, source, compression=compression, tls=tls, proxy=proxy)
            return
        url = http_endpoint(endpoint, appends_path=append_path, is_insecure=insecure)
        self._remarks = _remarks(url.notes, url.warnings, is_secure=url.url.startswith("https:"), tls=tls)
        from nat.plugins.opentelemetry.http_transport import HttpTransport

        self._transport = HttpTransport(
            url, source, is_json=self._is_json, compression=compression, tls=tls, proxy=proxy
        )

    def use_lane(self, lane: Lane) -> None:
        """Take events from this lane, and say spans in the conventions that its entry has chosen."""
        super().use_lane(lane)
        self._genai = genai_of(lane.conventions or self._conventions)

    @property
    def endpoint(self) -> str:
        """Where spans are sent to, without anything secret."""
        return self._transport.shown_endpoint

    def trace_url(self, trace_id: int, root_span_id: int) -> str | None:
        """The page on which the backend shows a trace; `None` if nobody has said where."""
        return None if self._trace_page is None else self._trace_page(trace_id, root_span_id)

    async def export_otel_spans(self, spans: list[OtelSpan]) -> None:
        """Send these spans in one request."""
        resource = self._resource.attributes
        if self._is_json:
            body = orjson.dumps(request_of((self._translated(view.span) for view in spans), resource))
        else:
            body = encode_request((encode_span(view.span, self._said(view.span)) for view in spans), resource)
        await self._send_body(body)

    @property
    def _sends_captured(self) -> bool:
        return not self._is_json and all(getattr(type(self), name) is own for name, own in _SEEING_SPANS.items())

    async def _send(self, item: Any) -> None:
        if isinstance(item, list) and isinstance(item[0], CapturedSpan):
            is_common = self._translation is None and self._genai is None
            spans = map(encode_captured if is_common else self._encoded, item)
            await self._send_body(encode_request(spans, self._resource.attributes))
        else:
            await super()._send(item)

    def _encoded(self, captured: CapturedSpan) -> bytes:
        """A span in the backend's words, or in the conventions."""
        known = description_of(captured)
        if self._translation is not None:
            return encode_description(known, self._said(span_of(known, known.attributes)))
        return encode_description(known, None if self._genai is None else self._genai.say(known.attributes))

    def _translated(self, span: Span) -> Span:
        said = self._said(span)
        return span if said is None else said_span(span, said)

    def _said(self, span: Span) -> Said | None:
        """A span in the backend's words, and the rest of it in the conventions; `None` if it is to stay as it is."""
        if self._translation is None:
            return None if self._genai is None else self._genai.say(span.attributes)
        attributes = self._translation(span)
        return Said(attributes, []) if self._genai is None else self._genai.say(attributes)

    async def _send_body(self, body: bytes) -> None:
        with uninstrumented():
            await self._transport.send(body)

    async def _cleanup(self) -> None:
        await self._transport.close()
        await super()._cleanup()

    def _prepare(self) -> None:
        super()._prepare()
        lane, remarks = self._life.lane, self._remarks
        self._remarks = ()
        for level, remark in remarks:
            _log.log(level, "%s: endpoint: %s", self.name if lane is None else lane.name, remark)


def _remarks(
    notes: tuple[str, ...], warnings: tuple[str, ...], *, is_secure: bool, tls: TlsFiles | None
) -> tuple[tuple[int, str], ...]:
    """What is to be said of an endpoint, once it is known whose it is: level and text."""
    if tls is not None and not is_secure:
        warnings = (*warnings, "files for TLS have no effect on a connection in plain text; use https://")
    levels = [*(logging.INFO for _ in notes), *(logging.WARNING for _ in warnings)]
    return tuple(zip(levels, (*notes, *warnings), strict=True))


_SEEING_SPANS = {
    name: getattr(OTLPSpanAdapterExporter, name)
    for name in ("export", "export_processed", "export_otel_spans", "create_isolated_instance", "_flush")
}
"""What a subclass may override to see spans, or the runs they belong to: then they must be described for it first."""
