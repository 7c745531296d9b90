"""MLflow, which knows several vocabularies, as a judge of what the presets send: their requests are passed on to it."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

import pytest

from nat.observability import Telemetry
from nat.testing import Request, facts_of, recorded_run, replay
from nat.testing.facts import RunFacts
from tests.products.mlflow import Mlflow
from tests.vendors.vendors import VENDORS, Vendor

_RUNS = ("tool_call", "cached_prompt", "grounded_answer", "nested_agents")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.mark.parametrize("vendor", [one for one in VENDORS if one.id != "patronus"], ids=lambda vendor: vendor.id)
def test_mlflow_understands_what_a_vendor_is_sent(vendor: Vendor, mlflow: Mlflow) -> None:
    """Types, sessions and users of all; contents of Langfuse, Patronus and Galileo; tokens and models but for Langfuse.

    Of Langfuse's attributes MLflow reads types and contents, of LangSmith's the `gen_ai` ones for tokens and models.
    """
    experiment = mlflow.create_experiment(f"what {vendor.id} is sent")
    with vendor.stand_in() as backend:
        with Telemetry(vendor.config(backend)) as telemetry:
            trace_ids = {name: replay(recorded_run(name), telemetry) for name in _RUNS}
        for request in backend.requests:
            _pass_on(request, mlflow, experiment)

    for name, trace_id in trace_ids.items():
        facts, (about, shown_spans) = facts_of(recorded_run(name)), mlflow.trace(trace_id)
        spans = {span.name: span.attributes for span in shown_spans}
        metadata = about["trace_metadata"]
        assert {span: shown["mlflow.spanType"] for span, shown in spans.items()} == {
            fact.name: fact.kind for fact in facts.spans
        }
        assert (metadata["mlflow.trace.session"], metadata["mlflow.trace.user"]) == (facts.session_id, facts.user_id)
        if vendor.id != "langsmith":
            _assert_contents(spans, facts)
        if vendor.id != "langfuse":
            _assert_tokens(spans, json.loads(metadata["mlflow.trace.tokenUsage"]), facts)


def _assert_contents(spans: Mapping[str, Mapping[str, Any]], facts: RunFacts) -> None:
    for fact in facts.spans:
        shown = spans[fact.name]
        assert ("mlflow.spanInputs" in shown) == (fact.input is not None), fact.name
        assert ("mlflow.spanOutputs" in shown) == (fact.output is not None), fact.name


def _assert_tokens(spans: Mapping[str, Mapping[str, Any]], usage: dict[str, int], facts: RunFacts) -> None:
    assert (usage["input_tokens"], usage["output_tokens"]) == (facts.tokens.prompt, facts.tokens.completion)
    assert usage.get("cache_read_input_tokens", 0) == facts.tokens.cache_read
    assert usage.get("cache_creation_input_tokens", 0) == facts.tokens.cache_write
    for fact in facts.spans:
        if fact.kind in ("LLM", "EMBEDDING"):
            assert spans[fact.name]["mlflow.llm.model"] == fact.model


def _pass_on(request: Request, mlflow: Mlflow, experiment: str) -> None:
    headers = {"Content-Type": request.content_type, "x-mlflow-experiment-id": experiment}
    passed = urllib.request.Request(f"{mlflow.url}/v1/traces", request.body, headers)
    with _OPENER.open(passed, timeout=180) as answer:
        assert answer.status == 200
