"""OpenInference: messages, documents and tools out of the flat attributes of a span."""

import re
from collections.abc import Mapping
from typing import Any

from nat.testing import DocumentFacts, MessageFacts

__all__ = ["documents_in", "messages_in", "tool_schemas_in"]


def messages_in(attributes: Mapping[str, Any], prefix: str) -> tuple[MessageFacts, ...]:
    """The messages below `llm.input_messages` or `llm.output_messages`, in order."""
    return tuple(
        MessageFacts(
            message["message.role"],
            message.get("message.content"),
            tuple(call["tool_call.function.name"] for call in _items(message, "message.tool_calls")),
        )
        for message in _items(attributes, prefix)
    )


def documents_in(attributes: Mapping[str, Any], prefix: str) -> tuple[DocumentFacts, ...]:
    """The documents below `retrieval.documents` or `reranker.output_documents`, in order."""
    return tuple(
        DocumentFacts(document["document.id"], document["document.content"], document["document.score"])
        for document in _items(attributes, prefix)
    )


def tool_schemas_in(attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    """The schemas of the tools that a model may call, in order."""
    return tuple(tool["tool.json_schema"] for tool in _items(attributes, "llm.tools"))


def _items(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """What has the keys `prefix.0.…`, `prefix.1.…` and so on, without that beginning."""
    found: dict[int, dict[str, Any]] = {}
    pattern = re.compile(rf"{re.escape(prefix)}\.(\d+)\.(.+)")
    for key, value in attributes.items():
        if match := pattern.fullmatch(key):
            found.setdefault(int(match[1]), {})[match[2]] = value
    return [found[index] for index in sorted(found)]
