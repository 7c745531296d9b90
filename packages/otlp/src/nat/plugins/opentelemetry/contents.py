"""Contents: what went into a step and came out of it, put together again from a span's flattened attributes.

Backends that show chats want messages as OpenAI's chat API writes them; spans have them as OpenInference does, an attribute
for each field (`llm.input_messages.0.message.role`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from nat.observability.snapshot import encode
from nat.observability.spans import conventions as names
from nat.observability.spans.genai_contents import json_value

__all__ = ["Contents", "contents_of", "json_object", "json_text", "json_value", "taken_list"]

_FLATTENED = {("llm", "input_messages"), ("llm", "output_messages"), ("llm", "tools"), ("retrieval", "documents")}
_PLAIN_MESSAGE = {"role", "content"}
_REQUEST_KEYS = {"messages", "system", "tools"}
_WHOLE = frozenset({names.INPUT_VALUE, names.INPUT_MIME_TYPE, names.OUTPUT_VALUE, names.OUTPUT_MIME_TYPE})


@dataclass(slots=True)
class Contents:
    """A span's contents, and its other attributes.

    Attributes:
        input, output: As recorded, plain text or JSON text; `None` if there is none.
        input_is_json, output_is_json: Which of the two.
        input_messages, output_messages: Of a model call, in the form of OpenAI's chat API.
        tools: Schemas of the tools that the model may call.
        documents: What a retriever found, each with those of `id`, `content`, `score` and `metadata` that are known.
        rest: All attributes that are none of these.
    """

    input: str | None
    output: str | None
    input_is_json: bool
    output_is_json: bool
    input_messages: list[dict[str, Any]]
    output_messages: list[dict[str, Any]]
    tools: list[Any]
    documents: list[dict[str, Any]]
    rest: dict[str, Any]

    def request(self) -> dict[str, Any] | None:
        """What a model was asked: `messages`, `tools`, and whatever else the request said; `None` without messages."""
        if not self.input_messages:
            return None
        whole = json_object(self.input) if self.input_is_json else {}
        others = {} if "messages" not in whole else {key: whole[key] for key in whole.keys() - _REQUEST_KEYS}
        return {**others, "messages": self.input_messages, **({"tools": self.tools} if self.tools else {})}

    def response(self) -> dict[str, Any] | None:
        """What a model answered: a response with `choices`, its own or one around its messages; `None` without messages."""
        if not self.output_messages:
            return None
        return self.own_response() or {"choices": [{"message": message} for message in self.output_messages]}

    def own_response(self) -> dict[str, Any] | None:
        """What a model's API answered, if that has OpenAI's form."""
        whole = json_object(self.output) if self.output_is_json else {}
        return whole if isinstance(whole.get("choices"), list) else None


def contents_of(attributes: Mapping[str, Any]) -> Contents:
    """Take a span's attributes apart."""
    trees: dict[str, dict[str, Any]] = {}
    rest: dict[str, Any] = {}
    for key, value in attributes.items():
        path = _path_of(key)
        if path:
            _insert(trees.setdefault(path[1], {}), path, value)
        else:
            rest[key] = value
    get = attributes.get
    for key in _WHOLE:
        rest.pop(key, None)
    return Contents(
        _text(get(names.INPUT_VALUE)),
        _text(get(names.OUTPUT_VALUE)),
        get(names.INPUT_MIME_TYPE) == names.JSON,
        get(names.OUTPUT_MIME_TYPE) == names.JSON,
        *(_taken_apart(trees) if trees else ([], [], [], [])),
        rest,
    )


@lru_cache(maxsize=4_096)
def _path_of(key: str) -> list[str]:
    """The parts of a key that is one of many for the same thing; none for other keys. Most keys come again and again."""
    path = key.split(".")
    return path if len(path) > 2 and (path[0], path[1]) in _FLATTENED else []


def _taken_apart(
    trees: Mapping[str, Any],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[Any], list[dict[str, Any]]]:
    """Messages in and out, tools, documents."""
    return (
        [_message(item) for item in _items(trees.get("input_messages"), "message")],
        [_message(item) for item in _items(trees.get("output_messages"), "message")],
        [json_value(item.get("json_schema")) for item in _items(trees.get("tools"), "tool")],
        [_document(item) for item in _items(trees.get("documents"), "document")],
    )


def json_object(text: Any) -> dict[str, Any]:
    """The object that JSON text holds, an empty one if it holds none."""
    value = json_value(text)
    return value if isinstance(value, dict) else {}


def json_text(value: Any) -> str:
    """Text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # what attributes may hold and JSON does not
        return encode(value).decode()


def taken_list(attributes: dict[str, Any], key: str) -> list[Any]:
    """Take an attribute out; what is no list is a list of it."""
    value = attributes.pop(key, [])
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str | None:
    return None if value is None else json_text(value)


def _insert(tree: dict[str, Any], path: list[str], value: Any) -> None:
    """Put a value where its path leads, the first two parts of which are the tree's own."""
    for part in path[2:-1]:
        below = tree.get(part)
        if not isinstance(below, dict):
            below = tree[part] = {}
        tree = below
    tree[path[-1]] = value


def _items(tree: Any, name: str) -> Iterator[dict[str, Any]]:
    """The objects called `name` under the indices of a tree, in their order."""
    if not isinstance(tree, dict):
        return
    for index in sorted(filter(str.isdecimal, tree), key=int):
        below = tree[index]
        item = below.get(name) if isinstance(below, dict) else None
        if isinstance(item, dict):
            yield item


def _message(flat: Mapping[str, Any]) -> dict[str, Any]:
    if flat.keys() == _PLAIN_MESSAGE:
        return dict(flat)
    message = {key: flat[key] for key in ("role", "content", "name", "tool_call_id") if key in flat}
    parts = [_part(part) for part in _items(flat.get("contents"), "message_content")]
    if parts:
        message["content"] = parts
    calls = [_tool_call(call) for call in _items(flat.get("tool_calls"), "tool_call")]
    if calls:
        message.setdefault("content", None)
        message["tool_calls"] = calls
    if "function_call_name" in flat:
        arguments = flat.get("function_call_arguments_json", "")
        message["function_call"] = {"name": flat["function_call_name"], "arguments": arguments}
    return message


def _part(flat: Mapping[str, Any]) -> dict[str, Any]:
    kind = flat.get("type", "text")
    part = {"type": kind}
    if "text" in flat:
        part["text"] = flat["text"]
    image = flat.get("image")
    if kind == "image" and isinstance(image, dict):
        return {**part, "type": "image_url", "image_url": image.get("image", {})}
    audio = flat.get("audio")
    if kind == "audio" and isinstance(audio, dict):
        return {**part, "audio": audio.get("audio", {})}
    return part


def _tool_call(flat: Mapping[str, Any]) -> dict[str, Any]:
    identity = {"id": flat["id"]} if "id" in flat else {}
    return {**identity, "type": "function", "function": flat.get("function", {})}


def _document(flat: Mapping[str, Any]) -> dict[str, Any]:
    document = {key: flat[key] for key in ("id", "content", "score") if key in flat}
    if "metadata" in flat:
        document["metadata"] = json_value(flat["metadata"])
    return document
