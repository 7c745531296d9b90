"""Names and types, held against the constants of the public packages.

The packages have names and, for some, their values, but no types: those are written out here as the conventions have them.
"""

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest
from openinference.semconv import resource as openinference_resource
from openinference.semconv import trace as openinference
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as published
from opentelemetry.semconv._incubating.attributes import session_attributes, user_attributes
from opentelemetry.semconv.attributes import error_attributes, exception_attributes

from nat.data_models.conventions import Conventions
from nat.observability.spans.genai_names import EVALUATION_EVENT, OPERATION_NAME, TABLES, Form, GenAiTable
from tests.conventions.recordings import CONVENTIONS, RUNS, golden_file, sent

_STRING, _INT, _DOUBLE, _BOOLEAN, _STRINGS, _JSON = Form
_TYPES = {
    "gen_ai.agent.description": _STRING,
    "gen_ai.agent.name": _STRING,
    "gen_ai.conversation.id": _STRING,
    "gen_ai.data_source.id": _STRING,
    "gen_ai.embeddings.dimension.count": _INT,
    "gen_ai.evaluation.explanation": _STRING,
    "gen_ai.evaluation.name": _STRING,
    "gen_ai.evaluation.score.label": _STRING,
    "gen_ai.evaluation.score.value": _DOUBLE,
    "gen_ai.input.messages": _JSON,
    "gen_ai.operation.name": _STRING,
    "gen_ai.output.messages": _JSON,
    "gen_ai.provider.name": _STRING,
    "gen_ai.request.choice.count": _INT,
    "gen_ai.request.encoding_formats": _STRINGS,
    "gen_ai.request.frequency_penalty": _DOUBLE,
    "gen_ai.request.max_tokens": _INT,
    "gen_ai.request.model": _STRING,
    "gen_ai.request.presence_penalty": _DOUBLE,
    "gen_ai.request.seed": _INT,
    "gen_ai.request.stop_sequences": _STRINGS,
    "gen_ai.request.stream": _BOOLEAN,
    "gen_ai.request.temperature": _DOUBLE,
    "gen_ai.request.top_k": _DOUBLE,
    "gen_ai.request.top_p": _DOUBLE,
    "gen_ai.response.finish_reasons": _STRINGS,
    "gen_ai.response.id": _STRING,
    "gen_ai.response.model": _STRING,
    "gen_ai.response.time_to_first_chunk": _DOUBLE,
    "gen_ai.retrieval.documents": _JSON,
    "gen_ai.retrieval.query.text": _STRING,
    "gen_ai.tool.call.arguments": _JSON,
    "gen_ai.tool.call.id": _STRING,
    "gen_ai.tool.call.result": _JSON,
    "gen_ai.tool.definitions": _JSON,
    "gen_ai.tool.description": _STRING,
    "gen_ai.tool.name": _STRING,
    "gen_ai.usage.cache_creation.input_tokens": _INT,
    "gen_ai.usage.cache_read.input_tokens": _INT,
    "gen_ai.usage.input_tokens": _INT,
    "gen_ai.usage.output_tokens": _INT,
    "gen_ai.usage.reasoning.output_tokens": _INT,
    "gen_ai.workflow.name": _STRING,
}
_RENAMED_IN_0_1_0 = {
    "gen_ai.usage.cache_creation.input_tokens": ("gen_ai.usage.cache_write.input_tokens", _INT),
    "gen_ai.workflow.name": ("gen_ai.agent.name", _STRING),
}
_CHANGED_IN_0_1_0 = {
    "gen_ai.request.top_k": _INT,
    "gen_ai.retrieval.top_k": _INT,
    "gen_ai.request.reasoning.level": _STRING,
}
_TYPES_OF: dict[str, dict[str, Form]] = {
    "1.41": _TYPES,
    "0.1.0": dict(_RENAMED_IN_0_1_0.get(name, (name, form)) for name, form in _TYPES.items()) | _CHANGED_IN_0_1_0,
}
_REPLACED = {
    "gen_ai.system",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.usage.prompt_tokens",
    "gen_ai.usage.completion_tokens",
}


def _values(*holders: Any) -> set[str]:
    return {
        value for holder in holders for key, value in vars(holder).items() if key.isupper() and isinstance(value, str)
    }


_OPENINFERENCE = _values(
    *(value for value in vars(openinference).values() if isinstance(value, type)),
    openinference_resource.ResourceAttributes,
)
_OPENTELEMETRY = _values(error_attributes, exception_attributes, session_attributes, user_attributes)
_GEN_AI_1_41 = _values(published) - _REPLACED
_GEN_AI = {
    "1.41": _GEN_AI_1_41,
    "0.1.0": (_GEN_AI_1_41 - _RENAMED_IN_0_1_0.keys())
    | {name for name, _ in _RENAMED_IN_0_1_0.values()}
    | _CHANGED_IN_0_1_0.keys(),
}


def _rows(table: GenAiTable) -> Iterator[tuple[str, Form]]:
    yield OPERATION_NAME, _STRING
    yield from ((row.name, row.form) for row in table.rows)
    yield from table.evaluation.values()


@pytest.mark.parametrize("version", TABLES)
def test_every_name_of_a_table_is_published(version: str) -> None:
    """And none of those that the convention has replaced."""
    assert {name for name, _ in _rows(TABLES[version])} <= _GEN_AI[version]


@pytest.mark.parametrize("version", TABLES)
def test_every_type_of_a_table_is_the_conventions(version: str) -> None:
    assert dict(_rows(TABLES[version])) == _TYPES_OF[version]


@pytest.mark.parametrize("version", TABLES)
def test_every_source_of_a_table_is_openinferences_or_ours(version: str) -> None:
    sources = {row.source.partition("[")[0] for row in TABLES[version].rows}

    assert {source for source in sources if not source.startswith("nat.")} <= _OPENINFERENCE


