"""RagaAI Catalyst as a fake backend: everything around the upload succeeds, and documents are read as spans."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from nat.testing import ReceivedEvent, ReceivedSpan, Request, faults
from nat.testing.faults import Fault
from nat.testing.plain_spans import plain_spans_of

__all__ = ["catalyst_replies", "spans_in_document"]


def catalyst_replies() -> dict[str, Any]:
    """Answers at the paths of Catalyst's API."""
    numbers = itertools.count(1)

    def presigned(request: Request) -> Fault:
        return _success({"presignedUrls": [f"http://storage.example.com/bucket/trace?n={next(numbers)}"]})

    return {
        "/api/token": _success({"token": "token-1"}),
        "/api/v1/llm/dataset/logs": _success({}),
        "/api/v1/llm/presigned-url": presigned,
        "/api/v1/llm/insert/trace": _success({}),
        "/api/v2/llm/dataset/code": lambda request: _success({"codeHashes": [_NO_CODE]}),
    }


def spans_in_document(request: Request) -> Iterator[ReceivedSpan]:
    """The spans of an uploaded document; the numbers behind their names are left out."""
    document = request.json()
    for span in document["data"][0]["spans"]:
        plain = {
            "trace_id": span["context"]["trace_id"].removeprefix("0x"),
            "span_id": span["context"]["span_id"].removeprefix("0x"),
            "parent_span_id": span["parent_id"] and span["parent_id"].removeprefix("0x"),
            "name": span["name"].removesuffix(f".{span['name_occurrences']}"),
            "start_time": _ns(span["start_time"]),
            "end_time": _ns(span["end_time"]),
            "status": {"code": span["status"]["status_code"], "message": span["status"].get("description")},
            "attributes": span["attributes"],
        }
        events = tuple(
            ReceivedEvent(event["name"], _ns(event["timestamp"]), event["attributes"]) for event in span["events"]
        )
        (received,) = plain_spans_of(plain, request)
        yield replace(received, events=events)


_NO_CODE = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _ns(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e9)


def _success(data: dict[str, Any]) -> Fault:
    body = json.dumps({"success": True, "message": "done", "data": data}).encode()
    return replace(faults.status(200, body=body), content_type="application/json")
