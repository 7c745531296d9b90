"""Registers the processor type `content`."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability.registry import register_telemetry_processor

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.observability.processor.content_processor import ContentProcessor

__all__ = ["ContentConfig", "content_processor"]


class ContentConfig(TelemetryProcessorBaseConfig, name="content"):
    """Says how much of inputs, outputs, messages, arguments, documents and error texts goes on."""

    mode: str = Field(
        default="full",
        description="full: all of it; truncate:N: texts up to N characters; metadata: only roles, names, ids, scores, types "
        "and lengths; none: nothing.",
        examples=["truncate:2000"],
    )

    @field_validator("mode")
    @classmethod
    def _is_mode(cls, mode: str) -> str:
        from nat.observability.processor.content_processor import ContentMode

        try:
            ContentMode.of(mode)
        except ValueError as error:
            raise PydanticCustomError("no_mode", "{reason}", {"reason": str(error)}) from None
        return mode


@register_telemetry_processor(config_type=ContentConfig)
async def content_processor(config: ContentConfig, builder: "Builder") -> "AsyncIterator[ContentProcessor]":
    """Build the processor."""
    from nat.observability.processor.content_processor import ContentMode, ContentProcessor

    yield ContentProcessor(ContentMode.of(config.mode))
