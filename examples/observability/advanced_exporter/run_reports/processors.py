"""Processors: from a report to what is sent."""

from typing import Any

from nat.plugin_api import Processor

from run_reports.report import Report

__all__ = ["Judge", "ToDict"]


class Judge(Processor[Report, Report]):
    """Says under `alerts` why somebody should look at a run.

    Args:
        token_budget: Tokens that a run may use.
        repeats: Calls of one tool with the same input that are taken for a loop.
    """

    def __init__(self, token_budget: int | None, repeats: int) -> None:
        self._token_budget = token_budget
        self._repeats = repeats

    async def process(self, item: Report) -> Report:
        """The report with its alerts."""
        if item.error is not None:
            item.alerts.append("the run failed")
        for tool, count in item.repeated.items():
            if count >= self._repeats:
                item.alerts.append(f"{tool} was called {count} times with the same input")
        if self._token_budget is not None and item.tokens > self._token_budget:
            item.alerts.append(f"{item.tokens} tokens are more than {self._token_budget}")
        return item


class ToDict(Processor[Report, dict[str, Any]]):
    """Turns a report into what is posted."""

    async def process(self, item: Report) -> dict[str, Any]:
        """The report in plain JSON terms."""
        return item.as_dict()
