"""The trace server that stands for W&B: Weave's own clients are at home there, and so is OTLP."""

import os
import subprocess
from pathlib import Path

import pytest

from nat.observability import Telemetry
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.testing import facts_of, recorded_run, recorded_runs, replay
from tests.products.servers import program
from tests.products.weave import Weave
from tests.support.waiting import wait_for

_CLIENT = Path(__file__).with_name("use_weave.py")


@pytest.mark.parametrize("environment", ["weave", "weave-client"])
def test_weaves_client_is_at_home(weave: Weave, environment: str, tmp_path: Path) -> None:
    """The client of the server's version, and the current one: calls, parents, results, and usage that is summed up."""
    project = f"tester/{environment}"
    done = subprocess.run(
        [program(environment, "bin/python"), "-P", str(_CLIENT), project],
        env={**os.environ, **weave.environment, "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wait_for(lambda: [bool(call["ended_at"]) for call in weave.calls(project)] == [True] * 3)

    calls = {call["op_name"].rpartition("/")[2].partition(":")[0]: call for call in weave.calls(project)}
    assert calls["multiply"]["parent_id"] == calls["agent"]["id"]
    assert (calls["agent"]["output"], calls["multiply"]["output"]) == (42, 42)
    [usage] = calls["toy-model"]["summary"]["usage"].values()
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (11, 7)


def test_spans_come_in_over_otlp(weave: Weave) -> None:
    """Ids, tree, status and exceptions of the ten runs; what Weave shows natively is its own exporter's matter."""
    settings = OtelCollectorConfig(
        endpoint=f"{weave.url}/otel/v1/traces",
        headers={"wandb-api-key": weave.key},
        resource_attributes={"wandb.entity": "tester", "wandb.project": "otlp"},
    )

    with Telemetry({"weave": settings}) as telemetry:
        trace_ids = {run.id: replay(run, telemetry) for run in recorded_runs()}
        telemetry.flush()
        status = telemetry.status().exporters["weave"]

    calls = weave.calls("tester/otlp")
    assert (status.delivered, len(calls)) == (47, 47)
    for run in recorded_runs():
        facts = facts_of(run)
        of_run = {call["op_name"]: call for call in calls if call["trace_id"] == trace_ids[run.id]}
        names = {call["id"]: name for name, call in of_run.items()}
        for span in facts.spans:
            shown = of_run[span.name]
            parent = None if span.parent is None else facts.spans[span.parent].name
            assert names.get(shown["parent_id"]) == parent
            assert shown["summary"]["weave"]["status"] == ("error" if span.error else "success")
            assert shown["exception"] == (span.error.message if span.error else None)


@pytest.mark.parametrize(
    ("headers", "resource", "reason"),
    [
        ({"wandb-api-key": "nope"}, {"wandb.entity": "tester", "wandb.project": "x"}, "HTTP 401"),
        ({}, {"wandb.entity": "tester", "wandb.project": "x"}, "HTTP 401"),
        ({"wandb-api-key": "k" * 40}, {}, "no project"),
    ],
    ids=["wrong key", "no key", "no project"],
)
def test_what_wandb_refuses_is_refused(
    weave: Weave, headers: dict[str, str], resource: dict[str, str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = OtelCollectorConfig(
        endpoint=f"{weave.url}/otel/v1/traces", headers=headers, resource_attributes=resource
    )

    with Telemetry({"weave": settings}) as telemetry:
        replay(recorded_run("failed_run"), telemetry)
        telemetry.flush()
        status = telemetry.status().exporters["weave"]

    assert (status.rejected, status.delivered) == (4, 0)
    assert reason in caplog.text
