"""Steps as text: one line of JSON each."""

from typing import Any

from nat.data_models.intermediate_step import (
    IntermediateStep,
    IntermediateStepPayload,
    StreamEventData,
    TraceMetadata,
    UsageInfo,
)
from nat.data_models.invocation_node import InvocationNode
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability.processor.processor import Processor
from nat.observability.snapshot import encode_line

__all__ = ["IntermediateStepSerializer"]

_OPENED = frozenset(
    {
        IntermediateStep,
        IntermediateStepPayload,
        StreamEventData,
        UsageInfo,
        TokenUsageBaseModel,
        TraceMetadata,
        InvocationNode,
    }
)


class IntermediateStepSerializer(Processor[IntermediateStep, str]):
    """Write a step as one line of JSON that holds all of its fields, in the shape of `IntermediateStep`.

    Every step can be written, whatever objects its data and metadata hold: what JSON cannot say becomes text, by the
    table of `nat.observability.snapshot`. `IntermediateStep.model_validate_json` reads a step with plain values back.
    """

    async def process(self, item: IntermediateStep) -> str:
        """The step as JSON text without a line break."""
        return encode_line(_opened(item))


def _opened(value: Any) -> Any:
    """A model of ours as a dict of its fields, as far as models of ours go; users' values in it stay as they are.

    Not `model_dump`: that takes longer, and fails as a whole where one value in a step cannot be written.
    """
    if type(value) not in _OPENED:
        return value
    fields = value.__dict__ | (value.__pydantic_extra__ or {})
    for name, field in fields.items():
        if type(field) in _OPENED:
            fields[name] = _opened(field)
    return fields
