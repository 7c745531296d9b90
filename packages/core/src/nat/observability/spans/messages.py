"""Messages of a model call: recognised in the forms that agents use, flattened as OpenInference wants them.

Forms, each as it looks once it is JSON:

* OpenAI chat: `{"role", "content", "tool_calls", "tool_call_id", "name"}`, a request with `messages`, a response with
  `choices`; OpenAI responses: items of type `message`, `function_call`, `function_call_output`, a response with
  `output`.
* Anthropic: content blocks `text`, `image`, `tool_use`, `tool_result`, a request with `system`, a response of type
  `message`. A `tool_result` becomes a message of its own with role `tool`, since a message has one `tool_call_id`.
* LangChain: `{"type": "human" | "ai" | "system" | "tool" | …}` as `model_dump` writes them, `{"type", "data"}` as
  `messages_to_dict` does, `{"lc", "kwargs"}` as `dumpd` does; a result with `generations`.

Roles and texts are taken over as they are; what a message does not say is left out.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from nat.observability.snapshot import encode
from nat.observability.spans import conventions as names
from nat.observability.spans.conventions import MessageKeys

__all__ = ["AttributeValue", "finish_reason_of", "messages_of", "put_messages"]

AttributeValue: TypeAlias = str | bool | int | float | list[str] | list[bool] | list[int] | list[float]

_Message: TypeAlias = dict[str, Any]

_ROLE_OF_TYPE = {
    "human": "user",
    "HumanMessageChunk": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "system": "system",
    "SystemMessageChunk": "system",
    "tool": "tool",
    "ToolMessageChunk": "tool",
    "function": "function",
    "FunctionMessageChunk": "function",
}
_ITEM_TYPES = {"function_call", "function_call_output"}
_TEXT_TYPES = {"text", "input_text", "output_text"}
_IMAGE_TYPES = {"image", "image_url", "input_image"}
_AUDIO_TYPES = {"audio", "input_audio"}
_MIME_TYPE_OF_AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg"}


def messages_of(value: Any) -> list[_Message] | None:
    """The messages in a model call's input or output, `None` if it holds none."""
    if type(value) is list:
        return _messages_of_list(value)
    if type(value) is not dict:
        return None
    if _is_message(value):
        return [value]
    if "messages" in value:
        found = _messages_of_list(value["messages"])
        return _system_prompt(value) + found if found else None
    if "choices" in value:
        return _parts_of(value["choices"], "message")
    if "generations" in value:
        generations = value["generations"]
        first = generations[0] if type(generations) is list and generations else None
        return _parts_of(first if type(first) is list else generations, "message")
    if "output" in value and value.get("object") == "response":
        return _items_of_response(value["output"])
    if type(value.get("message")) is dict:  # one generation, one choice
        return _parts_of([value], "message")
    return None


def finish_reason_of(response: Any) -> str | None:
    """Why the model stopped, if its own response says so: the first choice's reason."""
    if type(response) is not dict:
        return None
    choices = response.get("choices")
    if type(choices) is list and choices and type(choices[0]) is dict:
        reason = choices[0].get("finish_reason")
    else:
        reason = response.get("stop_reason")
    return reason if type(reason) is str else None


def put_messages(
    attributes: dict[str, AttributeValue], keys_of: Callable[[int], MessageKeys], messages: list[_Message]
) -> None:
    """Add `messages` to a span's attributes, flattened under the keys that `keys_of` gives for each index."""
    index = 0
    for wrapped in messages:
        message = wrapped if "role" in wrapped else _unwrapped(wrapped)
        content = message.get("content")
        if (
            type(content) is str and len(message) == 2 and type(message.get("role")) is str
        ):  # most are no more than this
            keys = keys_of(index)
            attributes[keys.role] = message["role"]
            attributes[keys.content] = content
        elif type(content) is list and any(map(_is_tool_result, content)):
            for single in _split_tool_results(message, content):
                _put_message(attributes, keys_of(index), single)
                index += 1
            continue
        else:
            _put_message(attributes, keys_of(index), message)
        index += 1


