"""One event of a running workflow: a step that starts, streams or ends."""

import time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nat.builder.framework_enum import LLMFrameworkEnum
from nat.data_models.invocation_node import InvocationNode
from nat.data_models.step_types import (
    ROOT_PARENT_ID,
    IntermediateStepCategory,
    IntermediateStepState,
    IntermediateStepType,
)
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.utils.ids import random_uuid

__all__ = [
    "ROOT_PARENT_ID",
    "IntermediateStep",
    "IntermediateStepCategory",
    "IntermediateStepPayload",
    "IntermediateStepState",
    "IntermediateStepType",
    "StreamEventData",
    "TraceMetadata",
    "UsageInfo",
]


class StreamEventData(BaseModel):
    """What went into a step, what came out, and what streamed in between.

    Any Python value is accepted; further fields are kept as they are. Exporters see the values of the moment of the push.
    """

    model_config = ConfigDict(extra="allow", defer_build=True)

    input: Any = None
    output: Any = None
    chunk: Any = None


class UsageInfo(BaseModel):
    """What a step consumed: tokens, number of model calls, and the seconds between them."""

    model_config = ConfigDict(defer_build=True)

    token_usage: TokenUsageBaseModel = Field(default_factory=TokenUsageBaseModel)
    num_llm_calls: int = 0
    seconds_between_calls: float = 0


class TraceMetadata(BaseModel):
    """Context of a step in the fields that agent frameworks fill; further fields are kept."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    chat_inputs: Any = None
    chat_responses: Any = None
    tool_inputs: Any = None
    tool_outputs: Any = None
    tool_info: Any = None
    tools_schema: Any = None
    span_inputs: Any = None
    span_outputs: Any = None
    provided_metadata: Any = None


class IntermediateStepPayload(BaseModel):
    """The inner record of a step: what the code that reports it knows.

    An END repeats the `UUID` of its START. Times are seconds since the epoch; `span_event_timestamp` on an END or a chunk
    is when the step started.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True)

    event_type: IntermediateStepType
    event_timestamp: float = Field(default_factory=time.time)
    span_event_timestamp: float | None = None
    framework: LLMFrameworkEnum | str | None = Field(default=None, union_mode="left_to_right")
    name: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | TraceMetadata | None = None
    data: StreamEventData | None = None
    usage_info: UsageInfo | None = None
    UUID: str = Field(default_factory=random_uuid)

    @property
    def event_category(self) -> IntermediateStepCategory:
        """What the step does."""
        return self.event_type.category

    @property
    def event_state(self) -> IntermediateStepState:
        """Which part of its life this is."""
        return self.event_type.state


class IntermediateStep(BaseModel):
    """One event of a running workflow, with its place in it.

    `parent_id` is the UUID of the enclosing step, `"root"` at the top. The payload's fields can be read on the step itself.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True)

    parent_id: str = ROOT_PARENT_ID
    function_ancestry: InvocationNode = Field(default_factory=InvocationNode)
    payload: IntermediateStepPayload

    @property
    def event_type(self) -> IntermediateStepType:
        """Kind of event."""
        return self.payload.event_type

    @property
    def event_category(self) -> IntermediateStepCategory:
        """What the step does."""
        return self.payload.event_category

    @property
    def event_state(self) -> IntermediateStepState:
        """Which part of its life this is."""
        return self.payload.event_state

    @property
    def event_timestamp(self) -> float:
        """When it happened, in seconds since the epoch."""
        return self.payload.event_timestamp

    @property
    def span_event_timestamp(self) -> float | None:
        """When the step started, in seconds since the epoch, if an END or chunk says so."""
        return self.payload.span_event_timestamp

    @property
    def UUID(self) -> str:  # noqa: N802  (the contract's name)
        """Id that START, chunks and END of one step share."""
        return self.payload.UUID

    @property
    def name(self) -> str | None:
        """Name of the step or component."""
        return self.payload.name

    @property
    def framework(self) -> LLMFrameworkEnum | str | None:
        """Agent framework that reported the step."""
        return self.payload.framework

    @property
    def tags(self) -> list[str] | None:
        """Free labels."""
        return self.payload.tags

    @property
    def metadata(self) -> dict[str, Any] | TraceMetadata | None:
        """Additional context."""
        return self.payload.metadata

    @property
    def data(self) -> StreamEventData | None:
        """Input, output or chunk."""
        return self.payload.data

    @property
    def usage_info(self) -> UsageInfo | None:
        """What the step consumed."""
        return self.payload.usage_info
