"""Reading a request as a vendor's server does."""

from nat.testing import Request, otlp

__all__ = ["take_spans"]


def take_spans(request: Request) -> None:
    """Put the spans of an OTLP request over HTTP, protobuf or JSON, into it.

    Raises:
        ValueError: The body cannot be read, or an id in it is malformed.
    """
    if request.content_type == otlp.PROTOBUF:
        message = otlp.decode(request.body)
    else:
        message = otlp.decode_json(request.json())
    request.spans.extend(otlp.spans_of(message, request))
