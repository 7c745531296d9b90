"""Mentions check: nothing in the repository points at the machine it was written on.

Only lock files name a package index, and only the public one; no file holds an absolute path of somebody's machine.

    uv run tools/check_mentions.py
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PUBLIC_INDEX = frozenset({"pypi.org", "files.pythonhosted.org"})

_HOST = re.compile(r"https?://([^/\s\"'`)>]+)")
_INDEX = re.compile(
    rf"{'|'.join(map(re.escape, PUBLIC_INDEX))}|^\s*(?:[\w-]*index[-_]url|find[-_]links)\s*=", re.IGNORECASE
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
        yield from (f"{name}:{found}" for found in problems_in(text, is_lock=path.name == "uv.lock"))


def problems_in(text: str, *, is_lock: bool) -> Iterator[str]:
    """What is wrong in the text of one file, each with its line."""
    for number, line in enumerate(text.splitlines(), start=1):
        if path := _MACHINE_PATH.search(line):
            yield f"{number}: absolute path of a machine: {path.group()}"
        if is_lock:
            for host in _HOST.findall(line):
                if host not in PUBLIC_INDEX:
                    yield f"{number}: locked from {host}, not from the public index; lock without a mirror"
        elif index := _INDEX.search(line):
            yield f"{number}: names a package index: {index.group()}"


def main() -> int:
    found = list(problems())
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
