"""The key `conventions`: where it may stand, what it may be, and that it does what it says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.conventions import ALL_CONVENTIONS, Conventions
from nat.data_models.delivery import DeliveryConfig, SpoolConfig
from nat.data_models.errors import ConfigurationError
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry, step
from nat.observability.registry import exporter_entry
from nat.plugins.console.register import ConsoleConfig
from nat.plugins.file.reader import read_spans
from nat.plugins.file.register import FileConfig
from nat.plugins.galileo.register import GalileoConfig
from nat.plugins.langfuse.register import LangfuseConfig
from nat.plugins.langsmith.register import LangsmithConfig
from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.plugins.patronus.register import PatronusConfig
from nat.plugins.phoenix.register import PhoenixConfig
from nat.runtime.loader import load_workflow
from nat.testing import FakeBackend, ReceivedSpan, recorded_run, recorded_runs, replay
from tests.vendors import galileo, langfuse, langsmith, patronus

_OF_VENDORS: dict[str, tuple[Callable[[], FakeBackend], Callable[[str], TelemetryExporterBaseConfig]]] = {
    "galileo": (galileo.stand_in, lambda url: GalileoConfig(endpoint=url, api_key=galileo.KEY)),
    "langfuse": (
        langfuse.stand_in,
        lambda url: LangfuseConfig(endpoint=url, public_key=langfuse.PUBLIC_KEY, secret_key=langfuse.SECRET_KEY),
    ),
    "langsmith": (langsmith.stand_in, lambda url: LangsmithConfig(endpoint=url, api_key=langsmith.KEY)),
    "otelcollector": (FakeBackend, lambda url: OtelCollectorConfig(endpoint=url)),
    "patronus": (
        patronus.stand_in,
        lambda url: PatronusConfig(endpoint=f"{url}/v1/traces", api_key=patronus.KEY, protocol="http"),
    ),
    "phoenix": (FakeBackend, lambda url: PhoenixConfig(endpoint=url)),
}


def _sent(name: str, conventions: Conventions | None, run_id: str = "tool_call") -> dict[str, ReceivedSpan]:
    """The spans that a vendor's stand-in takes, by name; it takes all of them."""
    stand_in, config = _OF_VENDORS[name]
    with stand_in() as backend:
        with Telemetry(exporter_entry(config(backend.base_url), conventions=conventions)) as telemetry:
            replay(recorded_run(run_id), telemetry)
            telemetry.flush(60.0)
            [status] = telemetry.status().exporters.values()
        assert (status.delivered, status.rejected) == (len(backend.spans), 0)
        return {span.name: span for span in backend.spans}


def _write(folder: Path, entry: dict[str, Any]) -> Path:
    file = folder / "w.yaml"
    file.write_text(json.dumps({"general": {"telemetry": {"tracing": {"out": entry}}}}))
    return file


def test_file_says_it(tmp_path: Path) -> None:
    """In the entry of an exporter, and for that exporter only."""
    with FakeBackend() as backend:
        here: dict[str, Any] = {"_type": "otelcollector", "endpoint": backend.url, "conventions": "gen_ai@0.1.0"}
        there = {"_type": "file", "output_path": str(tmp_path / "spans.jsonl"), "format": "spans"}
        file = tmp_path / "w.yaml"
        file.write_text(json.dumps({"general": {"telemetry": {"tracing": {"here": here, "there": there}}}}))

        with Telemetry.from_file(file), step("ask", kind="llm", model="m"):
            pass

        [sent] = backend.spans
    [kept] = read_spans(tmp_path / "spans.jsonl")
    assert sent.attributes["gen_ai.request.model"] == kept.attributes["llm.model_name"] == "m"
    assert not any(key.startswith("llm.") for key in sent.attributes)
    assert not any(key.startswith("gen_ai.") for key in kept.attributes)


@pytest.mark.parametrize("conventions", ALL_CONVENTIONS)
def test_every_choice_is_taken_by_a_workflow_file(conventions: Conventions, tmp_path: Path) -> None:
    file = _write(tmp_path, {"_type": "otelcollector", "conventions": conventions})

    [entry] = load_workflow(file).exporters

    assert entry.conventions == conventions


@pytest.mark.parametrize("name", _OF_VENDORS)
def test_default_is_openinference(name: str) -> None:
    """Each backend gets what it gets when its entry says so."""
    usual, chosen = _sent(name, None), _sent(name, "openinference")

    assert len(usual) == 4
    assert {name: span.attributes.keys() for name, span in usual.items()} == {
        name: span.attributes.keys() for name, span in chosen.items()
    }


@pytest.mark.parametrize("name", sorted(_OF_VENDORS.keys() - {"patronus"}))
def test_every_exporter_over_otlp_takes_gen_ai(name: str) -> None:
    """What a vendor has no word of its own for is said in `gen_ai`'s names, and in OpenInference's no more."""
    spans = _sent(name, "gen_ai")

    replaced = {"openinference.span.kind", "llm.model_name", "llm.provider", "tool.name", "agent.name", "session.id"}
    assert not any(replaced & span.attributes.keys() for span in spans.values())
    assert {name: span.attributes["gen_ai.operation.name"] for name, span in spans.items()} == {
        "weather agent": "invoke_agent",
        "choose a tool": "chat",
        "forecast": "execute_tool",
        "answer": "chat",
    }


