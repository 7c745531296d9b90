"""A stand-in for LangSmith: refuses what its API refuses, and shows runs as it would.

Sources: LangSmith's page "Trace with OpenTelemetry" with the table of attributes that it maps; the SDK 0.15.0, whose requests
it takes, too, and whose client says what the API answers: 401 without a key, 403 for a wrong one, 403
`org_scoped_key_requires_workspace` for a key of several workspaces without one.
"""

import json
from dataclasses import dataclass
from typing import Any

from nat.testing import FakeBackend, ReceivedSpan, Request, faults
from nat.testing.faults import OK, Fault
from tests.vendors.reading import take_spans

__all__ = ["KEY", "KEY_OF_SEVERAL_WORKSPACES", "PATH", "WORKSPACE", "Run", "run_of", "stand_in"]

PATH = "/otel/v1/traces"
KEY, KEY_OF_SEVERAL_WORKSPACES = "lsv2_pt_test", "lsv2_sk_several"
WORKSPACE = "8f0e4e6c-6a5c-4a11-9c0e-0d6f5d4f4f10"


def stand_in(path: str = PATH) -> FakeBackend:
    backend = FakeBackend(path)
    backend.reply_at(path, judge)
    return backend


def judge(request: Request) -> Fault:
    """What the API says to a request, in the order in which it looks."""
    key = request.headers.get("x-api-key")
    if request.method != "POST":
        return _detail(405, "Method Not Allowed")
    if not key:
        return _detail(401, "Invalid token")
    if key not in (KEY, KEY_OF_SEVERAL_WORKSPACES):
        return faults.status(403, body={"error": "Forbidden"})
    if key == KEY_OF_SEVERAL_WORKSPACES and request.headers.get("x-tenant-id") != WORKSPACE:
        return faults.status(403, body={"error": "org_scoped_key_requires_workspace"})
    if request.content_type not in ("application/json", "application/x-protobuf"):
        return _detail(415, "Unsupported content type")
    try:
        take_spans(request)
    except ValueError as problem:
        return _detail(422, str(problem))
    return OK


@dataclass(frozen=True)
class Run:
    """One run, as LangSmith shows it."""

    name: str
    run_type: str
    project: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    model: str | None
    provider: str | None
    usage: dict[str, Any]
    tags: list[str]
    metadata: dict[str, Any]
    error: str | None


def run_of(span: ReceivedSpan) -> Run:
    """A span, read as the table of attributes says; what is missing there is missing here."""
    attributes = span.attributes
    prefix = "langsmith.metadata."
    metadata = {key.removeprefix(prefix): value for key, value in attributes.items() if key.startswith(prefix)}
    usage = json.loads(metadata.pop("usage_metadata", "{}"))
    return Run(
        name=attributes.get("langsmith.trace.name", span.name),
        run_type=attributes.get("langsmith.span.kind", "chain"),
        project=attributes.get("langsmith.trace.session_name")
        or span.request.headers.get("langsmith-project", "default"),
        inputs=json.loads(attributes.get("gen_ai.prompt", "{}")),
        outputs=json.loads(attributes.get("gen_ai.completion", "{}")),
        model=attributes.get("gen_ai.request.model"),
        provider=attributes.get("gen_ai.system"),
        usage=usage,
        tags=[tag.strip() for tag in attributes.get("langsmith.span.tags", "").split(",") if tag.strip()],
        metadata=metadata,
        error=span.events[0].attributes["exception.message"] if span.status == "ERROR" and span.events else None,
    )


def _detail(code: int, message: str) -> Fault:
    return faults.status(code, body={"detail": message})
