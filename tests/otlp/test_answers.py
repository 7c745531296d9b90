"""What a receiver says, read without the protobuf library, as that library reads it."""

from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo  # type: ignore[import-untyped]  # comes without types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # comes without types
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from nat.plugins.opentelemetry.answers import (
    MalformedAnswerError,
    PartialSuccess,
    partial_success,
    retry_delay_s,
    shown_words,
    words_of,
)

PROTOBUF = "application/x-protobuf"


@given(st.integers(-(2**63), 2**63 - 1), st.text())
def test_a_partial_success_is_read_as_the_library_writes_it(count: int, message: str) -> None:
    body = ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=count, error_message=message)
    ).SerializeToString()

    assert partial_success(body, is_json=False) == PartialSuccess(count, message)


@pytest.mark.parametrize("is_json", [True, False])
@given(body=st.binary(max_size=80))
def test_any_bytes_are_an_answer_or_malformed(is_json: bool, body: bytes) -> None:
    try:
        partial_success(body, is_json=is_json)
    except MalformedAnswerError:
        return


@given(st.binary(max_size=80), st.sampled_from([PROTOBUF, "application/json", "text/plain", "text/html"]))
def test_words_are_found_or_not_but_nothing_is_raised(body: bytes, content_type: str) -> None:
    assert isinstance(words_of(body, content_type), str)
    assert retry_delay_s(body) is None or isinstance(retry_delay_s(body), float)


@pytest.mark.parametrize(
    "body",
    [
        b"\x08\x01",  # a number where the message should be
        b"\x0a\x02\x0a\x00",  # bytes where the number should be
        b"\x0a\x02\x10\x01",  # a number where the text should be
        b"\x0f",  # a wire type that there is not
        b"\x0a\x7f",  # longer than what follows
        b"\x0d\x01",  # fixed, cut off
        b"\x00\x00",  # a field without a number
        b"\xff" * 11,  # a number without an end
        b"\x12\x00",  # another message
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        partial_success(body, is_json=False)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", PartialSuccess()),
        (b"\x0a\x00", PartialSuccess()),
        (b"\x0a\x0b\x19\x01\x00\x00\x00\x00\x00\x00\x00\x08\x02", PartialSuccess(2)),  # a field of a later version
    ],
)
def test_what_is_an_answer(body: bytes, expected: PartialSuccess) -> None:
    assert partial_success(body, is_json=False) == expected


@pytest.mark.parametrize("count", [b"1e999", b'"many"', b'{"a": 1}', b'"1.5"', b"9" * 5_000])
def test_a_count_that_is_none(count: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        assert partial_success(b'{"partialSuccess": {"rejectedSpans": %b}}' % count, is_json=True)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", PartialSuccess()),
        (b'{"partialSuccess": null, "later": [1]}', PartialSuccess()),
        (b'{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "no"}}', PartialSuccess(3, "no")),
        (b'{"partial_success": {"rejected_spans": 3, "error_message": "no"}}', PartialSuccess(3, "no")),
    ],
)
def test_json_in_both_spellings(body: bytes, expected: PartialSuccess) -> None:
    assert partial_success(body, is_json=True) == expected


@given(st.integers(0, 10**6), st.integers(0, 999_999_999))
def test_retry_info_among_other_details(seconds: int, nanos: int) -> None:
    status = Status(code=8, message="busy")
    for detail in (DebugInfo(detail="x"), RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)

    found = retry_delay_s(status.SerializeToString())

    assert found == pytest.approx(seconds + nanos / 1e9)


@pytest.mark.parametrize("details", [[], [DebugInfo(detail="x")]])
def test_no_retry_info(details: list[Any]) -> None:
    status = Status(code=8)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)

    assert retry_delay_s(status.SerializeToString()) is None
    assert retry_delay_s(b"\xff") is None


def test_retry_info_without_a_delay_is_none_to_wait() -> None:
    status = Status(code=8)
    packed = AnyMessage()
    packed.Pack(RetryInfo())
    status.details.append(packed)

    assert retry_delay_s(status.SerializeToString()) == 0


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (Status(code=3, message="bad span").SerializeToString(), PROTOBUF, "bad span"),
        (b"\x10\x01", PROTOBUF, ""),
        (b'{"message": "a", "error": "b"}', "application/json", "a"),
        (b'{"error": {"message": "deep"}}', "application/json", "deep"),
        (b'{"errors": [{"detail": "first"}, {"detail": "second"}]}', "application/json", "first"),
        (b'{"detail": [], "code": 7}', "application/json", ""),
        (b'{"detail": "odd"}', "application/problem+json", "odd"),
        (b'"just text"', "application/json", "just text"),
        (b"[]", "application/json", ""),
        (b"[" * 1_000 + b"]" * 1_000, "application/json", ""),
        (b"{", "application/json", ""),
        (b"plain", "text/plain", "plain"),
        (b"\xff", "text/plain", ""),
        (b"<p>markup</p>", "text/html", ""),
    ],
)
def test_the_words_of_a_failure(body: bytes, content_type: str, words: str) -> None:
    assert words_of(body, content_type) == words


def test_words_are_shown_on_one_line_of_bounded_length() -> None:
    assert shown_words("two\nlines\x1b[31m and\ta tab", []) == "two lines [31m and a tab"
    assert shown_words("x" * 201, []) == "x" * 200 + "…"
    assert shown_words("x" * 190 + "open-sesame", ["open-sesame"]) == "x" * 190 + "**********"
