"""A span in Acme's own words."""

from typing import Any

from nat.plugin_api import Span


def acme_attributes(span: Span) -> dict[str, Any]:
    """The attributes that Acme is to see: those of the span, and its duration. Never raises."""
    return {**span.attributes, "acme.duration_ms": (span.duration or 0) / 1e6}
