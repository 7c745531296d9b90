"""Registers the processor type `redact`."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from nat.observability.redaction.settings import RedactConfig
from nat.observability.registry import register_telemetry_processor

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.observability.processor.redact_processor import RedactProcessor

__all__ = ["redact_processor"]


@register_telemetry_processor(config_type=RedactConfig)
async def redact_processor(config: RedactConfig, builder: "Builder") -> "AsyncIterator[RedactProcessor]":
    """Build the processor."""
    from nat.observability.processor.redact_processor import RedactProcessor
    from nat.observability.redaction.rules import rules_of

    yield RedactProcessor(rules_of(config))
