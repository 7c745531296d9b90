"""What a backend has received: requests, and the spans in them, as plain values."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from nat.testing.faults import OK, Fault

__all__ = ["Protocol", "ReceivedEvent", "ReceivedLink", "ReceivedSpan", "Request", "Scope", "StatusCode"]

Protocol = Literal["http/protobuf", "http/json", "grpc", "json", "other"]
"""How a request was written: OTLP in one of its three forms, other JSON, or neither."""

StatusCode = Literal["UNSET", "OK", "ERROR"]


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One request as it arrived.

    Attributes:
        time_s: When it had arrived, in seconds of the monotonic clock.
        protocol: How it was written.
        method, path: Of the request; over gRPC, `POST` and the method's full name.
        query: What follows the `?` of the URL.
        headers: By lower-case name; over gRPC, the metadata.
        content_type: Without its parameters.
        body: Decompressed.
        spans: The spans in it, if it is OTLP or spans as nat-telemetry's own dicts (`span_to_dict`).
        fault: How it is answered.
    """

    time_s: float
    protocol: Protocol
    method: str
    path: str
    query: str
    headers: dict[str, str] = field(repr=False)
    content_type: str
    body: bytes = field(repr=False)
    spans: list["ReceivedSpan"] = field(default_factory=list, repr=False)
    fault: Fault = OK

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Scope:
    """What has made a span: name and version of an instrumentation."""

    name: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event of a span; time in nanoseconds since the epoch."""

    name: str
    time_ns: int
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReceivedLink:
    """A reference from a span to another one; ids as hexadecimal digits."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as a backend received it.

    Attributes:
        trace_id, span_id: 32 and 16 lower-case hexadecimal digits.
        parent_id: Id of the parent, `None` for a root.
        kind: OpenTelemetry's span kind, such as `INTERNAL`; the kind of step is an attribute.
        start_ns, end_ns: Nanoseconds since the epoch.
        attributes: By key; lists are lists, key-value lists dicts, and bytes bytes.
        status, status_message: How it ended.
        resource: Attributes of the resource that it came with.
        scope: What has made it.
        request: The request that it came in.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: tuple[ReceivedEvent, ...]
    links: tuple[ReceivedLink, ...]
    status: StatusCode
    status_message: str
    resource: dict[str, Any]
    scope: Scope
    request: Request = field(repr=False, compare=False)
