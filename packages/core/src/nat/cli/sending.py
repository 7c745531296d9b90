"""Exporters of a workflow file at work for a command that sends what is on disk."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from nat.cli.interruption import Interruption
from nat.cli.output import say
from nat.cli.progress import progress
from nat.observability.manager import ExporterStatus, TelemetryManager
from nat.observability.registry import ExporterEntry

__all__ = ["Sending"]

_LOOK_EVERY_S = 0.1
_CLOSE_S = 2.0  # for what is on its way at the end, and a last attempt


class Sending:
    """Starts exporters, lets them send, and stops them again: when all is through, or nothing is any more; for one command.

    Ctrl-C and SIGTERM end it early. What was not delivered stays on disk.

    Args:
        entries: The exporters; that one is required does not count, the others send all the same.
        timeout_s: Seconds without an item that got through after which it ends.
    """

    def __init__(self, entries: Sequence[ExporterEntry], *, timeout_s: float) -> None:
        self._manager = TelemetryManager([replace(entry, required=False) for entry in entries])
        self._timeout_s = timeout_s
        self._interruption = Interruption()
        self._has_stalled = False
        self._counted = (0, 0)

    @property
    def exit_code(self) -> int | None:
        """128 + the signal that ended it; `None` without one."""
        return self._interruption.exit_code if self._interruption.has_happened else None

    @property
    def status(self) -> dict[str, ExporterStatus]:
        """What each exporter has done."""
        return self._manager.status().exporters

    def letter_fates(self, name: str) -> dict[str, str | None]:
        """What became of an exporter's letters, by id: why they stay, `None` for those that were delivered."""
        return self._manager.letter_fates(name)

    def run(self, total: int, letters: Mapping[str, Sequence[str]] | None = None) -> None:
        """Send what the exporters find in their spools, and dead letters: by exporter, their ids. `total` items in all."""
        with self._interruption.listened_to(), progress(total, "items") as advance:
            self._manager.start()
            try:
                self._interruption.run(self._follow(letters or {}, advance))
            finally:
                self._manager.close(_CLOSE_S)
            self._count(advance)
        if self._interruption.has_happened:
            say("Interrupted.")
        elif self._has_stalled:
            say(f"Nothing got through for {self._timeout_s:g} s: gave up.")

    async def _follow(self, letters: Mapping[str, Sequence[str]], advance: Callable[[bool], None]) -> None:
        """Return when everything is through, or nothing has been for too long."""
        clock = asyncio.get_running_loop().time
        sending = asyncio.ensure_future(self._send(letters))
        moved_at = clock()
        while not sending.done():
            await asyncio.wait([sending], timeout=_LOOK_EVERY_S)
            if self._count(advance):
                moved_at = clock()
            elif clock() - moved_at >= self._timeout_s and not sending.done():
                self._has_stalled = True
                sending.cancel()
                return
        await sending

    async def _send(self, letters: Mapping[str, Sequence[str]]) -> None:
        begun = [self._manager.send_again(name, ids) for name, ids in letters.items()]
        await asyncio.gather(*(asyncio.wrap_future(future) for future in begun if future is not None))
        await asyncio.gather(*map(asyncio.wrap_future, self._manager.flushes()))

    def _count(self, advance: Callable[[bool], None]) -> bool:
        """Show what has got through since the last time; whether that is anything."""
        counts = self.status.values()
        delivered = sum(each.delivered for each in counts)
        failed = sum(each.dead_lettered + each.lost for each in counts)
        before, self._counted = self._counted, (delivered, failed)
        for _ in range(delivered - before[0]):
            advance(True)
        for _ in range(failed - before[1]):
            advance(False)
        return self._counted != before
