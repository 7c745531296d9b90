"""`PhoenixExporter`: spans over OTLP, and the evaluations on them as annotations."""

from typing import Any

from nat.observability.spans.capture import CapturedSpan
from nat.observability.spans.describe import describe
from nat.plugins.opentelemetry.instrumentation import uninstrumented
from nat.plugins.opentelemetry.otel_span import OtelSpan
from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter
from nat.plugins.phoenix.annotations import Annotator, annotations_of

__all__ = ["PhoenixExporter"]

_SIGN = b"evaluations"


class PhoenixExporter(OTLPSpanAdapterExporter):
    """Sends spans over OTLP, and once they were taken their evaluations to Phoenix's annotation API.

    If that fails in a way that may pass, the request is sent again as a whole: Phoenix knows spans by their ids, and
    annotations by span, name and identifier.

    Args:
        annotator: Posts annotations; `None`: evaluations stay attributes of their spans.
        options: Those of `OTLPSpanAdapterExporter`.
    """

    def __init__(self, annotator: Annotator | None, **options: Any) -> None:
        super().__init__(**options)
        self._annotator = annotator

    async def _send(self, item: Any) -> None:
        await super()._send(item)
        if self._annotator is None:
            return
        items = item if isinstance(item, list) else [item]
        annotations = [annotation for one in items for annotation in _annotations_in(one)]
        if annotations:
            with uninstrumented():
                await self._annotator.annotate(annotations)

    async def _cleanup(self) -> None:
        if self._annotator is not None:
            await self._annotator.close()
        await super()._cleanup()


def _annotations_in(item: Any) -> list[dict[str, Any]]:
    """The annotations of a span in any of its forms; what was only captured is described if it may have some."""
    if isinstance(item, CapturedSpan):
        if not _may_be_evaluated(item):
            return []
        item = describe(item)
    span = item.span if isinstance(item, OtelSpan) else item
    return annotations_of(span.context.span_id, span.attributes)


def _may_be_evaluated(captured: CapturedSpan) -> bool:
    steps = (captured.start, captured.end)
    values = (value for step in steps if step is not None for value in (step.metadata, step.attributes))
    return any(isinstance(value, bytes) and _SIGN in value for value in values)
