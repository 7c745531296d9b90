"""The first page, followed by somebody who has nothing but the wheels."""

import shlex
from pathlib import Path

import pytest

from tests.docs import markdown, shown
from tests.wheels.clean import CleanEnvironment

_PAGE = markdown.ROOT / "docs/start.md"


@pytest.mark.contract("S31")
def test_the_steps_of_the_page_work_in_a_clean_environment(base: CleanEnvironment, tmp_path: Path) -> None:
    """Agent and workflow file as printed: the tree in the terminal, the trace in the file, the failure, the program."""
    for block in markdown.blocks(_PAGE):
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            done = base.run("python", "-c", block.text, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        elif block.language == "console" and "with_phoenix" not in block.text:
            for command, expected in shown.commands(block.text):
                if command.startswith("nat "):
                    done = base.run(*shlex.split(command), cwd=tmp_path)
                    assert shown.are_as_shown(done.stdout, done.stderr, expected), done.stdout + done.stderr
