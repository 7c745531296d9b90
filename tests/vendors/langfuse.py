"""A stand-in for Langfuse: refuses what its server refuses, and shows observations as it would.

Sources: the server's route `/api/public/otel/v1/traces` and its `OtelIngestionProcessor`, August 2026; the SDK 5.0.4, whose
requests it takes, too.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from nat.testing import FakeBackend, ReceivedSpan, Request, faults
from nat.testing.faults import OK, Fault
from tests.vendors.reading import take_spans

__all__ = ["PATH", "PUBLIC_KEY", "SECRET_KEY", "Observation", "observation", "stand_in", "trace_of"]

PATH = "/api/public/otel/v1/traces"
PUBLIC_KEY, SECRET_KEY = "pk-lf-test", "sk-lf-test"

_NEWEST_INGESTION_VERSION = 4


def stand_in() -> FakeBackend:
    backend = FakeBackend(PATH)
    backend.reply_at(PATH, judge)
    return backend


def judge(request: Request) -> Fault:
    """What the server says to a request, in the order in which it looks."""
    if request.method != "POST":
        return _error(405, "Method not allowed")
    if request.headers.get("authorization") != f"Basic {_basic(PUBLIC_KEY, SECRET_KEY)}":
        return faults.status(
            401, body={"message": "Invalid credentials. Confirm that you've configured the correct host."}
        )
    if not any(kind in request.content_type for kind in ("application/json", "application/x-protobuf")):
        return _error(400, "Invalid content type")
    try:
        take_spans(request)
    except ValueError as problem:
        return _error(400, f"Failed to parse OTel Protobuf Trace: {problem}")
    version = request.headers.get("x-langfuse-ingestion-version", "1")
    if not version.isdecimal() or int(version) > _NEWEST_INGESTION_VERSION:
        return _error(400, f'Unsupported x-langfuse-ingestion-version: "{version}". Maximum supported: "4".')
    return OK


@dataclass(frozen=True)
class Observation:
    """One observation, as Langfuse shows it."""

    type: str
    input: Any
    output: Any
    model: str | None
    parameters: dict[str, Any]
    usage: dict[str, int]
    level: str
    status_message: str
    metadata: dict[str, Any]


def observation(span: ReceivedSpan) -> Observation:
    """A span, read in the order of precedence that the server has."""
    attributes = span.attributes
    return Observation(
        type=attributes.get("langfuse.observation.type", "span"),
        input=_json(attributes.get("langfuse.observation.input", attributes.get("input.value"))),
        output=_json(attributes.get("langfuse.observation.output", attributes.get("output.value"))),
        model=attributes.get("langfuse.observation.model.name", attributes.get("llm.model_name")),
        parameters=_json(attributes.get("langfuse.observation.model.parameters", "{}")),
        usage=_json(attributes.get("langfuse.observation.usage_details", "{}")),
        level=attributes.get("langfuse.observation.level", "ERROR" if span.status == "ERROR" else "DEFAULT"),
        status_message=attributes.get("langfuse.observation.status_message", span.status_message),
        metadata=_under("langfuse.observation.metadata.", attributes),
    )


def trace_of(spans: list[ReceivedSpan]) -> dict[str, Any]:
    """What Langfuse shows of a trace: the root's values, replaced by those of any span that speaks of the trace."""
    shown: dict[str, Any] = {}
    for span in sorted(spans, key=lambda span: span.start_ns):
        attributes, resource = span.attributes, span.resource
        speaks_of_the_trace = any(key.startswith("langfuse.trace.") or key == "tag.tags" for key in attributes)
        if span.parent_id is None or speaks_of_the_trace:
            shown = {
                "name": attributes.get("langfuse.trace.name", span.name),
                "tags": attributes.get("langfuse.trace.tags", attributes.get("tag.tags", [])),
                "metadata": _under("langfuse.trace.metadata.", attributes),
                "input": observation(span).input,
                "output": observation(span).output,
                "session_id": attributes.get("session.id"),
                "user_id": attributes.get("user.id"),
                "environment": attributes.get("langfuse.environment")
                or resource.get("langfuse.environment")
                or resource.get("deployment.environment.name", "default"),
                "release": attributes.get("langfuse.release", resource.get("langfuse.release")),
                "version": attributes.get("langfuse.version", resource.get("service.version")),
            }
    return shown


def _error(code: int, message: str) -> Fault:
    return faults.status(code, body={"error": message})


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _json(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _under(prefix: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): _json(value) for key, value in attributes.items() if key.startswith(prefix)}