def _messages_of_list(value: Any) -> list[_Message] | None:
    if type(value) is not list or not value:
        return None
    if len(value) == 1 and type(value[0]) is list:  # LangChain's batch of one
        value = value[0]
    if value and all(map(_is_message, value)):
        return value  # type: ignore[no-any-return]  # a list of what _is_message accepts
    return _parts_of(value, "message")


def _is_message(value: Any) -> bool:
    if type(value) is not dict:
        return False
    if type(value.get("role")) is str:
        return True
    kind = value.get("type")
    if type(kind) is not str:
        return False
    if kind in _ROLE_OF_TYPE:
        return "content" in value or type(value.get("data")) is dict
    return kind in _ITEM_TYPES or (kind == "constructor" and "lc" in value and _is_message(value.get("kwargs")))


def _parts_of(items: Any, name: str) -> list[_Message] | None:
    """The messages that lie one level down, as in `choices[].message`; all of them or none."""
    if type(items) is not list or not items:
        return None
    found = [item.get(name) if type(item) is dict else None for item in items]
    return found if all(map(_is_message, found)) else None  # type: ignore[return-value]  # none of them is None then


def _items_of_response(output: Any) -> list[_Message] | None:
    """OpenAI's responses API: messages and function calls among items of other types, such as reasoning."""
    items = [item for item in output if _is_message(item)] if type(output) is list else []
    return items or None


def _system_prompt(request: dict[str, Any]) -> list[_Message]:
    system = request.get("system")
    return [{"role": "system", "content": system}] if system and type(system) in (str, list) else []


def _unwrapped(message: _Message) -> _Message:
    if message["type"] == "constructor":
        return message["kwargs"]  # type: ignore[no-any-return]  # a message, see _is_message
    data = message.get("data")
    if type(data) is dict and "content" not in message:
        return {**data, "type": message["type"]}
    return message


def _is_tool_result(part: Any) -> bool:
    return type(part) is dict and part.get("type") == "tool_result"


def _split_tool_results(message: _Message, content: list[Any]) -> list[_Message]:
    results = []
    rest = []
    for part in content:
        if _is_tool_result(part):
            results.append({"role": "tool", "tool_call_id": part.get("tool_use_id"), "content": part.get("content")})
        else:
            rest.append(part)
    return [*results, {**message, "content": rest}] if rest else results


def _put_message(attributes: dict[str, AttributeValue], keys: MessageKeys, message: _Message) -> None:
    get = message.get
    role = get("role")
    kind = get("type")
    if role is None:
        if kind in _ITEM_TYPES:
            _put_item(attributes, keys, message)
            return
        role = _ROLE_OF_TYPE.get(kind)  # type: ignore[arg-type]  # a str, see _is_message
    if type(role) is str:
        attributes[keys.role] = role
    content = get("content")
    tool_calls = get("tool_calls")
    calls = list(tool_calls) if type(tool_calls) is list else []
    if type(content) is str:
        attributes[keys.content] = content
    elif type(content) is list:
        calls += _put_parts(attributes, keys.contents, content)
    elif content is not None:
        attributes[keys.content] = _json(content)
    for index, call in enumerate(calls):
        _put_tool_call(attributes, f"{keys.tool_calls}.{index}.", call)
    name = get("name")
    if type(name) is str:
        attributes[keys.name] = name
    tool_call_id = get("tool_call_id")
    if type(tool_call_id) is str:
        attributes[keys.tool_call_id] = tool_call_id
    function_call = get("function_call")
    if type(function_call) is dict:
        _put_text(attributes, keys.function_call_name, function_call.get("name"))
        _put_text(attributes, keys.function_call_arguments, function_call.get("arguments"))


def _put_item(attributes: dict[str, AttributeValue], keys: MessageKeys, item: _Message) -> None:
    """A function call of the responses API, which is no message there but was the model's answer; or its result."""
    if item["type"] == "function_call":
        attributes[keys.role] = "assistant"
        call = {"id": item.get("call_id"), "name": item.get("name"), "args": item.get("arguments")}
        _put_tool_call(attributes, f"{keys.tool_calls}.0.", call)
    else:
        attributes[keys.role] = "tool"
        _put_text(attributes, keys.tool_call_id, item.get("call_id"))
        _put_text(attributes, keys.content, item.get("output"))


