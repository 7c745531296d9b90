"""GenAI: what OpenInference's attributes say, in OpenTelemetry's names for generative AI.

Source: OpenTelemetry's semantic conventions 1.41, `gen_ai`. A value that is not known is left out, and so is the operation of a
step that has none there. Contents are not repeated.
"""

from collections.abc import Mapping
from typing import Any

from nat.data_models.span import SpanKind
from nat.observability.spans import conventions as names
from nat.plugins.opentelemetry.contents import json_object

__all__ = ["genai_attributes"]

_PROMPT, _COMPLETION, _TOTAL, _CACHE_READ, _CACHE_WRITE, _REASONING = names.LLM_USAGE_KEYS[:6]
_OPERATIONS: dict[str, str] = {
    SpanKind.LLM: "chat",
    SpanKind.EMBEDDING: "embeddings",
    SpanKind.TOOL: "execute_tool",
    SpanKind.AGENT: "invoke_agent",
}
_PROVIDERS = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gemini",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "xai": "x_ai",
}
_NAMES = (
    (names.LLM_MODEL_NAME, "gen_ai.request.model"),
    (names.EMBEDDING_MODEL_NAME, "gen_ai.request.model"),
    (names.LLM_RESPONSE_MODEL_NAME, "gen_ai.response.model"),
    (_PROMPT, "gen_ai.usage.input_tokens"),
    (_COMPLETION, "gen_ai.usage.output_tokens"),
    (_CACHE_READ, "gen_ai.usage.cache_read.input_tokens"),
    (_CACHE_WRITE, "gen_ai.usage.cache_creation.input_tokens"),
    (names.TOOL_NAME, "gen_ai.tool.name"),
    (names.TOOL_ID, "gen_ai.tool.call.id"),
    (names.TOOL_DESCRIPTION, "gen_ai.tool.description"),
    (names.AGENT_NAME, "gen_ai.agent.name"),
    (names.SESSION_ID, "gen_ai.conversation.id"),
)
_PARAMETERS = {
    name: f"gen_ai.request.{name}"
    for name in ("temperature", "max_tokens", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed")
}


def genai_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of `gen_ai` that a span's own ones give; those are not among them."""
    found = {genai: attributes[name] for name, genai in _NAMES if name in attributes}
    operation = _OPERATIONS.get(str(attributes.get(names.SPAN_KIND)))
    if operation is not None:
        found["gen_ai.operation.name"] = operation
    provider = attributes.get(names.LLM_PROVIDER)
    if provider is not None:
        found["gen_ai.provider.name"] = _PROVIDERS.get(str(provider), provider)
    reason = attributes.get(names.LLM_FINISH_REASON)
    if reason is not None:
        found["gen_ai.response.finish_reasons"] = [reason]
    if names.LLM_INVOCATION_PARAMETERS in attributes:
        parameters = json_object(attributes[names.LLM_INVOCATION_PARAMETERS])
        for name, key in _PARAMETERS.items():
            if type(parameters.get(name)) in (int, float):
                found[key] = parameters[name]
    return found
