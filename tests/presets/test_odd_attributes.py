"""Attributes are what users have set: none of them keeps a span from being sent."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from nat.data_models.span import Span, SpanAttributes, SpanContext, SpanStatus, SpanStatusCode
from nat.observability.spans.genai import Said
from nat.plugins.galileo.attributes import galileo_attributes
from nat.plugins.langfuse.attributes import langfuse_attributes
from nat.plugins.langsmith.attributes import langsmith_attributes
from nat.plugins.opentelemetry.encoding import encode_span
from nat.plugins.patronus.attributes import patronus_attributes

_TRANSLATIONS: dict[str, Callable[[Span], dict[str, Any]]] = {
    "galileo": partial(galileo_attributes, project="shop", logstream="production"),
    "langfuse": partial(langfuse_attributes, process={"langfuse.release": "r1"}),
    "langsmith": partial(langsmith_attributes, project="shop", process={"environment": None}),
    "patronus": partial(patronus_attributes, project="shop", app="agent"),
}
_KEYS = some.one_of(
    some.sampled_from([str(name) for name in SpanAttributes]),
    some.sampled_from(
        [
            "llm.input_messages.0.message.role",
            "llm.input_messages.0.message",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function",
            "llm.output_messages.0.message.tool_calls",
            "llm.input_messages.1.message.contents.0.message_content.image",
            "llm.tools.0.tool.json_schema",
            "retrieval.documents.0.document.metadata",
        ]
    ),
    some.text(max_size=8),
)
_SCALARS = some.one_of(
    some.none(), some.booleans(), some.integers(), some.floats(), some.text(), some.sampled_from(["{}", "[1]", "LLM"])
)
_VALUES = some.one_of(_SCALARS, some.lists(_SCALARS, max_size=3), some.dictionaries(some.text(), _SCALARS, max_size=2))


@pytest.mark.parametrize("name", _TRANSLATIONS)
@settings(max_examples=150)
@given(attributes=some.dictionaries(_KEYS, _VALUES, max_size=8), parent=some.sampled_from([None, 3]))
def test_no_attribute_makes_a_translation_fail(name: str, attributes: dict[str, Any], parent: int | None) -> None:
    """It gives attributes that can be sent, and leaves the span alone."""
    span = Span(
        name="odd",
        context=SpanContext(trace_id=1, span_id=2, parent_span_id=parent),
        status=SpanStatus(code=SpanStatusCode.ERROR),
        attributes=dict(attributes),
    )

    translated = _TRANSLATIONS[name](span)

    assert encode_span(span, Said(translated, []))
    assert repr(span.attributes) == repr(attributes)
