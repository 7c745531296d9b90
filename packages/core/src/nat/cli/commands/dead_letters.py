"""`nat dead-letters`: what backends refused for good."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nat.cli.debug import debug_option
from nat.cli.errors import EXIT_USAGE, CommandFailed
from nat.cli.stored import (
    age,
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
    from nat.cli.letters import FoundLetter
    from nat.cli.replay import Fate
    from nat.observability.delivery.dead_letters import DeadLetter

__all__ = ["dead_letters"]

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_place_options = place_options("Where the dead letters are.")
_all_option = click.option("--all", "is_all", is_flag=True, help="All of them.")


def _filter_options(command: CommandT) -> CommandT:
    older = click.option(
        "--older_than", type=age, metavar="AGE", help="Only what was refused so long ago: 90, 30m, 7d."
    )
    run = click.option("--run", metavar="ID", help="Only what is of this run: its trace id, or how it begins.")
    return exporter_option(run(older(command)))


@click.group()
def dead_letters() -> None:
    """Look at what backends refused for good, send it again, or drop it."""


@dead_letters.command("list", short_help="List dead letters.")
@_place_options
@_filter_options
@json_option
@debug_option
def list_letters(
    directory: Path | None,
    config_file: Path | None,
    exporter: str | None,
    run: str | None,
    older_than: float | None,
    as_json: bool,
) -> None:
    """List dead letters, oldest first for each exporter, without their content."""
    from nat.cli.letters import find_letters

    places = find_directories("dead-letters", directory, config_file)
    found = find_letters(places, exporter=exporter, run=run, older_than_s=older_than)
    letters = [each.letter for each in found]
    if as_json:
        print_json([_metadata(letter) for letter in letters])
    elif letters:
        _print_list(letters)
    else:
        click.echo(f"No dead letters in {', '.join(map(str, places))}.")


@dead_letters.command(short_help="Show one dead letter.")
@click.argument("letter_id", metavar="ID")
@_place_options
@click.option("--content", "with_content", is_flag=True, help="Also what the backend answered, and what it refused.")
@json_option
@debug_option
def show(letter_id: str, directory: Path | None, config_file: Path | None, with_content: bool, as_json: bool) -> None:
    """Show the dead letter ID, as `list` names it.

    Its content, and the backend's answer, which may quote it, are shown only with --content. What a processor has removed or
    redacted was never written.
    """
    from nat.cli.letters import find_letters

    found = find_letters(find_directories("dead-letters", directory, config_file), (letter_id,))[0]
    fields = _metadata(found.letter)
    if with_content:
        fields["answer"] = found.letter.answer
        fields["value"] = _content(found)
    if as_json:
        print_json(fields)
    else:
        _print_letter(found.letter, fields if with_content else None)


@dead_letters.command(short_help="Delete dead letters.")
@click.argument("letter_ids", metavar="[ID]...", nargs=-1)
@_place_options
@_filter_options
@_all_option
@click.option("--dry_run", is_flag=True, help="List what would be deleted, and delete nothing.")
@json_option
@debug_option
def drop(
    letter_ids: tuple[str, ...],
    directory: Path | None,
    config_file: Path | None,
    exporter: str | None,
    run: str | None,
    older_than: float | None,
    is_all: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Delete the dead letters that are named by ID and fit the filters."""
    _require_choice(letter_ids, exporter, run, older_than, is_all=is_all)
    from nat.cli.letters import find_letters

    places = find_directories("dead-letters", directory, config_file)
    chosen = find_letters(places, letter_ids, exporter=exporter, run=run, older_than_s=older_than)
    removed = 0 if dry_run else _remove(chosen)
    if as_json:
        print_json({"chosen": [_metadata(found.letter) for found in chosen], "dropped": removed})
    elif dry_run:
        if chosen:
            _print_list([found.letter for found in chosen])
        click.echo(f"{len(chosen)} dead letters would be dropped.")
    else:
        click.echo(f"{removed} dead letters dropped.")


