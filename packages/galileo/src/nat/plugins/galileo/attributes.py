"""A span in Galileo's words.

Galileo reads OpenInference, and classifies spans by `gen_ai` attributes, which are added. Sources: the `galileo` SDK 2.7.0,
which sends the same names; Galileo's page "OpenTelemetry integration recommendations", section "Minimum requirements for valid
spans".
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from nat.data_models.span import Span, SpanKind
from nat.observability.spans import conventions as names
from nat.observability.spans.genai import genai_facts
from nat.plugins.opentelemetry.contents import json_text

__all__ = ["galileo_attributes"]


def galileo_attributes(span: Span, project: str, logstream: str) -> dict[str, Any]:
    """The attributes of a span as Galileo wants to see them."""
    attributes = span.attributes
    kind = attributes.get(names.SPAN_KIND)
    found = {
        **attributes,
        **genai_facts(attributes),
        "galileo.project.name": project,
        "galileo.logstream.name": logstream,
    }
    session_id = attributes.get(names.SESSION_ID)
    if _is_uuid(session_id):
        found["galileo.session.id"] = session_id
    if kind == SpanKind.RETRIEVER:
        found["db.operation"] = "search"
    if kind == SpanKind.LLM:
        found.update(_plain_chat(attributes))
    return found


def _is_uuid(value: object) -> bool:
    """Whether a session may be one that Galileo's own API has opened: those have UUIDs."""
    if not isinstance(value, str):
        return False
    try:
        return value == str(UUID(value))
    except ValueError:
        return False


def _plain_chat(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Messages for a model call that has none: Galileo refuses it otherwise."""
    sides = (
        ("input", "llm.input_messages.0.message.role", names.INPUT_VALUE, "user"),
        ("output", "llm.output_messages.0.message.role", names.OUTPUT_VALUE, "assistant"),
    )
    return {
        f"gen_ai.{side}.messages": json_text([{"role": role, "content": attributes[value_key]}])
        for side, message_key, value_key, role in sides
        if message_key not in attributes and value_key in attributes
    }
