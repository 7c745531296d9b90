"""Lines of a trace file: from a step or span to the bytes of its line, and from a span line back."""

from collections.abc import Mapping
from typing import Any

from nat.data_models.span import Span, SpanContext, SpanEvent, SpanLink, SpanStatus
from nat.observability.processor.span_to_dict import span_to_line
from nat.observability.snapshot import clean, encode_line
from nat.observability.spans.otlp_json import request_of

__all__ = ["line_of_request", "line_of_span", "line_of_step", "span_of_line"]


def line_of_step(text: str, project: str | None) -> bytes:
    """The line of a step that is serialised already."""
    return _line(text, project)


def line_of_span(span: Span, project: str | None) -> bytes:
    """The line of a span in format `spans`."""
    return _line(span_to_line(span), project)


def line_of_request(span: Span, project: str | None) -> bytes:
    """The line of a span in format `otlp_json`; the project is the service that the span comes from."""
    return _line(encode_line(request_of([span], {} if project is None else {"service.name": project})), None)


def _line(text: str, project: str | None) -> bytes:
    """The line of a JSON object, with the project before its own keys."""
    text = clean(text).replace("\r", " ").replace("\n", " ")  # can only be between tokens: strings hold them escaped
    if project is not None and text.startswith('{"'):
        text = f"{encode_line({'project': project})[:-1]},{text[1:]}"
    return text.encode() + b"\n"


def span_of_line(line: Mapping[str, Any]) -> Span:
    """The span that a line of format `spans` describes.

    Raises:
        KeyError, TypeError, ValueError: It is not such a line.
    """
    return Span(
        name=line["name"],
        context=_context_of(line),
        start_time=line["start_time"],
        end_time=line["end_time"],
        status=SpanStatus.model_validate(line["status"]),
        attributes=line["attributes"],
        events=[SpanEvent.model_validate(event) for event in line["events"]],
        links=[SpanLink(context=_context_of(link), attributes=link["attributes"]) for link in line["links"]],
    )


def _context_of(ids: Mapping[str, Any]) -> SpanContext:
    parent = ids.get("parent_span_id")
    return SpanContext(
        trace_id=int(ids["trace_id"], 16),
        span_id=int(ids["span_id"], 16),
        parent_span_id=None if parent is None else int(parent, 16),
    )
