"""The words that spans are written in: kinds, status codes, MIME types and attribute keys."""

from enum import StrEnum

__all__ = ["MimeTypes", "SpanAttributes", "SpanKind", "SpanStatusCode"]


class SpanKind(StrEnum):
    """OpenInference's span kinds (`openinference.span.kind`, openinference-semantic-conventions 0.1.42)."""

    AGENT = "AGENT"
    CHAIN = "CHAIN"
    DECISION = "DECISION"
    EMBEDDING = "EMBEDDING"
    EVALUATOR = "EVALUATOR"
    GUARDRAIL = "GUARDRAIL"
    LLM = "LLM"
    PROMPT = "PROMPT"
    RERANKER = "RERANKER"
    RETRIEVER = "RETRIEVER"
    TOOL = "TOOL"
    UNKNOWN = "UNKNOWN"


class MimeTypes(StrEnum):
    """What `input.value` and `output.value` hold."""

    TEXT = "text/plain"
    JSON = "application/json"


class SpanAttributes(StrEnum):
    """Attribute keys in use.

    OpenInference's names are read from openinference-semantic-conventions 0.1.42, OpenTelemetry's from its semantic
    conventions 1.41; ours begin with `nat.`.
    """

    SPAN_KIND = "openinference.span.kind"
    INPUT_VALUE = "input.value"
    INPUT_MIME_TYPE = "input.mime_type"
    OUTPUT_VALUE = "output.value"
    OUTPUT_MIME_TYPE = "output.mime_type"
    SESSION_ID = "session.id"
    USER_ID = "user.id"
    METADATA = "metadata"
    TAGS = "tag.tags"
    AGENT_NAME = "agent.name"
    EVALUATIONS = "evaluations"
    LLM_MODEL_NAME = "llm.model_name"
    LLM_RESPONSE_MODEL_NAME = "llm.response.model_name"
    LLM_PROVIDER = "llm.provider"
    LLM_SYSTEM = "llm.system"
    LLM_INVOCATION_PARAMETERS = "llm.invocation_parameters"
    LLM_FINISH_REASON = "llm.finish_reason"
    LLM_INPUT_MESSAGES = "llm.input_messages"
    LLM_OUTPUT_MESSAGES = "llm.output_messages"
    LLM_TOOLS = "llm.tools"
    LLM_TOKEN_COUNT_PROMPT = "llm.token_count.prompt"
    LLM_TOKEN_COUNT_COMPLETION = "llm.token_count.completion"
    LLM_TOKEN_COUNT_TOTAL = "llm.token_count.total"
    LLM_TOKEN_COUNT_CACHE_READ = "llm.token_count.prompt_details.cache_read"
    LLM_TOKEN_COUNT_CACHE_WRITE = "llm.token_count.prompt_details.cache_write"
    LLM_TOKEN_COUNT_REASONING = "llm.token_count.completion_details.reasoning"
    LLM_COST_TOTAL = "llm.cost.total"
    TOOL_NAME = "tool.name"
    TOOL_DESCRIPTION = "tool.description"
    TOOL_ID = "tool.id"
    TOOL_PARAMETERS = "tool.parameters"
    RETRIEVAL_DOCUMENTS = "retrieval.documents"
    EMBEDDING_MODEL_NAME = "embedding.model_name"
    EMBEDDING_INVOCATION_PARAMETERS = "embedding.invocation_parameters"
    EMBEDDING_EMBEDDINGS = "embedding.embeddings"
    RERANKER_QUERY = "reranker.query"
    RERANKER_MODEL_NAME = "reranker.model_name"
    RERANKER_TOP_K = "reranker.top_k"
    RERANKER_INPUT_DOCUMENTS = "reranker.input_documents"
    RERANKER_OUTPUT_DOCUMENTS = "reranker.output_documents"
    ERROR_TYPE = "error.type"
    EXCEPTION_TYPE = "exception.type"
    EXCEPTION_MESSAGE = "exception.message"
    EXCEPTION_STACKTRACE = "exception.stacktrace"
    NAT_EVENT_TYPE = "nat.event_type"
    NAT_STEP_ID = "nat.step.id"
    NAT_WORKFLOW_NAME = "nat.workflow.name"
    NAT_FRAMEWORK = "nat.framework"
    NAT_FUNCTION_NAME = "nat.function.name"
    NAT_DATA = "nat.data"
    NAT_PROMPT_TOKENS = "nat.usage.prompt_tokens"
    NAT_COMPLETION_TOKENS = "nat.usage.completion_tokens"
    NAT_TOTAL_TOKENS = "nat.usage.total_tokens"
    NAT_CACHED_TOKENS = "nat.usage.cached_tokens"
    NAT_CACHE_WRITE_TOKENS = "nat.usage.cache_write_tokens"
    NAT_REASONING_TOKENS = "nat.usage.reasoning_tokens"
    NAT_LLM_CALLS = "nat.usage.llm_calls"
    NAT_SECONDS_BETWEEN_CALLS = "nat.usage.seconds_between_calls"
    NAT_CHUNK_COUNT = "nat.stream.chunk_count"
    NAT_TIME_TO_FIRST_CHUNK_S = "nat.stream.time_to_first_chunk_s"
    NAT_INCOMPLETE = "nat.span.incomplete"
    NAT_ABANDONED = "nat.generator.abandoned"
    NAT_DOCTOR = "nat.doctor"
    NAT_CONTENT_INPUT_CHARS = "nat.content.input_chars"
    NAT_CONTENT_OUTPUT_CHARS = "nat.content.output_chars"
    NAT_CONTENT_CUT_CHARS = "nat.content.cut_chars"
    NAT_CONTENT_CUT_ATTRIBUTES = "nat.content.cut_attributes"
    NAT_CONTENT_OFFLOADED = "nat.content.offloaded"
    NAT_CONTENT_LOST_PARTS = "nat.content.lost_parts"


class SpanStatusCode(StrEnum):
    """OpenTelemetry's status codes."""

    UNSET = "UNSET"
    OK = "OK"
    ERROR = "ERROR"