@pytest.mark.parametrize("name", _OF_VENDORS)
def test_every_exporter_over_otlp_takes_both(name: str) -> None:
    """Nothing that it gets otherwise is missing."""
    usual, spans = _sent(name, None), _sent(name, "both")

    for name, span in spans.items():
        assert usual[name].attributes.keys() <= span.attributes.keys()
        assert "gen_ai.operation.name" in span.attributes


@pytest.mark.parametrize("run_id", [run.id for run in recorded_runs()])
def test_galileo_takes_every_run_in_gen_ai(run_id: str) -> None:
    """It refuses spans that it cannot classify."""
    assert _sent("galileo", "gen_ai", run_id)


_SPANS = {"_type": "file", "output_path": "s.jsonl", "format": "spans"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            {"_type": "patronus", "api_key": "k", "conventions": "gen_ai"},
            "is 'gen_ai', which patronus does not read; expected one of: openinference, both, both@1.41, both@0.1.0",
        ),
        (
            {**_SPANS, "conventions": "genai"},
            "is 'genai', expected one of: openinference, gen_ai, gen_ai@1.41, gen_ai@0.1.0, both, both@1.41, both@0.1.0",
        ),
        (
            {**_SPANS, "conventions": ["gen_ai"]},
            "is ['gen_ai'], expected one of: openinference, gen_ai, gen_ai@1.41, gen_ai@0.1.0, both, both@1.41, both@0.1.0",
        ),
        (
            {**_SPANS, "format": "steps", "conventions": "gen_ai"},
            "has no effect on this exporter of type file, whose spans have names of its own; remove it",
        ),
        (
            {"_type": "weave", "project": "a/b", "api_key": "k", "conventions": "both"},
            "has no effect on this exporter of type weave, whose spans have names of its own; remove it",
        ),
        (
            {"_type": "console", "conventions": "gen_ai"},
            "has no effect on this exporter of type console, whose spans have names of its own; remove it",
        ),
    ],
    ids=["not read", "misspelt", "list", "steps", "weave", "console"],
)
def test_choice_that_cannot_be_is_a_problem(entry: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_workflow(_write(tmp_path, entry))

    [problem] = caught.value.problems
    assert (problem.path, problem.message) == ("general.telemetry.tracing.out.conventions", said)


def test_choice_that_cannot_be_is_a_problem_in_python() -> None:
    with pytest.raises(ConfigurationError, match=r"^mine\.conventions: has no effect on this exporter of type console"):
        exporter_entry(ConsoleConfig(), name="mine", conventions="gen_ai")


@pytest.mark.parametrize("format", ["spans", "otlp_json"])
def test_files_of_spans(format: Any, tmp_path: Path) -> None:
    """Evaluations are events there, too."""
    file = tmp_path / "out.jsonl"

    with Telemetry(exporter_entry(FileConfig(output_path=str(file), format=format), conventions="gen_ai")) as telemetry:
        replay(recorded_run("guarded_answer"), telemetry)

    spans = {span.name: span for span in read_spans(file)}
    assert spans["reply"].attributes["gen_ai.provider.name"] == "mistral_ai"
    [event] = spans["judge the reply"].events
    assert (event.name, event.attributes["gen_ai.evaluation.score.value"]) == ("gen_ai.evaluation.result", 0.9)


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
@pytest.mark.parametrize("is_spooled", [False, True])
def test_spans_are_the_same_on_every_way(protocol: Any, is_spooled: bool, tmp_path: Path) -> None:
    """Straight from what was captured, or through a spool."""
    delivery = DeliveryConfig(spool=SpoolConfig(directory=str(tmp_path / "spool"))) if is_spooled else None
    with FakeBackend() as backend:
        config = OtelCollectorConfig(endpoint=backend.url, protocol=protocol)
        with Telemetry(exporter_entry(config, conventions="gen_ai", delivery=delivery)) as telemetry:
            replay(recorded_run("guarded_answer"), telemetry)
        spans = {span.name: span for span in backend.spans}

    usual = _sent("otelcollector", "gen_ai", "guarded_answer")
    assert {name: _without_ids(span) for name, span in spans.items()} == {
        name: _without_ids(span) for name, span in usual.items()
    }


def _without_ids(span: ReceivedSpan) -> Any:
    events = [(event.name, event.attributes) for event in span.events]
    return {key: value for key, value in span.attributes.items() if key != "nat.step.id"}, events


async def test_exporter_of_your_own_has_a_default_of_its_own() -> None:
    """Which an entry overrides."""
    with FakeBackend() as backend:
        exporter = OTLPSpanAdapterExporter(endpoint=backend.url, conventions="gen_ai")
        async with exporter.start():
            with step("ask", kind="llm", model="m"):
                pass

        [span] = backend.spans
    assert span.attributes["gen_ai.request.model"] == "m"
