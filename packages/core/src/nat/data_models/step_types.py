"""Kinds of step events; apart from the models, so that taking steps needs no pydantic."""

from enum import StrEnum

__all__ = ["ROOT_PARENT_ID", "IntermediateStepCategory", "IntermediateStepState", "IntermediateStepType"]

ROOT_PARENT_ID = "root"
"""`parent_id` of a step that no other step encloses."""


class IntermediateStepCategory(StrEnum):
    """What a step does, whichever part of its life an event reports."""

    __hash__ = str.__hash__  # an enumeration's own is slow

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
    """Kind of event; its text is its name (`f"{event_type}"` gives `LLM_START`).

    Attributes:
        category: What the step does.
        state: Which part of its life this is.
    """

    def __init__(self, text: str) -> None:
        category, _, state = text.partition("_")
        self.category = IntermediateStepCategory(category)
        self.state = IntermediateStepState("CHUNK" if state == "NEW_TOKEN" else state)

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

    __hash__ = str.__hash__  # an enumeration's own is slow
