"""Contents in the forms of OpenTelemetry's GenAI conventions: messages of parts, tool definitions, documents.

They are made of OpenInference's flattened fields, one item's together: `role`, `tool_calls.0.tool_call.function.name`.

Sources: OpenTelemetry's semantic conventions for generative AI, 1.41 and v0.1.0, and their JSON schemas. Phoenix 20.26 holds
what it receives against those: a list with one item that does not fit is not shown at all. Read 2026-11-26.
"""

from functools import lru_cache
from typing import Any, TypeAlias

import orjson

from nat.observability.snapshot import encode

__all__ = ["SMALL_CHARS", "definition", "document", "json_text", "json_value", "message"]

_Fields: TypeAlias = dict[str, Any]

SMALL_CHARS = 8_192
"""Of texts whose translation is kept: parameters and schemas come again and again."""


def message(fields: _Fields) -> _Fields:
    """A message with its parts."""
    role, content = fields.get("role"), fields.get("content")
    if len(fields) == 2 and type(content) is str and role != "tool" and role is not None:  # most are no more than this
        return {"role": role, "parts": [{"type": "text", "content": content}]}
    parts = [_part(one) for one in _below(fields, "contents.", "message_content.")]
    if content is not None:
        parts.insert(0, {"type": "text", "content": content})
    if role == "tool":
        parts = [_tool_result(fields, content, parts)]
    parts += [_tool_call(one) for one in _below(fields, "tool_calls.", "tool_call.")]
    if "function_call_name" in fields:
        arguments = json_value(fields.get("function_call_arguments_json"))
        parts.append({"type": "tool_call", "name": fields["function_call_name"], "arguments": arguments})
    said: _Fields = {key: fields[key] for key in ("role", "name") if key in fields}
    return {**said, "parts": parts}


def _tool_result(fields: _Fields, content: Any, parts: list[_Fields]) -> _Fields:
    identity = {"id": fields["tool_call_id"]} if "tool_call_id" in fields else {}
    return {"type": "tool_call_response", **identity, "response": parts if content is None else content}


def _tool_call(flat: _Fields) -> _Fields:
    known = {
        "id": flat.get("id"),
        "name": flat.get("function.name"),
        "arguments": json_value(flat.get("function.arguments")),
    }
    return {"type": "tool_call", **{key: value for key, value in known.items() if value is not None}}


def _part(flat: _Fields) -> _Fields:
    kind = flat.get("type", "text")
    text = {"content": flat["text"]} if "text" in flat else {}
    if kind in ("thinking", "reasoning"):
        return {"type": "reasoning", **text}
    if kind in ("image", "audio") and f"{kind}.{kind}.url" in flat:
        return _medium(kind, str(flat[f"{kind}.{kind}.url"]), flat.get(f"{kind}.{kind}.mime_type"))
    transcript = flat.get("audio.audio.transcript")
    return {"type": kind, **(text if transcript is None else {"content": transcript})}


def _medium(modality: str, url: str, mime_type: Any) -> _Fields:
    head, comma, data = url.partition(";base64,")
    if comma and head.startswith("data:"):
        return {"type": "blob", "modality": modality, "mime_type": head.removeprefix("data:"), "content": data}
    known = {} if mime_type is None else {"mime_type": mime_type}
    return {"type": "uri", "modality": modality, **known, "uri": url}


def definition(schema: Any) -> str:
    """A tool's definition as JSON text."""
    if type(schema) is str and len(schema) <= SMALL_CHARS:
        return _known_definition(schema)
    return _made_definition(schema)


def _made_definition(schema: Any) -> str:
    tool = json_value(schema)
    if not isinstance(tool, dict):
        return json_text(tool)
    function = tool.get("function")
    if isinstance(function, dict):  # OpenAI's chat API
        tool = {"type": "function", **function}
    elif "input_schema" in tool:  # Anthropic's
        known = {key: value for key, value in tool.items() if key != "input_schema"}
        tool = {"type": "function", **known, "parameters": tool["input_schema"]}
    return json_text(tool)


_known_definition = lru_cache(maxsize=256)(_made_definition)


def document(fields: _Fields) -> _Fields | None:
    """A document; beside `id` and `score`, which it must have, what else is known of it. `None` if it has not both."""
    if type(fields.get("id")) not in (str, int) or type(fields.get("score")) is not float:
        return None
    known = {"id": str(fields["id"]), "score": fields["score"]}
    if "content" in fields:
        known["content"] = fields["content"]
    if "metadata" in fields:
        known["metadata"] = json_value(fields["metadata"])
    return known


def _below(fields: _Fields, prefix: str, inner: str) -> list[_Fields]:
    """The items of a list in a list's item."""
    items: dict[int, _Fields] = {}
    for field, value in fields.items():
        if field.startswith(prefix):
            number, _, name = field.removeprefix(prefix).partition(".")
            if number.isdecimal():
                items.setdefault(int(number), {})[name.removeprefix(inner)] = value
    return [items[number] for number in sorted(items)]


def json_value(text: Any) -> Any:
    """What JSON text says; anything else as it is."""
    if type(text) is not str:
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def json_text(value: Any) -> str:
    """Any value as JSON text."""
    return encode(value).decode()
