"""`nat exporter`: begin a package for an exporter or processor of one's own."""

import sys
from pathlib import Path
from typing import Any, cast

import click

from nat.cli.debug import debug_option

__all__ = ["exporter"]

_KINDS = ("raw", "span", "otlp", "processor")
_LICENCES = ("Apache-2.0", "MIT", "BSD-3-Clause", "MPL-2.0", "proprietary")
_DEFAULT_KIND, _DEFAULT_LICENCE = "span", "Apache-2.0"


@click.group()
def exporter() -> None:
    """Begin a package for an exporter or processor of your own, and check one."""


@exporter.command(short_help="Begin a package.")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(_KINDS),
    help="raw: every step, in order; span: spans over HTTP; otlp: spans over OTLP; processor. span if left out.",
)
@click.option("--license", "licence", help=f"{', '.join(_LICENCES[:-1])} or {_LICENCES[-1]}; Apache-2.0 if left out.")
@click.option("--author", help='As in "Ada Lovelace <ada@example.org>"; if left out, who git says you are.')
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder in which the package gets a folder of its own; this one if left out.",
)
@debug_option
def new(name: str, kind: str | None, licence: str | None, author: str | None, into: Path) -> None:
    """Begin the package nat-NAME with the exporter type NAME.

    It is complete and can be published: configuration, exporter, tests, documentation, CI. What is not said in an option is
    asked for on a terminal.
    """
    from nat.cli.errors import EXIT_USAGE, CommandFailed
    from nat.testing.scaffold import Author, Kind, NewPackage, checked_name, default_author, write_package

    if licence not in (None, *_LICENCES):  # a click.Choice would say Apache_2.0
        raise click.BadParameter(f"{licence!r} is not one of {', '.join(_LICENCES)}", param_hint="'--license'")
    try:
        checked_name(name, cast("Kind", kind or _DEFAULT_KIND))
        kind = kind or _ask("Kind", _DEFAULT_KIND, click.Choice(_KINDS))
        type_name = checked_name(name, cast("Kind", kind))
        licence = licence or _ask("License", _DEFAULT_LICENCE, click.Choice(_LICENCES))
        distribution = f"nat-{type_name.replace('_', '-')}"
        author = author or _ask("Author", str(default_author(distribution)), click.STRING)
        package = NewPackage(type_name, cast("Kind", kind), licence, Author.parse(author))
        folder = write_package(package, into)
    except ValueError as error:
        raise CommandFailed(str(error), EXIT_USAGE) from None
    except FileExistsError:
        raise CommandFailed(
            f"there is a {distribution!r} in {str(into.resolve())!r} already; choose another name, or another folder (--into)",
            EXIT_USAGE,
        ) from None
    _print_what_is_there(package.name, package.kind, folder)


def _ask(question: str, default: str, kind: click.ParamType[Any]) -> str:
    """What somebody says at a terminal; elsewhere the default."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return default
    answer: str = click.prompt(question, default=default, type=kind)
    return answer


def _print_what_is_there(name: str, kind: str, folder: Path) -> None:
    noun = "processor" if kind == "processor" else "exporter"
    lines = [f"{folder}: the {noun} {name!r}, in {sum(path.is_file() for path in folder.rglob('*'))} files.", ""]
    commands = [f"cd {folder}", 'pip install -e ".[test]"', "pytest", f"nat info {noun} {name}"]
    click.echo("\n".join([*lines, "Next:", *(f"  {command}" for command in commands)]))
