"""The git revision that a program runs from: read from its repository, or from what its host says."""

import os
import re
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

__all__ = ["revision_of"]

_HEAD_REVISION, _HEAD_NAME = "vcs.ref.head.revision", "vcs.ref.head.name"  # OpenTelemetry 1.41, "VCS"
_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_VARIABLES = (
    ("GIT_COMMIT", "GIT_BRANCH"),
    ("GITHUB_SHA", "GITHUB_REF_NAME"),
    ("CI_COMMIT_SHA", "CI_COMMIT_REF_NAME"),
    ("VERCEL_GIT_COMMIT_SHA", "VERCEL_GIT_COMMIT_REF"),
    ("RENDER_GIT_COMMIT", "RENDER_GIT_BRANCH"),
    ("RAILWAY_GIT_COMMIT_SHA", "RAILWAY_GIT_BRANCH"),
    ("SOURCE_VERSION", ""),
)  # of build and hosting services: revision and branch
_GIT_TIMEOUT_S = 5.0


def revision_of(folder: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Attributes that name revision and branch; none if neither a repository around the folder nor the environment says them.

    What a repository says is read once in a process: what is checked out later is not what runs.
    """
    return dict(_read(folder.expanduser().absolute())) or _said(environment)


@lru_cache(64)
def _read(folder: Path) -> Mapping[str, str]:
    for parent in (folder, *folder.parents):
        marker = parent / ".git"
        if marker.exists():
            return _head(_directory(marker)) or _asked(parent)
    return {}


def _directory(marker: Path) -> Path:
    """The repository's own directory; in a worktree or submodule `.git` is a file that names it."""
    if marker.is_dir():
        return marker
    text = _line(marker).removeprefix("gitdir:").strip()
    return (marker.parent / text).resolve()


def _head(directory: Path) -> dict[str, str]:
    """What HEAD says; nothing if its reference is not in a file, as in repositories with another format."""
    head = _line(directory / "HEAD")
    if _HASH.fullmatch(head):
        return {_HEAD_REVISION: head}
    reference = head.removeprefix("ref:").strip()
    common = directory / (_line(directory / "commondir") or ".")
    revision = _line(common / reference) or _packed(common / "packed-refs", reference)
    if not _HASH.fullmatch(revision):
        return {}
    return {_HEAD_REVISION: revision, _HEAD_NAME: reference.removeprefix("refs/heads/")}


def _packed(file: Path, reference: str) -> str:
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return next((line.split(" ")[0] for line in lines if line.rstrip().endswith(f" {reference}")), "")
    except OSError:
        return ""


def _line(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _asked(folder: Path) -> dict[str, str]:
    """What git itself says, where its files are not understood."""
    revision, name = (_git(folder, "rev-parse", *arguments) for arguments in (["HEAD"], ["--abbrev-ref", "HEAD"]))
    if not _HASH.fullmatch(revision):
        return {}
    return {_HEAD_REVISION: revision} | ({_HEAD_NAME: name} if name != "HEAD" else {})


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _said(environment: Mapping[str, str]) -> dict[str, str]:
    for revision, name in _VARIABLES:
        if environment.get(revision):
            found = {_HEAD_REVISION: environment[revision]}
            return found | ({_HEAD_NAME: environment[name]} if environment.get(name) else {})
    return {}
