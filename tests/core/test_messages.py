"""Messages in the forms that agents use, as `describe` puts them on a model call's span."""

from typing import Any

import pytest
from pydantic import BaseModel

from nat.data_models.intermediate_step import IntermediateStepType
from nat.observability.events import CapturedStep, Run
from nat.observability.snapshot import snapshot
from nat.observability.spans.capture import CapturedSpan
from nat.observability.spans.describe import describe


def attributes_of(given: Any = None, output: Any = None) -> dict[str, Any]:
    """The `llm.` attributes of a model call, without that prefix and without `message.`."""
    run = Run(trace_id=1)
    span = CapturedSpan(CapturedStep(IntermediateStepType.LLM_START, "a", "root", "m", 1, input=snapshot(given)), run)
    span.end = CapturedStep(IntermediateStepType.LLM_END, "a", "root", "m", 2, output=snapshot(output))
    span.end_ns = 2
    attributes = describe(span).attributes
    return {key[4:].replace(".message.", "."): value for key, value in attributes.items() if key.startswith("llm.")}


def inputs(*messages: Any) -> dict[str, Any]:
    """The attributes of a list of input messages, without their prefix."""
    found = attributes_of(list(messages))
    return {key.removeprefix("input_messages."): value for key, value in found.items()}


def test_openai_conversation() -> None:
    """Text, tool calls, a tool's answer, a name, the older function call."""
    assert inputs(
        {"role": "user", "name": "ann", "content": "2+2?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":2}'}},
                {"id": "c2", "type": "function", "function": {"name": "sub", "arguments": {"a": 3}}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
        {"role": "assistant", "content": "", "function_call": {"name": "old", "arguments": "{}"}},
        {"role": "developer", "content": {"a": 1}},
    ) == {
        "0.role": "user",
        "0.content": "2+2?",
        "0.name": "ann",
        "1.role": "assistant",
        "1.tool_calls.0.tool_call.id": "c1",
        "1.tool_calls.0.tool_call.function.name": "add",
        "1.tool_calls.0.tool_call.function.arguments": '{"a":2}',
        "1.tool_calls.1.tool_call.id": "c2",
        "1.tool_calls.1.tool_call.function.name": "sub",
        "1.tool_calls.1.tool_call.function.arguments": '{"a":3}',
        "2.role": "tool",
        "2.content": "4",
        "2.tool_call_id": "c1",
        "3.role": "assistant",
        "3.content": "",
        "3.function_call_name": "old",
        "3.function_call_arguments_json": "{}",
        "4.role": "developer",
        "4.content": '{"a":1}',
    }


def test_parts_of_a_message() -> None:
    """Text, images and sound, of OpenAI's two APIs, Anthropic and LangChain; other parts keep their type."""
    assert inputs(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                "and this",
                {"type": "image_url", "image_url": {"url": "https://host/a.png", "detail": "low"}},
                {"type": "input_image", "image_url": "https://host/b.png"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "image", "source": {"type": "url", "url": "https://host/c.png"}},
                {"type": "image", "base64": "BBBB", "mime_type": "image/jpeg"},
                {"type": "image", "source": {"type": "file", "file_id": "f1"}},
                {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "mp3"}},
                {"type": "audio", "url": "https://host/d.wav", "mime_type": "audio/wav", "transcript": "hi"},
                {"type": "audio", "audio": "a1"},
                {"type": "output_text", "text": "It is."},
                {"type": "refusal", "refusal": "No."},
                5,
                {"no": "type"},
            ],
        }
    ) == {
        "0.role": "user",
        "0.contents.0.message_content.type": "text",
        "0.contents.0.message_content.text": "What is this?",
        "0.contents.1.message_content.type": "text",
        "0.contents.1.message_content.text": "and this",
        "0.contents.2.message_content.type": "image",
        "0.contents.2.message_content.image.image.url": "https://host/a.png",
        "0.contents.3.message_content.type": "image",
        "0.contents.3.message_content.image.image.url": "https://host/b.png",
        "0.contents.4.message_content.type": "image",
        "0.contents.4.message_content.image.image.url": "data:image/png;base64,AAAA",
        "0.contents.5.message_content.type": "image",
        "0.contents.5.message_content.image.image.url": "https://host/c.png",
        "0.contents.6.message_content.type": "image",
        "0.contents.6.message_content.image.image.url": "data:image/jpeg;base64,BBBB",
        "0.contents.7.message_content.type": "image",
        "0.contents.8.message_content.type": "audio",
        "0.contents.8.message_content.audio.audio.mime_type": "audio/mpeg",
        "0.contents.8.message_content.audio.audio.url": "data:audio/mpeg;base64,CCCC",
        "0.contents.9.message_content.type": "audio",
        "0.contents.9.message_content.audio.audio.mime_type": "audio/wav",
        "0.contents.9.message_content.audio.audio.transcript": "hi",
        "0.contents.9.message_content.audio.audio.url": "https://host/d.wav",
        "0.contents.10.message_content.type": "audio",
        "0.contents.11.message_content.type": "text",
        "0.contents.11.message_content.text": "It is.",
        "0.contents.12.message_content.type": "refusal",
    }


