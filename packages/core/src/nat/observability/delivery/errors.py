"""How an export failed, and what follows from it."""

import asyncio
import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from nat.observability.delivery.causes import Cause, cause_of, cause_of_status

__all__ = [
    "ExportFailure",
    "ItemTooLargeError",
    "PartialExportError",
    "PermanentExportError",
    "TransientExportError",
    "classified",
    "classify",
]

_TOO_LARGE_HTTP = 413
_MAX_QUOTED = 500  # characters

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


class _ExportError(Exception):
    """What both kinds of failure say beside their message.

    Attributes:
        cause: Why, in terms that `nat doctor` explains; `None` leaves that to what led to the error.
        mend: What helps, where that is known better than the cause tells.
    """

    cause: Cause | None = None
    mend = ""

    def __init__(self, message: str = "", *, cause: Cause | None = None, mend: str = "") -> None:
        super().__init__(f"{message}; {mend}" if mend else message)
        if cause is not None:
            self.cause = cause
        self.mend = mend


class TransientExportError(_ExportError):
    """The backend may take the same item later: it is sent again.

    Args:
        message: What happened, without payload and credentials.
        retry_after_s: Seconds before which the backend wants no further attempt.
        cause: Why, for `nat doctor`.
        mend: What helps. It follows the message in logs.
    """

    retry_after_s: float | None = None

    def __init__(
        self, message: str = "", *, retry_after_s: float | None = None, cause: Cause | None = None, mend: str = ""
    ) -> None:
        super().__init__(message, cause=cause, mend=mend)
        self.retry_after_s = retry_after_s


class PermanentExportError(_ExportError):
    """The backend will never take this item: one attempt, no more.

    Args:
        message: What happened, without payload and credentials.
        cause: Why, for `nat doctor`.
        mend: What helps. It follows the message in logs.
    """


class ItemTooLargeError(PermanentExportError):
    """The backend takes no request of that size: a list is sent in halves, a single item once more with its texts cut."""

    cause = Cause.TOO_LARGE


class PartialExportError(PermanentExportError):
    """The backend has taken a list but for some of its items, and does not say which: nothing of it is sent again.

    Args:
        message: The backend's words, without payload and credentials.
        rejected_count: Items of the list that it will never take.
        cause, mend: See `PermanentExportError`.
    """

    cause = Cause.REJECTED

    def __init__(self, message: str = "", *, rejected_count: int, cause: Cause | None = None, mend: str = "") -> None:
        super().__init__(message, cause=cause, mend=mend)
        self.rejected_count = rejected_count


@dataclass(frozen=True, slots=True)
class ExportFailure:
    """One failed attempt.

    Attributes:
        is_transient: Whether another attempt makes sense.
        error: Class of the error, for logs; without the message, which may quote the payload.
        detail: The message of an error whose author meant it for logs, else empty.
        retry_after_s: Seconds before which the backend wants no further attempt.
        is_too_large: Whether less at once might be taken.
        is_answer: Whether it is known that the backend said so; a bug in the exporter looks like a refusal, too.
        rejected_count: How many items of a list were refused, where the others were taken; `None`: all of them.
        cause: Why, as far as the error tells.
        mend: What helps, if whoever raised the error has said so; `detail` ends with it.
        quoted: The message of any other error. Not for logs.
    """

    is_transient: bool
    error: str
    detail: str = ""
    retry_after_s: float | None = None
    is_too_large: bool = False
    is_answer: bool = False
    rejected_count: int | None = None
    cause: Cause = Cause.UNKNOWN
    mend: str = ""
    quoted: str = ""

    def __str__(self) -> str:
        return f"{self.error}: {self.detail}" if self.detail else self.error

    def shown(self, shown: Callable[[str], str]) -> "ExportFailure":
        """A copy whose texts have passed through `shown`."""
        if not (self.detail or self.quoted):
            return self
        return replace(self, detail=shown(self.detail), mend=shown(self.mend), quoted=shown(self.quoted))


def classify(exc: BaseException, now: Callable[[], float] = time.time) -> ExportFailure:
    """What a raised exception means for the item.

    Connection errors, timeouts and plain client errors with HTTP status 408, 425, 429 or 5xx are transient; how long to wait is
    read from their `Retry-After`. What is not known is permanent. An error that wraps another one (a retry library's) is
    classed by the innermost it names as its cause.

    Args:
        exc: What was raised.
        now: Seconds since the epoch, for a `Retry-After` that is a date.
    """
    error = type(exc).__name__
    if isinstance(exc, _ExportError):
        return _said_by_author(exc, error)
    status = _http_status(exc)
    if status is not None:
        return ExportFailure(
            is_transient=status in _TRANSIENT_HTTP,
            error=error,
            detail=f"HTTP {status}{_from_where(exc)}",
            retry_after_s=_retry_after_s(exc, now),
            is_too_large=status == _TOO_LARGE_HTTP,
            is_answer=True,
            cause=_cause_of_answer(exc, status),
        )
    cause, quoted = cause_of(exc), _text_of(exc)
    if isinstance(exc, TimeoutError | asyncio.TimeoutError | ConnectionError) or _is_connection_error(exc):
        return ExportFailure(True, error, _from_where(exc).strip(), cause=cause, quoted=quoted)
    if isinstance(exc, OSError):
        is_client_error = not type(exc).__module__.startswith("builtins") or exc.errno in _TRANSIENT_ERRNO
        detail = f"{exc.strerror or ''}{_from_where(exc)}".strip()
        return ExportFailure(is_client_error, error, detail, cause=cause, quoted=quoted)
    if exc.__cause__ is not None and exc.__cause__ is not exc:
        inner = classify(exc.__cause__, now)
        return replace(inner, error=error, detail=str(inner))
    return ExportFailure(False, error, cause=cause, quoted=quoted)


def classified(exc: BaseException) -> ExportFailure:
    """What an error means; one that cannot be asked (its properties raise, its causes go round in circles) is final."""
    try:
        return classify(exc)
    except Exception:
        return ExportFailure(False, type(exc).__name__)


def _said_by_author(exc: _ExportError, error: str) -> ExportFailure:
    is_transient = isinstance(exc, TransientExportError)
    return ExportFailure(
        is_transient=is_transient,
        error=error,
        detail=str(exc),
        retry_after_s=_seconds(exc.retry_after_s) if isinstance(exc, TransientExportError) else None,
        is_too_large=isinstance(exc, ItemTooLargeError),
        is_answer=not is_transient,
        rejected_count=exc.rejected_count if isinstance(exc, PartialExportError) else None,
        cause=exc.cause or cause_of(exc),
        mend=exc.mend,
    )


def _text_of(exc: BaseException) -> str:
    try:
        return str(exc)[:_MAX_QUOTED]
    except Exception:  # an author's `__str__`
        return ""


def _cause_of_answer(exc: BaseException, status: int) -> Cause:
    """A proxy's answer is told from the backend's by the class of the error."""
    cause = cause_of(exc)
    return cause if cause is Cause.PROXY else cause_of_status(status)


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
