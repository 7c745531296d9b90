"""`CatalystExporter`: each run as one document, uploaded to RagaAI Catalyst."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from nat.builder.context import ContextState
from nat.data_models.span import Span
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.exporter.span_exporter import SpanExporter
from nat.plugins.catalyst.document import DocumentSettings, document_of, spans_of_dataset
from nat.plugins.catalyst.service import CatalystService
from nat.plugins.opentelemetry.instrumentation import uninstrumented

__all__ = ["CatalystExporter"]

_MOST_SPANS = 100_000  # of one document, unless `delivery.batch.size` says
_INLINE_SPANS = 100  # a document of that many is made in a few milliseconds; of more, on another thread


class CatalystExporter(SpanExporter[Span, Span]):
    """Uploads the spans of each run, once it has ended, as one document.

    What is delivered, lost or kept on disk are whole runs: `delivered` counts their spans. A document that is too large for the
    storage goes in halves.

    Args:
        service: Takes the documents; is closed with the exporter.
        project, dataset, tracer_type, metadata, lists_packages: See `DocumentSettings`.
        context_state: Where to take events from when user code starts it; `None` means the current one.
        timeout: Seconds that one upload may take, all of its requests together.
        retries: How often an upload that failed transiently is repeated; `None`: until delivery gives up.
    """

    _concurrency = 4

    def __init__(
        self,
        service: CatalystService,
        *,
        project: str,
        dataset: str,
        tracer_type: str,
        metadata: Mapping[str, Any] | None = None,
        lists_packages: bool = False,
        context_state: ContextState | None = None,
        timeout: float = 60.0,
        retries: int | None = None,
    ) -> None:
        super().__init__(context_state, batch_size=_MOST_SPANS, timeout=timeout, retries=retries)
        self._service = service
        self._settings = DocumentSettings(project, dataset, tracer_type, metadata or {}, lists_packages)

    @property
    def delivery_options(self) -> DeliveryOptions:
        """How it wants to be delivered to: a run at a time."""
        return replace(super().delivery_options, takes_lists=True, groups_runs=True)

    async def export_processed(self, item: Span | list[Span]) -> None:
        """Upload the spans of one run."""
        spans = item if isinstance(item, list) else [item]
        if len(spans) > _INLINE_SPANS:
            body, dataset_spans = await asyncio.to_thread(self._made, spans)
        else:
            body, dataset_spans = self._made(spans)
        with uninstrumented():
            await self._service.upload(body, dataset_spans)

    def _made(self, spans: list[Span]) -> tuple[bytes, list[dict[str, Any]]]:
        document = document_of(spans, self._settings)
        return orjson.dumps(document), spans_of_dataset(document)

    async def _cleanup(self) -> None:
        await self._service.close()
        await super()._cleanup()
