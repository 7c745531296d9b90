"""From OpenInference's names to those of `gen_ai`: what becomes of each attribute of a span."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from nat.data_models.conventions import ALL_CONVENTIONS, Conventions
from nat.data_models.span_names import SpanAttributes
from nat.observability.spans.genai import genai_of
from nat.plugins.opentelemetry.encoding import encode_span
from tests.otlp.sending import span as span_with


def _said(attributes: Mapping[str, Any], conventions: Conventions = "gen_ai") -> dict[str, Any]:
    genai = genai_of(conventions)
    assert genai is not None
    return genai.say(attributes).attributes


def _messages(attributes: Mapping[str, Any], conventions: Conventions = "gen_ai") -> Any:
    return json.loads(_said({"openinference.span.kind": "LLM", **attributes}, conventions)["gen_ai.input.messages"])


def test_openinference_is_left_alone() -> None:
    assert genai_of("openinference") is None


def test_default_version_is_the_one_that_backends_read() -> None:
    assert _said({"llm.token_count.prompt_details.cache_write": 7}) == {"gen_ai.usage.cache_creation.input_tokens": 7}


def test_both_keeps_every_attribute() -> None:
    """Beside what `gen_ai` calls it."""
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "m",
        "input.value": "hi",
        "input.mime_type": "text/plain",
    }

    assert _said(attributes, "both") == {
        **attributes,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"hi"}]}]',
    }


def test_given_attributes_are_not_changed() -> None:
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.input_messages.0.message.role": "user",
        "llm.token_count.total": 1,
    }
    before = dict(attributes)

    _said(attributes)

    assert attributes == before


def test_what_the_code_has_set_wins() -> None:
    said = _said({"openinference.span.kind": "LLM", "gen_ai.operation.name": "text_completion", "llm.model_name": "m"})

    assert said == {"gen_ai.operation.name": "text_completion", "gen_ai.request.model": "m"}


def test_what_has_no_name_stays() -> None:
    """Steps that are no operation keep their kind, and their input and output."""
    attributes = {
        "openinference.span.kind": "CHAIN",
        "nat.event_type": "FUNCTION_START",
        "input.value": "a",
        "input.mime_type": "text/plain",
        "llm.cost.total": 0.1,
        "user.id": "u",
        "mine": 1,
    }

    assert _said(attributes) == attributes


def test_value_of_another_type_stays_where_it_was() -> None:
    attributes = {"llm.model_name": 7, "llm.token_count.prompt": "many", "tool.id": ["a"], "llm.finish_reason": []}

    assert _said(attributes) == attributes


def test_provider_comes_before_system() -> None:
    """Who hosts a model is its provider; whose interface it has is one where that is all that is known."""
    assert _said({"llm.system": "openai", "llm.provider": "azure"}) == {
        "gen_ai.provider.name": "azure.ai.openai",
        "llm.system": "openai",
    }
    assert _said({"llm.system": "vertexai"}) == {"gen_ai.provider.name": "gcp.vertex_ai"}


def test_total_that_is_the_sum_is_not_said_again() -> None:
    assert _said({"llm.token_count.prompt": 2, "llm.token_count.completion": 3, "llm.token_count.total": 5}) == {
        "gen_ai.usage.input_tokens": 2,
        "gen_ai.usage.output_tokens": 3,
    }
    assert _said({"llm.token_count.prompt": 2, "llm.token_count.total": 5})["llm.token_count.total"] == 5


def test_parameters() -> None:
    """Each under its name and in its type; those without one stay together."""
    parameters = {
        "temperature": 1,
        "top_p": 0.9,
        "top_k": 40,
        "max_completion_tokens": 100,
        "frequency_penalty": 0.5,
        "presence_penalty": 0,
        "seed": 7,
        "n": 2,
        "stop": "END",
        "stream": True,
        "reasoning_effort": "low",
        "tool_choice": "auto",
    }
    shared = {
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.frequency_penalty": 0.5,
        "gen_ai.request.presence_penalty": 0.0,
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stop_sequences": ["END"],
        "gen_ai.request.stream": True,
    }
    attributes = {"llm.invocation_parameters": json.dumps(parameters)}

    old, new = _said(attributes), _said(attributes, "gen_ai@0.1.0")

    left = json.loads(old.pop("llm.invocation_parameters"))
    assert left == {"tool_choice": "auto", "reasoning_effort": "low"}
    assert old == {**shared, "gen_ai.request.top_k": 40.0}
    assert type(old["gen_ai.request.top_k"]) is type(old["gen_ai.request.temperature"]) is float
    assert json.loads(new.pop("llm.invocation_parameters")) == {"tool_choice": "auto"}
    assert new == {**shared, "gen_ai.request.top_k": 40, "gen_ai.request.reasoning.level": "low"}
    assert type(new["gen_ai.request.top_k"]) is int


@pytest.mark.parametrize("text", ["no JSON", "[1]", '{"temperature": "hot"}', '{"temperature": true}', "{}"])
def test_parameters_that_are_none_stay(text: str) -> None:
    attributes = {"llm.invocation_parameters": text}

    assert _said(attributes) == attributes


def test_large_parameters_are_read_as_well() -> None:
    text = json.dumps({"temperature": 0.5, "logit_bias": {str(number): 1 for number in range(2_000)}})

    said = _said({"llm.invocation_parameters": text})

    assert said["gen_ai.request.temperature"] == 0.5
    assert json.loads(said["llm.invocation_parameters"]).keys() == {"logit_bias"}


def test_embeddings() -> None:
    attributes = {
        "openinference.span.kind": "EMBEDDING",
        "embedding.model_name": "e",
        "embedding.invocation_parameters": '{"dimensions": 256, "encoding_format": "float"}',
        "llm.token_count.prompt": 8,
        "embedding.embeddings.0.embedding.text": "a text",
    }

    assert _said(attributes) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": "e",
        "gen_ai.usage.input_tokens": 8,
        "gen_ai.embeddings.dimension.count": 256,
        "gen_ai.request.encoding_formats": ["float"],
        "embedding.embeddings.0.embedding.text": "a text",
    }


def test_retrieval() -> None:
    attributes = {
        "openinference.span.kind": "RETRIEVER",
        "input.value": "reset router",
        "input.mime_type": "text/plain",
        "output.value": '[{"id": "a"}]',
        "output.mime_type": "application/json",
        "metadata": '{"top_k": 3, "data_source_id": "manuals", "index": 1}',
        "retrieval.documents.0.document.id": "a",
        "retrieval.documents.0.document.content": "Hold the button.",
        "retrieval.documents.0.document.score": 0.5,
        "retrieval.documents.0.document.metadata": '{"page": 3}',
        "retrieval.documents.1.document.id": 7,
        "retrieval.documents.1.document.score": 0.25,
    }
    shared = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.retrieval.query.text": "reset router",
        "gen_ai.data_source.id": "manuals",
        "gen_ai.retrieval.documents": '[{"id":"a","score":0.5,"content":"Hold the button.","metadata":{"page":3}},'
        '{"id":"7","score":0.25}]',
        "metadata": '{"index":1}',
    }

    assert _said(attributes) == {**shared, "gen_ai.request.top_k": 3.0}
    assert _said(attributes, "gen_ai@0.1.0") == {**shared, "gen_ai.retrieval.top_k": 3}


def test_documents_that_do_not_fit_stay() -> None:
    """The convention wants an id and a score of each; a backend shows none of a list in which one has not both."""
    attributes = {
        "output.value": '["Hold the button.", {"id": "a", "score": 0.5}]',
        "output.mime_type": "application/json",
        "retrieval.documents.0.document.content": "Hold the button.",
        "retrieval.documents.1.document.id": "a",
        "retrieval.documents.1.document.score": 0.5,
    }

    assert _said(attributes) == attributes


def test_tool() -> None:
    """Arguments are those of the call; an input that is something else stays."""
    attributes = {
        "openinference.span.kind": "TOOL",
        "tool.name": "add",
        "tool.id": "c1",
        "tool.description": "Adds.",
        "tool.parameters": '{"a":1}',
        "input.value": '{"a":1}',
        "input.mime_type": "application/json",
        "output.value": "2",
        "output.mime_type": "text/plain",
    }
    said = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "add",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.description": "Adds.",
        "gen_ai.tool.call.arguments": '{"a":1}',
        "gen_ai.tool.call.result": "2",
    }

    assert _said(attributes) == said
    assert _said({**attributes, "input.value": "one", "input.mime_type": "text/plain"}) == {
        **said,
        "input.value": "one",
        "input.mime_type": "text/plain",
    }


@pytest.mark.parametrize(
    ("conventions", "named"),
    [("gen_ai@1.41", {"gen_ai.workflow.name": "w"}), ("gen_ai@0.1.0", {"gen_ai.agent.name": "w"})],
)
def test_workflow(conventions: Conventions, named: dict[str, str]) -> None:
    """A text is what the user says; anything else stays as it is."""
    attributes = {
        "openinference.span.kind": "CHAIN",
        "nat.event_type": "WORKFLOW_START",
        "nat.workflow.name": "w",
        "session.id": "s",
        "input.value": "hi",
        "input.mime_type": "text/plain",
        "output.value": '{"a":1}',
        "output.mime_type": "application/json",
    }

    assert _said(attributes, conventions) == {
        **named,
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.conversation.id": "s",
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"hi"}]}]',
        "nat.event_type": "WORKFLOW_START",
        "nat.workflow.name": "w",
        "output.value": '{"a":1}',
        "output.mime_type": "application/json",
    }


def test_agent() -> None:
    attributes = {"openinference.span.kind": "AGENT", "agent.name": "a", "metadata": '{"description": "Plans."}'}

    assert _said(attributes) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "a",
        "gen_ai.agent.description": "Plans.",
    }


def test_roll_ups_are_not_said_as_usage() -> None:
    """A backend would count them twice."""
    attributes = {"openinference.span.kind": "AGENT", "nat.usage.prompt_tokens": 5}

    assert _said(attributes) == {"gen_ai.operation.name": "invoke_agent", "nat.usage.prompt_tokens": 5}


@pytest.mark.parametrize(
    ("schema", "definition"),
    [
        (
            {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}},
            {"type": "function", "name": "add", "description": "Adds.", "parameters": {"type": "object"}},
        ),
        (
            {"name": "add", "description": "Adds.", "input_schema": {"type": "object"}},
            {"type": "function", "name": "add", "description": "Adds.", "parameters": {"type": "object"}},
        ),
        ({"type": "function", "name": "add", "parameters": {}}, {"type": "function", "name": "add", "parameters": {}}),
        ("no JSON", "no JSON"),
        ({"type": "function", "name": "x" * 9_000}, {"type": "function", "name": "x" * 9_000}),
    ],
    ids=["OpenAI", "Anthropic", "flat", "text", "large"],
)
def test_tool_definitions(schema: Any, definition: Any) -> None:
    text = schema if isinstance(schema, str) else json.dumps(schema)

    said = _said({"llm.tools.0.tool.json_schema": text, "llm.tools.1.tool.json_schema": text})

    assert json.loads(said["gen_ai.tool.definitions"]) == [definition, definition]


# -- messages ----------------------------------------------------------------------------------------------------------


def test_messages_are_in_their_order() -> None:
    """Whatever the order of the attributes, and beyond nine."""
    attributes = {f"llm.input_messages.{number}.message.role": f"r{number}" for number in reversed(range(11))}

    assert [message["role"] for message in _messages(attributes)] == [f"r{number}" for number in range(11)]


def test_calls_of_tools_and_their_results() -> None:
    """Arguments are opened; those that are no JSON, and a result, are texts."""
    first, second, third = (f"llm.input_messages.{number}.message" for number in range(3))
    attributes = {
        f"{first}.role": "assistant",
        f"{first}.content": "Let me see.",
        f"{first}.tool_calls.0.tool_call.id": "c1",
        f"{first}.tool_calls.0.tool_call.function.name": "add",
        f"{first}.tool_calls.0.tool_call.function.arguments": '{"a": [1, 2]}',
        f"{first}.tool_calls.1.tool_call.function.name": "stop",
        f"{first}.tool_calls.1.tool_call.function.arguments": "now",
        f"{second}.role": "tool",
        f"{second}.tool_call_id": "c1",
        f"{second}.content": "3",
        f"{third}.role": "assistant",
        f"{third}.name": "planner",
        f"{third}.function_call_name": "add",
        f"{third}.function_call_arguments_json": "{}",
    }

    assert _messages(attributes) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": "Let me see."},
                {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": [1, 2]}},
                {"type": "tool_call", "name": "stop", "arguments": "now"},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "3"}]},
        {"role": "assistant", "name": "planner", "parts": [{"type": "tool_call", "name": "add", "arguments": {}}]},
    ]


def test_images_sounds_and_thoughts() -> None:
    prefix = "llm.input_messages.0.message"
    parts: list[dict[str, str]] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "image.image.url": "data:image/png;base64,AAAA"},
        {"type": "image", "image.image.url": "https://example.com/cat.png"},
        {"type": "audio", "audio.audio.url": "https://example.com/a.wav", "audio.audio.mime_type": "audio/wav"},
        {"type": "audio", "audio.audio.transcript": "miaow"},
        {"type": "thinking", "text": "A cat?"},
        {"type": "document"},
    ]
    attributes = {
        f"{prefix}.contents.{number}.message_content.{key}": value
        for number, part in enumerate(parts)
        for key, value in part.items()
    }

    [message] = _messages({f"{prefix}.role": "user", **attributes})

    assert message["parts"] == [
        {"type": "text", "content": "What is this?"},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
        {"type": "uri", "modality": "image", "uri": "https://example.com/cat.png"},
        {"type": "uri", "modality": "audio", "mime_type": "audio/wav", "uri": "https://example.com/a.wav"},
        {"type": "audio", "content": "miaow"},
        {"type": "reasoning", "content": "A cat?"},
        {"type": "document"},
    ]


@pytest.mark.parametrize(
    ("conventions", "ending"), [("gen_ai@1.41", {"finish_reason": "length"}), ("gen_ai@0.1.0", {})]
)
def test_why_an_answer_ends(conventions: Conventions, ending: dict[str, str]) -> None:
    """In each answer, until v0.1.0; empty where it is not known, since 1.41 demands it."""
    attributes = {"openinference.span.kind": "LLM", "llm.output_messages.0.message.role": "assistant"}

    known = _said({**attributes, "llm.finish_reason": "length"}, conventions)
    unknown = _said(attributes, conventions)

    assert known["gen_ai.response.finish_reasons"] == ["length"]
    assert "gen_ai.response.finish_reasons" not in unknown
    message = {"role": "assistant", "parts": []}
    assert json.loads(known["gen_ai.output.messages"]) == [{**message, **ending}]
    assert json.loads(unknown["gen_ai.output.messages"]) == [{**message, **dict.fromkeys(ending, "")}]


def test_result_of_several_parts() -> None:
    prefix = "llm.input_messages.0.message"
    attributes = {
        f"{prefix}.role": "tool",
        f"{prefix}.contents.0.message_content.type": "text",
        f"{prefix}.contents.0.message_content.text": "3",
    }

    assert _messages(attributes) == [
        {"role": "tool", "parts": [{"type": "tool_call_response", "response": [{"type": "text", "content": "3"}]}]}
    ]


def test_call_with_messages_does_not_repeat_its_input() -> None:
    """An answer that is no message stays."""
    attributes = {
        "openinference.span.kind": "LLM",
        "input.value": '[{"role":"user","content":"hi"}]',
        "input.mime_type": "application/json",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "hi",
        "output.value": '{"odd":1}',
        "output.mime_type": "application/json",
    }

    assert _said(attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"hi"}]}]',
        "output.value": '{"odd":1}',
        "output.mime_type": "application/json",
    }


def test_whole_request_and_response() -> None:
    """What they say beside messages is not lost: parameters, unless they are known already, and the answer's id."""
    request = {"model": "m", "messages": [], "temperature": 0.5, "seed": 1, "tool_choice": "auto"}
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.invocation_parameters": '{"temperature": 0.25}',
        "input.value": json.dumps(request),
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "hi",
        "output.value": '{"id": "chatcmpl-1", "choices": []}',
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "hello",
    }

    said = _said(attributes)

    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.temperature": 0.25,
        "gen_ai.request.seed": 1,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.input.messages": said["gen_ai.input.messages"],
        "gen_ai.output.messages": said["gen_ai.output.messages"],
    }


