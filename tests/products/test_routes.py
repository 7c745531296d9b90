"""Phoenix with tenants: each has a project of its own, and nothing of another is in it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nat.data_models.delivery import DeliveryConfig
from nat.observability import Telemetry, step
from nat.runtime.loader import load_workflow
from nat.testing import recorded_run, replay
from tests.products.phoenix import Phoenix

FILE = """
general:
  telemetry:
    tracing:
      phoenix:
        _type: phoenix
        endpoint: {endpoint}
        protocol: {protocol}
        project: {name}-shared
        processors:
          - _type: route
            by: tenant
            routes:
              acme: {{project: {name}-acme}}
              globex: {{project: {name}-globex}}
            otherwise: {otherwise}
"""


def telemetry_to(
    phoenix: Phoenix, folder: Path, name: str, protocol: str = "http", otherwise: str = "send"
) -> Telemetry:
    endpoint = phoenix.url if protocol == "http" else phoenix.grpc_url
    file = folder / f"{name}.yaml"
    file.write_text(FILE.format(name=name, endpoint=endpoint, protocol=protocol, otherwise=otherwise), encoding="utf-8")
    return Telemetry(*load_workflow(file).exporters, delivery=DeliveryConfig(timeout=60))


def work(telemetry: Telemetry, tenant: str) -> str:
    """A run, whose trace id it returns."""
    with telemetry.run(f"for {tenant}", metadata={"tenant": tenant}) as run, step("look up", kind="tool", input=tenant):
        pass
    return f"{run.trace_id:032x}"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_two_tenants_have_two_projects(phoenix: Phoenix, tmp_path: Path, protocol: str) -> None:
    """Of runs that go on at the same time, on four threads; all other runs are in the project of the entry."""
    name, tenants = f"tenants-{protocol}", ("acme", "globex", "nobody") * 10

    with telemetry_to(phoenix, tmp_path, name, protocol) as telemetry:
        with ThreadPoolExecutor(4) as threads:
            traces = list(zip(tenants, threads.map(lambda tenant: work(telemetry, tenant), tenants), strict=True))
        telemetry.flush(60.0)
        status = telemetry.status().exporters

    assert [(one.delivered, one.lost) for one in status.values()] == [(20, 0)] * 3
    for tenant, project in (("acme", "acme"), ("globex", "globex"), ("nobody", "shared")):
        spans = phoenix.wait_for_spans(f"{name}-{project}", 20)
        assert {span.trace_id for span in spans} == {trace_id for owner, trace_id in traces if owner == tenant}
        assert {span.name for span in spans} == {f"for {tenant}", "look up"}
        assert {span.attributes.get("input.value") for span in spans} == {None, tenant}


def test_runs_of_strangers_are_in_no_project(phoenix: Phoenix, tmp_path: Path) -> None:
    with telemetry_to(phoenix, tmp_path, "strangers", otherwise="withhold") as telemetry:
        work(telemetry, "acme")
        work(telemetry, "nobody")
        replay(recorded_run("tool_call"), telemetry)
        telemetry.flush(60.0)
        status = telemetry.status().exporters

    assert status["phoenix"].dropped == {"unrouted": 6}
    assert len(phoenix.wait_for_spans("strangers-acme", 2)) == 2
    assert [phoenix.span_count(f"strangers-{other}") for other in ("shared", "globex")] == [0, 0]


def test_a_run_within_the_run_of_another_tenant(phoenix: Phoenix, tmp_path: Path) -> None:
    """Phoenix puts a whole trace into one project, so it is a trace of its own."""
    with telemetry_to(phoenix, tmp_path, "nested") as telemetry:
        with telemetry.run("batch", session_id="nested-session", metadata={"tenant": "acme"}):
            work(telemetry, "globex")
            with telemetry.run("more", metadata={"tenant": "acme"}):
                pass
        telemetry.flush(60.0)

    found = {name: phoenix.wait_for_spans(f"nested-{name}", 2) for name in ("acme", "globex")}
    assert {name: {span.name for span in spans} for name, spans in found.items()} == {
        "acme": {"batch", "more"},
        "globex": {"for globex", "look up"},
    }
    assert list(phoenix.project("nested-acme")["sessions"]) == ["nested-session"]
    assert phoenix.project("nested-globex")["sessions"] == {}
