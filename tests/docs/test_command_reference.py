"""The reference of the command line names every option that a command has, and no other."""

import re

import click
import pytest

from nat.cli.main import cli
from nat.observability.delivery.causes import Cause
from tests.docs import markdown

_REFERENCE = markdown.ROOT / "docs/reference/cli.md"
_EVERYWHERE = {"--help", "--debug"}


def section(heading: str) -> str:
    text = _REFERENCE.read_text(encoding="utf-8")
    return re.split(r"^## ", text.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]


def options_of(*names: str) -> set[str]:
    command: click.Command = cli
    for name in names:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    options = [param for param in command.params if isinstance(param, click.Option)]
    return {name for option in options for name in option.opts if name.startswith("--")} - _EVERYWHERE


@pytest.mark.parametrize(
    ("heading", "commands"),
    [
        ("nat run", [("run",)]),
        ("nat info", [("info", "components")]),
        ("nat validate", [("validate",)]),
        ("nat doctor", [("doctor",)]),
        ("nat status", [("status",)]),
        ("nat spool", [("spool", "status"), ("spool", "send")]),
        ("nat dead-letters", [("dead-letters", name) for name in ("list", "show", "drop", "replay")]),
    ],
)
def test_every_option_is_in_the_reference(heading: str, commands: list[tuple[str, ...]]) -> None:
    """Those in the section of the command, or commands, are those that it takes."""
    documented = set(re.findall(r"(--[a-z]\w+)", section(heading))) - _EVERYWHERE

    assert documented == set[str]().union(*(options_of(*command) for command in commands))


def test_the_guide_has_every_cause_in_the_words_of_the_doctor() -> None:
    guide = (markdown.ROOT / "docs/guide/traces-do-not-arrive.md").read_text(encoding="utf-8")

    rows = [f"| `{cause}` | {cause.meaning} | {cause.mend} |" for cause in Cause]

    assert re.findall(r"^\| `.*$", guide, re.MULTILINE) == rows
