"""The runs of one `nat run`: results to stdout, failures and what became of the telemetry to stderr."""

from collections.abc import Sequence
from typing import Any

import click

from nat.cli.errors import EXIT_FAILURE, CommandFailed
from nat.cli.failures import failure_line, failure_text
from nat.cli.interruption import Interruption
from nat.cli.progress import progress
from nat.cli.summary import delivery_summary
from nat.observability.api import Telemetry
from nat.observability.events import capture_error
from nat.observability.snapshot import encode_line
from nat.runtime.loader import Workflow
from nat.runtime.runner import RunResult, result_text, run_many

__all__ = ["Session"]

_TREE_FIRST_S = 0.5


class Session:
    """Runs a workflow for each input and reports on it.

    Args:
        is_single: One input from the command line: its result is printed as it is. Else each result is a line of JSON.
        shows_tracebacks: Whether failures come with their whole traceback.
    """

    def __init__(self, workflow: Workflow, *, is_single: bool, shows_tracebacks: bool) -> None:
        self._workflow = workflow
        self._is_single = is_single
        self._shows_tracebacks = shows_tracebacks
        self._interruption = Interruption()
        self._failed_count = 0

    def run(self, values: Sequence[Any], concurrency: int) -> int:
        """Run all inputs, deliver their traces, and return the exit code.

        Ctrl-C and SIGTERM cancel the runs; what they leave is delivered all the same.
        """
        telemetry = Telemetry.from_workflow(self._workflow)
        with self._interruption.listened_to():
            with telemetry:
                self._run_all(telemetry, values, concurrency)
            for line in delivery_summary(telemetry.status()):
                click.echo(line, err=True)
        if self._interruption.has_happened:
            click.echo("Interrupted.", err=True)
            return self._interruption.exit_code
        return EXIT_FAILURE if self._failed_count else 0

    def _run_all(self, telemetry: Telemetry, values: Sequence[Any], concurrency: int) -> None:
        if not self._is_single:
            with progress(len(values)) as advance:
                self._interruption.run(
                    run_many(
                        telemetry.run,
                        self._workflow,
                        values,
                        concurrency=concurrency,
                        on_done=lambda result: advance(result.is_success),
                        on_result=self._print_line,
                    )
                )
            return
        results: list[RunResult] = []
        self._interruption.run(run_many(telemetry.run, self._workflow, values, on_result=results.append))
        telemetry.flush(timeout=_TREE_FIRST_S)  # so that a tree on the terminal stands above the result
        for result in results:
            self._print_single(result)

    def _print_single(self, result: RunResult) -> None:
        if result.error is not None:
            self._failed_count += 1
            CommandFailed(failure_text(result.error, is_whole=self._shows_tracebacks)).show()
        elif result.output is not None:
            click.echo(result_text(result.output))

    def _print_line(self, result: RunResult) -> None:
        line: dict[str, Any] = {"index": result.index}
        if result.trace_id is not None:
            line["trace_id"] = f"{result.trace_id:032x}"
        if result.error is None:
            line["output"] = result.output
        else:
            self._failed_count += 1
            captured = capture_error(result.error)
            line["error"] = {"type": captured.type, "message": captured.message}
            text = failure_text(result.error, is_whole=True) if self._shows_tracebacks else failure_line(result.error)
            CommandFailed(f"run {result.index}: {text}").show()
        click.echo(encode_line(line))
