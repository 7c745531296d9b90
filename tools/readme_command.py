"""README commands: print one of the commands that the README tells a reader to type.

A command is what a fenced block marked `sh`, `bash` or `console` holds, prompts removed; they count from 1. The first
is the quickstart, the second runs the tests.

    bash -c "$(python tools/readme_command.py 1)"
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(markdown: str) -> list[str]:
    """The commands of a Markdown text, in order."""
    return [re.sub(r"^\$ ", "", block, flags=re.MULTILINE).strip() for block in _BLOCK.findall(markdown)]


def main() -> int:
    number = int(sys.argv[1])
    found = commands((ROOT / "README.md").read_text(encoding="utf-8"))
    if number > len(found):
        print(f"README.md has {len(found)} commands, not {number}", file=sys.stderr)
        return 1
    print(found[number - 1])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
