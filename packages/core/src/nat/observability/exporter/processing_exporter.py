"""Exporters with a pipeline."""

import asyncio
import logging
from abc import abstractmethod
from dataclasses import replace
from typing import Any, Generic, TypeVar

from nat.builder.context import ContextState
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.retry import RetryPolicy
from nat.observability.delivery.worker import Lane
from nat.observability.exporter.base_exporter import BaseExporter, LaneView
from nat.observability.pipeline import Pipeline, SpanView, generic_arguments
from nat.observability.processor.processor import Processor

__all__ = ["ProcessingExporter"]

_log = logging.getLogger("nat.observability.exporter")

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


class ProcessingExporter(BaseExporter, Generic[InputT, OutputT]):
    """Takes events through processors, in the order in which they were added, to `export_processed`.

    Args:
        context_state: Where to take events from when user code starts it; `None` means the current one.
        batch_size: Items that are handed over together. It never makes lists of single items.
        timeout: Seconds that one call of `export_processed` may take.
        retries: How often a call that failed transiently is repeated.

    Raises:
        ValueError: An option is out of its range.
    """

    _concurrency = 1
    _span_view: SpanView | None = None

    def __init__(
        self,
        context_state: ContextState | None = None,
        *,
        batch_size: int | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__(context_state, **unknown)
        self._delivery_options = delivery_options(
            DeliveryOptions(concurrency=self._concurrency), batch_size=batch_size, timeout=timeout, retries=retries
        )
        input_type, output_type = generic_arguments(type(self), ProcessingExporter, self)
        self._pipeline = Pipeline(type(self).__name__, input_type, output_type, self._span_view)

    @abstractmethod
    async def export_processed(self, item: Any) -> None:
        """Send one item, or a list if a processor makes lists.

        Return when the backend has it; raise when it has not: `TransientExportError` to be called again later,
        `PermanentExportError` to give the item up. Other exceptions are classed by what they are. Do not retry here.
        """

    @property
    def delivery_options(self) -> DeliveryOptions:
        """How it wants to be delivered to; its batching processors say how long the last flush may take."""
        return replace(self._delivery_options, shutdown_timeout_s=self._pipeline.shutdown_timeout_s)

    # -- processors ----------------------------------------------------------------------------------------------------

    def add_processor(
        self,
        processor: Processor[Any, Any],
        name: str | None = None,
        position: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> None:
        """Add a processor at the end, or where `position`, `before` or `after` (names) says.

        Raises:
            RuntimeError: The exporter has started.
            TypeError: It is no `Processor`, or it does not fit its neighbours.
            ValueError: The place does not exist, or the name is taken.
        """
        self._pipeline.add(processor, name=name, position=position, before=before, after=after)

    def remove_processor(self, processor: str | int | Processor[Any, Any]) -> None:
        """Remove a processor by its name, position or itself; `ValueError` if there is none, `RuntimeError` after the start."""
        self._pipeline.remove(processor)

    def clear_processors(self) -> None:
        """Remove all processors; `RuntimeError` after the start."""
        self._pipeline.clear()

    def get_processor_by_name(self, name: str) -> Processor[Any, Any] | None:
        """The processor that was added under that name."""
        return self._pipeline.get(name)

    def reset_pipeline(self) -> None:
        """Let a stopped exporter's processors be changed again; `RuntimeError` while it runs."""
        if self._life.is_running:
            raise RuntimeError(f"{self.name} is running; its processors cannot be changed")
        self._pipeline.release_for_changes()

    # -- for the toolkit -----------------------------------------------------------------------------------------------

    def export(self, event: Any) -> None:
        """Put one event into the pipeline. An override may look at it first and call `super().export(event)`."""
        self._submit(event)

    @property
    def _has_own_export(self) -> bool:
        return type(self).export is not ProcessingExporter.export

    @property
    def _lane_pipeline(self) -> Pipeline | None:
        return self._pipeline

    def _prepare(self) -> None:
        self._pipeline.fix()

    def _submit(self, item: Any) -> None:
        lane = self._life.lane
        if lane is None:
            try:
                clock = asyncio.get_running_loop().time
            except RuntimeError:
                _log.warning("%s: not started, and no event loop runs here; an event is lost", self.name)
                return
            self._prepare()
            lane = Lane(self.name, LaneView(self), self.delivery_options, is_solo=True, clock=clock)
            self._life.lane = lane
            lane.open()
        lane.submit(item)

    async def _send(self, item: Any) -> None:
        await self.export_processed(item)


def delivery_options(
    base: DeliveryOptions, *, batch_size: int | None, timeout: float | None, retries: int | None
) -> DeliveryOptions:
    """`base` with the options that are given; `ValueError` if one is out of its range."""
    changes: dict[str, Any] = {}
    if batch_size is not None:
        changes["batch_size"] = batch_size
    if timeout is not None:
        changes["timeout_s"] = timeout
    if retries is not None:
        changes["retry"] = RetryPolicy(max_retries=retries)
    return replace(base, **changes)
