"""Token counts of model calls."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["TokenUsageBaseModel"]


class TokenUsageBaseModel(BaseModel):
    """Tokens of one model call, or of several added up.

    `prompt_tokens` includes the cached ones and `completion_tokens` the reasoning ones, as in OTel GenAI
    (`gen_ai.usage.input_tokens`, `gen_ai.usage.output_tokens`). A count that was never set is left out of spans.
    """

    model_config = ConfigDict(defer_build=True)

    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    total_tokens: int = Field(default=0, ge=0)
    cached_tokens: int = Field(default=0, ge=0, description="Prompt tokens read from the provider's cache.")
    cache_write_tokens: int = Field(default=0, ge=0, description="Prompt tokens written to the provider's cache.")
    reasoning_tokens: int = Field(default=0, ge=0, description="Completion tokens spent on reasoning.")
