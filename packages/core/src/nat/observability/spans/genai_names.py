"""OpenTelemetry's names for generative AI: one table for each version, from OpenInference's names to those of `gen_ai`.

Sources: opentelemetry-semantic-conventions 0.66b2, which has the constants of 1.41, the last release with `gen_ai` in it;
semantic-conventions-genai v0.1.0, the first one of its own. The names of 1.37 to 1.41 are the same, apart from additions. Read
2026-11-26.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from nat.data_models.span_names import SpanKind
from nat.observability.spans import conventions as names

__all__ = ["EVALUATION_EVENT", "OPERATION_NAME", "TABLES", "WORKFLOW", "Form", "GenAiTable", "Row"]

WORKFLOW = "WORKFLOW"
"""Kind of the span of a workflow, which OpenInference calls a CHAIN as it does others."""

OPERATION_NAME = "gen_ai.operation.name"
EVALUATION_EVENT = "gen_ai.evaluation.result"

_PROMPT, _COMPLETION, _TOTAL, _CACHE_READ, _CACHE_WRITE, _REASONING = names.LLM_USAGE_KEYS[:6]
_LLM, _TOOL, _AGENT, _RETRIEVER = SpanKind.LLM, SpanKind.TOOL, SpanKind.AGENT, SpanKind.RETRIEVER
_MESSAGES, _ANSWERS = "gen_ai.input.messages", "gen_ai.output.messages"


class Form(StrEnum):
    """What the value of an attribute is; the words are OpenTelemetry's."""

    STRING = "string"
    INT = "int"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    STRINGS = "string[]"
    JSON = "any"  # on spans, its JSON text


class Row(NamedTuple):
    """One attribute in both conventions.

    Attributes:
        source: OpenInference's name, or what the names of a list's items begin with; `NAME[KEY]` is one key of the JSON object
            that the attribute holds.
        name: That of `gen_ai`.
        form: What its value is.
        kind: Only on spans of this kind; `None`: on all.
    """

    source: str
    name: str
    form: Form
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class GenAiTable:
    """One version of the convention.

    Attributes:
        version: Of the convention.
        rows: Its attributes; where several have one name, the first that is there gives the value.
        operations: `gen_ai.operation.name` by kind of span; other kinds have none.
        providers: Names of providers, where they are not OpenInference's.
        evaluation: Attributes of the event that an evaluation is, by the field of OpenInference's.
        messages_say_why_they_end: Whether a message that a model answers must have a `finish_reason` of its own.
    """

    version: str
    rows: tuple[Row, ...]
    operations: Mapping[str, str]
    providers: Mapping[str, str]
    evaluation: Mapping[str, tuple[str, Form]]
    messages_say_why_they_end: bool

    def name_of(self, source: str) -> str:
        """What an attribute of OpenInference's is called here, on spans of any kind.

        Raises:
            StopIteration: It has no such name.
        """
        return next(row.name for row in self.rows if row.source == source and row.kind is None)


def _parameters(source: str, *rows: tuple[str, str, Form]) -> Iterator[Row]:
    for key, name, form in rows:
        yield Row(f"{source}[{key}]", name, form)


