"""Mentions check: nothing in the repository points at the machine it was written on.

Tracked files name no package registry, lock files only the public index, and no file holds an absolute path of
somebody's machine.

    uv run tools/check_mentions.py
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PUBLIC_INDEX = frozenset({"pypi.org", "files.pythonhosted.org"})

_HOST = re.compile(r"https?://([^/\s\"'`)>]+)")
_REGISTRY = re.compile(
    r"\b(?:files\.pythonhosted\.org|pypi\.org/simple|test\.pypi\.org|registry\.npmjs\.org|deb\.debian\.org)\b"
    r"|(?:extra[-_]index|index|default[-_]index)[-_]url\s*=|find-links\s*=",
    re.IGNORECASE,
)
_MACHINE_PATH = re.compile(r"(?<![\w.~$}*-])/(?:work|root|home/\w+|Users/\w+)/")


def problems() -> Iterator[str]:
    """What is wrong in the tracked files, one line each."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    this = Path(__file__).resolve()
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if not name or not path.is_file() or path == this:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        yield from (f"{name}:{problem}" for problem in _problems(text, is_lock=path.name == "uv.lock"))


def _problems(text: str, *, is_lock: bool) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if path := _MACHINE_PATH.search(line):
            yield f"{number}: absolute path of a machine: {path.group()}"
        if is_lock:
            for host in _HOST.findall(line):
                if host not in PUBLIC_INDEX:
                    yield f"{number}: locked from {host}, not from the public index; lock without a mirror"
        elif registry := _REGISTRY.search(line):
            yield f"{number}: names a package registry: {registry.group()}"


def main() -> int:
    found = list(problems())
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
