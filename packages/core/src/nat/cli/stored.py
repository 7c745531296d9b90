"""What the commands for what is on disk have in common: options, and how ages, times and sizes look."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["age", "directory_option", "exporter_option", "json_option", "print_json", "size_text", "time_text"]

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def age(text: str) -> float:
    """Seconds of an age: a number, with `s`, `m`, `h` or `d` behind it or not."""
    found = _AGE.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no age; expected seconds, or a number with s, m, h or d, such as 30m.")
    return float(found[1]) * _SECONDS[found[2]]


def directory_option(text: str) -> Callable[[CommandT], CommandT]:
    """`--directory`, described by `text`."""
    kind = click.Path(exists=True, file_okay=False, path_type=Path)
    return click.option("--directory", required=True, type=kind, metavar="DIR", help=text)


def exporter_option(command: CommandT) -> CommandT:
    """`--exporter`."""
    return click.option("--exporter", metavar="NAME", help="Only what is of this exporter.")(command)


def json_option(command: CommandT) -> CommandT:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")(command)


def print_json(value: Any) -> None:
    """Print to stdout, indented."""
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def time_text(at: float | None) -> str:
    """Seconds since the epoch as a time in UTC, empty for none."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def size_text(size_bytes: int) -> str:
    """A size in the unit that fits."""
    if size_bytes < 1_000:
        return f"{size_bytes} B"
    for unit, bound in (("KiB", 2**20), ("MiB", 2**30)):
        if size_bytes < bound:
            return f"{size_bytes * 1_024 / bound:,.1f} {unit}"
    return f"{size_bytes / 2**30:,.1f} GiB"
