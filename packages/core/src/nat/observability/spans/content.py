"""Content: which parts of spans and steps hold what users, models and tools say, as opposed to what is said about that.

The one list of it, for whoever hides, cuts or stores content.
"""

import re
from enum import Enum, auto
from functools import lru_cache

__all__ = [
    "ERROR_FIELDS",
    "INPUT_ATTRIBUTES",
    "INPUT_FIELDS",
    "OUTPUT_ATTRIBUTES",
    "OUTPUT_FIELDS",
    "Part",
    "is_content_field",
    "part_of",
    "part_of_event",
]

INPUT_ATTRIBUTES = (
    "input.", "llm.input_messages.", "llm.prompts", "llm.prompt_template.", "llm.function_call", "llm.tools",
    "tool.parameters", "tool.json_schema", "embedding.embeddings.", "embedding.text", "embedding.vector", "reranker.query",
    "reranker.input_documents.", "gen_ai.input.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments", "gen_ai.retrieval.query.text", "gen_ai.prompt", "langfuse.observation.input",
    "langfuse.trace.input", "mlflow.spanInputs", "traceloop.entity.input",
)  # fmt: skip
"""How names of attributes begin that hold what went into a step."""

OUTPUT_ATTRIBUTES = (
    "output.", "llm.output_messages.", "llm.choices", "retrieval.documents.", "reranker.output_documents.",
    "gen_ai.output.messages", "gen_ai.tool.call.result", "gen_ai.retrieval.documents", "gen_ai.completion",
    "langfuse.observation.output", "langfuse.trace.output", "mlflow.spanOutputs", "traceloop.entity.output",
)  # fmt: skip
"""The same for what came out of it."""

INPUT_FIELDS = ("chat_inputs", "tool_inputs", "span_inputs", "tools_schema", "query", "documents", "prompts")
"""Fields of a step's metadata that hold what went into it."""

OUTPUT_FIELDS = ("chat_responses", "tool_outputs", "span_outputs", "choices")
"""The same for what came out of it."""

ERROR_FIELDS = ("error",)
"""The same for why it failed, which quotes both."""

_ALWAYS = ("error.message", "exception.message", "exception.stacktrace", "nat.data")
_CONTENT = re.compile(
    f"(?:{'|'.join(map(re.escape, (*INPUT_ATTRIBUTES, *OUTPUT_ATTRIBUTES, *_ALWAYS)))})"
    r"|.*\.(?:evaluation|annotation)\.explanation\Z"
)
_NAMES_OF_PROMPTS = ("gen_ai.prompt.name", "gen_ai.prompt.version", "llm.prompt_template.version")
_ABOUT_CONTENT = re.compile(
    r".*\.(?:mime_type|message\.(?:role|name|tool_call_id|function_call_name)|message_content\.type"
    r"|tool_call\.(?:id|function\.name)|document\.(?:id|score))\Z"
)
_FIELDS = frozenset((*INPUT_FIELDS, *OUTPUT_FIELDS, *ERROR_FIELDS))
_OF_EVENTS = re.compile(r"(?:.*\.)?(?:arguments|body|completion|content|message|prompt|result|stacktrace|text)\Z")


class Part(Enum):
    """What an attribute of a span holds: content, what kind that is (roles, names, ids, scores, MIME types), or neither."""

    CONTENT = auto()
    ABOUT_CONTENT = auto()
    OTHER = auto()


@lru_cache(4096)
def part_of(key: str) -> Part:
    """What an attribute of that name holds."""
    if _CONTENT.match(key) is None or key in _NAMES_OF_PROMPTS:
        return Part.OTHER
    return Part.CONTENT if _ABOUT_CONTENT.match(key) is None else Part.ABOUT_CONTENT


@lru_cache(4096)
def part_of_event(key: str) -> Part:
    """The same of an attribute of a span's event."""
    part = part_of(key)
    return Part.CONTENT if part is Part.OTHER and _OF_EVENTS.match(key) is not None else part


def is_content_field(name: str) -> bool:
    """Whether a field of a step's metadata holds content."""
    return name in _FIELDS
