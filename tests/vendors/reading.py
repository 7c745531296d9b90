"""Requests at a vendor's: read as its server does, and sent again with something changed."""

import http.client
from urllib.parse import urlsplit

from nat.testing import FakeBackend, Request, otlp

__all__ = ["sent_again", "take_spans"]


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


def sent_again(
    backend: FakeBackend,
    taken: Request,
    *,
    path: str | None = None,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> int:
    """Send a request over HTTP again, with something in it replaced; the status of the answer."""
    sent = taken.headers if headers is None else headers
    connection = http.client.HTTPConnection(urlsplit(backend.base_url).netloc)
    try:
        connection.request(
            "POST",
            taken.path if path is None else path,
            taken.body if body is None else body,
            {name: value for name, value in sent.items() if name not in ("host", "content-length")},
        )
        return connection.getresponse().status
    finally:
        connection.close()