def test_operations_and_providers_are_published() -> None:
    """Those of 1.41; `moonshot_ai` has come after it."""
    operations = {value.value for value in published.GenAiOperationNameValues}
    providers = {value.value for value in published.GenAiProviderNameValues}

    for table in TABLES.values():
        assert set(table.operations.values()) <= operations
        assert set(table.providers.values()) - {"moonshot_ai"} <= providers


def test_versions_differ_in_what_was_renamed() -> None:
    """And in nothing else."""
    old, new = (dict(_rows(TABLES[version])) for version in ("1.41", "0.1.0"))

    assert {name: old[name] for name in old.keys() - new.keys()} == {
        "gen_ai.usage.cache_creation.input_tokens": _INT,
        "gen_ai.workflow.name": _STRING,
    }
    assert {name: new[name] for name in new.keys() - old.keys()} == {
        "gen_ai.usage.cache_write.input_tokens": _INT,
        "gen_ai.retrieval.top_k": _INT,
        "gen_ai.request.reasoning.level": _STRING,
    }
    assert {name for name in old.keys() & new.keys() if old[name] is not new[name]} == {"gen_ai.request.top_k"}


# -- of what is sent ---------------------------------------------------------------------------------------------------

_OPENINFERENCE_LISTS = {
    "llm.input_messages",
    "llm.output_messages",
    "llm.tools",
    "retrieval.documents",
    "embedding.embeddings",
    "evaluations",
    "reranker.input_documents",
    "reranker.output_documents",
}
_LEFT_BY_GEN_AI = {
    "embedding.embeddings",
    "evaluations",
    "input.mime_type",
    "input.value",
    "metadata",
    "openinference.span.kind",
    "output.mime_type",
    "output.value",
    "reranker.input_documents",
    "reranker.model_name",
    "reranker.output_documents",
    "reranker.query",
    "reranker.top_k",
    "tag.tags",
}
"""What the recorded runs say that `gen_ai` has no name for."""


@pytest.mark.parametrize("conventions", CONVENTIONS)
@pytest.mark.parametrize("run_id", RUNS)
def test_every_name_in_the_files_is_published(run_id: str, conventions: Conventions) -> None:
    """Or ours; of OpenInference's, `gen_ai` leaves those for which it has none."""
    allowed = _OPENTELEMETRY | (_OPENINFERENCE if conventions == "openinference" else _LEFT_BY_GEN_AI)
    if conventions != "openinference":
        allowed |= _GEN_AI[conventions.partition("@")[2]]

    for span in json.loads(golden_file(run_id, conventions).read_text("utf-8")):
        for one in (span, *span["events"]):
            names = {_whole(name) for name in one["attributes"] if not name.startswith("nat.")}
            assert names <= allowed
        assert {event["name"] for event in span["events"]} <= {"exception", EVALUATION_EVENT}


def _whole(name: str) -> str:
    """The name of the list that a flattened one belongs to, once its fields were looked at."""
    owner = next((owner for owner in _OPENINFERENCE_LISTS if name.startswith(f"{owner}.")), None)
    if owner is None:
        return name
    assert set(_fields_in(name.removeprefix(f"{owner}."))) <= _OPENINFERENCE, name
    return owner


def _fields_in(rest: str) -> Iterator[str]:
    """`message.tool_calls`, `tool_call.function.name` of `0.message.tool_calls.0.tool_call.function.name`."""
    parts: list[str] = []
    for part in rest.split("."):
        if part.isdecimal():
            if parts:
                yield ".".join(parts)
            parts = []
        else:
            parts.append(part)
    yield ".".join(parts)


@pytest.mark.parametrize("conventions", CONVENTIONS[1:])
@pytest.mark.parametrize("run_id", RUNS)
def test_every_value_on_the_wire_has_the_conventions_type(run_id: str, conventions: Conventions) -> None:
    forms = _TYPES_OF[conventions.partition("@")[2]]
    python = {_STRING: str, _INT: int, _DOUBLE: float, _BOOLEAN: bool, _STRINGS: list, _JSON: str}

    for span in sent(run_id, conventions):
        for attributes in (span.attributes, *(event.attributes for event in span.events)):
            said = {name: value for name, value in attributes.items() if name.startswith("gen_ai.")}
            assert {name: type(value) for name, value in said.items()} == {name: python[forms[name]] for name in said}
            assert all(isinstance(item, str) for value in said.values() if isinstance(value, list) for item in value)


class _Part(StrEnum):
    """Types of parts in the conventions' JSON schemas."""

    TEXT = "text"
    TOOL_CALL = "tool_call"
    TOOL_CALL_RESPONSE = "tool_call_response"


@pytest.mark.parametrize("conventions", CONVENTIONS[1:])
@pytest.mark.parametrize("run_id", RUNS)
def test_messages_have_the_conventions_shape(run_id: str, conventions: Conventions) -> None:
    """Roles and parts, each part with the keys that its type must have; 1.41 wants a reason in each answer."""
    required = {
        _Part.TEXT: {"type", "content"},
        _Part.TOOL_CALL: {"type", "id", "name", "arguments"},
        _Part.TOOL_CALL_RESPONSE: {"type", "id", "response"},
    }
    for span in sent(run_id, conventions):
        for name in ("gen_ai.input.messages", "gen_ai.output.messages"):
            for message in json.loads(span.attributes.get(name, "[]")):
                assert message["role"] in ("system", "user", "assistant", "tool")
                assert all(part.keys() == required[_Part(part["type"])] for part in message["parts"])
                has_reason = conventions == "gen_ai@1.41" and name == "gen_ai.output.messages"
                assert ("finish_reason" in message) == has_reason
