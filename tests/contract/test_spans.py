"""The span as a data model."""

import pytest
from pydantic import ValidationError

from nat.data_models.span import (
    Span,
    SpanAttributes,
    SpanContext,
    SpanEvent,
    SpanKind,
    SpanLink,
    SpanStatus,
    SpanStatusCode,
)


def _span(**fields: object) -> Span:
    return Span.model_validate({"name": "work", "context": SpanContext(trace_id=1, span_id=2), **fields})


@pytest.mark.contract("S78", "S79", "S80", "D8")
def test_a_span_has_ids_times_status_attributes_events_and_links() -> None:
    link = SpanLink(context=SpanContext(trace_id=7, span_id=8))
    span = Span(
        name="work",
        context=SpanContext(trace_id=2**128 - 1, span_id=2**64 - 1, parent_span_id=5),
        start_time=1_700_000_000_000_000_000,
        end_time=1_700_000_002_500_000_000,
        status=SpanStatus(code=SpanStatusCode.ERROR, message="boom"),
        attributes={"input.value": "x"},
        events=[SpanEvent(name="exception", timestamp=1_700_000_001_000_000_000, attributes={"exception.type": "E"})],
        links=[link],
    )

    assert span.context.trace_id == 2**128 - 1
    assert span.context.span_id == 2**64 - 1
    assert span.context.parent_span_id == 5
    assert span.duration == 2_500_000_000
    assert span.duration_s == 2.5
    assert (span.status.code, span.status.message) == ("ERROR", "boom")
    assert span.attributes == {"input.value": "x"}
    assert [(event.name, event.timestamp, event.attributes) for event in span.events] == [
        ("exception", 1_700_000_001_000_000_000, {"exception.type": "E"})
    ]
    assert span.links == [link]
    assert span.parent is None


@pytest.mark.contract("S79", "D8")
def test_an_open_span_has_neither_end_nor_duration() -> None:
    span = _span()

    assert isinstance(span.start_time, int)
    assert (span.end_time, span.duration, span.duration_s) == (None, None, None)
    assert span.status.code is SpanStatusCode.UNSET
    assert (span.attributes, span.events, span.links) == ({}, [], [])


@pytest.mark.contract("S79", "D8")
def test_a_duration_is_never_negative() -> None:
    ended_before_it_started = _span(start_time=1_000, end_time=400)
    ended_by_a_clock_set_back = _span(start_time=1_000)
    ended_by_a_clock_set_back.end(400)

    assert ended_before_it_started.duration == 0
    assert ended_by_a_clock_set_back.duration == 0


@pytest.mark.contract("S80")
def test_a_span_is_changed_by_its_methods() -> None:
    span = _span(start_time=1_000)

    span.set_attribute("a", 1)
    span.set_attribute("a", 2)
    span.add_event("retry", {"attempt": 2})
    span.add_event("done")
    span.end(3_000)

    assert span.attributes == {"a": 2}
    assert [(event.name, event.attributes) for event in span.events] == [("retry", {"attempt": 2}), ("done", {})]
    assert all(isinstance(event.timestamp, int) for event in span.events)
    assert (span.end_time, span.duration) == (3_000, 2_000)


@pytest.mark.contract("S78")
@pytest.mark.parametrize(
    "ids", [{"trace_id": 0, "span_id": 1}, {"trace_id": 1, "span_id": 0}, {"trace_id": 2**128, "span_id": 1}]
)
def test_ids_are_in_range_and_not_zero(ids: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        SpanContext(**ids)


@pytest.mark.contract("D29")
def test_span_kinds_are_those_of_openinference() -> None:
    assert {str(kind) for kind in SpanKind} == {
        "AGENT",
        "CHAIN",
        "DECISION",
        "EMBEDDING",
        "EVALUATOR",
        "GUARDRAIL",
        "LLM",
        "PROMPT",
        "RERANKER",
        "RETRIEVER",
        "TOOL",
        "UNKNOWN",
    }
    assert f"{SpanAttributes.SPAN_KIND}" == "openinference.span.kind"