def test_anthropic_conversation() -> None:
    """A request with its system prompt and tools; each tool result is a message of its own."""
    request = {
        "model": "claude-x",
        "system": [{"type": "text", "text": "Be brief."}],
        "tools": [{"name": "add"}],
        "messages": [
            {"role": "user", "content": "2+2?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I add."},
                    {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 2}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "4"}]},
                    {"type": "tool_result", "tool_use_id": "t2", "content": "5"},
                    {"type": "text", "text": "Well?"},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t3", "content": "6"}]},
        ],
    }
    response = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x-2026",
        "content": [{"type": "text", "text": "Four."}],
        "stop_reason": "end_turn",
    }

    assert attributes_of(request, response) == {
        "model_name": "claude-x",
        "response.model_name": "claude-x-2026",
        "finish_reason": "end_turn",
        "tools.0.tool.json_schema": '{"name":"add"}',
        "input_messages.0.role": "system",
        "input_messages.0.contents.0.message_content.type": "text",
        "input_messages.0.contents.0.message_content.text": "Be brief.",
        "input_messages.1.role": "user",
        "input_messages.1.content": "2+2?",
        "input_messages.2.role": "assistant",
        "input_messages.2.contents.0.message_content.type": "text",
        "input_messages.2.contents.0.message_content.text": "I add.",
        "input_messages.2.tool_calls.0.tool_call.id": "t1",
        "input_messages.2.tool_calls.0.tool_call.function.name": "add",
        "input_messages.2.tool_calls.0.tool_call.function.arguments": '{"a":2}',
        "input_messages.3.role": "tool",
        "input_messages.3.tool_call_id": "t1",
        "input_messages.3.contents.0.message_content.type": "text",
        "input_messages.3.contents.0.message_content.text": "4",
        "input_messages.4.role": "tool",
        "input_messages.4.tool_call_id": "t2",
        "input_messages.4.content": "5",
        "input_messages.5.role": "user",
        "input_messages.5.contents.0.message_content.type": "text",
        "input_messages.5.contents.0.message_content.text": "Well?",
        "input_messages.6.role": "tool",
        "input_messages.6.tool_call_id": "t3",
        "input_messages.6.content": "6",
        "output_messages.0.role": "assistant",
        "output_messages.0.contents.0.message_content.type": "text",
        "output_messages.0.contents.0.message_content.text": "Four.",
    }


class _Message(BaseModel):
    """The fields of LangChain's messages that `model_dump` writes."""

    content: str | list[Any]
    type: str
    name: str | None = None
    id: str | None = None
    additional_kwargs: dict[str, Any] = {}
    response_metadata: dict[str, Any] = {}


class _AIMessage(_Message):
    tool_calls: list[dict[str, Any]] = []
    invalid_tool_calls: list[dict[str, Any]] = []


class _ToolMessage(_Message):
    tool_call_id: str


_LANGCHAIN = [
    _Message(type="system", content="Be brief."),
    _Message(type="human", content="2+2?"),
    _AIMessage(type="ai", content="", tool_calls=[{"name": "add", "args": {"a": 2}, "id": "c1", "type": "tool_call"}]),
    _ToolMessage(type="tool", content="4", name="add", tool_call_id="c1"),
]
_FLATTENED = {
    "0.role": "system",
    "0.content": "Be brief.",
    "1.role": "user",
    "1.content": "2+2?",
    "2.role": "assistant",
    "2.content": "",
    "2.tool_calls.0.tool_call.id": "c1",
    "2.tool_calls.0.tool_call.function.name": "add",
    "2.tool_calls.0.tool_call.function.arguments": '{"a":2}',
    "3.role": "tool",
    "3.content": "4",
    "3.name": "add",
    "3.tool_call_id": "c1",
}


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(_LANGCHAIN, id="message objects"),
        pytest.param([_LANGCHAIN], id="batch of one"),
        pytest.param([{"type": message.type, "data": message.model_dump()} for message in _LANGCHAIN], id="to dict"),
        pytest.param(
            [
                {"lc": 1, "type": "constructor", "id": ["langchain", "schema"], "kwargs": message.model_dump()}
                for message in _LANGCHAIN
            ],
            id="dumpd",
        ),
        pytest.param({"messages": _LANGCHAIN}, id="state"),
    ],
)
def test_langchain_messages(messages: Any) -> None:
    """All the forms in which LangChain hands its messages around give the same span."""
    found = attributes_of(messages)

    assert {key.removeprefix("input_messages."): value for key, value in found.items()} == _FLATTENED


