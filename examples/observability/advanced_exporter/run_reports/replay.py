"""Send dead letters again: `run-reports-replay run-reports.dead.jsonl archive=https://… alerts=https://…`."""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from run_reports.dead_letters import DeadLetterFile, Letter

__all__ = ["main"]

_TIMEOUT_S = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 0: no letter is left for the targets that were named."""
    parser = argparse.ArgumentParser(
        prog="run-reports-replay",
        description="Send dead letters again. Those that are taken are deleted, all others stay in the file.",
    )
    parser.add_argument("file", type=Path, help="the exporter's dead_letters file")
    parser.add_argument(
        "targets", nargs="+", metavar="NAME=URL", help="where letters of a target go, such as archive=URL"
    )
    parser.add_argument("--key-from", metavar="VARIABLE", help="environment variable that holds the API key")
    options = parser.parse_args(arguments)
    urls = dict(target.split("=", 1) for target in options.targets if "=" in target)
    if len(urls) != len(options.targets):
        parser.error("each target must be NAME=URL")
    key = os.environ.get(options.key_from, "") if options.key_from else ""
    taken, kept = DeadLetterFile(options.file).replay(lambda letter: _send(letter, urls, key))
    print(f"{taken} sent, {kept} kept in {options.file}")
    return 1 if kept else 0


def _send(letter: Letter, urls: dict[str, str], key: str) -> str | None:
    """Post one letter; why it stays, or `None`."""
    url = urls.get(letter.target)
    if url is None:
        return letter.reason
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(letter.report["id"])}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, json.dumps(letter.report).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            return None
    except urllib.error.HTTPError as exc:
        exc.close()
        return f"HTTP {exc.code}"
    except OSError as exc:
        return type(exc).__name__


if __name__ == "__main__":
    sys.exit(main())
