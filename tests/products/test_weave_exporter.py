"""Weave's own trace server: what the exporter `weave` sends is shown as calls, over OTLP and through Weave's client."""

import json
import os
import subprocess
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from nat.data_models.delivery import DeliveryConfig
from nat.observability import Telemetry, step
from nat.plugins.weave.register import WeaveConfig
from nat.testing import FakeBackend, RunFacts, SpanFacts, facts_of, faults, recorded_run, recorded_runs, replay
from tests.cli.command import NAT
from tests.docs.markdown import ROOT
from tests.products.rest import call
from tests.products.sending import send
from tests.products.servers import is_answering, program
from tests.products.weave import Weave, running_weave
from tests.support.chats import recorded_chats
from tests.support.waiting import wait_for

_NATIVE = Path(__file__).with_name("send_native.py")
_NATIVE_CONFORMANCE = Path(__file__).with_name("native_conformance.py")
_RUN_IDS = [run.id for run in recorded_runs()]

Calls = dict[str, list[dict[str, Any]]]
"""Calls by the id of their recorded run."""


def config(weave: Weave, project: str) -> WeaveConfig:
    return WeaveConfig(endpoint=weave.url, entity="tester", project=project, api_key=weave.key)


def native(environment: str, *run_ids: str, **settings: Any) -> dict[str, Any]:
    """Record runs in an environment that has Weave's client; what became of them."""
    given = {"entity": "tester", "mode": "native", **settings}
    done = _python_of(environment, str(_NATIVE), json.dumps(given), *run_ids)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "said": done.stderr}


