"""Attribute names of OpenInference as plain strings, ready for use in attribute dicts.

Names that stand alone come from `SpanAttributes`; the others follow a prefix and an index, as in
`llm.input_messages.0.message.role`. Source: openinference-semantic-conventions 0.1.42, read 2026-11.
"""

from collections.abc import Callable
from typing import NamedTuple

from nat.data_models.intermediate_step import IntermediateStepCategory, IntermediateStepType
from nat.data_models.span_names import MimeTypes, SpanAttributes, SpanKind

# As plain text: an enum member's `value` takes longer to read than to put into a span.
SPAN_KIND = SpanAttributes.SPAN_KIND.value
INPUT_VALUE = SpanAttributes.INPUT_VALUE.value
INPUT_MIME_TYPE = SpanAttributes.INPUT_MIME_TYPE.value
OUTPUT_VALUE = SpanAttributes.OUTPUT_VALUE.value
OUTPUT_MIME_TYPE = SpanAttributes.OUTPUT_MIME_TYPE.value
SESSION_ID = SpanAttributes.SESSION_ID.value
USER_ID = SpanAttributes.USER_ID.value
METADATA = SpanAttributes.METADATA.value
TAGS = SpanAttributes.TAGS.value
AGENT_NAME = SpanAttributes.AGENT_NAME.value
EVALUATIONS = SpanAttributes.EVALUATIONS.value
LLM_MODEL_NAME = SpanAttributes.LLM_MODEL_NAME.value
LLM_RESPONSE_MODEL_NAME = SpanAttributes.LLM_RESPONSE_MODEL_NAME.value
LLM_PROVIDER = SpanAttributes.LLM_PROVIDER.value
LLM_SYSTEM = SpanAttributes.LLM_SYSTEM.value
LLM_INVOCATION_PARAMETERS = SpanAttributes.LLM_INVOCATION_PARAMETERS.value
LLM_FINISH_REASON = SpanAttributes.LLM_FINISH_REASON.value
LLM_TOOLS = SpanAttributes.LLM_TOOLS.value
TOOL_NAME = SpanAttributes.TOOL_NAME.value
TOOL_DESCRIPTION = SpanAttributes.TOOL_DESCRIPTION.value
TOOL_ID = SpanAttributes.TOOL_ID.value
TOOL_PARAMETERS = SpanAttributes.TOOL_PARAMETERS.value
RETRIEVAL_DOCUMENTS = SpanAttributes.RETRIEVAL_DOCUMENTS.value
EMBEDDING_MODEL_NAME = SpanAttributes.EMBEDDING_MODEL_NAME.value
EMBEDDING_INVOCATION_PARAMETERS = SpanAttributes.EMBEDDING_INVOCATION_PARAMETERS.value
EMBEDDING_EMBEDDINGS = SpanAttributes.EMBEDDING_EMBEDDINGS.value
RERANKER_QUERY = SpanAttributes.RERANKER_QUERY.value
RERANKER_MODEL_NAME = SpanAttributes.RERANKER_MODEL_NAME.value
RERANKER_TOP_K = SpanAttributes.RERANKER_TOP_K.value
RERANKER_INPUT_DOCUMENTS = SpanAttributes.RERANKER_INPUT_DOCUMENTS.value
RERANKER_OUTPUT_DOCUMENTS = SpanAttributes.RERANKER_OUTPUT_DOCUMENTS.value
ERROR_TYPE = SpanAttributes.ERROR_TYPE.value
EXCEPTION_TYPE = SpanAttributes.EXCEPTION_TYPE.value
EXCEPTION_MESSAGE = SpanAttributes.EXCEPTION_MESSAGE.value
EXCEPTION_STACKTRACE = SpanAttributes.EXCEPTION_STACKTRACE.value
NAT_EVENT_TYPE = SpanAttributes.NAT_EVENT_TYPE.value
NAT_STEP_ID = SpanAttributes.NAT_STEP_ID.value
NAT_WORKFLOW_NAME = SpanAttributes.NAT_WORKFLOW_NAME.value
NAT_FRAMEWORK = SpanAttributes.NAT_FRAMEWORK.value
NAT_FUNCTION_NAME = SpanAttributes.NAT_FUNCTION_NAME.value
NAT_DATA = SpanAttributes.NAT_DATA.value
NAT_LLM_CALLS = SpanAttributes.NAT_LLM_CALLS.value
NAT_SECONDS_BETWEEN_CALLS = SpanAttributes.NAT_SECONDS_BETWEEN_CALLS.value
NAT_CHUNK_COUNT = SpanAttributes.NAT_CHUNK_COUNT.value
NAT_TIME_TO_FIRST_CHUNK_S = SpanAttributes.NAT_TIME_TO_FIRST_CHUNK_S.value
NAT_INCOMPLETE = SpanAttributes.NAT_INCOMPLETE.value
TEXT = MimeTypes.TEXT.value
JSON = MimeTypes.JSON.value

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

KIND_AND_TYPE = {
    event_type: {SPAN_KIND: KIND_OF_CATEGORY[event_type.category], NAT_EVENT_TYPE: event_type.value}
    for event_type in IntermediateStepType
}
"""The attributes that a span has for the type of its first event."""

# In the order of `events.Usage`. Sums over several calls have names of our own: under OpenInference's they would be
# counted twice.
LLM_USAGE_KEYS = (
    SpanAttributes.LLM_TOKEN_COUNT_PROMPT.value,
    SpanAttributes.LLM_TOKEN_COUNT_COMPLETION.value,
    SpanAttributes.LLM_TOKEN_COUNT_TOTAL.value,
    SpanAttributes.LLM_TOKEN_COUNT_CACHE_READ.value,
    SpanAttributes.LLM_TOKEN_COUNT_CACHE_WRITE.value,
    SpanAttributes.LLM_TOKEN_COUNT_REASONING.value,
    NAT_LLM_CALLS,
    NAT_SECONDS_BETWEEN_CALLS,
)
ROLL_UP_USAGE_KEYS = (
    SpanAttributes.NAT_PROMPT_TOKENS.value,
    SpanAttributes.NAT_COMPLETION_TOKENS.value,
    SpanAttributes.NAT_TOTAL_TOKENS.value,
    SpanAttributes.NAT_CACHED_TOKENS.value,
    SpanAttributes.NAT_CACHE_WRITE_TOKENS.value,
    SpanAttributes.NAT_REASONING_TOKENS.value,
    NAT_LLM_CALLS,
    NAT_SECONDS_BETWEEN_CALLS,
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
