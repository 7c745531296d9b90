"""Causes: what errors mean for somebody who asks why nothing arrives."""

import errno
import socket
import ssl
from http.client import BadStatusLine, RemoteDisconnected
from urllib.error import URLError

import pytest

from nat.observability.delivery.causes import Cause, cause_of, cause_of_status
from nat.observability.delivery.errors import (
    ItemTooLargeError,
    PartialExportError,
    PermanentExportError,
    TransientExportError,
    classify,
)


def test_every_cause_has_words() -> None:
    """Two short texts, as they stand in a report: no capital at the start, no full stop at the end."""
    for cause in Cause:
        for words in (cause.meaning, cause.mend):
            assert words
            assert not words.endswith(".")
            assert words[0].islower()


def kept_by_a_client() -> Exception:
    """As `requests` has it: the real one is inside one that is inside."""
    retries = Exception("max retries")
    retries.reason = URLError(ConnectionRefusedError(errno.ECONNREFUSED, "refused"))  # type: ignore[attr-defined]
    return Exception(retries)


def raised_from() -> Exception:
    """As `httpx` has it."""
    try:
        try:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        except OSError as error:
            raise LookupError("no connection") from error
    except LookupError as error:
        return error


def raised_while_handling() -> Exception:
    try:
        try:
            raise TimeoutError
        except TimeoutError:
            raise LookupError("no answer")  # noqa: B904  (as many libraries do)
    except LookupError as error:
        return error


def not_for_others() -> Exception:
    """`from None` says that what led to it is not to be looked at."""
    try:
        try:
            raise TimeoutError
        except TimeoutError:
            raise LookupError("no answer") from None
    except LookupError as error:
        return error


def in_a_circle() -> Exception:
    first, second = Exception(), Exception()
    first.__cause__, second.__cause__ = second, first
    return first


def of_tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def of_verification(code: int) -> ssl.SSLError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionRefusedError(), Cause.REFUSED),
        (ConnectionResetError(), Cause.CLOSED),
        (RemoteDisconnected(""), Cause.CLOSED),
        (BadStatusLine("220 mail"), Cause.NO_HTTP),
        (OSError(errno.ENETUNREACH, "unreachable"), Cause.UNREACHABLE),
        (OSError(errno.ENOSPC, "full"), Cause.UNWRITABLE),
        (PermissionError(errno.EACCES, "denied"), Cause.UNWRITABLE),
        (OSError("nothing known"), Cause.UNKNOWN),
        (TimeoutError(), Cause.TIMEOUT),
        (ModuleNotFoundError("no module"), Cause.MISSING_PACKAGE),
        (of_tls("WRONG_VERSION_NUMBER"), Cause.NO_TLS),
        (of_tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), Cause.CLIENT_CERTIFICATE),
        (of_tls("UNEXPECTED_EOF_WHILE_READING"), Cause.CLOSED),
        (of_tls("NO_SHARED_CIPHER"), Cause.TLS),
        (of_verification(10), Cause.CERTIFICATE_EXPIRED),
        (of_verification(62), Cause.CERTIFICATE_HOST),
        (of_verification(20), Cause.UNKNOWN_AUTHORITY),
        (kept_by_a_client(), Cause.REFUSED),
        (raised_from(), Cause.UNKNOWN_HOST),
        (raised_while_handling(), Cause.TIMEOUT),
        (not_for_others(), Cause.UNKNOWN),
        (in_a_circle(), Cause.UNKNOWN),
        (ValueError("a bug"), Cause.UNKNOWN),
    ],
    ids=str,
)
def test_what_errors_mean(error: Exception, cause: Cause) -> None:
    assert cause_of(error) is cause


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (302, Cause.REDIRECT),
        (400, Cause.REFUSED_REQUEST),
        (401, Cause.UNAUTHENTICATED),
        (404, Cause.WRONG_PATH),
        (418, Cause.REFUSED_REQUEST),
        (429, Cause.BUSY),
        (500, Cause.BACKEND_FAILS),
        (504, Cause.TIMEOUT),
    ],
)
def test_what_statuses_mean(status: int, cause: Cause) -> None:
    assert cause_of_status(status) is cause


def test_what_an_author_names_wins() -> None:
    """And the mend follows the message in logs."""
    error = PermanentExportError("no space 'shop'", cause=Cause.PROJECT_MISSING, mend="create it")
    error.__cause__ = TimeoutError()

    failure = classify(error)

    assert (failure.cause, failure.mend) == (Cause.PROJECT_MISSING, "create it")
    assert str(failure) == "PermanentExportError: no space 'shop'; create it"


def test_without_it_what_led_to_the_error_tells() -> None:
    error = TransientExportError("no connection", retry_after_s=3)
    error.__cause__ = ConnectionRefusedError()

    assert (classify(error).cause, classify(error).retry_after_s) == (Cause.REFUSED, 3)
    assert classify(PartialExportError("old", rejected_count=1)).cause is Cause.REJECTED
    assert classify(ItemTooLargeError("5 MiB")).cause is Cause.TOO_LARGE


def test_messages_that_were_not_meant_for_logs_are_apart() -> None:
    failure = classify(LookupError("4711 sesame"))

    assert (str(failure), failure.quoted) == ("LookupError", "4711 sesame")
    assert failure.shown(lambda text: text.replace("sesame", "*")).quoted == "4711 *"


def test_errors_whose_text_cannot_be_made_are_none_of_ours() -> None:
    class HostileError(TimeoutError):
        def __str__(self) -> str:
            raise RuntimeError

    assert (classify(HostileError()).is_transient, classify(HostileError()).quoted) == (True, "")
