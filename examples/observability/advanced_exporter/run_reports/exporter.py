"""The exporter: keeps the state of each run, and gives each report to every target that should have it."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from nat.plugin_api import IntermediateStep, IsolatedAttribute, PermanentExportError, ProcessingExporter

from run_reports.breaker import Breaker
from run_reports.dead_letters import DeadLetterFile, Letter
from run_reports.processors import Judge, ToDict
from run_reports.register import RunReportsConfig
from run_reports.report import Report, RunState
from run_reports.target import Target, TargetError

__all__ = ["RunReportExporter"]

_log = logging.getLogger("run_reports")


class RunReportExporter(ProcessingExporter[Report, dict[str, Any]]):
    """Sends a report of each run to an archive, and to an alert channel if somebody should look at it.

    A report counts as delivered when every target that should have it has taken it, or it is in the dead-letter file for those
    that have not. It is rejected when neither is so.

    Args:
        config: As in the workflow file.
        clock: Monotonic seconds, for the breakers.
    """

    _state: IsolatedAttribute[RunState] = IsolatedAttribute(RunState)

    def __init__(self, config: RunReportsConfig, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.add_processor(Judge(config.token_budget, config.repeats))
        self.add_processor(ToDict())
        key = config.api_key.get_secret_value()
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"} if key else None,
            timeout=aiohttp.ClientTimeout(total=config.timeout),
        )
        self.archive, self.alerts = (
            Target(name, url, self._session, Breaker(config.breaker_failures, config.breaker_open_for, clock))
            for name, url in (("archive", config.archive_url), ("alerts", config.alert_url))
        )
        self._dead_letters = DeadLetterFile(config.dead_letters)

    def export(self, event: IntermediateStep) -> None:
        """Take in one event; at the end of its run, a report goes into the pipeline."""
        report = self._state.note(event)
        if report is not None:
            super().export(report)

    async def export_processed(self, item: dict[str, Any]) -> None:
        """Give one report to its targets, all at once."""
        targets = [self.archive, self.alerts] if item["alerts"] else [self.archive]
        await asyncio.gather(*(self._give(target, item) for target in targets))

    async def _give(self, target: Target, report: dict[str, Any]) -> None:
        """Send a report, or keep it as a dead letter of this target."""
        try:
            await target.send(report)
        except TargetError as exc:
            _log.warning("%s did not take a report (%s); it is kept as a dead letter", target.name, exc)
            try:
                await asyncio.to_thread(self._dead_letters.append, Letter(target.name, str(exc), report))
            except OSError as error:
                raise PermanentExportError(f"{target.name}: {exc}; and the dead letter could not be kept") from error

    async def _cleanup(self) -> None:
        await self._session.close()
        await super()._cleanup()