@dead_letters.command(short_help="Send dead letters again.")
@click.argument("letter_ids", metavar="[ID]...", nargs=-1)
@sending_options
@directory_option("Where the dead letters are, if not where the file says.")
@_filter_options
@_all_option
@click.option("--dry_run", is_flag=True, help="List what would be sent, and send nothing.")
@json_option
@debug_option
def replay(
    letter_ids: tuple[str, ...],
    config_file: Path,
    overrides: tuple[tuple[str, str], ...],
    timeout_s: float,
    directory: Path | None,
    exporter: str | None,
    run: str | None,
    older_than: float | None,
    is_all: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send the dead letters again that are named by ID and fit the filters.

    Each goes through the exporter of its name in the workflow file, as that is set up there. What is delivered is deleted, what
    is refused again stays. The workflow is not run.

    Exit code 0: everything that was chosen was delivered; 1: something was not; 2: wrong usage or configuration; 130: Ctrl-C.
    """
    _require_choice(letter_ids, exporter, run, older_than, is_all=is_all)
    from nat.cli.letters import find_letters
    from nat.cli.output import say
    from nat.cli.replay import Replay

    again = Replay(config_file, load_exporters(config_file, overrides).exporters, directory)
    chosen = find_letters(again.places, letter_ids, exporter=exporter, run=run, older_than_s=older_than)
    for obstacle in again.choose(chosen):
        CommandFailed(obstacle).show()
    if not dry_run:
        again.run(timeout_s)
    if as_json:
        print_json(_replayed(chosen, [None] * len(chosen) if dry_run else again.fates()))
    elif not chosen:
        click.echo(f"No dead letters that fit in {', '.join(map(str, again.places))}.")
    elif dry_run:
        _print_list([found.letter for found in chosen])
        click.echo(f"{again.sendable_count} dead letters would be sent.")
    else:
        for line in again.summary():
            say(line)
    if not dry_run:
        click.get_current_context().exit(again.exit_code)


def _require_choice(
    letter_ids: tuple[str, ...], exporter: str | None, run: str | None, older_than: float | None, *, is_all: bool
) -> None:
    if not (letter_ids or is_all or exporter is not None or run is not None or older_than is not None):
        raise CommandFailed(
            "nothing says which; name letters, or give --exporter, --run, --older_than or --all.", EXIT_USAGE
        )


def _remove(chosen: "Sequence[FoundLetter]") -> int:
    from nat.cli.letters import store_in
    from nat.cli.progress import progress

    removed = 0
    with progress(len(chosen), "letters") as advance:
        for found in chosen:
            removed += store_in(found.place).remove([found.letter.id])
            advance(True)
    return removed


def _replayed(chosen: "Sequence[FoundLetter]", fates: "Sequence[Fate | None]") -> dict[str, Any]:
    """Letters with what became of them, and how many items that makes; without fates, just the letters."""
    from nat.cli.replay import Outcome

    letters = [_metadata(found.letter) for found in chosen]
    items: dict[str, int] = dict.fromkeys(Outcome, 0)
    for letter, fate in zip(letters, fates, strict=True):
        letter["outcome"] = None if fate is None else fate.outcome
        letter["why"] = None if fate is None else fate.why
        if fate is not None:
            items[fate.outcome] += letter["count"]
    return {"chosen": letters, **items}


def _metadata(letter: "DeadLetter") -> dict[str, Any]:
    fields = asdict(letter)
    del fields["answer"]  # it may quote the content
    fields["trace_id"] = _run_text(letter) or None
    return fields


def _content(found: "FoundLetter") -> Any:
    from nat.cli.letters import store_in, unknown_letter
    from nat.data_models.span import Span
    from nat.observability.delivery.codec import UndecodableError, decode
    from nat.observability.processor.span_to_dict import span_to_dict
    from nat.observability.snapshot import plain

    try:
        value = decode(store_in(found.place).read(found.letter.id)).value
    except UndecodableError as exc:
        raise CommandFailed(f"{found.letter.id}: {exc}.") from exc
    except KeyError:  # another process was faster
        raise unknown_letter(found.letter.id) from None
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
