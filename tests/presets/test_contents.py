"""Contents of a span, put together again from its flattened attributes."""

from typing import Any

import pytest

from nat.observability.spans import conventions as names
from nat.observability.spans.messages import put_messages
from nat.plugins.opentelemetry.contents import contents_of, json_text

_IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}


def flattened(messages: list[dict[str, Any]]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    put_messages(attributes, names.input_message_keys, messages)
    return attributes


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "hello"},
        {"role": "user", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "look"}, _IMAGE]},
        {"role": "assistant", "content": None, "tool_calls": [_CALL, {**_CALL, "id": "call_2"}]},
        {"role": "assistant", "content": "I add.", "tool_calls": [_CALL]},
        {"role": "tool", "content": "2", "name": "add", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "old", "function_call": {"name": "add", "arguments": "{}"}},
    ],
)
def test_a_message_in_openais_form_comes_back_as_it_was(message: dict[str, Any]) -> None:
    assert contents_of(flattened([message])).input_messages == [message]


def test_messages_keep_their_order() -> None:
    messages = [{"role": "user", "content": str(number)} for number in range(120)]

    assert contents_of(dict(sorted(flattened(messages).items()))).input_messages == messages


def test_other_forms_become_openais() -> None:
    """LangChain's and Anthropic's."""
    langchain = [{"type": "system", "content": "Be brief."}, {"type": "human", "content": "Hi"}]
    anthropic = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "2"}]},
    ]

    assert contents_of(flattened(langchain)).input_messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert contents_of(flattened(anthropic)).input_messages == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "content": "2", "tool_call_id": "t1"},
    ]


def test_a_request_keeps_what_else_it_says() -> None:
    request = {"model": "m", "temperature": 0.2, "messages": [{"role": "user", "content": "Hi"}]}
    attributes = {"input.value": json_text(request), "input.mime_type": "application/json"}

    contents = contents_of({**attributes, **flattened(request["messages"])})  # type: ignore[arg-type]  # a list of them

    assert contents.request() == request


def test_a_response_of_openais_form_stays_as_it_is() -> None:
    response = {"id": "r1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}
    attributes: dict[str, Any] = {"output.value": json_text(response), "output.mime_type": "application/json"}
    put_messages(attributes, names.output_message_keys, [response["choices"][0]["message"]])  # type: ignore[index]

    assert contents_of(attributes).response() == response


@pytest.mark.parametrize(
    "attributes",
    [
        {"llm.input_messages": "text"},
        {"llm.input_messages.0.message.role": "user", "llm.input_messages.0": "text"},
        {"llm.input_messages.x.message.role": "user"},
        {"llm.input_messages.0.message": "text"},
        {"llm.tools.0.tool.json_schema": "{not json"},
        {"retrieval.documents.0.document": 1},
        {"input.value": 7, "input.mime_type": "application/json"},
        {"output.value": "{not json", "output.mime_type": "application/json"},
        {"input.value": 10**40},
    ],
)
def test_odd_attributes_do_not_make_it_raise(attributes: dict[str, Any]) -> None:
    """Attributes are what users have set; nothing is sure of them."""
    contents = contents_of(attributes)

    assert contents.request() is None
    assert contents.response() is None
