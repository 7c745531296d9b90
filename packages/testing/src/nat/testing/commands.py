"""`nat exporter`: begin a package for an exporter or processor of one's own, and check one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from nat.cli.debug import debug_option

if TYPE_CHECKING:
    from nat.testing.check import Checked, Report

__all__ = ["exporter"]

_KINDS = ("raw", "span", "otlp", "processor")
_LICENCES = ("Apache-2.0", "MIT", "BSD-3-Clause", "MPL-2.0", "proprietary")
_LEVELS = ("failing", "alpha", "beta", "stable")
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


@exporter.command(short_help="Run the tests that every exporter passes on an installed package.")
@click.argument("package")
@click.option(
    "--tests",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Python file with the test classes, for a package that names none; may be repeated.",
)
@click.option(
    "--at_least", "least", type=click.Choice(_LEVELS), default="beta", help="Lowest level to succeed; beta if left out."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@debug_option
def check(package: str, files: tuple[Path, ...], least: str, as_json: bool) -> None:
    """Run the inherited tests on each type that PACKAGE registers, and say what it is worth.

    Levels, from least to most: untested; failing: it does not deliver; alpha: something else fails; beta: nothing fails, but
    something is not shown; stable. The exit code is 1 if a type is below --at_least.
    """
    import json

    from nat.cli.errors import EXIT_FAILURE, EXIT_USAGE, CommandFailed
    from nat.runtime.entrypoint import CannotImportError
    from nat.testing.check import CheckError
    from nat.testing.check import check as run_check
    from nat.testing.kit import KIT_VERSION

    try:
        checked = run_check(package, files)
    except (CheckError, CannotImportError) as error:
        raise CommandFailed(str(error), EXIT_USAGE) from None
    if as_json:
        head = {"package": checked.package, "version": checked.version, "kit": KIT_VERSION, "level": str(checked.level)}
        click.echo(json.dumps({**head, "types": [report.as_dict() for report in checked.reports]}, indent=2))
    else:
        _print_reports(checked)
    if not checked.level >= least:
        click.get_current_context().exit(EXIT_FAILURE)


def _print_reports(checked: "Checked") -> None:
    from nat.testing.kit import KIT_VERSION

    lines = [f"{checked.package} {checked.version}, by version {KIT_VERSION} of the tests: {checked.level}"]
    for report in checked.reports:
        lines += ["", *_lines_of(report)]
    click.echo("\n".join(lines))


def _lines_of(report: "Report") -> list[str]:
    from nat.cli.tables import aligned
    from nat.testing.kit import SUBJECTS, Level

    about = f" ({report.about})" if report.about else ""
    lines = [f"{report.type}{about}: {report.level}"]
    if report.level is Level.UNTESTED:
        return [*lines, "  name its test class in the entry point group nat.conformance, or with --tests"]
    counts = [
        (subject, report.count("passed", subject), report.count("failed", subject)) for subject in (*SUBJECTS, "other")
    ]
    rows = [(subject, str(passed), str(failed)) for subject, passed, failed in counts if passed or failed]
    lines += [f"  {line}" for line in aligned([("", "passed", "failed"), *rows], numbers=(1, 2))]
    lines += [f"  failed: {outcome.test}: {outcome.message}" for outcome in report.failed]
    lines += [f"  not shown: {reason} ({count})" for reason, count in report.not_shown.items()]
    lines += [f"  does not apply: {reason} ({count})" for reason, count in report.does_not_apply.items()]
    return lines


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
