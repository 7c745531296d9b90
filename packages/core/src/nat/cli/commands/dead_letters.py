"""`nat dead-letters`: what backends refused for good."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nat.cli.debug import debug_option
from nat.cli.errors import EXIT_USAGE, CommandFailed
from nat.cli.stored import age, directory_option, exporter_option, json_option, print_json, size_text, time_text

if TYPE_CHECKING:
    from nat.observability.delivery.dead_letters import DeadLetter, DeadLetters

__all__ = ["dead_letters"]

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_directory_option = directory_option("Where the dead letters are.")


def _filter_options(command: CommandT) -> CommandT:
    older = click.option(
        "--older_than", type=age, metavar="AGE", help="Only what was refused so long ago: 90, 30m, 7d."
    )
    run = click.option("--run", metavar="ID", help="Only what is of this run: its trace id, or how it begins.")
    return exporter_option(run(older(command)))


@click.group()
def dead_letters() -> None:
    """Look at what backends refused for good, and drop it."""


@dead_letters.command("list", short_help="List dead letters.")
@_directory_option
@_filter_options
@json_option
@debug_option
def list_letters(
    directory: Path, exporter: str | None, run: str | None, older_than: float | None, as_json: bool
) -> None:
    """List dead letters, oldest first for each exporter, without their content."""
    letters = list(_letters(directory).entries(exporter=exporter, run=run, older_than_s=older_than))
    if as_json:
        print_json([_metadata(letter) for letter in letters])
    elif letters:
        _print_list(letters)
    else:
        click.echo("No dead letters.")


@dead_letters.command(short_help="Show one dead letter.")
@click.argument("letter_id", metavar="ID")
@_directory_option
@click.option("--content", "with_content", is_flag=True, help="Also what the backend answered, and what it refused.")
@json_option
@debug_option
def show(letter_id: str, directory: Path, with_content: bool, as_json: bool) -> None:
    """Show the dead letter ID, as `list` names it.

    Its content, and the backend's answer, which may quote it, are shown only with --content. What a processor has removed or
    redacted was never written.
    """
    letters = _letters(directory)
    letter = next((each for each in letters.entries() if each.id == letter_id), None)
    if letter is None:
        raise _unknown(letter_id)
    fields = _metadata(letter)
    if with_content:
        fields["answer"] = letter.answer
        fields["value"] = _content(letters, letter_id)
    if as_json:
        print_json(fields)
    else:
        _print_letter(letter, fields if with_content else None)


@dead_letters.command(short_help="Delete dead letters.")
@click.argument("letter_ids", metavar="[ID]...", nargs=-1)
@_directory_option
@_filter_options
@click.option("--all", "is_all", is_flag=True, help="All of them.")
@click.option("--dry_run", is_flag=True, help="List what would be deleted, and delete nothing.")
@json_option
@debug_option
def drop(
    letter_ids: tuple[str, ...],
    directory: Path,
    exporter: str | None,
    run: str | None,
    older_than: float | None,
    is_all: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Delete the dead letters that are named by ID and fit the filters."""
    if not (letter_ids or is_all or exporter is not None or run is not None or older_than is not None):
        raise CommandFailed(
            "nothing says which; name letters, or give --exporter, --run, --older_than or --all.", EXIT_USAGE
        )
    letters = _letters(directory)
    chosen = list(letters.entries(exporter=exporter, run=run, older_than_s=older_than))
    if letter_ids:
        missing = set(letter_ids) - {letter.id for letter in chosen}
        if missing:
            raise _unknown(*sorted(missing))
        chosen = [letter for letter in chosen if letter.id in letter_ids]
    removed = 0 if dry_run else _remove(letters, chosen)
    if as_json:
        print_json({"chosen": [_metadata(letter) for letter in chosen], "dropped": removed})
    elif dry_run:
        if chosen:
            _print_list(chosen)
        click.echo(f"{len(chosen)} dead letters would be dropped.")
    else:
        click.echo(f"{removed} dead letters dropped.")


def _remove(letters: "DeadLetters", chosen: "list[DeadLetter]") -> int:
    from nat.cli.progress import progress

    removed = 0
    with progress(len(chosen), "letters") as advance:
        for letter in chosen:
            removed += letters.remove([letter.id])
            advance(True)
    return removed


def _letters(directory: Path) -> "DeadLetters":
    from nat.observability.delivery.dead_letters import DeadLetters

    return DeadLetters(directory, max_bytes=1)  # nothing is added


def _unknown(*letter_ids: str) -> CommandFailed:
    named = ", ".join(map(repr, letter_ids))
    return CommandFailed(f"no dead letter {named} fits; `nat dead-letters list` lists them.")


def _metadata(letter: "DeadLetter") -> dict[str, Any]:
    fields = asdict(letter)
    del fields["answer"]  # it may quote the content
    fields["trace_id"] = _run_text(letter) or None
    return fields


def _content(letters: "DeadLetters", letter_id: str) -> Any:
    from nat.data_models.span import Span
    from nat.observability.delivery.codec import UndecodableError, decode
    from nat.observability.processor.span_to_dict import span_to_dict
    from nat.observability.snapshot import plain

    try:
        value = decode(letters.read(letter_id)).value
    except UndecodableError as exc:
        raise CommandFailed(f"{letter_id}: {exc}.") from exc
    except KeyError:  # another process was faster
        raise _unknown(letter_id) from None
    items = value if isinstance(value, list) else [value]
    shown = [span_to_dict(item) if isinstance(item, Span) else plain(item) for item in items]
    return shown if isinstance(value, list) else shown[0]


def _print_list(letters: "list[DeadLetter]") -> None:
    from nat.cli.tables import print_table

    rows = [
        [
            *(letter.id, letter.exporter, _run_text(letter), time_text(letter.refused_at)),
            *(str(letter.count), size_text(letter.size_bytes), letter.reason),
        ]
        for letter in letters
    ]
    print_table(["id", "exporter", "run", "refused", "items", "size", "reason"], rows)


def _print_letter(letter: "DeadLetter", content: dict[str, Any] | None) -> None:
    from nat.cli.tables import aligned

    rows = [
        ["id", letter.id],
        ["exporter", letter.exporter],
        ["run", _run_text(letter)],
        ["accepted", time_text(letter.accepted_at)],
        ["refused", time_text(letter.refused_at)],
        ["items", str(letter.count)],
        ["size", size_text(letter.size_bytes)],
        ["reason", letter.reason],
    ]
    if content is not None:
        rows.append(["answer", content["answer"] or ""])
    click.echo("\n".join(aligned(rows)))
    if content is not None:
        click.echo()
        print_json(content["value"])


def _run_text(letter: "DeadLetter") -> str:
    return "" if letter.trace_id is None else f"{letter.trace_id:032x}"
