"""`nat spool`: what waits on disk to be delivered."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nat.cli.debug import debug_option
from nat.cli.errors import EXIT_FAILURE, EXIT_USAGE, CommandFailed
from nat.cli.stored import (
    directory_option,
    exporter_option,
    find_directories,
    json_option,
    load_exporters,
    place_options,
    print_json,
    sending_options,
    size_text,
    time_text,
)

if TYPE_CHECKING:
    from nat.cli.sending import Sending
    from nat.observability.delivery.spool import OwnerSurvey
    from nat.observability.registry import ExporterEntry

__all__ = ["spool"]


@click.group()
def spool() -> None:
    """See what waits on disk to be delivered, and send it."""


@spool.command(short_help="List what is in a spool, by exporter and process.")
@place_options("Where the exporters' spools are.")
@exporter_option
@json_option
@debug_option
def status(directory: Path | None, config_file: Path | None, exporter: str | None, as_json: bool) -> None:
    """List what waits in a spool, by exporter and process.

    Records of a running process are on their way. Those of one that is gone wait for the next process with that exporter.
    """
    from nat.observability.delivery.spool import corrupt_count, exporter_directories, survey

    directories = find_directories("spool", directory, config_file)
    chosen = [
        (name, folder)
        for place in directories
        for name, folder in exporter_directories(place).items()
        if exporter is None or name == exporter
    ]
    owners = [(name, owner) for name, folder in chosen for owner in survey(folder)]
    damaged = [(name, folder, count) for name, folder in chosen if (count := corrupt_count(folder))]
    if as_json:
        print_json({"processes": [_fields(*each) for each in owners], "corrupt": _by_name(damaged)})
        return
    if owners:
        _print_list(owners)
    else:
        click.echo(_nothing_waits(directories))
    for name, folder, count in damaged:
        click.echo(f"{name}: {count} damaged records are set aside in {folder / 'corrupt'}.")


@spool.command(short_help="Send what processes that are gone have left.")
@sending_options
@directory_option("Where the spools are, if not where the file says.")
@exporter_option
@click.option("--dry_run", is_flag=True, help="List what would be sent, and send nothing.")
@json_option
@debug_option
def send(
    config_file: Path,
    overrides: tuple[tuple[str, str], ...],
    timeout_s: float,
    directory: Path | None,
    exporter: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send what processes that are gone have left in the spools of a workflow file's exporters.

    Records of running processes are on their way there, and not touched. The workflow is not run.

    Exit code 0: nothing is left; 1: something is; 2: wrong usage or configuration; 130: Ctrl-C.
    """
    entries = _with_spool(load_exporters(config_file, overrides).exporters, config_file, directory, exporter)
    owners = [(entry, owner) for entry in entries for owner in _survey(entry)]
    gone = [(entry, owner) for entry, owner in owners if owner.records and not owner.is_live]
    live_count = sum(owner.items for _, owner in owners if owner.is_live)
    concerned = list({entry.name: entry for entry, _ in gone}.values())
    if dry_run or not gone:
        if as_json:
            print_json({"exporters": [_waiting(entry) for entry in concerned], "running": live_count})
        else:
            _print_gone([(entry.name, owner) for entry, owner in gone], entries)
            _say_live(live_count)
        return
    from nat.cli.sending import Sending

    sending = Sending(concerned, timeout_s=timeout_s)
    sending.run(sum(owner.items for _, owner in gone))
    reports = [_report(entry, sending) for entry in concerned]
    if as_json:
        print_json({"exporters": reports, "running": live_count})
    else:
        _print_reports(reports)
        _say_live(live_count)
    has_left = any(report["left"] for report in reports)
    click.get_current_context().exit(sending.exit_code or (EXIT_FAILURE if has_left else 0))


