"""Installed distributions: their names, versions and entry points, out of the metadata folders on `sys.path`.

`importlib.metadata` tells the same. But it imports 54 modules, and parses each METADATA as an e-mail: a sixth of what
`nat info` takes. So it is asked only where something else than folders may hold metadata.
"""

import os
import sys
from collections.abc import Iterator
from os.path import isfile
from typing import Protocol

__all__ = ["Metadata", "distributions", "entry_points", "find", "name_and_version"]

_SUFFIXES = (".dist-info", ".egg-info")


class Metadata(Protocol):
    """The metadata of one distribution, as files."""

    def read_text(self, filename: str, /) -> str | None:
        """Return what a file says, `None` if there is no such file."""


def distributions() -> Iterator[Metadata]:
    """Yield all that are installed, in the order of `sys.path`."""
    if _has_more_than_folders():
        import importlib.metadata

        yield from importlib.metadata.distributions()
    else:
        yield from map(_Folder, _folders())


def find(*names: str) -> Metadata | None:
    """Return the first that has one of these names, however it is spelled."""
    wanted = set(map(_normalized, names))
    if _has_more_than_folders():
        return next((found for found in distributions() if _normalized(name_and_version(found)[0]) in wanted), None)
    return next((_Folder(path) for path in _folders() if _normalized(_name_in_path(path)) in wanted), None)


def name_and_version(metadata: Metadata) -> tuple[str, str]:
    """Return both as METADATA says; empty where it does not."""
    text = metadata.read_text("METADATA") or metadata.read_text("PKG-INFO") or ""
    said: dict[str, str] = {}
    for line in text.splitlines():
        if not line:
            break  # a description follows
        key, _, value = line.partition(":")
        said.setdefault(key.lower(), value.strip())
        if "name" in said and "version" in said:
            break
    return said.get("name", ""), said.get("version", "")


def entry_points(text: str) -> list[tuple[str, str, str]]:
    """Return group, name and value of each line of an entry_points.txt.

    Raises:
        ValueError: A line is not `name = value`.

    As `importlib.metadata` reads it.
    """
    group, found = "", []
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise ValueError(f"line {line!r} is not `name = value`")
        found.append((group, name.strip(), value.strip()))
    return found


class _Folder:
    def __init__(self, path: str) -> None:
        self._path = path

    def read_text(self, filename: str, /) -> str | None:
        try:
            with open(f"{self._path}/{filename}", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  (as above)
                return file.read()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None


def _folders() -> Iterator[str]:
    for entry in dict.fromkeys(sys.path):
        try:
            names = os.listdir(entry or ".")  # noqa: PTH208  (pathlib takes longer than reading the folder)
        except OSError:  # not there, or not ours to read
            continue
        for name in sorted(names):
            if name.lower().endswith(_SUFFIXES):
                yield f"{entry or '.'}/{name}"


def _has_more_than_folders() -> bool:
    """Whether a finder of somebody else's, a zip file or an egg may know distributions as well."""
    finders = (finder for finder in sys.meta_path if hasattr(finder, "find_distributions"))
    return not all(map(_is_pythons, finders)) or any(
        entry.lower().endswith(".egg") or isfile(entry)  # noqa: PTH113  (pathlib takes longer than looking)
        for entry in sys.path
    )


def _is_pythons(finder: object) -> bool:
    return getattr(finder, "__module__", None) == "_frozen_importlib_external"


def _name_in_path(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".egg-info").removesuffix(".dist-info").partition("-")[0]


def _normalized(name: str) -> str:
    """As in the specification of names (PEP 503)."""
    return "-".join(filter(None, name.lower().replace("_", "-").replace(".", "-").split("-")))
