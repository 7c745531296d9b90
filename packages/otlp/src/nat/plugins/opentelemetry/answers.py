"""Answers: what an OTLP receiver says, and what that means for the spans that were sent.

Sources: OTLP specification 1.x, sections "Full Success", "Partial Success", "Failures", "OTLP/HTTP Response" and "OTLP/gRPC
Throttling"; google/rpc `status.proto` and `error_details.proto` (RetryInfo).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from nat.observability.delivery.causes import Cause
from nat.observability.delivery.errors import PartialExportError, TransientExportError
from nat.observability.noise import Noise
from nat.plugins.opentelemetry.credentials import without_secrets

__all__ = [
    "MalformedAnswerError",
    "PartialSuccess",
    "conclude",
    "partial_success",
    "retry_delay_s",
    "shown_words",
    "words_of",
]

_MAX_WORDS = 200  # characters of what a server says that go into a message


class MalformedAnswerError(ValueError):
    """Bytes that are no answer to an OTLP request."""


@dataclass(frozen=True, slots=True)
class PartialSuccess:
    """What a receiver that has taken a request says of it.

    Attributes:
        rejected_count: Spans that it has not taken and never will.
        message: Why, or a warning beside full success; as the server has sent it.
    """

    rejected_count: int = 0
    message: str = ""


def conclude(body: bytes, *, is_json: bool, where: str, secrets: list[str], noise: Noise) -> None:
    """Return if the body of a success says that all spans were taken; with a warning, that is logged.

    Args:
        body: An `ExportTraceServiceResponse`.
        is_json: Whether it is written in JSON.
        where: Who says so.
        secrets: What no message may contain.
        noise: For a warning.

    Raises:
        PartialExportError: Some spans were not taken.
        TransientExportError: It is no such answer.
    """
    try:
        found = partial_success(body, is_json=is_json)
    except MalformedAnswerError as error:
        raise TransientExportError(f"{where}: its answer cannot be read ({error})", cause=Cause.NO_RECEIVER) from None
    words = shown_words(found.message, secrets)
    if found.rejected_count > 0:
        raise PartialExportError(words or "no reason given", rejected_count=found.rejected_count)
    if words:
        noise.warn("warning", "%s: all spans were taken, with a warning: %s", where, words)


def partial_success(body: bytes, *, is_json: bool) -> PartialSuccess:
    """What an `ExportTraceServiceResponse` says; an empty one says that all is well.

    Raises:
        MalformedAnswerError: It is none.
    """
    return _of_json(body) if is_json else _of_protobuf(body)


def words_of(body: bytes, content_type: str) -> str:
    """What a server says of a failure: of a `google.rpc.Status`, a JSON object or plain text, all of it; no markup."""
    try:
        if content_type == "application/x-protobuf":
            found = dict(_fields(body)).get(2, b"")
            return found.decode() if isinstance(found, bytes) else ""
        if content_type == "application/json" or content_type.endswith("+json"):
            return _words_in(orjson.loads(body))
        return body.decode() if content_type == "text/plain" else ""
    except (ValueError, RecursionError):
        return ""


def shown_words(text: str, secrets: list[str]) -> str:
    """What a server says, secrets masked, as one line that can be printed."""
    hidden = without_secrets(text, secrets)  # first: what is cut in two is not found any more
    line = " ".join("".join(char if char.isprintable() else " " for char in hidden).split())
    return line if len(line) <= _MAX_WORDS else f"{line[:_MAX_WORDS]}…"


def retry_delay_s(status: bytes) -> float | None:
    """Seconds that the `RetryInfo` of a `google.rpc.Status` asks to wait; `None` if there is none."""
    try:
        for number, detail in _fields(status):
            if number == 3 and isinstance(detail, bytes):
                packed = dict(_fields(detail))
                if packed.get(1) == b"type.googleapis.com/google.rpc.RetryInfo":
                    return _duration_s(packed.get(2, b""))
    except MalformedAnswerError:
        return None
    return None


def _duration_s(retry_info: Any) -> float:
    delay = dict(_fields(retry_info)).get(1, b"")
    parts = dict(_fields(delay if isinstance(delay, bytes) else b""))
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    return (seconds if isinstance(seconds, int) else 0) + (nanos if isinstance(nanos, int) else 0) / 1e9


def _of_protobuf(body: bytes) -> PartialSuccess:
    fields = dict(_fields(body))
    if not fields.keys() <= {1}:
        raise MalformedAnswerError("not an ExportTraceServiceResponse")
    found = fields.get(1, b"")
    if not isinstance(found, bytes):
        raise MalformedAnswerError("not an ExportTraceServiceResponse")
    parts = dict(_fields(found))
    rejected, message = parts.get(1, 0), parts.get(2, b"")
    if not isinstance(rejected, int) or not isinstance(message, bytes):
        raise MalformedAnswerError("not an ExportTraceServiceResponse")
    rejected -= 2**64 if rejected >= 2**63 else 0  # an int64
    return PartialSuccess(rejected, message.decode("utf-8", "replace"))


def _of_json(body: bytes) -> PartialSuccess:
    try:
        answer = orjson.loads(body)
    except ValueError as error:
        raise MalformedAnswerError("not JSON") from error
    if not isinstance(answer, Mapping):
        raise MalformedAnswerError("not a JSON object")
    found = answer.get("partialSuccess") or answer.get("partial_success") or {}
    if not isinstance(found, Mapping):
        raise MalformedAnswerError("its partialSuccess is no object")
    try:
        rejected = int(found.get("rejectedSpans") or found.get("rejected_spans") or 0)  # an int64: text in OTLP/JSON
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedAnswerError("its rejectedSpans is no number") from error
    return PartialSuccess(rejected, str(found.get("errorMessage") or found.get("error_message") or ""))


def _words_in(answer: Any) -> str:
    """The message of an error as JSON APIs give it."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, Mapping):
        if isinstance(missed := answer.get("msg"), str):  # FastAPI's, of a request that it cannot take
            return ": ".join(filter(None, (" ".join(map(str, answer.get("loc") or ())), missed)))
        for key in ("message", "error", "detail", "errors"):
            if words := _words_in(answer.get(key)):
                return words
    if isinstance(answer, list) and answer:
        return _words_in(answer[0])
    return ""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message, in order: numbers as integers, everything else as bytes.

    Raises:
        MalformedAnswerError: It is none.
    """
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if wire_type == 2:
            size, at = _read_varint(message, at)
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
        else:
            raise MalformedAnswerError(f"no protobuf field has the wire type {wire_type}")
        if number == 0 or at + size > len(message):
            raise MalformedAnswerError("a protobuf message that is cut off")
        yield number, message[at : at + size]
        at += size


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise MalformedAnswerError("a protobuf message that is cut off")
