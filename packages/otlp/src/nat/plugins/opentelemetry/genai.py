"""GenAI: what OpenInference's attributes say, in OpenTelemetry's names for generative AI.

Source: OpenTelemetry's semantic conventions 1.41, `gen_ai`. A value that is not known is left out, and so is the operation of a
step that has none there. Contents are not repeated.
"""

from collections.abc import Mapping
from typing import Any

from nat.data_models.span import SpanAttributes, SpanKind
from nat.plugins.opentelemetry.contents import json_object

__all__ = ["genai_attributes"]

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
    (SpanAttributes.LLM_MODEL_NAME, "gen_ai.request.model"),
    (SpanAttributes.EMBEDDING_MODEL_NAME, "gen_ai.request.model"),
    (SpanAttributes.LLM_RESPONSE_MODEL_NAME, "gen_ai.response.model"),
    (SpanAttributes.LLM_TOKEN_COUNT_PROMPT, "gen_ai.usage.input_tokens"),
    (SpanAttributes.LLM_TOKEN_COUNT_COMPLETION, "gen_ai.usage.output_tokens"),
    (SpanAttributes.LLM_TOKEN_COUNT_CACHE_READ, "gen_ai.usage.cache_read.input_tokens"),
    (SpanAttributes.LLM_TOKEN_COUNT_CACHE_WRITE, "gen_ai.usage.cache_creation.input_tokens"),
    (SpanAttributes.TOOL_NAME, "gen_ai.tool.name"),
    (SpanAttributes.TOOL_ID, "gen_ai.tool.call.id"),
    (SpanAttributes.TOOL_DESCRIPTION, "gen_ai.tool.description"),
    (SpanAttributes.AGENT_NAME, "gen_ai.agent.name"),
    (SpanAttributes.SESSION_ID, "gen_ai.conversation.id"),
)
_PARAMETERS = ("temperature", "max_tokens", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed")


def genai_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of `gen_ai` that a span's own ones give; those are not among them."""
    found = {genai: attributes[name] for name, genai in _NAMES if name in attributes}
    operation = _OPERATIONS.get(str(attributes.get(SpanAttributes.SPAN_KIND)))
    if operation is not None:
        found["gen_ai.operation.name"] = operation
    provider = attributes.get(SpanAttributes.LLM_PROVIDER)
    if provider is not None:
        found["gen_ai.provider.name"] = _PROVIDERS.get(str(provider), provider)
    reason = attributes.get(SpanAttributes.LLM_FINISH_REASON)
    if reason is not None:
        found["gen_ai.response.finish_reasons"] = [reason]
    parameters = json_object(attributes.get(SpanAttributes.LLM_INVOCATION_PARAMETERS))
    for name in _PARAMETERS:
        if type(parameters.get(name)) in (int, float):
            found[f"gen_ai.request.{name}"] = parameters[name]
    return found
