"""`OtelSpanExporter`: the base of exporters that take spans in OpenTelemetry's form."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nat.builder.context import ContextState
from nat.data_models.span import Span
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.worker import Lane
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.pipeline import SpanView
from nat.plugins.opentelemetry.otel_span import OtelResource, OtelSpan
from nat.plugins.opentelemetry.resource import resource_of

__all__ = ["OtelSpanExporter"]


class OtelSpanExporter(SpanExporter[Span, OtelSpan]):
    """Takes spans in lists: a subclass sends them in `export_otel_spans`, or a mixin before this class in the bases does.

    Processors may take and give `Span` as well as `OtelSpan`. Lists mix runs, and are sent by the original, not by the copies
    of single runs.

    Args:
        context_state: Where to take events from when user code starts it; `None` means the current one.
        batch_size: Spans of one list at most.
        flush_interval: Seconds that a span may wait for more to come.
        max_queue_size: Spans that may wait to be sent.
        drop_on_overflow: Beyond that, new spans are dropped and counted; else what waits is sent at once.
        shutdown_timeout: Seconds that the last flush may take.
        resource_attributes: Say where spans come from; `service.name` and `telemetry.sdk.*` have defaults.
        timeout: Seconds that one call of `export_otel_spans` may take.
        retries: How often a call that failed transiently is repeated; `None`: until delivery gives up.

    Raises:
        ValueError: An option is out of its range.
    """

    _concurrency = 4
    _span_view = SpanView(OtelSpan, OtelSpan, lambda view: view.span)

    def __init__(
        self,
        context_state: ContextState | None = None,
        *,
        batch_size: int = 100,
        flush_interval: float = 5.0,
        max_queue_size: int = 1000,
        drop_on_overflow: bool = False,
        shutdown_timeout: float = 10.0,
        resource_attributes: Mapping[str, Any] | None = None,
        timeout: float = 10.0,
        retries: int | None = None,
    ) -> None:
        super().__init__(context_state, batch_size=batch_size, timeout=timeout, retries=retries)
        if max_queue_size < batch_size:
            raise ValueError(f"max_queue_size must be at least batch_size ({batch_size}), got {max_queue_size!r}")
        self._batching = DeliveryOptions(
            takes_lists=True,
            flush_interval_s=flush_interval,
            max_queue_size=max_queue_size,
            drop_on_overflow=drop_on_overflow,
            shutdown_timeout_s=shutdown_timeout,
        )
        self._resource = OtelResource(resource_of(resource_attributes or {}))

    @abstractmethod
    async def export_otel_spans(self, spans: list[OtelSpan]) -> None:
        """Send these spans; what returning and raising mean is said at `ProcessingExporter.export_processed`."""

    @property
    def resource_attributes(self) -> Mapping[str, Any]:
        """What is said of where spans come from."""
        return self._resource.attributes

    def use_lane(self, lane: Lane) -> None:
        """Take events from this lane; what must not leave is not said of where spans come from either."""
        super().use_lane(lane)
        self._resource = OtelResource(lane.redacted(self._resource.attributes))

    @property
    def delivery_options(self) -> DeliveryOptions:
        """How it wants to be delivered to."""
        batching = self._batching
        return replace(
            super().delivery_options,
            takes_lists=True,
            flush_interval_s=batching.flush_interval_s,
            max_queue_size=batching.max_queue_size,
            drop_on_overflow=batching.drop_on_overflow,
            shutdown_timeout_s=batching.shutdown_timeout_s,
        )

    async def export_processed(self, item: Span | OtelSpan | Sequence[Span | OtelSpan]) -> None:
        """Pass spans on to `export_otel_spans`, as `OtelSpan`s with this exporter's resource."""
        spans = [item] if isinstance(item, Span | OtelSpan) else item
        await self.export_otel_spans([self._viewed(span) for span in spans])

    def _viewed(self, span: Span | OtelSpan) -> OtelSpan:
        return OtelSpan(span.span if isinstance(span, OtelSpan) else span, self._resource)

    async def _send(self, item: Any) -> None:
        views = [self._viewed(span) for span in item] if isinstance(item, list) else self._viewed(item)
        await self.export_processed(views)
