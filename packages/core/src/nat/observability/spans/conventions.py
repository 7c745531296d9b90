"""Attribute names of OpenInference as plain strings, ready for use in attribute dicts.

Names that stand alone are in `SpanAttributes`; here are those that follow a prefix and an index, as in
`llm.input_messages.0.message.role`. Source: openinference-semantic-conventions 0.1.42, read 2026-11.
"""

from collections.abc import Callable
from typing import NamedTuple

from nat.data_models.intermediate_step import IntermediateStepCategory
from nat.data_models.span import SpanAttributes, SpanKind

__all__ = [
    "INCOMPLETE_MESSAGE",
    "INCOMPLETE_TYPE",
    "KIND_OF_CATEGORY",
    "LLM_USAGE_KEYS",
    "ROLL_UP_USAGE_KEYS",
    "DocumentKeys",
    "MessageKeys",
    "document_keys",
    "input_message_keys",
    "output_message_keys",
]

EXCEPTION_EVENT = "exception"
INCOMPLETE_TYPE = "incomplete"
INCOMPLETE_MESSAGE = "step never ended"

_CHAIN = SpanKind.CHAIN.value
KIND_OF_CATEGORY: dict[IntermediateStepCategory, str] = {
    IntermediateStepCategory.LLM: SpanKind.LLM.value,
    IntermediateStepCategory.TOOL: SpanKind.TOOL.value,
    IntermediateStepCategory.WORKFLOW: _CHAIN,
    IntermediateStepCategory.TASK: _CHAIN,
    IntermediateStepCategory.FUNCTION: _CHAIN,
    IntermediateStepCategory.CUSTOM: _CHAIN,
    IntermediateStepCategory.SPAN: _CHAIN,
    IntermediateStepCategory.TTC: _CHAIN,
    IntermediateStepCategory.AGENT: SpanKind.AGENT.value,
    IntermediateStepCategory.RETRIEVER: SpanKind.RETRIEVER.value,
    IntermediateStepCategory.EMBEDDER: SpanKind.EMBEDDING.value,
    IntermediateStepCategory.RERANKER: SpanKind.RERANKER.value,
    IntermediateStepCategory.GUARDRAIL: SpanKind.GUARDRAIL.value,
    IntermediateStepCategory.EVALUATOR: SpanKind.EVALUATOR.value,
}

# In the order of `events.Usage`, without its number of calls. Sums over several calls have names of our own: under
# OpenInference's they would be counted twice.
LLM_USAGE_KEYS = (
    SpanAttributes.LLM_TOKEN_COUNT_PROMPT.value,
    SpanAttributes.LLM_TOKEN_COUNT_COMPLETION.value,
    SpanAttributes.LLM_TOKEN_COUNT_TOTAL.value,
    SpanAttributes.LLM_TOKEN_COUNT_CACHE_READ.value,
    SpanAttributes.LLM_TOKEN_COUNT_CACHE_WRITE.value,
    SpanAttributes.LLM_TOKEN_COUNT_REASONING.value,
)
ROLL_UP_USAGE_KEYS = (
    SpanAttributes.NAT_PROMPT_TOKENS.value,
    SpanAttributes.NAT_COMPLETION_TOKENS.value,
    SpanAttributes.NAT_TOTAL_TOKENS.value,
    SpanAttributes.NAT_CACHED_TOKENS.value,
    SpanAttributes.NAT_CACHE_WRITE_TOKENS.value,
    SpanAttributes.NAT_REASONING_TOKENS.value,
)

MESSAGE_CONTENT_TYPE = "message_content.type"
MESSAGE_CONTENT_TEXT = "message_content.text"
MESSAGE_CONTENT_IMAGE_URL = "message_content.image.image.url"
MESSAGE_CONTENT_AUDIO_URL = "message_content.audio.audio.url"
MESSAGE_CONTENT_AUDIO_MIME_TYPE = "message_content.audio.audio.mime_type"
MESSAGE_CONTENT_AUDIO_TRANSCRIPT = "message_content.audio.audio.transcript"

TOOL_CALL_ID = "tool_call.id"
TOOL_CALL_FUNCTION_NAME = "tool_call.function.name"
TOOL_CALL_FUNCTION_ARGUMENTS = "tool_call.function.arguments"

TOOL_JSON_SCHEMA = "tool.json_schema"
EMBEDDING_TEXT = "embedding.text"

EVALUATION_NAME = "evaluation.name"
EVALUATION_SCORE = "evaluation.score"
EVALUATION_LABEL = "evaluation.label"
EVALUATION_EXPLANATION = "evaluation.explanation"
EVALUATION_ANNOTATOR_KIND = "evaluation.annotator_kind"
EVALUATION_IDENTIFIER = "evaluation.identifier"
EVALUATION_METADATA = "evaluation.metadata"


class MessageKeys(NamedTuple):
    """Keys of one message of a span; `contents` and `tool_calls` are prefixes."""

    role: str
    content: str
    name: str
    tool_call_id: str
    function_call_name: str
    function_call_arguments: str
    contents: str
    tool_calls: str


class DocumentKeys(NamedTuple):
    """Keys of one document of a span."""

    content: str
    id: str
    score: str
    metadata: str


def _message_keys(prefix: str) -> MessageKeys:
    return MessageKeys(
        role=f"{prefix}.message.role",
        content=f"{prefix}.message.content",
        name=f"{prefix}.message.name",
        tool_call_id=f"{prefix}.message.tool_call_id",
        function_call_name=f"{prefix}.message.function_call_name",
        function_call_arguments=f"{prefix}.message.function_call_arguments_json",
        contents=f"{prefix}.message.contents",
        tool_calls=f"{prefix}.message.tool_calls",
    )


def document_keys(prefix: str) -> DocumentKeys:
    """Keys of the document at `prefix`, which ends in its index."""
    return DocumentKeys(
        content=f"{prefix}.document.content",
        id=f"{prefix}.document.id",
        score=f"{prefix}.document.score",
        metadata=f"{prefix}.document.metadata",
    )


_KEPT_MESSAGES = 256  # their keys are made once; longer conversations make theirs each time


def _message_keys_of(prefix: str) -> Callable[[int], MessageKeys]:
    kept = [_message_keys(f"{prefix}.{index}") for index in range(_KEPT_MESSAGES)]

    def keys_of(index: int) -> MessageKeys:
        return kept[index] if index < _KEPT_MESSAGES else _message_keys(f"{prefix}.{index}")

    return keys_of


input_message_keys = _message_keys_of(SpanAttributes.LLM_INPUT_MESSAGES.value)
output_message_keys = _message_keys_of(SpanAttributes.LLM_OUTPUT_MESSAGES.value)
