"""Commands that a page shows and that are not run: there is such a command, and it takes what it is given."""

import re
import shlex
import tomllib

import click

from nat.cli.main import cli
from tests.docs.markdown import ROOT

_OTHERS = {
    "uv sync",
    "python -m venv phoenix",  # the next two: tests/products/test_start_page.py
    "phoenix/bin/pip install arize-phoenix",
    "phoenix/bin/phoenix serve",
}


def check(line: str) -> None:
    """Raise `AssertionError` if a line of an `sh` block could not work as it stands."""
    for command in line.split("&&"):
        words = shlex.split(command, comments=True)
        match words[2:] if words[:2] == ["uv", "run"] else words:
            case []:
                pass
            case ["nat", *arguments]:
                _check_nat(arguments)
            case ["pip", "install", "--find-links", "dist", *requirements] | ["pip", "install", *requirements]:
                for requirement in requirements:
                    _check_requirement(requirement)
            case ["python", path, *_] | [path, *_] if path.endswith(".py"):
                assert (ROOT / path).is_file(), f"{line}: there is no {path}"
            case [name, *_]:
                assert " ".join(words) in _OTHERS, f"{line}: no test knows {name!r}"


def _check_nat(arguments: list[str]) -> None:
    """The command is there, and takes these options and so many arguments; it says so itself otherwise."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        context = click.Context(command, info_name="nat")
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None, f"there is no command {name}"
        command = found
    command.make_parser(click.Context(command, info_name="nat", **cli.context_settings)).parse_args(arguments)


def _check_requirement(requirement: str) -> None:
    """A folder of the repository, or one of its distributions, with extras that it has."""
    if requirement.startswith("./"):
        assert (ROOT / requirement / "pyproject.toml").is_file(), f"there is no {requirement}"
        return
    if requirement == "uv":
        return
    named = re.fullmatch(r"([\w-]+)(?:\[([\w,]+)\])?", requirement)
    assert named is not None, f"{requirement} is no requirement"
    folder = ROOT if named[1] == "nat-telemetry" else ROOT / "packages" / named[1].removeprefix("nat-telemetry-")
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == named[1]
    missing = set(filter(None, (named[2] or "").split(","))) - project.get("optional-dependencies", {}).keys()
    assert missing == set(), f"{named[1]} has no extra {', '.join(missing)}"
