"""`nat run`: run a workflow and deliver its trace. Only results go to stdout."""

from pathlib import Path

import click

from nat.cli.debug import debug_option, is_debug

__all__ = ["run"]


@click.command()
@click.option(
    "--config_file", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The workflow file (YAML)."
)
@click.option("--input", "text", metavar="TEXT", help="The input of one run, as text.")
@click.option(
    "--input_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON Lines: one run for each line, whose value is the input.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many lines of --input_file are run at the same time; 1 if left out.",
)
@click.option(
    "--override",
    "overrides",
    nargs=2,
    multiple=True,
    metavar="KEY VALUE",
    help="Set a value of the workflow file, as in --override general.telemetry.tracing.prod.endpoint URL. Repeatable.",
)
@debug_option
def run(
    config_file: Path,
    text: str | None,
    input_file: Path | None,
    concurrency: int | None,
    overrides: tuple[tuple[str, str], ...],
) -> None:
    """Run the Python function that a workflow file names, and deliver the trace.

    The result goes to stdout: text as it is, any other value as JSON. With --input_file it is one JSON object a line,
    in the order of the inputs. All else goes to stderr.

    Exit code 0: every run succeeded; 1: one failed; 2: wrong usage or configuration; 130: Ctrl-C.
    """
    if (text is None) == (input_file is None):
        raise click.UsageError("expected either --input TEXT or --input_file FILE")
    if concurrency is not None and input_file is None:
        raise click.UsageError("--concurrency is for --input_file, there is only one run")
    from nat.cli.environment import require_own_environment
    from nat.cli.session import Session
    from nat.runtime.inputs import read_inputs
    from nat.runtime.loader import load_workflow

    require_own_environment()
    values = [text] if input_file is None else read_inputs(input_file)
    workflow = load_workflow(config_file, overrides, entrypoint="required")
    session = Session(workflow, is_single=input_file is None, shows_tracebacks=is_debug())
    click.get_current_context().exit(session.run(values, concurrency or 1))
