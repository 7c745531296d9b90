"""`nat doctor`: whether traces arrive, and if not, why."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nat.cli.debug import debug_option, is_debug
from nat.cli.errors import EXIT_FAILURE
from nat.cli.stored import json_option, load_exporters, print_json, workflow_options

if TYPE_CHECKING:
    from nat.cli.examination import Examination, Finding

__all__ = ["doctor"]

_SAID_BELOW = ("nat.observability.delivery", "nat.observability.manager", "nat.observability.pipeline")


@click.command()
@workflow_options
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="S",
    help="Seconds that a backend may take to answer.",
)
@json_option
@debug_option
def doctor(config_file: Path, overrides: tuple[tuple[str, str], ...], timeout_s: float, as_json: bool) -> None:
    """Send a test span through every exporter of a workflow file, and say why one does not arrive.

    The span is called "nat doctor", has the attribute nat.doctor and a session of its own. It is sent once, through the
    processors and the transport of the exporter; spools and dead letters are left alone, and the workflow is not run.

    Exit code 0: all exporters deliver; 1: one does not; 2: wrong usage or configuration; 130: Ctrl-C.
    """
    from nat.cli.environment import require_own_environment

    require_own_environment()
    entries = load_exporters(config_file, overrides, entrypoint="if_needed").exporters
    from nat.cli.examination import Examination

    examination = Examination(entries, timeout_s=timeout_s)
    with _quiet(), redirect_stdout(sys.stderr) if as_json else nullcontext():
        findings = examination.run()
    if as_json:
        print_json(_fields(examination, findings))
    else:
        _print(examination, findings)
    has_failed = any(finding.cause is not None for finding in findings)
    click.get_current_context().exit(examination.exit_code or (EXIT_FAILURE if has_failed else 0))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep out of the log what the report says, unless everything is to be shown."""
    loggers = [] if is_debug() else [logging.getLogger(name) for name in _SAID_BELOW]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger in loggers:
            logger.disabled = False


def _print(examination: "Examination", findings: "list[Finding]") -> None:
    from nat.cli.pages import NOT_DELIVERED, see
    from nat.cli.tables import print_table

    rows = [
        [
            *(finding.name, finding.type, _address(finding), "ok" if finding.cause is None else "failed"),
            "" if finding.latency_s is None else f"{finding.latency_s * 1_000:,.0f} ms",
        ]
        for finding in findings
    ]
    print_table(["exporter", "type", "endpoint", "status", "latency"], rows)
    for finding in findings:
        if finding.cause is not None:
            click.echo(f"\n{finding.name}: {finding.cause.meaning} ({finding.cause}).")
            if finding.said:
                click.echo(f"  it says: {finding.said}")
            click.echo(f"  mend: {finding.mend}")
    if any(finding.cause is not None for finding in findings):
        click.echo(f"\n{see(NOT_DELIVERED)}")
    if any(finding.cause is None for finding in findings):
        click.echo(f"\nThe test span is in trace {examination.trace_id:032x}, session {examination.session_id}.")
    for finding in findings:
        if finding.page is not None:
            click.echo(f"In {finding.name}: {finding.page}")


def _address(finding: "Finding") -> str:
    over = f" ({finding.protocol})" if finding.protocol else ""
    return f"{finding.address or ''}{over}"


def _fields(examination: "Examination", findings: "list[Finding]") -> dict[str, Any]:
    return {
        "exporters": [
            {
                "exporter": finding.name,
                "type": finding.type,
                "endpoint": finding.address,
                "protocol": finding.protocol,
                "status": "ok" if finding.cause is None else "failed",
                "latency_ms": None if finding.latency_s is None else round(finding.latency_s * 1_000, 1),
                "trace_url": finding.page,
                "cause": finding.cause,
                "meaning": None if finding.cause is None else finding.cause.meaning,
                "said": finding.said or None,
                "mend": finding.mend or None,
            }
            for finding in findings
        ],
        "trace_id": f"{examination.trace_id:032x}",
        "session_id": examination.session_id,
    }
