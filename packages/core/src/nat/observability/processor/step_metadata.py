"""Metadata of a step, whichever of its two forms it has: a mapping, or `TraceMetadata`."""

from collections.abc import Mapping
from typing import Any

from nat.data_models.intermediate_step import IntermediateStep, StreamEventData, TraceMetadata

__all__ = ["metadata_of", "with_contents"]


def metadata_of(step: IntermediateStep) -> dict[str, Any]:
    """The fields that a step's metadata has, as a mapping of its own."""
    metadata = step.metadata
    if metadata is None or isinstance(metadata, dict):
        return dict(metadata or ())
    return {**metadata.__dict__, **(metadata.model_extra or {})}


def with_contents(
    step: IntermediateStep, metadata: Mapping[str, Any], data: StreamEventData | None
) -> IntermediateStep:
    """A copy with other metadata, in the form that the step's own has, and other data."""
    fields: dict[str, Any] | TraceMetadata | None = dict(metadata) or None
    if isinstance(step.metadata, TraceMetadata):
        fields = TraceMetadata.model_construct(**metadata)
    payload = step.payload.model_copy(update={"metadata": fields, "data": data})
    return step.model_copy(update={"payload": payload})
