"""Blob stores: where parts of content are kept under the hash of what they hold, each written once."""

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

__all__ = ["BlobStore", "DirectoryStore", "NoStore", "Reference", "UrlStore", "without_user"]

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_MOST_KNOWN = 10_000
_ENDINGS = {
    "application/json": ".json", "application/pdf": ".pdf", "application/zip": ".zip", "audio/flac": ".flac",
    "audio/mpeg": ".mp3", "audio/ogg": ".ogg", "audio/wav": ".wav", "audio/webm": ".weba", "image/gif": ".gif",
    "image/jpeg": ".jpg", "image/png": ".png", "image/svg+xml": ".svg", "image/webp": ".webp", "text/csv": ".csv",
    "text/html": ".html", "text/markdown": ".md", "text/plain": ".txt", "video/mp4": ".mp4", "video/webm": ".webm",
}  # fmt: skip
_WRITE_AS_A_WHOLE = frozenset({"abfs", "abfss", "adl", "az", "gcs", "gs", "memory", "oci", "s3", "s3a"})  # protocols


class Reference(NamedTuple):
    """What is left in the place of a stored part."""

    url: str
    sha256: str
    size_bytes: int
    media_type: str


class BlobStore(Protocol):
    """Keeps bytes under their hash; may block."""

    def put(self, data: bytes, media_type: str) -> Reference:
        """Store them, unless they are there; raises whatever keeps them from being stored."""
        ...


class DirectoryStore:
    """Files in a directory, for their owner only: `ab/abcd….png`, named after the SHA-256 of what is in them.

    A file is written beside its place and moved there, so it is there as a whole or not at all. Any number of processes may use
    one directory.

    Args:
        directory: Made if it is missing.
        base_url: What references begin with; `None`: the directory's own `file:` URL.
    """

    def __init__(self, directory: Path, base_url: str | None = None) -> None:
        self._directory = directory.expanduser().absolute()
        self._base_url = (base_url or self._directory.as_uri()).rstrip("/")

    def put(self, data: bytes, media_type: str) -> Reference:
        """Store them, unless they are there.

        Raises:
            OSError: They cannot be written.
        """
        digest = hashlib.sha256(data).hexdigest()
        name = _name(digest, media_type)
        path = self._directory / name
        if not _holds(path, len(data)):
            self._write(path, data)
        return Reference(f"{self._base_url}/{name}", digest, len(data), media_type)

    def _write(self, path: Path, data: bytes) -> None:
        for folder in (self._directory, path.parent):
            folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


class NoStore:
    """References as a store gives them, and nothing stored.

    Args:
        base_url: What they begin with.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")

    def put(self, data: bytes, media_type: str) -> Reference:
        """The reference."""
        digest = hashlib.sha256(data).hexdigest()
        return Reference(f"{self._base_url}/{_name(digest, media_type)}", digest, len(data), media_type)


class UrlStore:
    """Objects below a URL that fsspec understands, named as in a directory; who may read them is up to the place.

    Where writing an object takes several steps, it is written beside its place and moved there.

    Args:
        url: As `s3://bucket/traces`.
        options: What fsspec's file system takes.
        base_url: What references begin with; `None`: the URL itself, without user and password.

    Raises:
        ValueError: There is no such protocol.
        ImportError: fsspec, or what it needs for this protocol, is not installed.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None, base_url: str | None = None) -> None:
        from fsspec.core import url_to_fs

        self._files, root = url_to_fs(url, **(options or {}))
        self._root = root.rstrip("/")
        self._base_url = (base_url or without_user(url)).rstrip("/")
        self._writes_as_a_whole = url.partition("://")[0] in _WRITE_AS_A_WHOLE
        self._known: set[str] = set()

    def put(self, data: bytes, media_type: str) -> Reference:
        """Store them, unless they are there; raises what the file system raises."""
        digest = hashlib.sha256(data).hexdigest()
        name = _name(digest, media_type)
        if name not in self._known:
            if not self._holds(f"{self._root}/{name}", len(data)):
                self._write(f"{self._root}/{name}", data)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known.add(name)
        return Reference(f"{self._base_url}/{name}", digest, len(data), media_type)

    def _holds(self, path: str, size_bytes: int) -> bool:
        try:
            return bool(self._files.info(path)["size"] == size_bytes)
        except FileNotFoundError:
            return False

    def _write(self, path: str, data: bytes) -> None:
        if self._writes_as_a_whole:
            self._files.pipe_file(path, data)
            return
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        unfinished = f"{path}.{os.getpid()}-{secrets.token_hex(4)}"
        try:
            self._files.pipe_file(unfinished, data)
            self._files.mv(unfinished, path)
        except BaseException:
            if self._files.exists(unfinished):
                self._files.rm_file(unfinished)
            raise


def without_user(url: str) -> str:
    """A URL without the user and the password in it."""
    return re.sub(r"(?<=://)[^/@]*@", "", url)


def _name(digest: str, media_type: str) -> str:
    return f"{digest[:2]}/{digest}{_ENDINGS.get(media_type, '.bin')}"


def _holds(path: Path, size_bytes: int) -> bool:
    """Whether a file is there, and not cut short by a crash of the machine."""
    try:
        return path.stat().st_size == size_bytes
    except FileNotFoundError:
        return False
