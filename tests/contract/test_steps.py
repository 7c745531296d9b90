"""The step: event types, payload, shortcuts."""

import time

import pytest

from nat.data_models.intermediate_step import (
    IntermediateStep,
    IntermediateStepCategory,
    IntermediateStepPayload,
    IntermediateStepState,
    IntermediateStepType,
    StreamEventData,
    TraceMetadata,
    UsageInfo,
)
from nat.data_models.invocation_node import InvocationNode
from nat.data_models.token_usage import TokenUsageBaseModel

EVENT_TYPES = {
    "LLM_START": ("LLM", "START"),
    "LLM_NEW_TOKEN": ("LLM", "CHUNK"),
    "LLM_END": ("LLM", "END"),
    "TOOL_START": ("TOOL", "START"),
    "TOOL_END": ("TOOL", "END"),
    "WORKFLOW_START": ("WORKFLOW", "START"),
    "WORKFLOW_END": ("WORKFLOW", "END"),
    "TASK_START": ("TASK", "START"),
    "TASK_END": ("TASK", "END"),
    "FUNCTION_START": ("FUNCTION", "START"),
    "FUNCTION_END": ("FUNCTION", "END"),
    "CUSTOM_START": ("CUSTOM", "START"),
    "CUSTOM_END": ("CUSTOM", "END"),
    "SPAN_START": ("SPAN", "START"),
    "SPAN_CHUNK": ("SPAN", "CHUNK"),
    "SPAN_END": ("SPAN", "END"),
    "TTC_START": ("TTC", "START"),
    "TTC_END": ("TTC", "END"),
    "AGENT_START": ("AGENT", "START"),
    "AGENT_END": ("AGENT", "END"),
    "RETRIEVER_START": ("RETRIEVER", "START"),
    "RETRIEVER_END": ("RETRIEVER", "END"),
    "EMBEDDER_START": ("EMBEDDER", "START"),
    "EMBEDDER_END": ("EMBEDDER", "END"),
    "RERANKER_START": ("RERANKER", "START"),
    "RERANKER_END": ("RERANKER", "END"),
    "GUARDRAIL_START": ("GUARDRAIL", "START"),
    "GUARDRAIL_END": ("GUARDRAIL", "END"),
    "EVALUATOR_START": ("EVALUATOR", "START"),
    "EVALUATOR_END": ("EVALUATOR", "END"),
}


@pytest.mark.contract("D7", "D29")
def test_event_types_are_these_with_category_and_state() -> None:
    seen = {}
    for event_type in IntermediateStepType:
        payload = IntermediateStepPayload(event_type=event_type)
        seen[f"{event_type}"] = (f"{payload.event_category}", f"{payload.event_state}")

    assert seen == EVENT_TYPES
    assert IntermediateStepType.LLM_START == "LLM_START"
    assert isinstance(IntermediateStepType.LLM_START, str)


@pytest.mark.contract("S52", "S75")
def test_a_step_shows_its_payload() -> None:
    """Top-level attributes are shortcuts to the payload."""
    payload = IntermediateStepPayload(
        event_type=IntermediateStepType.LLM_END,
        UUID="step-1",
        name="gpt",
        event_timestamp=1_700_000_001.5,
        span_event_timestamp=1_700_000_000.25,
        framework="langchain",
        tags=["fast"],
        metadata={"model": "gpt"},
        data=StreamEventData(input="q", output="a"),
        usage_info=UsageInfo(token_usage=TokenUsageBaseModel(prompt_tokens=3), num_llm_calls=1),
    )
    item = IntermediateStep(
        parent_id="step-0",
        function_ancestry=InvocationNode(function_id="f1", function_name="ask", parent_id="f0", parent_name="main"),
        payload=payload,
    )

    assert (item.payload.name, item.payload.event_type) == ("gpt", IntermediateStepType.LLM_END)
    assert item.parent_id == "step-0"
    assert item.function_ancestry.function_name == "ask"
    assert item.event_type is IntermediateStepType.LLM_END
    assert item.event_category is IntermediateStepCategory.LLM
    assert item.event_state is IntermediateStepState.END
    assert item.UUID == "step-1"
    assert item.name == "gpt"
    assert item.event_timestamp == 1_700_000_001.5
    assert item.span_event_timestamp == 1_700_000_000.25
    assert item.framework == "langchain"
    assert item.tags == ["fast"]
    assert item.metadata == {"model": "gpt"}
    assert item.data is not None
    assert (item.data.input, item.data.output, item.data.chunk) == ("q", "a", None)
    assert item.usage_info is not None
    assert item.usage_info.token_usage.prompt_tokens == 3
    assert item.usage_info.num_llm_calls == 1


@pytest.mark.contract("S52")
def test_a_payload_needs_only_its_event_type() -> None:
    before = time.time()
    first = IntermediateStepPayload(event_type=IntermediateStepType.TOOL_START)
    second = IntermediateStepPayload(event_type=IntermediateStepType.TOOL_START)
    after = time.time()

    assert first.UUID
    assert first.UUID != second.UUID
    assert before <= first.event_timestamp <= after
    assert (first.name, first.metadata, first.data, first.usage_info, first.tags, first.framework) == (None,) * 6


@pytest.mark.contract("S52")
def test_metadata_may_be_a_model_with_fields_of_its_own() -> None:
    payload = IntermediateStepPayload(
        event_type=IntermediateStepType.LLM_START,
        metadata=TraceMetadata(chat_inputs=["hello"], team="search"),
    )

    assert isinstance(payload.metadata, TraceMetadata)
    assert payload.metadata.chat_inputs == ["hello"]
    assert payload.metadata.model_extra == {"team": "search"}
