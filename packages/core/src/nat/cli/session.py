"""The runs of one `nat run`: results to stdout, failures and what became of the telemetry to stderr."""

from collections.abc import Sequence
from typing import Any

from nat.cli.errors import EXIT_FAILURE, CommandFailed
from nat.cli.failures import failure_line, failure_text
from nat.cli.interruption import Interruption
from nat.cli.output import print_result, say
from nat.cli.progress import progress
from nat.cli.summary import delivery_summary
from nat.observability.api import Telemetry
from nat.observability.events import capture_error
from nat.observability.manager import RunScope, TelemetryStatus
from nat.observability.snapshot import encode_line
from nat.runtime.loader import Workflow
from nat.runtime.runner import RunResult, result_text, run_many

__all__ = ["Session"]

_TREE_FIRST_S = 0.5


class Session:
    """Runs a workflow for each input and reports on it; for one `nat run`.

    Args:
        is_single: One input from the command line: its result is printed as it is. Else each result is a line of JSON.
        shows_tracebacks: Whether failures come with their whole traceback.
    """

    def __init__(self, workflow: Workflow, *, is_single: bool, shows_tracebacks: bool) -> None:
        self._workflow = workflow
        self._is_single = is_single
        self._shows_tracebacks = shows_tracebacks
        self._telemetry = Telemetry(
            *workflow.exporters, delivery=workflow.delivery, status_directory=workflow.status_directory
        )
        self._interruption = Interruption()
        self._scopes: dict[int, RunScope] = {}
        self._last_scope: RunScope | None = None
        self._has_failed = False

    def run(self, values: Sequence[Any], concurrency: int) -> int:
        """Run all inputs, deliver their traces, and return the exit code.

        Ctrl-C and SIGTERM cancel the runs; what they leave is delivered all the same.

        Raises:
            ConfigurationError: A required exporter did not start.
        """
        with self._interruption.listened_to():
            with self._telemetry:
                self._run_all(values, concurrency)
            status = self._telemetry.status()
            for line in (*delivery_summary(status), *self._links(status)):
                say(line)
        if self._interruption.has_happened:
            say("Interrupted.")
            return self._interruption.exit_code
        return EXIT_FAILURE if self._has_failed else 0

    def _run_all(self, values: Sequence[Any], concurrency: int) -> None:
        if self._is_single:
            results: list[RunResult] = []
            self._interruption.run(run_many(self._open_run, self._workflow, values, on_result=results.append))
            self._telemetry.flush(timeout=_TREE_FIRST_S)  # so that a tree on the terminal stands above the result
            for result in results:
                self._print_single(result)
            return
        with progress(len(values)) as advance:
            self._interruption.run(
                run_many(
                    self._open_run,
                    self._workflow,
                    values,
                    concurrency=concurrency,
                    on_done=lambda result: advance(result.is_success),
                    on_result=self._print_line,
                )
            )

    def _open_run(self, name: str, *, input: Any) -> RunScope:
        scope = self._telemetry.run(name, input=input)
        self._scopes[scope.trace_id] = self._last_scope = scope
        return scope

    def _links(self, status: TelemetryStatus) -> list[str]:
        """Where a single run can be looked at, in backends that have something of it."""
        if not self._is_single or self._last_scope is None:
            return []
        urls = self._telemetry.trace_urls(self._last_scope)
        return [f"trace in {name}: {url}" for name, url in urls.items() if status.exporters[name].delivered]

    def _print_single(self, result: RunResult) -> None:
        incomplete = self._incomplete(result)
        if result.error is not None:
            self._fail(failure_text(result.error, is_whole=self._shows_tracebacks))
        elif result.output is not None:
            print_result(result_text(result.output))
        if incomplete is not None:
            self._fail(incomplete)

    def _print_line(self, result: RunResult) -> None:
        line: dict[str, Any] = {"index": result.index}
        if result.trace_id is not None:
            line["trace_id"] = f"{result.trace_id:032x}"
        incomplete = self._incomplete(result)
        if result.error is None:
            line["output"] = result.output
        else:
            captured = capture_error(result.error)
            line["error"] = {"type": captured.type, "message": captured.message}
            text = failure_text(result.error, is_whole=True) if self._shows_tracebacks else failure_line(result.error)
            self._fail(f"run {result.index}: {text}")
        if incomplete is not None:
            line["error"] = {"type": "incomplete", "message": incomplete}
            self._fail(f"run {result.index}: {incomplete}")
        print_result(encode_line(line))

    def _incomplete(self, result: RunResult) -> str | None:
        """What is wrong with a run whose function returned while steps of it were still open."""
        scope = None if result.trace_id is None else self._scopes.pop(result.trace_id, None)
        if result.error is not None or scope is None or scope.error is None:
            return None
        return f"{scope.error.message}; the trace shows them as incomplete. End every step that is started."

    def _fail(self, message: str) -> None:
        self._has_failed = True
        CommandFailed(message).show()
