"""Phoenix, and the exporter that is made for it: projects, keys, and the example."""

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Literal

import pytest
from pydantic import SecretStr

from nat.data_models.delivery import DeliveryConfig
from nat.observability import Telemetry, step
from nat.plugins.phoenix.register import PhoenixConfig
from nat.testing import recorded_run, replay
from tests.cli.command import NAT
from tests.docs.markdown import ROOT
from tests.products.phoenix import Phoenix, running_phoenix
from tests.products.rest import call
from tests.products.servers import is_answering
from tests.support.waiting import wait_for

Protocol = Literal["http", "grpc"]


def config(phoenix: Phoenix, project: str, protocol: Protocol = "http", key: str | None = None) -> PhoenixConfig:
    return PhoenixConfig(
        endpoint=phoenix.url if protocol == "http" else phoenix.grpc_url,
        project=project,
        protocol=protocol,
        api_key=None if key is None else SecretStr(key),
    )


def test_projects_of_one_process_stay_apart(phoenix: Phoenix) -> None:
    """Two agents in one process, each with a project, whose runs go on at the same time."""
    names = ("apart-one", "apart-other")

    def work(name: str) -> set[str]:
        with Telemetry(config(phoenix, name)) as telemetry:
            return {replay(recorded_run("tool_call").in_session(name), telemetry) for _ in range(5)}

    with ThreadPoolExecutor(2) as threads:
        trace_ids = list(threads.map(work, names))

    found = [phoenix.wait_for_spans(name, 20) for name in names]
    assert [{span.trace_id for span in spans} for spans in found] == trace_ids
    assert [len(spans) for spans in found] == [20, 20]


def test_a_span_is_kept_in_one_project_only(phoenix: Phoenix) -> None:
    """A limit of Phoenix, which the docs name: it knows a span id once, and drops what comes again without a word."""
    configs = {name: config(phoenix, f"once-{name}") for name in ("one", "other")}

    with Telemetry(configs) as telemetry:
        replay(recorded_run("nested_agents").in_session("once"), telemetry)
        status = telemetry.flush(60.0).exporters

    assert [status[name].delivered for name in configs] == [9, 9]
    wait_for(lambda: sum(phoenix.span_count(f"once-{name}") for name in configs) == 9)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_who_has_the_key_is_let_in(guarded_phoenix: Phoenix, protocol: Protocol) -> None:
    key = guarded_phoenix.headers["Authorization"].removeprefix("Bearer ")
    configs = {
        "right": config(guarded_phoenix, f"right-{protocol}", protocol, key),
        "wrong": config(guarded_phoenix, f"wrong-{protocol}", protocol, "wrong-key"),
    }

    with Telemetry(configs) as telemetry:
        replay(recorded_run("tool_call"), telemetry)
        status = telemetry.flush(60.0).exporters

    assert (status["right"].delivered, status["right"].lost) == (4, 0)
    assert (status["wrong"].delivered, status["wrong"].rejected) == (0, 4)
    assert len(guarded_phoenix.wait_for_spans(f"right-{protocol}", 4)) == 4
    assert guarded_phoenix.span_count(f"wrong-{protocol}") == 0


@pytest.mark.contract("S39")
def test_the_example_is_shown_and_its_page_is_named(phoenix: Phoenix) -> None:
    """The quickstart's agent, through `nat run` and the example's workflow file."""
    command = [NAT, "run", "--config_file", "examples/observability/phoenix/workflow.yaml"]
    environment = {**os.environ, "PHOENIX_ENDPOINT": phoenix.url}

    done = subprocess.run(
        [*command, "--input", "How do I write an exporter?"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    spans = phoenix.wait_for_spans("quickstart", 7)
    (root,) = (span for span in spans if span.parent_id is None)
    assert {span.attributes["span_kind"] for span in spans} == {"AGENT", "CHAIN", "LLM", "RETRIEVER", "TOOL"}
    assert f"trace in phoenix: {phoenix.url}/redirects/traces/{root.trace_id}\n" in done.stderr


def test_a_kill_costs_nothing_and_delays_nobody() -> None:
    """What Phoenix has not taken when it is killed, it has when it is back, once; no run takes longer for it."""
    delivery = DeliveryConfig.model_validate({"retry": {"initial_interval": 0.1}, "breaker": {"open_for": 0.5}})
    took_s: list[float] = []
    with running_phoenix() as phoenix, Telemetry({"p": config(phoenix, "killed")}, delivery=delivery) as telemetry:

        def work(count: int) -> None:
            for _ in range(count):
                began_s = time.monotonic()
                with telemetry.run("run"), step("work"):
                    pass
                took_s.append(time.monotonic() - began_s)

        work(50)
        telemetry.flush(30.0)
        phoenix.wait_for_spans("killed", 100)  # it says that it has taken spans before it has stored them
        phoenix.server.kill()
        work(250)
        phoenix.server.start()
        phoenix.server.wait(lambda: is_answering(f"{phoenix.url}/readyz"))
        status = telemetry.flush(60.0).exporters["p"]
        found = phoenix.wait_for_spans("killed", 600)

    assert (status.delivered, status.lost) == (600, 0)
    assert len({span.span_id for span in found}) == len(found) == 600
    assert median(took_s) < 0.05
    assert max(took_s) < 10.0


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_evaluations_are_shown_as_annotations(phoenix: Phoenix, protocol: Protocol) -> None:
    project = f"evaluations-{protocol}"
    settings = config(phoenix, project, protocol).model_copy(update={"web_url": phoenix.url})
    with Telemetry({"p": settings}) as telemetry:
        replay(recorded_run("guarded_answer").in_session(project), telemetry)
        status = telemetry.flush(60.0).exporters["p"]

    (judged,) = (span for span in phoenix.wait_for_spans(project, 4) if span.name == "judge the reply")
    url, query = f"{phoenix.url}/v1/projects/{project}/span_annotations", {"span_ids": judged.span_id}
    wait_for(lambda: bool(call(url, query=query)["data"]))
    (found,) = call(url, query=query)["data"]
    assert (status.delivered, status.lost) == (4, 0)
    assert (found["name"], found["annotator_kind"]) == ("helpfulness", "LLM")
    assert found["result"] == {"score": 0.9, "label": "good", "explanation": "Says where to look."}
