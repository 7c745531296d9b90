"""Credentials: header values and keys as settings give them, `file:` for those that are in a file.

A file is read for every request, so a key that was replaced is used from the next request on.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["FILE_PREFIX", "HeaderSource", "UnreadableCredentialError", "headers_from", "resolved"]

FILE_PREFIX = "file:"

HeaderSource = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""Headers of a request; what is called gives those of the next one, and may block for as long as a small file is read."""


class UnreadableCredentialError(OSError):
    """The file of a credential cannot be read."""


def resolved(value: str) -> str:
    """The value, or the content of the file that `file:PATH` names, without white space around it.

    Raises:
        UnreadableCredentialError: The file cannot be read, or holds no text.
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
    return content


def headers_from(source: HeaderSource | None) -> dict[str, str]:
    """The headers for the next request, `file:` values read.

    Raises:
        UnreadableCredentialError: A file cannot be read.
    """
    given = source() if callable(source) else source or {}
    return {name: resolved(value) for name, value in given.items()}
