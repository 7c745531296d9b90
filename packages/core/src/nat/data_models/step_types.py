"""Kinds of step events; apart from the models, so that taking steps needs no pydantic."""

from enum import StrEnum

__all__ = ["ROOT_PARENT_ID", "IntermediateStepCategory", "IntermediateStepState", "IntermediateStepType"]

ROOT_PARENT_ID = "root"
"""`parent_id` of a step that no other step encloses."""


class IntermediateStepCategory(StrEnum):
    """What a step does, whichever part of its life an event reports."""

    LLM = "LLM"
    TOOL = "TOOL"
    WORKFLOW = "WORKFLOW"
    TASK = "TASK"
    FUNCTION = "FUNCTION"
    CUSTOM = "CUSTOM"
    SPAN = "SPAN"
    TTC = "TTC"
    AGENT = "AGENT"
    RETRIEVER = "RETRIEVER"
    EMBEDDER = "EMBEDDER"
    RERANKER = "RERANKER"
    GUARDRAIL = "GUARDRAIL"
    EVALUATOR = "EVALUATOR"


class IntermediateStepState(StrEnum):
    """Which part of a step's life an event reports."""

    START = "START"
    CHUNK = "CHUNK"
    END = "END"


class IntermediateStepType(StrEnum):
    """Kind of event; its text is its name (`f"{event_type}"` gives `LLM_START`)."""

    LLM_START = "LLM_START"
    LLM_END = "LLM_END"
    LLM_NEW_TOKEN = "LLM_NEW_TOKEN"
    TOOL_START = "TOOL_START"
    TOOL_END = "TOOL_END"
    WORKFLOW_START = "WORKFLOW_START"
    WORKFLOW_END = "WORKFLOW_END"
    TASK_START = "TASK_START"
    TASK_END = "TASK_END"
    FUNCTION_START = "FUNCTION_START"
    FUNCTION_END = "FUNCTION_END"
    CUSTOM_START = "CUSTOM_START"
    CUSTOM_END = "CUSTOM_END"
    SPAN_START = "SPAN_START"
    SPAN_CHUNK = "SPAN_CHUNK"
    SPAN_END = "SPAN_END"
    TTC_START = "TTC_START"
    TTC_END = "TTC_END"
    AGENT_START = "AGENT_START"
    AGENT_END = "AGENT_END"
    RETRIEVER_START = "RETRIEVER_START"
    RETRIEVER_END = "RETRIEVER_END"
    EMBEDDER_START = "EMBEDDER_START"
    EMBEDDER_END = "EMBEDDER_END"
    RERANKER_START = "RERANKER_START"
    RERANKER_END = "RERANKER_END"
    GUARDRAIL_START = "GUARDRAIL_START"
    GUARDRAIL_END = "GUARDRAIL_END"
    EVALUATOR_START = "EVALUATOR_START"
    EVALUATOR_END = "EVALUATOR_END"

    @property
    def category(self) -> IntermediateStepCategory:
        """What the step does."""
        return _CATEGORY_AND_STATE[self][0]

    @property
    def state(self) -> IntermediateStepState:
        """Which part of its life this is."""
        return _CATEGORY_AND_STATE[self][1]


_CHUNKS = {IntermediateStepType.LLM_NEW_TOKEN, IntermediateStepType.SPAN_CHUNK}


def _category_and_state(event_type: IntermediateStepType) -> tuple[IntermediateStepCategory, IntermediateStepState]:
    category, _, state = event_type.value.partition("_")
    chunk = event_type in _CHUNKS
    return IntermediateStepCategory(category), IntermediateStepState.CHUNK if chunk else IntermediateStepState(state)


_CATEGORY_AND_STATE = {event_type: _category_and_state(event_type) for event_type in IntermediateStepType}
