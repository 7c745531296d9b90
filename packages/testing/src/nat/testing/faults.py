"""Faults: what a fake backend does with a request, instead of taking it."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Literal

__all__ = [
    "HANG",
    "LOGIN_PAGE",
    "OK",
    "RESET",
    "SILENCE",
    "TRICKLE",
    "TRUNCATED",
    "WRONG_CONTENT_TYPE",
    "Fault",
    "grpc_status",
    "partial_success",
    "redirect",
    "status",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request after it has been read.

    Attributes:
        name: For messages.
        kind: Answered as a whole, not at all, with a reset, a byte at a time without end, or cut short.
        status: HTTP status of the answer.
        body: Its body; `None` is what the protocol says for that status.
        content_type: Of the body; `None` is that of the request.
        headers: Further headers.
        retry_after_s: Seconds after which the client may come again.
        is_date: Whether `Retry-After` gives that as an HTTP date.
        rejected_count: Spans of the request that are not taken, the last ones in it.
        message: What a partial success, or a gRPC status, says.
        grpc_code: Name of the gRPC status; `None` is the one that fits `status`.
    """

    name: str
    kind: Literal["answer", "hang", "reset", "silence", "trickle", "truncated"] = "answer"
    status: int = 200
    body: bytes | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    is_date: bool = False
    rejected_count: int = 0
    message: str = ""
    grpc_code: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the client has been told that the request was taken."""
        is_taken = 200 <= self.status < 300 and self.grpc_code in (None, "OK")
        return is_taken and self.kind == "answer" and self.body is None and self.content_type is None

    def http_headers(self) -> dict[str, str]:
        """Its headers, with `Retry-After` as of now."""
        if self.retry_after_s is None:
            return dict(self.headers)
        date = formatdate(time.time() + self.retry_after_s, usegmt=True)
        return {**self.headers, "Retry-After": date if self.is_date else str(math.ceil(self.retry_after_s))}


OK = Fault("ok")
"""The request is taken."""

HANG = Fault("hang", "hang")
"""No answer, until the backend recovers."""

RESET = Fault("reset", "reset")
"""The connection is reset instead of an answer."""

SILENCE = Fault("silence", "silence")
"""No answer, ever: when the backend recovers, the connection is reset."""

TRICKLE = Fault("trickle", "trickle")
"""An answer that comes a byte at a time and does not end; when the backend recovers, it is cut off."""

TRUNCATED = Fault("truncated", "truncated")
"""Status 200, and a body that is shorter than announced. Over gRPC: an answer that is no message."""

WRONG_CONTENT_TYPE = Fault("wrong content type", body=b"accepted", content_type="text/plain")
"""Status 200 from something that does not speak the protocol."""

LOGIN_PAGE = Fault(
    "log-in page",
    body=b"<!doctype html><html><head><title>Log in</title></head><body><form method='post'></form></body></html>",
    content_type="text/html; charset=utf-8",
)
"""Status 200, and an HTML page that asks to log in: what a proxy answers."""


def status(
    code: int,
    *,
    retry_after_s: float | None = None,
    as_date: bool = False,
    body: Any = None,
    content_type: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """An answer with this HTTP status; over gRPC, with the code that a gRPC server would give in its place.

    Args:
        code: HTTP status.
        retry_after_s: For `Retry-After`, which knows whole seconds only (RFC 9110), or gRPC's RetryInfo.
        as_date: Give `Retry-After` as an HTTP date.
        body: Bytes or text as they are, anything else as JSON; left out, what OTLP says for that status.
        content_type: Of a body that is given.
        headers: Further headers.
    """
    return Fault(
        f"status {code}",
        status=code,
        body=None if body is None else _bytes(body),
        content_type=content_type or (None if body is None else _type_of(body)),
        headers=headers or {},
        retry_after_s=retry_after_s,
        is_date=as_date,
    )


def redirect(location: str, code: int = 302) -> Fault:
    """An answer that sends the client elsewhere. HTTP only."""
    return Fault(f"redirect {code}", status=code, headers={"Location": location})


def partial_success(rejected_count: int, message: str = "") -> Fault:
    """Status 200; that many spans of the request, the last ones, are refused for good. With 0, `message` is a warning."""
    return Fault(f"partial success, {rejected_count} rejected", rejected_count=rejected_count, message=message)


def grpc_status(code: str, *, message: str = "", retry_after_s: float | None = None) -> Fault:
    """An answer with this gRPC status, such as `UNAVAILABLE`; `retry_after_s` goes into a RetryInfo. gRPC only."""
    return Fault(f"gRPC {code}", status=500, message=message, retry_after_s=retry_after_s, grpc_code=code)


def _bytes(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _type_of(body: Any) -> str:
    return "text/plain; charset=utf-8" if isinstance(body, bytes | str) else "application/json"
