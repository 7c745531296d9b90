"""A target: one of several places that reports go to."""

import aiohttp

from run_reports.breaker import Breaker

__all__ = ["Target", "TargetError"]


class TargetError(Exception):
    """A target did not take a report; the message says why, without anything secret."""


class Target:
    """Posts reports to one URL, behind a breaker of its own.

    Args:
        name: For messages and dead letters.
        url: Where it is.
        session: Shared by all targets; closed by who has made it.
        breaker: Of this target alone: another one may be well.
    """

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession, breaker: Breaker) -> None:
        self.name = name
        self.breaker = breaker
        self._url = url
        self._session = session

    async def send(self, report: dict[str, object]) -> None:
        """Post one report.

        Raises:
            TargetError: The target has not taken it.
        """
        if not self.breaker.lets_pass():
            raise TargetError("the breaker is open")
        try:
            status = await self._post(report)
        except BaseException as exc:
            self.breaker.failed()
            if isinstance(exc, aiohttp.ClientError | TimeoutError):
                raise TargetError(type(exc).__name__) from exc
            raise
        if status == 429 or status >= 500:
            self.breaker.failed()
        else:
            self.breaker.succeeded()
        if not 200 <= status < 300:
            raise TargetError(f"HTTP {status}")

    async def _post(self, report: dict[str, object]) -> int:
        key = {"Idempotency-Key": str(report["id"])}  # a report may come again, out of the dead letters
        async with self._session.post(self._url, json=report, headers=key, allow_redirects=False) as response:
            await response.read()
            return response.status
