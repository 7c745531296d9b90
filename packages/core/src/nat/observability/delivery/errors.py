"""How an export failed, and what follows from it."""

import asyncio
import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "ExportFailure",
    "ItemTooLargeError",
    "PartialExportError",
    "PermanentExportError",
    "TransientExportError",
    "classify",
]

_TOO_LARGE_HTTP = 413

_TRANSIENT_HTTP = frozenset({408, 425, 429, *range(500, 600)})
_TRANSIENT_ERRNO = frozenset(
    {errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT}
)
_CONNECTION_ERRORS = frozenset(  # of HTTP clients that do not derive them from OSError: a reset, an answer cut short
    {
        ("aiohttp", "ClientConnectionError"),
        ("aiohttp", "ClientPayloadError"),
        ("httpx", "NetworkError"),
        ("httpx", "ProxyError"),
        ("httpx", "RemoteProtocolError"),
        ("httpx", "TimeoutException"),
        ("urllib3", "NewConnectionError"),
        ("urllib3", "ProtocolError"),
        ("urllib3", "TimeoutError"),
        ("http", "BadStatusLine"),
        ("http", "IncompleteRead"),
    }
)


class TransientExportError(Exception):
    """The backend may take the same item later: it is sent again.

    Args:
        message: What happened, without payload and credentials.
        retry_after_s: Seconds before which the backend wants no further attempt.
    """

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PermanentExportError(Exception):
    """The backend will never take this item: one attempt, no more."""


class ItemTooLargeError(PermanentExportError):
    """The backend takes no request of that size: a list is sent in halves, a single item once more with its texts cut."""


class PartialExportError(PermanentExportError):
    """The backend has taken a list but for some of its items, and does not say which: nothing of it is sent again.

    Args:
        message: The backend's words, without payload and credentials.
        rejected_count: Items of the list that it will never take.
    """

    def __init__(self, message: str = "", *, rejected_count: int) -> None:
        super().__init__(message)
        self.rejected_count = rejected_count


@dataclass(frozen=True, slots=True)
class ExportFailure:
    """One failed attempt.

    Attributes:
        is_transient: Whether another attempt makes sense.
        cause: Class of the error, for logs; without the message, which may quote the payload.
        detail: The message of an error whose author meant it for logs, else empty.
        retry_after_s: Seconds before which the backend wants no further attempt.
        is_too_large: Whether less at once might be taken.
        is_answer: Whether it is known that the backend said so; a bug in the exporter looks like a refusal, too.
        rejected_count: How many items of a list were refused, where the others were taken; `None`: all of them.
    """

    is_transient: bool
    cause: str
    detail: str = ""
    retry_after_s: float | None = None
    is_too_large: bool = False
    is_answer: bool = False
    rejected_count: int | None = None

    def __str__(self) -> str:
        return f"{self.cause}: {self.detail}" if self.detail else self.cause


def classify(exc: BaseException, now: Callable[[], float] = time.time) -> ExportFailure:
    """What a raised exception means for the item.

    Connection errors, timeouts and plain client errors with HTTP status 408, 425, 429 or 5xx are transient; how long to wait is
    read from their `Retry-After`. What is not known is permanent. An error that wraps another one (a retry library's) is
    classed by the innermost it names as its cause.

    Args:
        exc: What was raised.
        now: Seconds since the epoch, for a `Retry-After` that is a date.
    """
    cause = type(exc).__name__
    if isinstance(exc, TransientExportError):
        return ExportFailure(True, cause, str(exc), _seconds(exc.retry_after_s))
    if isinstance(exc, PermanentExportError):
        return ExportFailure(
            is_transient=False,
            cause=cause,
            detail=str(exc),
            is_too_large=isinstance(exc, ItemTooLargeError),
            is_answer=True,
            rejected_count=exc.rejected_count if isinstance(exc, PartialExportError) else None,
        )
    status = _http_status(exc)
    if status is not None:
        return ExportFailure(
            is_transient=status in _TRANSIENT_HTTP,
            cause=cause,
            detail=f"HTTP {status}{_from_where(exc)}",
            retry_after_s=_retry_after_s(exc, now),
            is_too_large=status == _TOO_LARGE_HTTP,
            is_answer=True,
        )
    if isinstance(exc, TimeoutError | asyncio.TimeoutError | ConnectionError) or _is_connection_error(exc):
        return ExportFailure(True, cause, _from_where(exc).strip())
    if isinstance(exc, OSError):
        is_client_error = not type(exc).__module__.startswith("builtins") or exc.errno in _TRANSIENT_ERRNO
        return ExportFailure(is_client_error, cause, f"{exc.strerror or ''}{_from_where(exc)}".strip())
    if exc.__cause__ is not None and exc.__cause__ is not exc:
        inner = classify(exc.__cause__, now)
        return replace(inner, cause=cause, detail=str(inner))
    return ExportFailure(False, cause)


def _is_connection_error(exc: BaseException) -> bool:
    """Whether a client says that the connection failed; told by names, since none of them is imported here."""
    return any((cls.__module__.partition(".")[0], cls.__name__) in _CONNECTION_ERRORS for cls in type(exc).__mro__)


def _seconds(given: object) -> float | None:
    """What an author has passed on from a header, if it is a number of seconds."""
    try:
        seconds = float(given)  # type: ignore[arg-type]  # whatever it is
    except (TypeError, ValueError):
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _http_status(exc: BaseException) -> int | None:
    """The status that HTTP clients put on their errors: aiohttp's `status`, httpx's and requests' `response.status_code`."""
    for holder in (exc, getattr(exc, "response", None)):
        for name in ("status", "status_code", "code"):
            status = getattr(holder, name, None)
            if isinstance(status, int) and 100 <= status <= 599:
                return int(status)
    return None


def _retry_after_s(exc: BaseException, now: Callable[[], float]) -> float | None:
    """`Retry-After` of the answer, as seconds or as a date (RFC 9110, 10.2.3); `None` without one that can be read."""
    for holder in (exc, getattr(exc, "response", None)):
        value = _header(getattr(holder, "headers", None), "Retry-After")
        if value is None:
            continue
        if value.isascii() and value.isdigit():
            return _seconds(value)
        try:
            return max(parsedate_to_datetime(value).timestamp() - now(), 0.0)
        except (TypeError, ValueError, OverflowError):
            return None
    return None


def _header(headers: Any, name: str) -> str | None:
    """A header of any client's mapping, whether or not that minds upper and lower case."""
    try:
        for key in (name, name.lower()):
            value = headers.get(key)
            if isinstance(value, str):
                return value.strip()
    except (AttributeError, TypeError):
        return None
    return None


def _from_where(exc: BaseException) -> str:
    """Host and port that a client's error names, and the scheme if it does: path, query and user may hold keys."""
    host, port = getattr(exc, "host", None), getattr(exc, "port", None)  # aiohttp's, when there is no connection
    if isinstance(host, str) and isinstance(port, int):
        return f" from {host}:{port}"
    for name in ("request_info", "response", "request"):
        try:
            url = getattr(getattr(exc, name, None), "url", None)
            parts = urlsplit(str(url)) if url is not None else None
            if parts is not None and parts.hostname:
                suffix = "" if parts.port is None else f":{parts.port}"
                return f" from {parts.scheme}://{parts.hostname}{suffix}"
        except (RuntimeError, ValueError):  # httpx raises for a request that was not set
            continue
    return ""
