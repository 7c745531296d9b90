"""Rotel: a collector that prints every span that it receives."""

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from tests.products.servers import Server, free_port, program, running_server
from tests.products.shown import ShownEvent, ShownSpan

__all__ = ["Rotel", "as_printed", "running_rotel"]

_LOG_LINE = re.compile(r"^\x1b\[2m\d{4}-\S+\x1b\[0m .*\n", re.MULTILINE)  # its own log, between spans
_RESOURCE = re.compile(r"^ResourceSpans #\d+$", re.MULTILINE)
_SPAN = re.compile(r"^Span #\d+$", re.MULTILINE)
_EVENT = re.compile(r"^SpanEvent #\d+$", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^ +-> (?P<key>\S*): (?=(?:Str|Int|Double|Bool|Bytes|Slice|Map)\()", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rotel:
    """A Rotel that runs; `url` is the base of OTLP over HTTP, `grpc_url` that of OTLP over gRPC."""

    server: Server
    url: str
    grpc_url: str

    def finish(self) -> list[ShownSpan]:
        """Stop it; all spans that it has received, their attributes in its own notation (`as_printed`)."""
        self.server.stop()
        return list(_spans(self.server.output))


def as_printed(span: ShownSpan) -> ShownSpan:
    """A span as Rotel prints it."""
    return replace(
        span,
        attributes={key: _notation(value) for key, value in span.attributes.items()},
        events=tuple(
            replace(event, attributes={key: _notation(value) for key, value in event.attributes.items()})
            for event in span.events
        ),
    )


@contextmanager
def running_rotel() -> Iterator[Rotel]:
    """A Rotel for the duration of the context."""
    http_port, grpc_port = free_port(), free_port()
    with running_server(
        "rotel",
        [
            *(program("rotel", "lib/*/site-packages/rotel/rotel-agent"), "start"),
            *("--otlp-http-endpoint", f"127.0.0.1:{http_port}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}"),
            *("--debug-log", "traces", "--debug-log-verbosity", "detailed"),
            *("--batch-timeout", "100ms", "--exporter", "blackhole"),
        ],
        lambda: _is_open(http_port) and _is_open(grpc_port),
    ) as server:
        yield Rotel(server, f"http://127.0.0.1:{http_port}", f"http://127.0.0.1:{grpc_port}")


def _notation(value: Any) -> str:
    """A value as Rotel prints it: with its type in OTLP."""
    match value:
        case bool():
            return f"Bool({str(value).lower()})"
        case int():
            return f"Int({value})"
        case float():
            return f"Double({Decimal(repr(value)):f})"
        case list():
            return f"Slice({', '.join(map(_notation, value))})"
        case _:
            return f"Str({value})"


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _spans(dump: str) -> Iterator[ShownSpan]:
    for resource in _RESOURCE.split(_LOG_LINE.sub("", dump))[1:]:
        for span in _SPAN.split(resource)[1:]:
            yield _span(span)


def _span(block: str) -> ShownSpan:
    head, *events = _EVENT.split(block)
    head = head.removesuffix("Events:\n")
    fields, _, attributes = head.partition("\nAttributes:\n")
    return ShownSpan(
        trace_id=_field(fields, "Trace ID"),
        span_id=_field(fields, "ID"),
        parent_id=_field(fields, "Parent ID") or None,
        name=_field(fields, "Name"),
        start_ns=int(_field(fields, "Start time")),
        end_ns=int(_field(fields, "End time")),
        status=_field(fields, "Status code").removeprefix("STATUS_CODE_"),
        status_message=_field(fields, "Status message"),
        attributes=_attributes(attributes),
        events=tuple(map(_event, events)),
    )


def _event(block: str) -> ShownEvent:
    fields, _, attributes = block.partition("Attributes::\n")
    return ShownEvent(_field(fields, "-> Name"), int(_field(fields, "-> Timestamp")), _attributes(attributes))


def _field(block: str, name: str) -> str:
    found = re.search(rf"^ *{name} *: ?(.*)$", block, re.MULTILINE)
    assert found, f"Rotel shows no {name!r} in:\n{block[:500]}"
    return found[1]


def _attributes(block: str) -> Mapping[str, str]:
    """Attributes with their values as they are printed; a text may have line breaks in it."""
    starts = list(_ATTRIBUTE.finditer(block))
    ends = [*(start.start() for start in starts[1:]), len(block)]
    return {start["key"]: block[start.end() : end].rstrip("\n") for start, end in zip(starts, ends, strict=True)}
