"""Which files an `output_path` stands for: the one that is written, and those that were rolled out of its way."""

import errno
import os
import re
from pathlib import Path
from typing import TypeAlias

from nat.plugins.file.settings import FileFormat

__all__ = ["PathLike", "next_rolled_path", "resolve_output_path", "rolled_paths", "unwritable_reason"]

PathLike: TypeAlias = str | os.PathLike[str]

_STEMS: dict[FileFormat, str] = {"steps": "steps", "spans": "spans", "otlp_json": "otlp"}


def resolve_output_path(output_path: PathLike, *, format: FileFormat, project: str | None = None) -> Path:
    """The absolute path of the file to write, with symbolic links followed.

    An existing folder, or a path that ends in `/`, is a directory: the file in it is `<format>.jsonl`, or
    `<project>-<format>.jsonl`, so that formats and projects can share a directory. Anything else is the file itself.

    Raises:
        ValueError: The path is empty, or holds a null character.
    """
    text = os.path.expanduser(os.fspath(output_path))  # noqa: PTH111  (pathlib drops the trailing slash)
    if not text or "\0" in text:
        raise ValueError(f"not a path: {text!r}; give a file, an existing folder, or a folder that ends in '/'")
    path = Path(text)
    if text.endswith("/") or os.path.isdir(text):  # noqa: PTH112  (pathlib raises where a name is too long)
        path /= _file_name(format, project)
    return Path(os.path.realpath(path))  # pathlib raises on links that lead in a circle


def _file_name(format: FileFormat, project: str | None) -> str:
    prefix = "" if project is None else re.sub(r"^\.|[^\w. -]", "_", project) + "-"
    return f"{prefix}{_STEMS[format]}.jsonl"


def rolled_paths(path: Path) -> list[Path]:
    """The files that were rolled out of the way of `path`, oldest first: `traces.000001.jsonl` for `traces.jsonl`."""
    return [rolled for _, rolled in _numbered(path)]


def next_rolled_path(path: Path) -> Path:
    """The name under which `path` is rolled next; numbers only grow, so a rolled file keeps its name until it goes."""
    numbered = _numbered(path)
    number = numbered[-1][0] + 1 if numbered else 1
    return path.with_name(f"{path.stem}.{number:06d}{path.suffix}")


def _numbered(path: Path) -> list[tuple[int, Path]]:
    pattern = re.compile(re.escape(path.stem) + r"\.([0-9]{6,})" + re.escape(path.suffix))
    try:
        names = [other.name for other in path.parent.iterdir()]
    except FileNotFoundError:
        return []
    return sorted((int(match[1]), path.with_name(name)) for name in names if (match := pattern.fullmatch(name)))


def unwritable_reason(path: Path) -> str | None:
    """Why no line could be appended to this file, as far as that can be told beforehand; `None` if nothing is wrong.

    Leaves nothing behind: a file that exists is opened and closed, otherwise a nameless temporary file is made in the
    nearest folder that exists. Permission bits alone would not tell: root passes them, on read-only mounts and in
    `/proc`. A full disk is no reason: that may pass.
    """
    import tempfile  # brings five compression modules along, 5 ms

    place = path
    try:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK))
        except (FileNotFoundError, NotADirectoryError):
            place = next(parent for parent in path.parents if parent.exists())
            if not place.is_dir():
                return f"{str(place)!r} is not a folder"
            tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
            return f"cannot {'write' if place == path else 'create a file in'} {str(place)!r}: {error.strerror}"
    return None
