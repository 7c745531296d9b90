"""What the commands for what is on disk have in common: places, options, and how ages, times and sizes look."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nat.cli.errors import EXIT_USAGE, CommandFailed

if TYPE_CHECKING:
    from nat.observability.delivery.options import StorageKind
    from nat.runtime.loader import Entrypoint, Workflow

__all__ = [
    "age",
    "directory_option",
    "exporter_option",
    "find_directories",
    "json_option",
    "load_exporters",
    "place_options",
    "print_json",
    "sending_options",
    "size_text",
    "time_text",
    "workflow_options",
]

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
    return click.option("--directory", type=kind, metavar="DIR", help=text)


def place_options(text: str) -> Callable[[CommandT], CommandT]:
    """`--directory` and `--config_file`, for `find_directories`."""
    file = click.option(
        "--config_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Look where the exporters of this workflow file keep them.",
    )
    directory = directory_option(f"{text} Without it and --config_file: the default place.")
    return lambda command: directory(file(command))


def find_directories(kind: "StorageKind", directory: Path | None, config_file: Path | None) -> list[Path]:
    """Where to look, each place once: `directory`, those of a workflow file's exporters, or the default one.

    Raises:
        ConfigurationError: The workflow file cannot be used.
    """
    if directory is not None and config_file is not None:
        raise click.UsageError("expected --directory or --config_file, not both: either says where to look")
    if directory is not None:
        return [directory]
    from nat.observability.delivery.options import default_directory, directory_of

    if config_file is None:
        return [default_directory(kind)]
    entries = load_exporters(config_file).exporters
    return list(dict.fromkeys(directory_of(kind, entry.delivery) for entry in entries))


def load_exporters(
    config_file: Path, overrides: tuple[tuple[str, str], ...] = (), *, entrypoint: "Entrypoint" = "unused"
) -> "Workflow":
    """Read a workflow file for its exporters, without those that are there to withhold; its function is not looked up.

    Raises:
        ConfigurationError: It cannot be used.
    """
    from nat.runtime.loader import load_workflow

    workflow = load_workflow(config_file, overrides, entrypoint=entrypoint)
    if not workflow.exporters:
        raise CommandFailed(f"{config_file}: configures no exporter under general.telemetry.tracing.", EXIT_USAGE)
    return replace(workflow, exporters=[entry for entry in workflow.exporters if not entry.is_withheld])


def workflow_options(command: CommandT) -> CommandT:
    """`--config_file` and `--override`, of commands for the exporters of a workflow file."""
    file = click.option(
        "--config_file",
        required=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The workflow file (YAML) with the exporters.",
    )
    override = click.option(
        "--override",
        "overrides",
        nargs=2,
        multiple=True,
        metavar="KEY VALUE",
        help="Set a value as if it stood in the file. Repeatable.",
    )
    return file(override(command))


def sending_options(command: CommandT) -> CommandT:
    """`--config_file`, `--override` and `--timeout`, of commands that send."""
    timeout = click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        default=60.0,
        show_default=True,
        metavar="S",
        help="End when nothing has got through for so many seconds.",
    )
    return workflow_options(timeout(command))


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