def _with_spool(
    entries: "Sequence[ExporterEntry]", config_file: Path, directory: Path | None, exporter: str | None
) -> "list[ExporterEntry]":
    """The exporters that are meant: one, or all that have a spool; with `directory`, that is where all have it."""
    from nat.data_models.delivery import DeliveryConfig, SpoolConfig

    known = ", ".join(entry.name for entry in entries)
    chosen = [entry for entry in entries if exporter is None or entry.name == exporter]
    if not chosen:
        raise CommandFailed(f"{config_file}: no exporter {exporter!r} is configured; known: {known}.", EXIT_USAGE)
    if directory is not None:
        here = DeliveryConfig(spool=SpoolConfig(enabled=True, directory=str(directory.absolute())))
        return [replace(entry, delivery=here.over(entry.delivery or DeliveryConfig())) for entry in chosen]
    chosen = [entry for entry in chosen if entry.delivery is not None and entry.delivery.spool.enabled]
    if not chosen:
        who = "no exporter has a spool" if exporter is None else f"{exporter!r} has no spool"
        raise CommandFailed(f"{config_file}: {who}; set delivery.spool, or give --directory.", EXIT_USAGE)
    return chosen


def _spool_directory(entry: "ExporterEntry") -> Path:
    from nat.observability.delivery.options import directory_of

    return directory_of("spool", entry.delivery)


def _survey(entry: "ExporterEntry") -> "list[OwnerSurvey]":
    from nat.observability.delivery.spool import exporter_directory, survey

    return survey(exporter_directory(_spool_directory(entry), entry.name))


def _left(entry: "ExporterEntry") -> int:
    """Items that processes have left which are gone."""
    return sum(owner.items for owner in _survey(entry) if not owner.is_live)


def _waiting(entry: "ExporterEntry") -> dict[str, Any]:
    return {"exporter": entry.name, "type": entry.registration.type_name, "left": _left(entry)}


def _print_gone(gone: "list[tuple[str, OwnerSurvey]]", entries: "list[ExporterEntry]") -> None:
    if gone:
        _print_list(gone)
        click.echo(f"{sum(owner.items for _, owner in gone):,} items would be sent.")
    else:
        click.echo(_nothing_waits(list(dict.fromkeys(map(_spool_directory, entries)))))


def _report(entry: "ExporterEntry", sending: "Sending") -> dict[str, Any]:
    status = sending.status[entry.name]
    return {
        **_waiting(entry),
        "delivered": status.delivered,
        "dead_lettered": status.dead_lettered,
        "lost": {reason: count for reason, count in {"rejected": status.rejected, **status.dropped}.items() if count},
        "disabled": status.reason if status.state == "disabled" else None,
    }


def _print_reports(reports: list[dict[str, Any]]) -> None:
    from nat.cli.output import say
    from nat.cli.tables import aligned

    rows = [["exporter", "type", "delivered", "lost", "left", ""]]
    for report in reports:
        notes = [f"{count:,} {reason}" for reason, count in report["lost"].items()]
        if report["dead_lettered"]:
            notes.append(f"{report['dead_lettered']:,} kept as dead letters")
        if report["disabled"]:
            notes.insert(0, f"disabled: {report['disabled']}")
        counts = (report["delivered"], sum(report["lost"].values()), report["left"])
        rows.append([report["exporter"], report["type"], *(f"{count:,}" for count in counts), "; ".join(notes)])
    for line in aligned(rows, numbers=(2, 3, 4)):
        say(line)


def _say_live(count: int) -> None:
    from nat.cli.output import say

    if count:
        say(f"{count:,} items of running processes are not touched: they are on their way there.")


def _nothing_waits(directories: list[Path]) -> str:
    return f"Nothing waits in {', '.join(map(str, directories))}."


def _by_name(damaged: list[tuple[str, Path, int]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, _, count in damaged:
        counts[name] = counts.get(name, 0) + count
    return counts


def _fields(exporter: str, owner: "OwnerSurvey") -> dict[str, Any]:
    return {
        "exporter": exporter,
        "process": owner.folder.name,
        "is_live": owner.is_live,
        "records": owner.records,
        "items": owner.items,
        "bytes": owner.bytes,
        "oldest_at": owner.oldest_at,
    }


def _print_list(owners: "list[tuple[str, OwnerSurvey]]") -> None:
    from nat.cli.tables import print_table

    rows = [
        [
            *(name, "running" if owner.is_live else "gone", str(owner.records), str(owner.items)),
            *(size_text(owner.bytes), time_text(owner.oldest_at)),
        ]
        for name, owner in owners
    ]
    print_table(["exporter", "process", "records", "items", "size", "oldest"], rows)