# -- evaluations -------------------------------------------------------------------------------------------------------


def test_evaluations_are_events() -> None:
    """One for each; what an event has no name for stays on the span."""
    genai = genai_of("gen_ai")
    assert genai is not None

    said = genai.say(
        {
            "evaluations.1.evaluation.name": "tone",
            "evaluations.0.evaluation.name": "help",
            "evaluations.0.evaluation.score": 1.0,
            "evaluations.0.evaluation.label": "good",
            "evaluations.0.evaluation.explanation": "Why not.",
            "evaluations.0.evaluation.annotator_kind": "LLM",
        }
    )

    assert said.attributes == {"evaluations.0.evaluation.annotator_kind": "LLM"}
    assert said.evaluations == [
        {
            "gen_ai.evaluation.name": "help",
            "gen_ai.evaluation.score.value": 1.0,
            "gen_ai.evaluation.score.label": "good",
            "gen_ai.evaluation.explanation": "Why not.",
        },
        {"gen_ai.evaluation.name": "tone"},
    ]


def test_evaluation_without_a_name_stays() -> None:
    """The convention's event must have one."""
    attributes = {"evaluations.0.evaluation.score": 1.0}
    genai = genai_of("gen_ai")
    assert genai is not None

    assert genai.say(attributes) == (attributes, [])


