"""`nat spool`: what waits on disk to be delivered."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nat.cli.debug import debug_option
from nat.cli.stored import directory_option, exporter_option, json_option, print_json, size_text, time_text

if TYPE_CHECKING:
    from nat.observability.delivery.spool import OwnerSurvey

__all__ = ["spool"]


@click.group()
def spool() -> None:
    """See what waits on disk to be delivered."""


@spool.command(short_help="List what is in a spool, by exporter and process.")
@directory_option("Where the exporters' spools are.")
@exporter_option
@json_option
@debug_option
def status(directory: Path, exporter: str | None, as_json: bool) -> None:
    """List what waits in a spool, by exporter and process.

    Records of a running process are on their way. Those of one that is gone wait for the next process with that exporter.
    """
    from nat.observability.delivery.spool import corrupt_count, exporter_directories, survey

    folders = exporter_directories(directory)
    chosen = {name: folder for name, folder in folders.items() if exporter is None or name == exporter}
    owners = [(name, owner) for name, folder in chosen.items() for owner in survey(folder)]
    damaged = {name: count for name, folder in chosen.items() if (count := corrupt_count(folder))}
    if as_json:
        print_json({"processes": [_fields(*each) for each in owners], "corrupt": damaged})
        return
    if owners:
        _print_list(owners)
    else:
        click.echo("Nothing waits.")
    for name, count in damaged.items():
        click.echo(f"{name}: {count} damaged records are set aside in {chosen[name] / 'corrupt'}.")


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
