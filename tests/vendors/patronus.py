"""A stand-in for Patronus, over gRPC and over HTTP: takes nothing without the key, and no span without a project.

Source: the SDK 0.1.26, whose requests it takes, too: the key as `x-api-key`, and the attribute `pat.project.name`, which is
mandatory on every span. A project may also come as metadata `pat-project-name`.
"""

from dataclasses import replace

from nat.testing import FakeBackend, Request, faults
from nat.testing.faults import Fault

__all__ = ["KEY", "stand_in"]

KEY = "pat-test-key"


def stand_in() -> FakeBackend:
    return FakeBackend("/v1/traces", grpc=True, refuse=judge)


def judge(request: Request) -> Fault | None:
    """What the receiver refuses, of what can be read."""
    if request.headers.get("x-api-key") != KEY:
        return replace(faults.status(401), message="Invalid API key")
    has_project = "pat-project-name" in request.headers
    if not has_project and not all("pat.project.name" in span.attributes for span in request.spans):
        return replace(faults.status(400), message="pat.project.name is missing")
    return None
