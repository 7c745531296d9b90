"""The reference of the command line names every option that a command has, and no other."""

import re
from collections.abc import Iterator

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


def commands_of(command: click.Command, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The commands below one, each with the words that lead to it."""
    if not isinstance(command, click.Group):
        yield names, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands_of(found, *names, name)


def options_of(command: click.Command) -> set[str]:
    options = [param for param in command.params if isinstance(param, click.Option)]
    return {name for option in options for name in option.opts if name.startswith("--")} - _EVERYWHERE


_COMMANDS = list(commands_of(cli))
_TOP_LEVEL = sorted({names[0] for names, _ in _COMMANDS})


@pytest.mark.parametrize("name", _TOP_LEVEL)
def test_every_command_is_in_the_reference_with_its_options(name: str) -> None:
    """A section of `nat NAME` names each command below it, and the options of all of them and no other."""
    below = [(names, command) for names, command in _COMMANDS if names[0] == name]
    text = section(f"nat {name}")

    documented = set(re.findall(r"(--[a-z]\w+)", text)) - _EVERYWHERE

    assert [names for names, _ in below if not re.search(rf"\b{names[-1]}\b", text)] == []
    assert documented == set[str]().union(*(options_of(command) for _, command in below))


def test_every_option_has_a_meaning_in_a_table() -> None:
    """Also the short ones, and those of the whole command line in the text above."""
    rows = set(
        re.findall(r"--[a-z]\w+", "".join(re.findall(r"^\| `[^|]*\|", _REFERENCE.read_text("utf-8"), re.MULTILINE)))
    )

    assert set[str]().union(*(options_of(command) for _, command in _COMMANDS)) - rows == set()
    assert all(option in _REFERENCE.read_text("utf-8").partition("## ")[0] for option in _EVERYWHERE)


def test_the_guide_has_every_cause_in_the_words_of_the_doctor() -> None:
    guide = (markdown.ROOT / "docs/guide/traces-do-not-arrive.md").read_text(encoding="utf-8")

    rows = [f"| `{cause}` | {cause.meaning} | {cause.mend} |" for cause in Cause]

    assert re.findall(r"^\| `.*$", guide, re.MULTILINE) == rows
