"""Credentials: header values and keys as settings give them, `file:` for those that are in a file.

A file is read for every request, so a key that was replaced is used from the next request on.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nat.data_models.masking import hide, is_secret_name
from nat.observability.delivery.causes import Cause
from nat.observability.delivery.errors import TransientExportError

__all__ = [
    "FILE_PREFIX",
    "HeaderSource",
    "UnreadableCredentialError",
    "checked_headers",
    "current_headers",
    "headers_from",
    "resolved",
    "secrets_in",
    "without_secrets",
]

FILE_PREFIX = "file:"

HeaderSource = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""Headers of a request; what is called gives those of the next one, and may block for as long as a small file is read."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = frozenset(
    {"content-type", "content-encoding", "content-length", "transfer-encoding", "host", "connection", "te"}
)
_PLAIN_NAMES = ("project", "logstream", "experiment", "version", "sdk-name", "user-agent")  # values fit for messages
_SHORTEST_SECRET = 4  # characters; to mask less would garble messages


class UnreadableCredentialError(TransientExportError):
    """The file of a credential cannot be read: it may be there for the next attempt."""

    def __init__(self, message: str) -> None:
        super().__init__(message, cause=Cause.MISCONFIGURED)


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, which can be sent.

    Raises:
        ValueError: One cannot; the message does not show its value.
    """
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a header")
        if name.lower() in _OURS or name.lower().startswith("grpc-"):
            raise ValueError(f"the header {name!r} is set by the protocol; leave it out")
        if _CONTROL.search(value):
            raise ValueError(f"the value of the header {name!r} holds a line break or another control character")
    return dict(headers)


def resolved(value: str) -> str:
    """The value, or the content of the file that `file:PATH` names, without white space around it.

    Raises:
        UnreadableCredentialError: The file cannot be read, or holds no text that can be sent.
    """
    if not value.startswith(FILE_PREFIX):
        return value
    path = Path(value.removeprefix(FILE_PREFIX).removeprefix("//")).expanduser()
    try:
        content = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UnreadableCredentialError(f"cannot read the credential in {path}: {reason}") from None
    if not content:
        raise UnreadableCredentialError(f"the credential in {path} is empty")
    if _CONTROL.search(content):
        raise UnreadableCredentialError(f"the credential in {path} is more than one line")
    return content


def headers_from(source: HeaderSource | None) -> dict[str, str]:
    """The headers for the next request, `file:` values read.

    Raises:
        UnreadableCredentialError: A file cannot be read.
    """
    given = source() if callable(source) else source or {}
    return {name: resolved(value) for name, value in given.items()}


async def current_headers(source: HeaderSource | None) -> dict[str, str]:
    """The same as `headers_from`; files are read on another thread.

    Raises:
        UnreadableCredentialError: A file cannot be read.
    """
    if callable(source) or any(value.startswith(FILE_PREFIX) for value in (source or {}).values()):
        return await asyncio.to_thread(headers_from, source)
    return headers_from(source)


def secrets_in(headers: Mapping[str, str], urls: Iterable[str | None] = ()) -> list[str]:
    """Texts that no message may contain, the longest first: values of headers and what is in them, and users of URLs.

    A name that says what its value is, such as `project`, leaves it fit for messages.
    """
    found: set[str] = set()
    for name, value in headers.items():
        if is_secret_name(name) or not any(word in name.lower() for word in _PLAIN_NAMES):
            found.update(_parts_of(value))
    for url in filter(None, urls):
        parts = urlsplit(url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        found.update(filter(None, (parts.password, password, parts.query)))
        if password:  # as it is sent
            found.add(base64.b64encode(f"{user}:{password}".encode()).decode())
    return sorted((text for text in found if len(text) >= _SHORTEST_SECRET), key=len, reverse=True)


def without_secrets(text: str, secrets: list[str]) -> str:
    """The text with the secrets in it masked, also where they are quoted."""
    return hide(text, [form for secret in secrets for form in (secret, repr(secret)[1:-1])])


def _parts_of(value: str) -> Iterable[str]:
    """A header's value, what follows its scheme, and the user and password in that."""
    yield value
    scheme, _, rest = value.partition(" ")
    yield rest.strip()
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(rest, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return
        yield decoded
        yield from decoded.split(":", 1)