_ROWS_1_41 = (
    Row(names.LLM_PROVIDER, "gen_ai.provider.name", Form.STRING),
    Row(names.LLM_SYSTEM, "gen_ai.provider.name", Form.STRING),
    Row(names.LLM_MODEL_NAME, "gen_ai.request.model", Form.STRING),
    Row(names.EMBEDDING_MODEL_NAME, "gen_ai.request.model", Form.STRING),
    Row(names.LLM_RESPONSE_MODEL_NAME, "gen_ai.response.model", Form.STRING),
    Row(f"{names.OUTPUT_VALUE}[id]", "gen_ai.response.id", Form.STRING, _LLM),
    Row(names.LLM_FINISH_REASON, "gen_ai.response.finish_reasons", Form.STRINGS),
    Row(names.NAT_TIME_TO_FIRST_CHUNK_S, "gen_ai.response.time_to_first_chunk", Form.DOUBLE, _LLM),
    Row(_PROMPT, "gen_ai.usage.input_tokens", Form.INT),
    Row(_COMPLETION, "gen_ai.usage.output_tokens", Form.INT),
    Row(_CACHE_READ, "gen_ai.usage.cache_read.input_tokens", Form.INT),
    Row(_CACHE_WRITE, "gen_ai.usage.cache_creation.input_tokens", Form.INT),
    Row(_REASONING, "gen_ai.usage.reasoning.output_tokens", Form.INT),
    *_parameters(
        names.LLM_INVOCATION_PARAMETERS,
        ("temperature", "gen_ai.request.temperature", Form.DOUBLE),
        ("top_p", "gen_ai.request.top_p", Form.DOUBLE),
        ("top_k", "gen_ai.request.top_k", Form.DOUBLE),
        ("max_tokens", "gen_ai.request.max_tokens", Form.INT),
        ("max_completion_tokens", "gen_ai.request.max_tokens", Form.INT),
        ("max_output_tokens", "gen_ai.request.max_tokens", Form.INT),
        ("frequency_penalty", "gen_ai.request.frequency_penalty", Form.DOUBLE),
        ("presence_penalty", "gen_ai.request.presence_penalty", Form.DOUBLE),
        ("seed", "gen_ai.request.seed", Form.INT),
        ("n", "gen_ai.request.choice.count", Form.INT),
        ("stop", "gen_ai.request.stop_sequences", Form.STRINGS),
        ("stop_sequences", "gen_ai.request.stop_sequences", Form.STRINGS),
        ("stream", "gen_ai.request.stream", Form.BOOLEAN),
    ),
    *_parameters(
        names.EMBEDDING_INVOCATION_PARAMETERS,
        ("dimensions", "gen_ai.embeddings.dimension.count", Form.INT),
        ("encoding_format", "gen_ai.request.encoding_formats", Form.STRINGS),
    ),
    Row("llm.input_messages", _MESSAGES, Form.JSON),
    Row("llm.output_messages", _ANSWERS, Form.JSON),
    Row(names.INPUT_VALUE, _MESSAGES, Form.JSON, _LLM),
    Row(names.OUTPUT_VALUE, _ANSWERS, Form.JSON, _LLM),
    Row(names.LLM_TOOLS, "gen_ai.tool.definitions", Form.JSON),
    Row(names.TOOL_NAME, "gen_ai.tool.name", Form.STRING),
    Row(names.TOOL_ID, "gen_ai.tool.call.id", Form.STRING),
    Row(names.TOOL_DESCRIPTION, "gen_ai.tool.description", Form.STRING),
    Row(names.TOOL_PARAMETERS, "gen_ai.tool.call.arguments", Form.JSON, _TOOL),
    Row(names.INPUT_VALUE, "gen_ai.tool.call.arguments", Form.JSON, _TOOL),
    Row(names.OUTPUT_VALUE, "gen_ai.tool.call.result", Form.JSON, _TOOL),
    Row(names.AGENT_NAME, "gen_ai.agent.name", Form.STRING),
    Row(f"{names.METADATA}[description]", "gen_ai.agent.description", Form.STRING, _AGENT),
    Row(names.INPUT_VALUE, _MESSAGES, Form.JSON, _AGENT),
    Row(names.OUTPUT_VALUE, _ANSWERS, Form.JSON, _AGENT),
    Row(names.NAT_WORKFLOW_NAME, "gen_ai.workflow.name", Form.STRING, WORKFLOW),
    Row(names.INPUT_VALUE, _MESSAGES, Form.JSON, WORKFLOW),
    Row(names.OUTPUT_VALUE, _ANSWERS, Form.JSON, WORKFLOW),
    Row(names.INPUT_VALUE, "gen_ai.retrieval.query.text", Form.STRING, _RETRIEVER),
    Row(names.RETRIEVAL_DOCUMENTS, "gen_ai.retrieval.documents", Form.JSON),
    Row(f"{names.METADATA}[data_source_id]", "gen_ai.data_source.id", Form.STRING, _RETRIEVER),
    Row(f"{names.METADATA}[top_k]", "gen_ai.request.top_k", Form.DOUBLE, _RETRIEVER),
    Row(names.SESSION_ID, "gen_ai.conversation.id", Form.STRING),
)
_NEW_IN_0_1_0 = {
    _CACHE_WRITE: Row(_CACHE_WRITE, "gen_ai.usage.cache_write.input_tokens", Form.INT),
    f"{names.LLM_INVOCATION_PARAMETERS}[top_k]": Row(
        f"{names.LLM_INVOCATION_PARAMETERS}[top_k]", "gen_ai.request.top_k", Form.INT
    ),
    f"{names.METADATA}[top_k]": Row(f"{names.METADATA}[top_k]", "gen_ai.retrieval.top_k", Form.INT, _RETRIEVER),
    names.NAT_WORKFLOW_NAME: Row(names.NAT_WORKFLOW_NAME, "gen_ai.agent.name", Form.STRING, WORKFLOW),
}
_ADDED_IN_0_1_0 = tuple(
    _parameters(
        names.LLM_INVOCATION_PARAMETERS,
        ("reasoning_effort", "gen_ai.request.reasoning.level", Form.STRING),
    )
)
_OPERATIONS: Mapping[str, str] = {
    _LLM: "chat",
    SpanKind.EMBEDDING: "embeddings",
    _TOOL: "execute_tool",
    _AGENT: "invoke_agent",
    _RETRIEVER: "retrieval",
    WORKFLOW: "invoke_workflow",
}
_PROVIDERS: Mapping[str, str] = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gemini",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertexai": "gcp.vertex_ai",
    "xai": "x_ai",
}
_EVALUATION: Mapping[str, tuple[str, Form]] = {
    names.EVALUATION_NAME: ("gen_ai.evaluation.name", Form.STRING),
    names.EVALUATION_SCORE: ("gen_ai.evaluation.score.value", Form.DOUBLE),
    names.EVALUATION_LABEL: ("gen_ai.evaluation.score.label", Form.STRING),
    names.EVALUATION_EXPLANATION: ("gen_ai.evaluation.explanation", Form.STRING),
}

TABLES: Mapping[str, GenAiTable] = {
    "1.41": GenAiTable("1.41", _ROWS_1_41, _OPERATIONS, _PROVIDERS, _EVALUATION, messages_say_why_they_end=True),
    "0.1.0": GenAiTable(
        "0.1.0",
        (*(_NEW_IN_0_1_0.get(row.source, row) for row in _ROWS_1_41), *_ADDED_IN_0_1_0),
        _OPERATIONS,
        _PROVIDERS,
        _EVALUATION,
        messages_say_why_they_end=False,
    ),
}
"""By version, the default first."""
