"""The extra `opentelemetry` in a clean environment: what it brings, and what it does without."""

import json
from pathlib import Path

import pytest

from nat.testing import FakeBackend
from tests.guide.session import block_path
from tests.wheels.clean import CleanEnvironment, Once, install_into

WITHOUT_OPENTELEMETRY = """\
import sys

from nat.data_models.span import Span, SpanContext
from nat.plugins.opentelemetry.otel_span import OtelSpan
from nat.plugins.opentelemetry.otel_span_exporter import OtelSpanExporter
from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter

span = OtelSpan(
    Span(
        name="work",
        context=SpanContext(trace_id=10, span_id=11, parent_span_id=12),
        start_time=1,
        end_time=2,
        attributes={"input.value": "q"},
    )
)
context = span.get_span_context()
print(span.name, context.trace_id, context.span_id, context.is_valid, context.is_remote, context.trace_flags)
print(span.parent.span_id, span.start_time, span.end_time, dict(span.attributes))
print(span)
try:
    span.kind
except ModuleNotFoundError as error:
    print(error.name)
print(sorted({name.partition(".")[0] for name in sys.modules} & {"opentelemetry", "google", "grpc"}))
"""

SEND = """\
workflow:
  entrypoint: ./agent.py:answer
general:
  telemetry:
    tracing:
      collector:
        _type: otelcollector
        endpoint: {endpoint}
        protocol: {protocol}
"""


@pytest.fixture(scope="session")
def with_otlp(once: Once, dist: Path) -> CleanEnvironment:
    """A clean environment with what the guide's command installs, and nothing else."""
    program, verb, requirement = block_path(10).read_text().split()
    assert (program, verb) == ("pip", "install")
    return CleanEnvironment(once("with_otlp", lambda path: install_into(path, [requirement.strip('"')], [dist])))


@pytest.fixture(scope="session")
def without_grpc(once: Once, dist: Path) -> CleanEnvironment:
    """A clean environment with one backend that speaks HTTP only, and so without grpcio."""
    return CleanEnvironment(once("without_grpc", lambda path: install_into(path, ["nat-telemetry[langfuse]"], [dist])))


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    (tmp_path / "agent.py").write_text("def answer(question: str) -> str:\n    return question.upper()\n")
    return tmp_path


@pytest.mark.contract("B10", "D27", "S26", "S42", "S46", "S198")
def test_the_guides_command_brings_the_type(with_otlp: CleanEnvironment) -> None:
    listed = with_otlp.run("nat", "info", "components", "-t", "tracing", "--json")

    rows = {row["type"]: row for row in json.loads(listed.stdout)}
    assert rows["otelcollector"]["package"] == "nat-telemetry-otlp"
    assert rows["otelcollector"]["loads"] is True
    assert rows["otelcollector"]["description"] == "Any OpenTelemetry Collector or OTLP endpoint."


@pytest.mark.contract("S130", "S192")
def test_spans_in_opentelemetrys_form_without_any_opentelemetry_package(with_otlp: CleanEnvironment) -> None:
    done = with_otlp.run("python", "-W", "error", "-c", WITHOUT_OPENTELEMETRY)

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "work 10 11 True False 1",
        "12 1 2 {'input.value': 'q'}",
        f"OtelSpan('work', trace_id=0x{10:032x}, span_id=0x{11:016x})",
        "opentelemetry",
        "[]",
    ]


@pytest.mark.contract("S15", "S48")
@pytest.mark.parametrize("protocol", ["http", "http/json"])
def test_nat_run_sends_over_http(with_otlp: CleanEnvironment, agent: Path, protocol: str) -> None:
    with FakeBackend() as backend:
        (agent / "workflow.yaml").write_text(SEND.format(endpoint=backend.base_url, protocol=protocol))
        run = with_otlp.run("nat", "run", "--config_file", "workflow.yaml", "--input", "why?", cwd=agent)

        assert (run.returncode, run.stdout.strip()) == (0, "WHY?"), run.stderr
        [span] = backend.spans

    assert (span.name, span.attributes["output.value"]) == ("answer", "WHY?")
    assert span.resource["service.name"].startswith("unknown_service:")


@pytest.mark.contract("D1", "S198")
@pytest.mark.parametrize("command", [["validate"], ["run", "--input", "why?"]], ids=lambda words: words[0])
def test_grpc_asks_for_its_extra(without_grpc: CleanEnvironment, agent: Path, command: list[str]) -> None:
    """`nat validate` and `nat run` say it before anything is sent, with the command that mends it."""
    (agent / "workflow.yaml").write_text(SEND.format(endpoint="http://127.0.0.1:9", protocol="grpc"))

    run = without_grpc.run("nat", *command, "--config_file", "workflow.yaml", cwd=agent)

    assert run.returncode != 0
    assert "general.telemetry.tracing.collector.protocol" in run.stderr