def _put_parts(attributes: dict[str, AttributeValue], prefix: str, parts: list[Any]) -> list[Any]:
    """Put the parts of a message's content; returns those that are tool calls."""
    calls = []
    index = 0
    for part in parts:
        if type(part) is str:
            part = {"type": "text", "text": part}
        elif type(part) is not dict:
            continue
        kind = part.get("type")
        if kind == "tool_use":
            calls.append({"id": part.get("id"), "name": part.get("name"), "args": part.get("input")})
        elif type(kind) is str:
            _put_part(attributes, f"{prefix}.{index}.", kind, part)
            index += 1
    return calls


def _put_part(attributes: dict[str, AttributeValue], prefix: str, kind: str, part: dict[str, Any]) -> None:
    if kind in _TEXT_TYPES:
        attributes[prefix + names.MESSAGE_CONTENT_TYPE] = "text"
    elif kind in _IMAGE_TYPES:
        attributes[prefix + names.MESSAGE_CONTENT_TYPE] = "image"
        _put_text(attributes, prefix + names.MESSAGE_CONTENT_IMAGE_URL, _image_url(part))
    elif kind in _AUDIO_TYPES:
        attributes[prefix + names.MESSAGE_CONTENT_TYPE] = "audio"
        _put_audio(attributes, prefix, part)
    else:
        attributes[prefix + names.MESSAGE_CONTENT_TYPE] = kind
    text = part.get("text")
    if type(text) is str:
        attributes[prefix + names.MESSAGE_CONTENT_TEXT] = text


def _image_url(part: dict[str, Any]) -> str | None:
    found = part.get("image_url")
    if found is None:
        found = part.get("source", part)
    if type(found) is not dict:
        return found if type(found) is str else None
    url = found.get("url")
    if type(url) is str:
        return url
    data = found.get("data", found.get("base64"))
    mime_type = found.get("media_type", found.get("mime_type"))
    return f"data:{mime_type};base64,{data}" if type(data) is str and type(mime_type) is str else None


def _put_audio(attributes: dict[str, AttributeValue], prefix: str, part: dict[str, Any]) -> None:
    audio = part.get("input_audio", part.get("audio", part))
    if type(audio) is not dict:
        return
    declared = audio.get("mime_type") or _MIME_TYPE_OF_AUDIO.get(str(audio.get("format")))
    mime_type = declared if type(declared) is str else None
    _put_text(attributes, prefix + names.MESSAGE_CONTENT_AUDIO_MIME_TYPE, mime_type)
    _put_text(attributes, prefix + names.MESSAGE_CONTENT_AUDIO_TRANSCRIPT, audio.get("transcript"))
    data = audio.get("data", audio.get("base64"))
    if type(data) is str and mime_type is not None:
        attributes[prefix + names.MESSAGE_CONTENT_AUDIO_URL] = f"data:{mime_type};base64,{data}"
    else:
        _put_text(attributes, prefix + names.MESSAGE_CONTENT_AUDIO_URL, audio.get("url"))


def _put_tool_call(attributes: dict[str, AttributeValue], prefix: str, call: Any) -> None:
    if type(call) is not dict:
        return
    function = call.get("function")
    source = function if type(function) is dict else call
    _put_text(attributes, prefix + names.TOOL_CALL_ID, call.get("id"))
    _put_text(attributes, prefix + names.TOOL_CALL_FUNCTION_NAME, source.get("name"))
    _put_text(attributes, prefix + names.TOOL_CALL_FUNCTION_ARGUMENTS, source.get("arguments", source.get("args")))


def _put_text(attributes: dict[str, AttributeValue], key: str, value: Any) -> None:
    """Text as it is, other values as JSON, nothing for what is not there."""
    if type(value) is str:
        attributes[key] = value
    elif value is not None:
        attributes[key] = _json(value)


def _json(value: Any) -> str:
    return encode(value).decode()
