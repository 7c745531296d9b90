"""Issue 7, Must hold 4: each exporter has rules of its own, and no exporter's processor reaches what another one sends."""

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat.observability import Telemetry, step
from nat.observability.registry import default_registry
from nat.plugins.file.reader import read_spans
from nat.runtime.loader import load_workflow
from nat.testing import FakeBackend

KEY = "ghp_" + "a1B2c3D4e5" * 4  # of the form that GitHub's tokens have

IN_PLACE = """\
from nat.cli.register_workflow import register_telemetry_processor
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability.processor.processor import Processor

class ScribbleConfig(TelemetryProcessorBaseConfig, name="scribble"):
    pass

class Scribble(Processor[Span | IntermediateStep, Span | IntermediateStep]):
    async def process(self, item):
        if isinstance(item, Span):
            item.attributes["scribbled"] = True
            item.attributes["input.value"] = "scribbled"
            item.events.append("scribbled")
            item.events.pop()
        else:
            item.payload.data.input = "scribbled"
        return item

@register_telemetry_processor(config_type=ScribbleConfig)
async def scribble(config, builder):
    yield Scribble()
"""

RULES = """\
plugins: [scribbling]
general:
  telemetry:
    processors: [{_type: filter, action: drop, when: {name: health}}]
    tracing:
      plain: {_type: otelcollector, endpoint: BACKEND, headers: {x-exporter: plain}}
      also_plain: {_type: otelcollector, endpoint: BACKEND, headers: {x-exporter: also_plain}}
      scribbled:
        _type: file
        format: spans
        output_path: scribbled.jsonl
        processors: [{_type: scribble}]
      scribbled_steps: {_type: file, output_path: scribbled_steps.jsonl, processors: [{_type: scribble}]}
      steps: {_type: file, output_path: steps.jsonl}
      private:
        _type: file
        format: spans
        output_path: private.jsonl
        redact: pii
        content: truncate:12
      tools:
        _type: file
        format: spans
        output_path: tools.jsonl
        when: {kind: tool}
        processors: [{_type: enrich, attributes: {team: search}}]
      said:
        _type: file
        format: spans
        output_path: said.jsonl
        conventions: gen_ai
        sample: {ratio: 0, keep: {min_tokens: 1}}
      tenants:
        _type: file
        format: spans
        output_path: tenants.jsonl
        processors:
          - {_type: scribble}
          - {_type: route, by: tenant, routes: {acme: {output_path: acme.jsonl}}, otherwise: withhold}
"""


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    with default_registry.preserved():
        yield
    sys.modules.pop("scribbling", None)
    sys.path[:] = path


def test_each_exporter_gets_what_its_own_rules_make_of_the_run(tmp_path: Path) -> None:
    """Nine exporters of one file: each result is another, and what is written in place is with its own exporter only."""
    (tmp_path / "scribbling.py").write_text(IN_PLACE, encoding="utf-8")
    with FakeBackend() as backend:
        file = tmp_path / "w.yaml"
        file.write_text(textwrap.dedent(RULES).replace("BACKEND", backend.base_url), encoding="utf-8")
        with Telemetry(*load_workflow(file).exporters) as telemetry:
            with telemetry.run("shop", input=f"I am ada@example.org, {KEY}", metadata={"tenant": "acme"}):
                with step("gpt", kind="llm", input="ask", model="m-1") as call:
                    call.usage(prompt_tokens=3)
                with step("pay", kind="tool", input="card"):
                    pass
                with step("health", kind="tool"):
                    pass
        status = telemetry.status().exporters
        wire = {
            name: {
                span.name: dict(span.attributes)
                for request in backend.requests
                if request.headers["x-exporter"] == name
                for span in request.spans
            }
            for name in ("plain", "also_plain")
        }

    files = ("scribbled", "private", "tools", "said", "acme")
    spans = {name: {span.name: span.attributes for span in read_spans(f"{name}.jsonl")} for name in files}
    shop = "I am ada@example.org, [REDACTED:github_token]"
    assert wire["plain"] == wire["also_plain"]
    inputs = {name: attributes.get("input.value") for name, attributes in wire["plain"].items()}
    assert inputs == {"shop": shop, "gpt": "ask", "pay": "card"}
    assert {one["input.value"] for one in [*spans["scribbled"].values(), *spans["acme"].values()]} == {"scribbled"}
    assert spans["scribbled"].keys() == spans["acme"].keys() == {"shop", "gpt", "pay"}
    assert spans["private"]["shop"]["input.value"] == "I am [REDAC…"
    assert {name: attributes["team"] for name, attributes in spans["tools"].items()} == {"pay": "search"}
    assert spans["tools"]["pay"]["input.value"] == "card"
    assert spans["said"]["gpt"]["gen_ai.request.model"] == "m-1"
    assert "openinference.span.kind" not in spans["said"]["gpt"]
    untouched = [wire["plain"], spans["private"], spans["tools"], spans["said"]]
    assert not [name for found in untouched for name, attributes in found.items() if "scribbled" in str(attributes)]
    steps = [json.loads(line)["payload"] for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    assert [one["data"]["input"] for one in steps if one["event_type"] == "WORKFLOW_START"] == [shop]
    assert "scribbled" not in (tmp_path / "steps.jsonl").read_text()
    assert status["tenants"].accepted == 0
    assert {one.dropped.get("filtered", 0) for name, one in status.items() if "steps" not in name} == {0, 1, 3}
    assert not any(KEY in path.read_text(encoding="utf-8") for path in tmp_path.glob("*.jsonl"))
