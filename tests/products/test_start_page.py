"""The first page: its agent, with a Phoenix beside it."""

import shlex
import subprocess
from pathlib import Path

from tests.cli.command import NAT
from tests.docs import markdown, shown
from tests.products.phoenix import Phoenix

_PAGE = markdown.ROOT / "docs/start.md"
_ENDPOINT = "general.telemetry.tracing.phoenix.endpoint"


def test_the_trace_of_the_page_is_in_phoenix(phoenix: Phoenix, tmp_path: Path) -> None:
    """As the page prints it, but for the port, and with the link that it prints."""
    blocks = markdown.blocks(_PAGE)
    for block in blocks:
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    ((command, expected),) = (
        shown_command
        for block in blocks
        if block.language == "console"
        for shown_command in shown.commands(block.text)
        if "with_phoenix" in shown_command[0]
    )

    done = subprocess.run(
        [NAT, *shlex.split(command)[1:], "--override", _ENDPOINT, phoenix.url],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    expected = expected.replace("http://localhost:6006", phoenix.url)
    assert shown.are_as_shown(done.stdout, done.stderr, expected), done.stdout + done.stderr
    assert sorted(span.name for span in phoenix.wait_for_spans("speeds", 3)) == ["chat", "look_up", "speeds"]
