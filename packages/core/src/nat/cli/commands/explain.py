"""`nat explain`: what each exporter of a workflow file would make of a recorded run."""

import asyncio
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nat.cli.debug import debug_option
from nat.cli.errors import EXIT_FAILURE, EXIT_USAGE, CommandFailed
from nat.cli.stored import json_option, print_json, workflow_options

if TYPE_CHECKING:
    from nat.cli.explanation import Explained, Fate, Stage
    from nat.cli.recorded import RecordedRun
    from nat.observability.registry import ExporterEntry

__all__ = ["explain"]

_Hide = Callable[[Any], Any]


def _metadata_of(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    for text in given:
        if not text.partition("=")[1]:
            raise click.BadParameter(f"{text!r} is no KEY=VALUE, such as tenant=acme.")
    return {key: value for key, _, value in (text.partition("=") for text in given)}


@click.command()
@workflow_options
@click.option(
    "--run",
    "recording",
    required=True,
    type=click.Path(path_type=Path),
    metavar="RECORDED",
    help="What the exporter `file` has written: steps, spans or otlp_json.",
)
@click.option("--run_id", metavar="ID", help="Of several runs, the one whose id begins so; else the last one.")
@click.option(
    "--exporter", "exporters", multiple=True, metavar="NAME", help="Only this exporter, with its routes. Repeatable."
)
@click.option(
    "--span",
    "spans",
    multiple=True,
    metavar="NAME",
    help="Show only spans or steps of this name (* and ? are patterns), or whose id begins so. Repeatable.",
)
@click.option(
    "--metadata",
    "metadata",
    multiple=True,
    callback=_metadata_of,
    metavar="KEY=VALUE",
    help="What the run's metadata says beside what was recorded. Repeatable.",
)
@json_option
@debug_option
def explain(
    config_file: Path,
    recording: Path,
    run_id: str | None,
    exporters: tuple[str, ...],
    spans: tuple[str, ...],
    metadata: dict[str, str],
    overrides: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Show what goes in and what comes out of each processor of each exporter, for a recorded run. Nothing is sent.

    No exporter is built: only processors run. Secrets are not shown, also where an exporter does not redact them.

    Exit code 0; 1: an exporter would not start; 2: wrong usage or configuration.
    """
    from nat.cli.environment import require_own_environment

    require_own_environment()
    entries = _chosen_entries(config_file, overrides, exporters)
    from nat.cli.recorded import read_run

    recorded = read_run(recording, run_id, metadata)
    explained = asyncio.run(_explain_all(entries, recorded))
    report = _Report(recording, recorded, explained, spans, _hiding(entries))
    if as_json:
        print_json(report.fields())
    else:
        report.print()
    click.get_current_context().exit(EXIT_FAILURE if any(one.problem for one in explained) else 0)


def _chosen_entries(
    config_file: Path, overrides: tuple[tuple[str, str], ...], names: Sequence[str]
) -> "list[ExporterEntry]":
    from nat.runtime.loader import load_workflow

    entries = load_workflow(config_file, overrides, entrypoint="if_needed").exporters
    if not entries:
        raise CommandFailed(f"{config_file}: configures no exporter under general.telemetry.tracing.", EXIT_USAGE)
    known = {entry.name: entry for entry in entries}
    owners = {entry.route.exporter for entry in entries if entry.route is not None}
    for name in names:
        if name not in known and name not in owners:
            raise CommandFailed(f"{config_file}: has no exporter {name!r}; it has: {', '.join(known)}.", EXIT_USAGE)
    return [
        entry
        for entry in entries
        if not names or entry.name in names or (entry.route is not None and entry.route.exporter in names)
    ]


async def _explain_all(entries: "Sequence[ExporterEntry]", recorded: "RecordedRun") -> "list[Explained]":
    from nat.cli.explanation import explain as explain_one

    return [await explain_one(entry, recorded) for entry in entries]


def _hiding(entries: "Sequence[ExporterEntry]") -> _Hide:
    """What takes secrets out of anything that is shown: those that look like one, and those of the configuration."""
    from nat.data_models.masking import hide, secret_texts
    from nat.observability.redaction.redactor import Redactor
    from nat.observability.redaction.rules import Rules

    configs = [config for entry in entries for config in (entry.config, *(one.config for one in entry.processors))]
    secrets = {
        text
        for config in configs
        for text in secret_texts({key: getattr(config, key, None) for key in config.model_fields_set}, config.is_secret)
    }
    longest_first = sorted(secrets, key=len, reverse=True)
    redactor = Redactor(Rules())

    def hidden(value: Any) -> Any:
        shown = redactor.look(value)
        if isinstance(shown, str):
            return hide(shown, longest_first)
        return [hidden(item) for item in shown] if isinstance(shown, list) else shown

    return hidden


class _Report:
    """What is said about a run."""

    def __init__(
        self,
        file: Path,
        recorded: "RecordedRun",
        explained: "Sequence[Explained]",
        spans: Sequence[str],
        hide: _Hide,
    ) -> None:
        self._file = file
        self._recorded = recorded
        self._explained = explained
        self._spans = spans
        self._hide = hide

    # -- for people ----------------------------------------------------------------------------------------------------

    def print(self) -> None:
        recorded = self._recorded
        called = f" {self._name!r}" if self._name else ""
        count = len(recorded.steps if recorded.form == "steps" else recorded.spans)
        click.echo(f"Run {self._hide(recorded.id)}{called} of {self._file}: {count:,} {recorded.form}.")
        if recorded.other_count:
            click.echo(f"Other runs in it: {recorded.other_count:,}; --run_id chooses.")
        if recorded.form == "steps":
            click.echo(
                "A recording of steps holds neither trace id nor metadata, session, user and tags of the run: what sample "
                "decides by chance is not what it decided then; --metadata says the rest."
            )
        if not recorded.has_own_names:
            click.echo(
                "It was recorded in other names than OpenInference's, in which processors see spans; what they do differs."
            )
        for one in self._explained:
            self._print_exporter(one)

    def _print_exporter(self, one: "Explained") -> None:
        names = f", names of {one.conventions}" if one.conventions else ""
        click.echo(f"\n{click.style(one.entry.name, bold=True)} ({one.entry.registration.type_name}{names})")
        for note in one.notes:
            click.echo(f"  note: {note}.")
        for stage in one.stages:
            self._print_stage(stage)
        if one.problem:
            click.secho(f"  {self._hide(one.problem)}", fg="red")
        elif one.is_seen:
            click.echo(f"  exported: {len(one.result):,} {one.unit}")

    def _print_stage(self, stage: "Stage") -> None:
        went_in = stage.count("passed", "changed", "dropped")
        came_out = stage.count("passed", "changed", "added")
        changed = stage.count("changed")
        more = f", {changed:,} changed" if changed else ""
        click.echo(f"  {stage.name}: {went_in:,} in, {came_out:,} out{more}")
        for fate in stage.fates:
            if fate.outcome != "passed" and self._is_wanted(fate):
                self._print_fate(stage, fate)

    def _print_fate(self, stage: "Stage", fate: "Fate") -> None:
        label = f"{self._label(fate)} {self._hide(_id_of(fate.item))}"
        if fate.outcome == "dropped":
            click.secho(f"    - {label}: {self._hide(fate.reason)}", fg="red")
            return
        click.secho(f"    {'+' if fate.outcome == 'added' else '~'} {label}", fg="yellow")
        from nat.cli.differences import ABSENT, shortened

        for change in fate.changes:
            key = self._hide(change.key)
            before, after = shortened(self._shown(change.before), self._shown(change.after))
            if stage.hides:
                click.secho(f"        ~ {key}: {after if change.after is not ABSENT else '(removed)'}", fg="yellow")
                continue
            if change.before is not ABSENT:
                click.secho(f"        - {key}: {before}", fg="red")
            if change.after is not ABSENT:
                click.secho(f"        + {key}: {after}", fg="green")

    # -- for programs --------------------------------------------------------------------------------------------------

    def fields(self) -> dict[str, Any]:
        recorded = self._recorded
        return {
            "run": {
                "id": self._hide(recorded.id),
                "name": self._name,
                "form": recorded.form,
                "count": len(recorded.steps if recorded.form == "steps" else recorded.spans),
                "other_runs": recorded.other_count,
            },
            "exporters": [self._exporter_fields(one) for one in self._explained],
        }

    def _exporter_fields(self, one: "Explained") -> dict[str, Any]:
        return {
            "exporter": one.entry.name,
            "type": one.entry.registration.type_name,
            "unit": one.unit,
            "conventions": one.conventions,
            "notes": one.notes,
            "problem": self._hide(one.problem) or None,
            "stages": [self._stage_fields(stage) for stage in one.stages],
            "exported": len(one.result) if one.is_seen and not one.problem else None,
        }

    def _stage_fields(self, stage: "Stage") -> dict[str, Any]:
        return {
            "stage": stage.name,
            "in": stage.count("passed", "changed", "dropped"),
            "out": stage.count("passed", "changed", "added"),
            "items": [self._fate_fields(stage, fate) for fate in stage.fates if self._is_wanted(fate)],
        }

    def _fate_fields(self, stage: "Stage", fate: "Fate") -> dict[str, Any]:
        from nat.cli.differences import ABSENT

        def changed(change: Any) -> dict[str, Any]:
            shown = {"before": change.before, "after": change.after}
            if stage.hides:
                del shown["before"]
            return {
                "key": self._hide(change.key),
                **{name: self._hide(value) for name, value in shown.items() if value is not ABSENT},
            }

        return {
            "item": self._label(fate),
            "id": self._hide(_id_of(fate.item)),
            "outcome": fate.outcome,
            "reason": self._hide(fate.reason) or None,
            "changes": [changed(change) for change in fate.changes],
        }

    # -- both ----------------------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str | None:
        name: str | None = self._hide(self._recorded.runs[-1].name)
        return name

    def _label(self, fate: "Fate") -> str:
        from nat.cli.explanation import label_of

        label: str = self._hide(label_of(fate.item))
        return label

    def _shown(self, value: Any) -> Any:
        from nat.cli.differences import ABSENT

        return value if value is ABSENT else self._hide(value)

    def _is_wanted(self, fate: "Fate") -> bool:
        if not self._spans:
            return True
        name, key = fate.item.name or "", _id_of(fate.item)
        return any(fnmatchcase(name, wanted) or key.startswith(wanted) for wanted in self._spans)


def _id_of(item: Any) -> str:
    """The id of a span, or of a step."""
    context = getattr(item, "context", None)
    return f"{context.span_id:016x}" if context is not None else str(getattr(item, "UUID", ""))
