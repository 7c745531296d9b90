"""Watching: what the toolkit builds of an exporter's registration can be looked at, and its cleanups are counted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from nat.observability.exporter.base_exporter import BaseExporter

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
    from nat.observability.registry import Registration

__all__ = ["Watch"]

Prepare = Callable[[Any], None]


class Watch:
    """Builds exporters as a registration does, and keeps them.

    Args:
        registration: Of the exporter's type.
        prepare: Called with each exporter that was built, before it starts.

    Attributes:
        exporters: What was built, in order.
        loops: The event loops that they were built on.
        cleanups: How often `_cleanup` ran, of all of them together.
    """

    def __init__(self, registration: "Registration", prepare: Prepare | None = None) -> None:
        self._build = registration.build
        self._prepare = prepare
        self.exporters: list[BaseExporter] = []
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.cleanups = 0

    def __call__(
        self, config: "TelemetryExporterBaseConfig", builder: "Builder | None" = None
    ) -> AbstractAsyncContextManager[BaseExporter]:
        """What a registration's `build` gives."""
        return self._built(config, builder)

    @asynccontextmanager
    async def _built(
        self, config: "TelemetryExporterBaseConfig", builder: "Builder | None"
    ) -> AsyncIterator[BaseExporter]:
        async with self._build(config, builder) as exporter:
            self._count_cleanups(exporter)
            if self._prepare is not None:
                self._prepare(exporter)
            self.exporters.append(exporter)
            self.loops.append(asyncio.get_running_loop())
            yield exporter

    def _count_cleanups(self, exporter: BaseExporter) -> None:
        clean_up = exporter._cleanup

        async def _cleanup() -> None:
            self.cleanups += 1
            await clean_up()

        exporter._cleanup = _cleanup  # type: ignore[method-assign]  # of this instance
