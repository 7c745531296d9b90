"""`nat status`: what running processes say about their telemetry, and the last that others have said."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nat.cli.debug import debug_option
from nat.cli.errors import EXIT_USAGE, CommandFailed
from nat.cli.stored import json_option, print_json, time_text

if TYPE_CHECKING:
    from nat.observability.status_file import ProcessStatus, StatusDirectory

__all__ = ["status"]

_WATCH_EVERY_S = 1.0
_HEADINGS = ["exporter", "type", "state", "accepted", "recovered", "delivered", "pending", "spooled", "dead-lettered",
             "lost", ""]  # fmt: skip
_COUNTS = range(3, 10)
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@click.command()
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where processes keep their status files.",
)
@click.option(
    "--config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The workflow file (YAML) that says so under general.telemetry.status_directory.",
)
@click.option("--watch", is_flag=True, help="Print it again every second, until Ctrl-C.")
@json_option
@debug_option
def status(directory: Path | None, config_file: Path | None, watch: bool, as_json: bool) -> None:
    """Show what became of the telemetry of each process that keeps a status file.

    A process is running, stopped (it has closed its telemetry) or gone (it was killed, say; its last counts are shown).
    The files of those that have ended are kept for a day.
    """
    if directory is None and config_file is not None:
        directory = _configured(config_file)
    elif directory is None or config_file is not None:
        raise click.UsageError("expected either --directory DIR or --config_file FILE")
    show = _show_json if as_json else _show
    if watch:
        _watch(directory, show)
    else:
        show(directory)


def _configured(config_file: Path) -> Path:
    from nat.runtime.loader import status_directory_of

    directory = status_directory_of(config_file)
    if directory is None:
        raise CommandFailed(
            f"{config_file}: has no general.telemetry.status_directory, so its processes keep no status files; add it.",
            EXIT_USAGE,
        )
    return directory


def _watch(directory: Path, show: Callable[[Path], None]) -> None:
    while True:
        click.clear()  # does nothing where the output is no terminal
        show(directory)
        click.echo()
        time.sleep(_WATCH_EVERY_S)


def _read(directory: Path) -> "StatusDirectory":
    from nat.observability.status_file import read_status_directory

    try:
        return read_status_directory(directory)
    except OSError as exc:
        raise CommandFailed(f"{directory}: cannot be read: {exc.strerror or exc}.") from exc


def _show_json(directory: Path) -> None:
    found = _read(directory)
    unreadable = {path.name: reason for path, reason in found.unreadable.items()}
    print_json({"processes": [_fields(process) for process in found.processes], "unreadable": unreadable})


def _fields(process: "ProcessStatus") -> dict[str, Any]:
    return {
        "file": process.file.name,
        "pid": process.pid,
        "process_name": process.process_name,
        "state": process.state,
        "started_at": process.started_at,
        "written_at": process.written_at,
        "exporters": process.exporters,
    }


def _show(directory: Path) -> None:
    found = _read(directory)
    blocks = ["\n".join(_lines(process, time.time())) for process in found.processes]
    blocks += [f"{path}: {reason}." for path, reason in found.unreadable.items()]
    click.echo("\n\n".join(blocks) or f"No process has written its status to {directory}.")


def _lines(process: "ProcessStatus", now: float) -> Iterator[str]:
    from nat.cli.tables import aligned

    yield (
        f"{process.pid} {process.process_name}: {process.state}, as of {_ago(now - process.written_at)}, "
        f"started {time_text(process.started_at)}"
    )
    rows = [_HEADINGS, *(_row(exporter, is_gone=process.state == "gone") for exporter in process.exporters)]
    for line in aligned(rows, numbers=_COUNTS) if process.exporters else ["no exporter is configured"]:
        yield f"  {line}"


def _row(exporter: dict[str, Any], *, is_gone: bool) -> list[str]:
    losses = {"rejected": exporter["rejected"], **exporter["dropped"]}
    counts = [exporter[key] for key in ("accepted", "recovered", "delivered", "pending", "spooled", "dead_lettered")]
    notes = [f"{count:,} {reason}" for reason, count in losses.items() if count]
    if exporter["reason"] is not None:
        notes.insert(0, exporter["reason"])
    state = "gone" if is_gone and exporter["state"] in ("starting", "running") else exporter["state"]
    return [
        *(exporter["name"], exporter["type"], state),
        *(f"{count:,}" for count in (*counts, sum(losses.values()))),
        "; ".join(notes),
    ]


def _ago(seconds: float) -> str:
    for unit_s, unit in _UNITS:
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)} {unit} ago"
    return f"{int(max(seconds, 0))} s ago"
