"""Agent frameworks that a step can come from."""

from enum import StrEnum

__all__ = ["LLMFrameworkEnum"]


class LLMFrameworkEnum(StrEnum):
    """Framework that reported a step. Never used as the model's provider."""

    LANGCHAIN = "langchain"
    LLAMA_INDEX = "llama_index"
    CREWAI = "crewai"
    SEMANTIC_KERNEL = "semantic_kernel"
    AGNO = "agno"
    ADK = "adk"
    AUTOGEN = "autogen"
    STRANDS = "strands"
    OPENAI = "openai"
    CUSTOM = "custom"
