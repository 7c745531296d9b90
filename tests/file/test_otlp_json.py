"""OTLP/JSON lines, as OpenTelemetry's file exporter specification has them."""

import json
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.span import Span, SpanContext, SpanEvent, SpanLink, SpanStatus, SpanStatusCode
from nat.observability.spans.otlp_json import request_of, spans_of_request
from nat.plugins.file.lines import line_of_request


class Color(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


def test_a_line_is_one_request() -> None:
    span = Span(
        name="ask",
        context=SpanContext(trace_id=0x5B8EFFF798038103D269B633813FC60C, span_id=0xEEE19B7EC3C1B174, parent_span_id=3),
        start_time=1_544_712_660_000_000_000,
        end_time=1_544_712_661_000_000_001,
        status=SpanStatus(code=SpanStatusCode.ERROR, message="no answer"),
        attributes={"llm.model_name": "m", "unknown": None},
        events=[SpanEvent(name="exception", timestamp=1_544_712_660_500_000_000, attributes={"exception.type": "E"})],
        links=[SpanLink(context=SpanContext(trace_id=7, span_id=8), attributes={"n": 1})],
    )

    assert json.loads(line_of_request(span, "shop")) == {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
                "scopeSpans": [
                    {
                        "scope": {"name": "nat.observability"},
                        "spans": [
                            {
                                "traceId": "5b8efff798038103d269b633813fc60c",
                                "spanId": "eee19b7ec3c1b174",
                                "parentSpanId": "0000000000000003",
                                "name": "ask",
                                "kind": 1,
                                "startTimeUnixNano": "1544712660000000000",
                                "endTimeUnixNano": "1544712661000000001",
                                "attributes": [{"key": "llm.model_name", "value": {"stringValue": "m"}}],
                                "events": [
                                    {
                                        "timeUnixNano": "1544712660500000000",
                                        "name": "exception",
                                        "attributes": [{"key": "exception.type", "value": {"stringValue": "E"}}],
                                    }
                                ],
                                "links": [
                                    {
                                        "traceId": "00000000000000000000000000000007",
                                        "spanId": "0000000000000008",
                                        "attributes": [{"key": "n", "value": {"intValue": "1"}}],
                                    }
                                ],
                                "status": {"code": 2, "message": "no answer"},
                            }
                        ],
                    }
                ],
            }
        ]
    }


def test_a_root_without_a_project_has_no_parent_and_no_service() -> None:
    request = request_of([Span(name="run", context=SpanContext(trace_id=1, span_id=2), start_time=3)], {})

    (resource_spans,) = request["resourceSpans"]
    assert resource_spans["resource"] == {"attributes": []}
    assert resource_spans["scopeSpans"][0]["spans"] == [
        {
            "traceId": "00000000000000000000000000000001",
            "spanId": "0000000000000002",
            "name": "run",
            "kind": 1,
            "startTimeUnixNano": "3",
            "attributes": [],
            "events": [],
            "links": [],
            "status": {"code": 0},
        }
    ]


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("text", {"stringValue": "text"}),
        ("\ud800", {"stringValue": "\ufffd"}),
        (True, {"boolValue": True}),
        (-(2**63), {"intValue": "-9223372036854775808"}),
        (2**63, {"stringValue": "9223372036854775808"}),
        (10**400, {"stringValue": "1" + "0" * 400}),
        (0.5, {"doubleValue": 0.5}),
        (float("nan"), {"doubleValue": "NaN"}),
        (float("-inf"), {"doubleValue": "-Infinity"}),
        (b"\x00\xff", {"bytesValue": "AP8="}),
        (Color.RED, {"stringValue": "red"}),
        (Number.ONE, {"intValue": "1"}),
        (Path("a/b"), {"stringValue": "a/b"}),
        ((1, [None]), {"arrayValue": {"values": [{"intValue": "1"}, {"arrayValue": {"values": [{}]}}]}}),
        ({"k": 2**64}, {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "18446744073709551616"}}]}}),
    ],
)
def test_every_value_has_an_encoding(value: Any, encoded: Any) -> None:
    span = Span(name="s", context=SpanContext(trace_id=1, span_id=2), attributes={"v": value})

    line = json.loads(line_of_request(span, None))

    (attribute,) = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]
    assert attribute == {"key": "v", "value": encoded}


def test_requests_of_other_writers_are_read() -> None:
    """Several resources and scopes, defaults left out, and values of every kind."""
    values = {
        "values": [
            {"boolValue": True},
            {"intValue": 5},
            {"doubleValue": "Infinity"},
            {"bytesValue": "AP8="},
            {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "x"}}]}},
            {"arrayValue": {}},
            {},
        ]
    }
    first = {
        "traceId": "01",
        "spanId": "02",
        "parentSpanId": "",
        "attributes": [{"key": "a", "value": {"arrayValue": values}}],
    }
    second = {"traceId": "01", "spanId": "03", "parentSpanId": "02", "name": "b", "status": {"code": 1}}

    spans = spans_of_request(
        {"resourceSpans": [{"scopeSpans": [{"spans": [first]}]}, {"scopeSpans": [{}, {"spans": [second]}]}, {}]}
    )

    assert [span.context.parent_span_id for span in spans] == [None, 2]
    assert spans[0].attributes == {"a": [True, 5, float("inf"), b"\x00\xff", {"k": "x"}, [], None]}
    assert spans[0].end_time is None
    assert spans[1].status == SpanStatus(code=SpanStatusCode.OK)