# -- whatever there is -------------------------------------------------------------------------------------------------

_KEYS = some.one_of(
    some.sampled_from([str(name) for name in SpanAttributes]),
    some.sampled_from(
        [
            "llm.input_messages.0.message.role",
            "llm.input_messages.0.message",
            "llm.input_messages.x.message.role",
            "llm.input_messages.1.message.contents.0.message_content.image.image.url",
            "llm.input_messages.1.message.contents.0.message_content.type",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments",
            "llm.tools.0.tool.json_schema",
            "retrieval.documents.0.document.metadata",
            "evaluations.0.evaluation.score",
            "evaluations.0",
            "gen_ai.operation.name",
        ]
    ),
    some.text(max_size=8),
)
_SCALARS = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(),
    some.just(10**400),
    some.floats(),
    some.text(),
    some.sampled_from(["{}", "[1]", '{"top_k": 1e400}', "LLM", "RETRIEVER", "tool", "text/plain"]),
)
_VALUES = some.one_of(_SCALARS, some.lists(_SCALARS, max_size=3), some.dictionaries(some.text(), _SCALARS, max_size=2))


@pytest.mark.parametrize("conventions", [choice for choice in ALL_CONVENTIONS if choice != "openinference"])
@settings(max_examples=150, deadline=None)
@given(attributes=some.dictionaries(_KEYS, _VALUES, max_size=8))
def test_no_attribute_makes_it_fail(conventions: Conventions, attributes: dict[str, Any]) -> None:
    """It gives what can be sent, and leaves the given ones alone."""
    genai = genai_of(conventions)
    assert genai is not None
    before = repr(attributes)

    said = genai.say(attributes)

    assert encode_span(span_with(), said)
    assert repr(attributes) == before