def test_openai_responses_api() -> None:
    """Calls and their results are items beside the messages there; items of other types are passed over."""
    response = {
        "object": "response",
        "model": "gpt-x",
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I add."}]},
            {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a":2}'},
        ],
    }
    results = [
        {"role": "user", "content": "2+2?"},
        {"type": "function_call_output", "call_id": "c1", "output": "4"},
    ]

    assert attributes_of(results, response) == {
        "model_name": "gpt-x",
        "response.model_name": "gpt-x",
        "input_messages.0.role": "user",
        "input_messages.0.content": "2+2?",
        "input_messages.1.role": "tool",
        "input_messages.1.tool_call_id": "c1",
        "input_messages.1.content": "4",
        "output_messages.0.role": "assistant",
        "output_messages.0.contents.0.message_content.type": "text",
        "output_messages.0.contents.0.message_content.text": "I add.",
        "output_messages.1.role": "assistant",
        "output_messages.1.tool_calls.0.tool_call.id": "c1",
        "output_messages.1.tool_calls.0.tool_call.function.name": "add",
        "output_messages.1.tool_calls.0.tool_call.function.arguments": '{"a":2}',
    }


@pytest.mark.parametrize(
    "output",
    [
        pytest.param({"role": "assistant", "content": "Four."}, id="message"),
        pytest.param([{"role": "assistant", "content": "Four."}], id="list"),
        pytest.param({"choices": [{"message": {"role": "assistant", "content": "Four."}}]}, id="choices"),
        pytest.param({"message": {"type": "ai", "content": "Four."}, "text": "Four."}, id="generation"),
        pytest.param([{"message": {"type": "ai", "content": "Four."}}], id="generations"),
        pytest.param({"generations": [[{"message": {"type": "ai", "content": "Four."}}]]}, id="result"),
    ],
)
def test_forms_of_an_answer(output: Any) -> None:
    """A message, a list of them, a whole response."""
    assert attributes_of(output=output) == {
        "output_messages.0.role": "assistant",
        "output_messages.0.content": "Four.",
    }


def test_openai_response_names_its_model_and_reason() -> None:
    """What a response says of itself is taken over."""
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": "Four."}}

    assert attributes_of(output={"object": "chat.completion", "model": "gpt-x", "choices": [choice]}) == {
        "model_name": "gpt-x",
        "response.model_name": "gpt-x",
        "finish_reason": "stop",
        "output_messages.0.role": "assistant",
        "output_messages.0.content": "Four.",
    }


@pytest.mark.parametrize(
    "value",
    [
        "text",
        5,
        [],
        {},
        ["text"],
        [[]],
        [{"content": "no role"}],
        [{"role": "user", "content": "hi"}, "text"],
        [{"role": 5}],
        [{"type": "human"}],
        [{"type": ["human"], "content": 1}],
        {"messages": "text"},
        {"messages": []},
        {"choices": [{"text": "completion"}]},
        {"choices": {}},
        {"generations": []},
        {"generations": "x"},
        {"output": "x", "object": "response"},
        {"lc": 1, "type": "constructor", "kwargs": 5},
        {"message": "x"},
    ],
)
def test_what_is_no_conversation_is_left_alone(value: Any) -> None:
    """No role is made up; the value is in the span's input and output."""
    assert attributes_of(value, value) == {}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "x", "tool_calls": "y", "function_call": 5, "name": {}, "tool_call_id": 5},
        {"role": "x", "tool_calls": [5, None, {"function": {"name": 5}}]},
        {"role": "x", "content": [{"type": "image"}, {"type": "image_url", "image_url": 5}, {"type": "audio"}]},
        {"role": None, "type": "human", "content": None},
        {"role": 5, "type": "human", "content": "x", "lc": 1},
        {"type": "human", "content": "x", "lc": 1},
        {"type": "constructor", "lc": 1, "kwargs": {"type": "constructor", "lc": 1, "kwargs": {"role": "x"}}},
        {"role": "x", "content": [{"type": "tool_result"}, {"type": "tool_use"}]},
    ],
)
def test_odd_messages_do_not_raise(message: Any) -> None:
    """A message of an odd shape gives what it says, and no attribute of a type that backends refuse."""
    found = attributes_of([message], message)

    assert all(type(value) is str for value in found.values())
