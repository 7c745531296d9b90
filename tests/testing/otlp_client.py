"""A client that speaks OTLP in each of its three forms, and says what it was answered."""

import gzip
import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

__all__ = ["PROTOBUF", "Answer", "export_over_grpc", "message_of", "post", "post_json", "post_protobuf"]

PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers by lower-case name, and body."""

    status: int
    headers: dict[str, str]
    body: bytes


def message_of(*names: str, trace_id: bytes = b"\1" * 16) -> ExportTraceServiceRequest:
    """A request with one span of each name; their ids count from 1."""
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add().scope_spans.add().spans
    for number, name in enumerate(names, start=1):
        spans.add(trace_id=trace_id, span_id=number.to_bytes(8, "big"), name=name)
    return message


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, method: str = "POST", tls: ssl.SSLContext | None = None
) -> Answer:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=180, context=tls)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=180)
    try:
        connection.request(method, parts.path, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def post_protobuf(
    url: str,
    message: ExportTraceServiceRequest,
    headers: Mapping[str, str] = MappingProxyType({}),
    *,
    compress: bool = False,
) -> Answer:
    body = message.SerializeToString()
    if compress:
        body, headers = gzip.compress(body), {**headers, "Content-Encoding": "gzip"}
    return post(url, body, {"Content-Type": PROTOBUF, **headers})


def post_json(url: str, document: Any) -> Answer:
    return post(url, json.dumps(document).encode(), {"Content-Type": "application/json; charset=utf-8"})


def export_over_grpc(
    endpoint: str,
    message: ExportTraceServiceRequest,
    *,
    metadata: Sequence[tuple[str, str]] = (),
    timeout_s: float = 180.0,
    credentials: grpc.ChannelCredentials | None = None,
) -> ExportTraceServiceResponse:
    channel = grpc.insecure_channel(endpoint) if credentials is None else grpc.secure_channel(endpoint, credentials)
    with channel:
        stub = TraceServiceStub(channel)  # type: ignore[no-untyped-call]  # comes without types for its stubs
        response = stub.Export(message, metadata=metadata, timeout=timeout_s, compression=grpc.Compression.Gzip)
        assert isinstance(response, ExportTraceServiceResponse)
        return response


def as_json(message: ExportTraceServiceRequest) -> Any:
    """OTLP/JSON of a message: protobuf's JSON but for the ids, which are hexadecimal."""
    document = json_format.MessageToDict(message)
    for resource_spans, raw in zip(document["resourceSpans"], message.resource_spans, strict=True):
        for scope_spans, raw_scope in zip(resource_spans["scopeSpans"], raw.scope_spans, strict=True):
            for span, raw_span in zip(scope_spans["spans"], raw_scope.spans, strict=True):
                span["traceId"], span["spanId"] = raw_span.trace_id.hex(), raw_span.span_id.hex()
                if raw_span.parent_span_id:
                    span["parentSpanId"] = raw_span.parent_span_id.hex()
                for link, raw_link in zip(span.get("links", ()), raw_span.links, strict=True):
                    link["traceId"], link["spanId"] = raw_link.trace_id.hex(), raw_link.span_id.hex()
    return document
