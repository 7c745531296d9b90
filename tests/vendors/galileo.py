"""A stand-in for Galileo: refuses what its OTLP endpoint refuses, in its words.

Sources: Galileo's descriptions of the endpoint (headers, 401, 404, 415, 422, partial success) and of the attributes that a span
must have ("Minimum requirements for valid spans"); the SDK 2.7.0, whose requests it takes, too.
"""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

from nat.testing import FakeBackend, ReceivedSpan, Request, faults, otlp
from nat.testing.faults import OK, Fault
from tests.vendors.reading import take_spans

__all__ = ["KEY", "OLDER_PATH", "PATH", "missing_of", "serve_log_in", "stand_in"]

PATH, OLDER_PATH = "/otel/traces", "/api/galileo/otel/traces"
KEY = "gal-test-key"

_ID, _TIME = "00000000-0000-4000-8000-000000000001", "2026-01-01T00:00:00Z"


def stand_in(projects: tuple[str, ...] | None = None) -> FakeBackend:
    """The stand-in; `projects`: the only ones that there are."""
    backend = FakeBackend(PATH)
    for path in (PATH, "/otel/v1/traces", OLDER_PATH):
        backend.reply_at(path, lambda request: judge(request, projects))
    return backend


def serve_log_in(backend: FakeBackend) -> None:
    """Answer what Galileo's SDK asks for before it sends: health, a token for the key, and who that is."""
    user = {"id": _ID, "email": "a@example.com", "role": "admin", "created_at": _TIME, "updated_at": _TIME}
    replies = {
        "/healthcheck": {"api_version": "1.0.0", "message": "ok", "version": "1"},
        "/login/api_key": {"access_token": _token(), "refresh_token": "r"},
        "/current_user": {**user, "organization_id": _ID, "organization_name": "o", "permissions": []},
    }
    for path, body in replies.items():
        backend.reply_at(path, faults.status(200, body=body))


def _token() -> str:
    """A JSON Web Token that is good for an hour; nobody looks at its signature."""
    parts: tuple[dict[str, Any], ...] = ({"alg": "HS256", "typ": "JWT"}, {"sub": "a", "exp": int(time.time()) + 3600})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2ln"])


def judge(request: Request, projects: tuple[str, ...] | None = None) -> Fault:
    """What the endpoint says to a request, in the order in which it looks."""
    key = request.headers.get("galileo-api-key")
    if request.method != "POST":
        return _detail(405, "Method Not Allowed")
    if key != KEY:
        return _detail(401, "Invalid API Key" if key else "API Key is missing")
    if request.content_type != otlp.PROTOBUF:
        words = f"{request.content_type} is not supported, content_type needs to be: '{otlp.PROTOBUF}'"
        return _detail(415, words)
    try:
        take_spans(request)
    except ValueError as problem:
        return _detail(422, f"Trace processing failed: {problem}")
    if not request.spans:
        return _detail(422, "No spans found in request.")
    return _judge_names(request, projects) or _judge_spans(request)


def _judge_names(request: Request, projects: tuple[str, ...] | None) -> Fault | None:
    """Project and log stream, from the headers or else from the resource."""
    resource = request.spans[0].resource
    project = request.headers.get("project") or resource.get("galileo.project.name")
    if project is None or (projects is not None and project not in projects):
        return _detail(404, "Project not found.")
    if not (request.headers.get("logstream") or resource.get("galileo.logstream.name")):
        return _detail(422, "log_stream_id is required.")
    return None


def _judge_spans(request: Request) -> Fault:
    """Spans that cannot be classified are refused through a partial success."""
    refused = [span for span in request.spans if _class_of(span) is None]
    if not refused:
        return OK
    return faults.partial_success(len(refused), f"Group 0: no detector for {refused[0].name!r}")


def missing_of(span: ReceivedSpan) -> list[str]:
    """What Galileo's minimum for the class of a span asks for and the span does not have."""
    return [name for name, has in _MINIMUM[_class_of(span) or "none"].items() if not has(span.attributes)]


def _class_of(span: ReceivedSpan) -> str | None:
    """Agent, llm, tool, retriever or workflow, as Galileo's detectors find it."""
    attributes = span.attributes
    kind = str(attributes.get("openinference.span.kind", "")).lower()
    if attributes.get("db.operation") in ("query", "search"):
        return "retriever"
    operation = attributes.get("gen_ai.operation.name")
    by_operation = {"invoke_agent": "agent", "create_agent": "agent", "execute_tool": "tool"}
    if operation is not None:
        return by_operation.get(operation, "llm")
    return kind if kind in ("agent", "llm", "tool") else "workflow" if kind else None


def _has(*names: str) -> Callable[[dict[str, Any]], bool]:
    return lambda attributes: any(key == name or key.startswith(f"{name}.0.") for name in names for key in attributes)


_MINIMUM: dict[str, dict[str, Callable[[dict[str, Any]], bool]]] = {
    "agent": {
        "operation": _has("gen_ai.operation.name"),
        "input": _has("gen_ai.input.messages", "input.value"),
        "output": _has("gen_ai.output.messages", "output.value"),
    },
    "llm": {
        "operation": _has("gen_ai.operation.name"),
        "provider": _has("gen_ai.provider.name"),
        "model": _has("gen_ai.request.model"),
        "input": _has("gen_ai.input.messages", "llm.input_messages", "embedding.embeddings"),
        "output": _has("gen_ai.output.messages", "llm.output_messages", "embedding.embeddings"),
    },
    "tool": {
        "operation": _has("gen_ai.operation.name"),
        "name": _has("tool.name"),
        "input": _has("gen_ai.tool.call.arguments", "input.value"),
        "output": _has("gen_ai.tool.call.result", "output.value"),
    },
    "retriever": {
        "operation": _has("db.operation"),
        "input": _has("gen_ai.input.messages", "input.value"),
        "output": _has("gen_ai.output.messages", "retrieval.documents"),
    },
    "workflow": {},
    "none": {"class": lambda attributes: False},
}


def _detail(code: int, message: str) -> Fault:
    return faults.status(code, body={"detail": message})