def _python_of(environment: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a program in an environment that has Weave's client, and beside it everything that we have here."""
    own = [str(ROOT), *map(str, ROOT.glob("packages/*/src")), sysconfig.get_path("purelib")]
    return subprocess.run(
        [program(environment, "bin/python"), "-P", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(own)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module", params=["otlp", "weave", "weave-client"])
def calls(request: pytest.FixtureRequest, weave: Weave) -> Calls:
    """The ten runs as calls: over OTLP, and through the client of the server's version and the current one."""
    project = f"runs-{request.param}"
    if request.param == "otlp":
        with Telemetry(config(weave, project)) as telemetry:
            traces = {run.id: replay(run, telemetry) for run in recorded_runs()}
    else:
        sent = native(request.param, *_RUN_IDS, endpoint=weave.url, project=project, api_key=weave.key)
        assert (sent["delivered"], sent["lost"]) == (47, 0), sent["said"]
        traces = sent["traces"]
    found = weave.calls(f"tester/{project}")
    return {run_id: [one for one in found if one["trace_id"] == trace] for run_id, trace in traces.items()}


def test_every_span_is_a_call(calls: Calls) -> None:
    """Tree, kind, status and exception, thread, turns, display name."""
    for run in recorded_runs():
        facts = facts_of(run)
        by_name = {one["op_name"]: one for one in calls[run.id]}
        assert len(by_name) == len(facts.spans) == len(calls[run.id])
        for span in facts.spans:
            _check(by_name[span.name], span, facts, by_name)


def _check(there: Mapping[str, Any], span: SpanFacts, facts: RunFacts, by_name: Mapping[str, Any]) -> None:
    parent = None if span.parent is None else by_name[facts.spans[span.parent].name]["id"]
    assert (there["parent_id"], there["display_name"]) == (parent, span.name)
    assert there["attributes"]["kind"] == span.kind
    assert there["summary"]["weave"]["status"] == ("error" if span.error else "success")
    assert there["exception"] == (span.error.message if span.error else None)
    assert there["thread_id"] == facts.session_id
    assert there["turn_id"] == (there["id"] if parent is None and facts.session_id else None)
    assert there["attributes"]["user.id"] == facts.user_id
    assert there["attributes"].get("model") == span.model
    if span.input_messages:
        asked = [(message["role"], message.get("content")) for message in there["inputs"]["messages"]]
        assert [role for role, _ in asked] == [message.role for message in span.input_messages]
    if span.tool_names:
        names = tuple(tool["function"]["name"] for tool in there["inputs"]["tools"])
        assert names == span.tool_names
    if span.tokens is not None and span.tokens.total:
        [(model, usage)] = there["summary"]["usage"].items()
        assert model == span.model
        assert (usage["prompt_tokens"], usage["total_tokens"]) == (span.tokens.prompt, span.tokens.total)


@pytest.mark.parametrize("run_id", _RUN_IDS)
def test_usage_is_added_up_along_the_tree(weave: Weave, calls: Calls, run_id: str) -> None:
    """By Weave, for each model: a run has the tokens of all its calls."""
    facts = facts_of(recorded_run(run_id))
    (root,) = (one for one in calls[run_id] if one["parent_id"] is None)
    usage = call(
        f"{weave.url}/trace/usage",
        {"project_id": root["project_id"], "filter": {"trace_ids": [root["trace_id"]]}},
        headers={"wandb-api-key": weave.key},
    )["call_usage"][root["id"]]

    expected: dict[str, int] = {}
    for span in facts.spans:
        if span.tokens is not None and span.tokens.total:
            expected[span.model or ""] = expected.get(span.model or "", 0) + span.tokens.total
    assert {model: counts["total_tokens"] for model, counts in usage.items() if counts["total_tokens"]} == expected


def test_both_modes_agree(weave: Weave) -> None:
    """The same run is the same calls, but for what a request adds up to: OTLP cannot say that it was one."""
    facts = recorded_run("nested_agents")
    with Telemetry(config(weave, "agree-otlp")) as telemetry:
        replay(facts, telemetry)
    native("weave-client", facts.id, endpoint=weave.url, project="agree-native", api_key=weave.key)

    def shown(project: str) -> list[dict[str, Any]]:
        fields = ("op_name", "display_name", "thread_id", "inputs", "exception")
        return [
            {
                **{field: one[field] for field in fields},
                "output": one["output"] or None,
                "attributes": {
                    key: value for key, value in one["attributes"].items() if key not in ("otel_span", "nat.step.id")
                },
                "usage": {
                    model: {name: count for name, count in usage.items() if count and name != "requests"}
                    for model, usage in one["summary"].get("usage", {}).items()
                    if usage["prompt_tokens"]
                },
            }
            for one in weave.calls(f"tester/{project}")
        ]

    assert shown("agree-native") == shown("agree-otlp")


def test_recorded_chats_are_shown_as_they_were(weave: Weave, tmp_path: Path) -> None:
    """All 893 spans of 40 chats, each once: tree, kinds, messages."""
    sent = send(recorded_chats(), config(weave, "chats"), tmp_path)

    found = {(one["trace_id"], one["id"]): one for one in weave.calls("tester/chats")}
    assert len(found) == len(sent) == 893
    for span in sent:
        there = found[span.trace_id, span.span_id]
        assert (there["op_name"], there["parent_id"]) == (span.name, span.parent_id)
        assert there["attributes"]["kind"] == span.attributes["openinference.span.kind"]
        if there["attributes"]["kind"] == "LLM":
            roles = [message["role"] for message in there["inputs"]["messages"]]
            assert roles == [
                span.attributes[f"llm.input_messages.{number}.message.role"] for number in range(len(roles))
            ]


def test_attributes_that_weave_refuses_by_themselves_arrive(weave: Weave) -> None:
    """A key that is also the beginning of another."""
    with Telemetry({"weave": config(weave, "prefixes")}) as telemetry:
        with telemetry.run("run"), step("work") as work:
            work.set_attribute("a", 1)
            work.set_attribute("a.b", 2)
        status = telemetry.flush().exporters["weave"]

    assert (status.delivered, status.rejected) == (2, 0)
    (work_call,) = (one for one in weave.calls("tester/prefixes") if one["op_name"] == "work")
    assert (work_call["attributes"]["a"], work_call["attributes"]["a.b"]) == (1, 2)


def test_the_example_is_shown(weave: Weave) -> None:
    """The quickstart's agent, through `nat run` and the example's workflow file; its page is named."""
    command = [NAT, "run", "--config_file", "examples/observability/weave/workflow.yaml"]
    environment = {**os.environ, **weave.environment, "WANDB_ENTITY": "tester"}

    done = subprocess.run(
        [*command, "--input", "How do I write an exporter?"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    found = weave.calls("tester/quickstart")
    (root,) = (one for one in found if one["parent_id"] is None)
    assert {one["attributes"]["kind"] for one in found} == {"AGENT", "CHAIN", "LLM", "RETRIEVER", "TOOL"}
    assert f"trace in weave: {weave.url}/tester/quickstart/r/call/{root['id']}\n" in done.stderr


# -- when it fails ---------------------------------------------------------------------------------------------------------


def test_a_kill_costs_nothing_and_delays_nobody() -> None:
    """Every run is there when the server has come back, once, and none took longer for it."""
    delivery = DeliveryConfig.model_validate({"retry": {"initial_interval": 0.1}, "breaker": {"open_for": 0.5}})
    took_s: list[float] = []
    with running_weave() as weave, Telemetry({"w": config(weave, "killed")}, delivery=delivery) as telemetry:

        def work(first: int, last: int) -> None:
            for number in range(first, last):
                began_s = time.monotonic()
                with telemetry.run(f"run {number}"), step("work"):
                    pass
                took_s.append(time.monotonic() - began_s)

        work(0, 100)
        wait_for(lambda: telemetry.status().exporters["w"].delivered > 0)
        work(100, 200)  # and it is killed, with requests on their way
        weave.server.kill()
        work(200, 300)
        weave.server.start()
        weave.server.wait(lambda: is_answering(f"{weave.url}/health"))
        status = telemetry.flush(60.0).exporters["w"]
        found = weave.calls("tester/killed")

    assert (status.delivered, status.lost) == (600, 0)
    assert {one["op_name"] for one in found} == {"work", *(f"run {number}" for number in range(300))}
    assert len(found) == 600
    assert median(took_s) < 0.05
    assert max(took_s) < 10.0


@pytest.mark.parametrize("environment", ["weave", "weave-client"])
def test_what_fails_is_sent_again_in_mode_native_too(environment: str) -> None:
    """Refused connections, resets and errors of the server: delivery tries again, and everything counts once."""
    with FakeBackend("/v2/tester/flaky/calls/complete", read=lambda request: ()) as backend:
        backend.plan(faults.status(503), faults.RESET, faults.status(500), faults.status(429))
        sent = native(
            environment, *_RUN_IDS, endpoint=backend.base_url, project="flaky", api_key="k" * 40, batch_size=20
        )

    taken = [request for request in backend.deliveries if request.fault.is_success]
    ids = [one["id"] for request in taken for one in request.json()["batch"]]
    assert (sent["delivered"], sent["lost"]) == (47, 0), sent["said"]
    assert len(ids) == len(set(ids)) == 47


@pytest.mark.parametrize("environment", ["weave", "weave-client"])
def test_a_wrong_key_is_final_in_mode_native_too(weave: Weave, environment: str) -> None:
    sent = native(environment, "tool_call", endpoint=weave.url, project="wrong", api_key="wrong-key-" * 4)

    assert (sent["delivered"], sent["lost"]) == (0, 4)
    assert "HTTP 401" in sent["said"]
    assert "wrong-key-" not in sent["said"]


def test_mode_native_passes_the_tests_that_every_exporter_inherits() -> None:
    """With the current client; up to 0.52 its connections are those of the process, and outlive the exporter."""
    options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-W", "ignore"]  # warnings are those of the client

    done = _python_of("weave-client", "-m", "pytest", *options, str(_NATIVE_CONFORMANCE))

    assert done.returncode == 0, done.stdout
