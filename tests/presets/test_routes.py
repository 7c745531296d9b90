"""Vendors' exporters with routes: each tenant's runs under a project, with keys or headers of their own."""

from collections.abc import Callable
from typing import Any

import pytest

from nat.observability import Telemetry, exporter_entry, step
from nat.observability.registry import resolve
from nat.observability.routing import RouteConfig
from nat.plugins.catalyst.register import CatalystConfig
from nat.testing import FakeBackend, Request
from tests.support.catalyst import ACCESS_KEY, SECRET_KEY, catalyst_stand_in


def of_header(name: str) -> Callable[[Request], set[str]]:
    return lambda request: {request.headers[name]}


def of_resource(key: str) -> Callable[[Request], set[str]]:
    return lambda request: {span.resource[key] for span in request.spans}


ROUTED: list[Any] = [
    (
        "langfuse",
        "/api/public/otel/v1/traces",
        {},
        "public_key",
        {"secret_key": "sk"},
        of_header("x-langfuse-public-key"),
    ),
    ("langsmith", "/otel/v1/traces", {"api_key": "k"}, "project", {}, of_header("langsmith-project")),
    ("langsmith", "/otel/v1/traces", {}, "api_key", {}, of_header("x-api-key")),
    ("langsmith", "/otel/v1/traces", {"api_key": "k"}, "workspace_id", {}, of_header("x-tenant-id")),
    ("galileo", "/otel/traces", {"api_key": "k"}, "project", {}, of_resource("galileo.project.name")),
    ("galileo", "/otel/traces", {"api_key": "k"}, "logstream", {}, of_header("logstream")),
    ("patronus", "/v1/traces", {"api_key": "k", "protocol": "http"}, "project", {}, of_header("pat-project-name")),
    (
        "weave",
        "/otel/v1/traces",
        {"api_key": "k", "entity": "e", "project": "p"},
        "project",
        {},
        of_resource("wandb.project"),
    ),
    ("phoenix", "/v1/traces", {}, "project", {}, of_resource("openinference.project.name")),
    ("otelcollector", "/v1/traces", {}, "project", {}, of_resource("service.name")),
]


@pytest.mark.parametrize(("type_name", "path", "settings", "key", "more", "owner_of"), ROUTED)
def test_runs_of_two_tenants_are_told_apart_on_the_wire(
    type_name: str,
    path: str,
    settings: dict[str, Any],
    key: str,
    more: dict[str, Any],
    owner_of: Callable[[Request], set[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By one setting of the exporter: what says whose spans these are fits what the spans themselves say."""
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "of-nobody")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "of-nobody")
    monkeypatch.setenv("LANGSMITH_API_KEY", "of-nobody")
    tenants = ("acme", "globex")
    routes = {tenant: {key: f"{key}-of-{tenant}", **more} for tenant in tenants}
    route = RouteConfig.model_validate({"by": "tenant", "routes": routes, "otherwise": "withhold"})
    with FakeBackend(path) as backend:
        config_type: Any = resolve(type_name).config_type
        config = config_type(endpoint=backend.base_url, **settings)
        with Telemetry(exporter_entry(config, name="prod", processors=[route])) as telemetry:
            for tenant in (*tenants, "nobody") * 3:
                with telemetry.run("shop", input=tenant, metadata={"tenant": tenant}), step("work", input=tenant):
                    pass
        status = telemetry.status().exporters
        seen = {
            (owner, span.attributes["input.value"])
            for request in backend.deliveries
            for owner in owner_of(request)
            for span in request.spans
            if "input.value" in span.attributes
        }

    assert {name: (one.delivered, one.lost) for name, one in status.items()} == {
        "prod": (0, 6),
        "prod/acme": (6, 0),
        "prod/globex": (6, 0),
    }
    assert all(len(owner_of(request)) == 1 for request in backend.deliveries)
    assert {owner for owner, _ in seen} <= {f"{key}-of-{tenant}" for tenant in tenants}
    assert all(owner == f"{key}-of-{tenant}" for owner, tenant in seen)
    assert backend.deliveries


def test_catalyst_gets_each_tenants_runs_as_documents_of_their_project() -> None:
    """Which are whole runs: also where the run around one belongs to somebody else."""
    routes = {tenant: {"project": f"project-of-{tenant}"} for tenant in ("acme", "globex")}
    route = RouteConfig.model_validate({"by": "tenant", "routes": routes, "otherwise": "withhold"})
    with catalyst_stand_in() as (stand_in, url):
        config = CatalystConfig(endpoint=url, access_key=ACCESS_KEY, secret_key=SECRET_KEY, project="shared")
        with Telemetry(exporter_entry(config, name="prod", processors=[route])) as telemetry:
            with telemetry.run("for acme", metadata={"tenant": "acme"}), step("work"):
                with telemetry.run("for globex", metadata={"tenant": "globex"}):
                    pass
            with telemetry.run("for nobody"):
                pass
        status = telemetry.status().exporters

    names = ("for acme", "for globex", "for nobody")
    told = {
        document["project_name"]: [name for name in names if name in str(document)] for document in stand_in.documents
    }
    assert told == {"project-of-acme": ["for acme"], "project-of-globex": ["for globex"]}
    assert [one.delivered for one in status.values()] == [0, 2, 1]
    assert status["prod"].dropped == {"unrouted": 1}
