"""`nat validate`: everything that is wrong with a workflow file, at once."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nat.cli.debug import debug_option

if TYPE_CHECKING:
    from nat.runtime.loader import Workflow

__all__ = ["validate"]


@click.command()
@click.option(
    "--config_file", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The workflow file (YAML)."
)
@click.option(
    "--override",
    "overrides",
    nargs=2,
    multiple=True,
    metavar="KEY VALUE",
    help="Check the file as if this value stood in it. Repeatable.",
)
@debug_option
def validate(config_file: Path, overrides: tuple[tuple[str, str], ...]) -> None:
    """Check a workflow file without running it.

    Everything that is wrong is listed, each problem with file, line, column and key; the exit code is 2 then. The
    modules that the file names are imported; exporters are not started.
    """
    from nat.cli.environment import require_own_environment
    from nat.runtime.loader import load_workflow

    require_own_environment()
    for line in _summary(load_workflow(config_file, overrides)):
        click.echo(line)


def _summary(workflow: "Workflow") -> list[str]:
    from nat.cli.tables import aligned

    runs = f"runs {workflow.entrypoint} as {workflow.run_name!r}" if workflow.entrypoint else "names no function to run"
    if not workflow.exporters:
        return [f"{workflow.path} is valid: {runs}, and exports nothing."]
    rows = [
        [f"  {entry.name}", entry.registration.type_name, "required" if entry.required else ""]
        for entry in workflow.exporters
    ]
    return [f"{workflow.path} is valid: {runs}, and exports to", *aligned(rows)]
