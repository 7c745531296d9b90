"""OpenTelemetry's own set-up beside ours: neither notices the other."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nat.observability import Telemetry
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.testing import FakeBackend
from tests.delivery.programs import run_program
from tests.support.collecting import emit

PROGRAM = """\
import asyncio, json, sys

import aiohttp
from opentelemetry import context, propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from nat.observability import Telemetry, step
from nat.plugins.opentelemetry.register import OtelCollectorConfig

theirs, ours, protocol = sys.argv[1:4]

provider = TracerProvider(resource=Resource({"service.name": "theirs"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=theirs)))
trace.set_tracer_provider(provider)
AioHttpClientInstrumentor().instrument()
GrpcInstrumentorClient().instrument()
tracer = trace.get_tracer("app")
propagator = propagate.get_global_textmap()

config = OtelCollectorConfig(endpoint=ours, protocol=protocol, resource_attributes={"service.name": "ours"})
said = {"before": trace.get_tracer_provider() is provider}


async def main():
    async with Telemetry({"collector": config}) as telemetry:
        with tracer.start_as_current_span("outside") as outside:
            with telemetry.run("agent"):
                with tracer.start_as_current_span("inside"), step("tool"):
                    async with aiohttp.ClientSession() as session:
                        await (await session.get(theirs.replace("/v1/traces", "/page"))).read()
                said["current"] = trace.get_current_span() is outside
        said["during"] = trace.get_tracer_provider() is provider
        await telemetry.aflush()
    with tracer.start_as_current_span("after ours is closed"):
        pass


asyncio.run(main())
provider.shutdown()
said["after"] = trace.get_tracer_provider() is provider
said["propagator"] = propagate.get_global_textmap() is propagator
said["context"] = context.get_current() == {}
with Telemetry({"collector": config}) as telemetry:
    with telemetry.run("after theirs is shut down"):
        pass
print(json.dumps(said))
"""


@pytest.fixture
def ours() -> Iterator[FakeBackend]:
    with FakeBackend(grpc=True) as backend:
        yield backend


@pytest.mark.contract("D16")
@pytest.mark.parametrize("protocol", ["http", "http/json", "grpc"])
def test_a_program_with_a_provider_exporter_and_instrumented_clients(
    ours: FakeBackend, backend: FakeBackend, protocol: str, tmp_path: Path
) -> None:
    """Both get their own spans, in their own traces; what we send is no span of theirs; either may end first."""
    theirs = backend
    endpoint = f"http://{ours.grpc_endpoint}" if protocol == "grpc" else ours.base_url

    result = run_program(PROGRAM, tmp_path, theirs.url, endpoint, protocol, is_measured=False)

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == dict.fromkeys(
        ["before", "current", "during", "after", "propagator", "context"], True
    )
    their_spans = {span.name: span for span in theirs.spans}
    assert sorted(their_spans) == ["GET", "after ours is closed", "inside", "outside"]
    assert their_spans["GET"].parent_id == their_spans["inside"].span_id
    assert their_spans["inside"].parent_id == their_spans["outside"].span_id
    our_spans = {span.name: span for span in ours.spans}
    assert sorted(our_spans) == ["after theirs is shut down", "agent", "tool"]
    assert our_spans["tool"].parent_id == our_spans["agent"].span_id
    assert our_spans["agent"].parent_id is None
    assert {span.resource["service.name"] for span in theirs.spans} == {"theirs"}
    assert {span.resource["service.name"] for span in ours.spans} == {"ours"}
    assert {span.trace_id for span in theirs.spans}.isdisjoint(span.trace_id for span in ours.spans)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_global_tracer_provider_is_the_same_object(ours: FakeBackend, protocol: Any) -> None:
    from opentelemetry import trace

    before = trace.get_tracer_provider()
    endpoint = f"http://{ours.grpc_endpoint}" if protocol == "grpc" else ours.base_url

    with Telemetry({"collector": OtelCollectorConfig(endpoint=endpoint, protocol=protocol)}) as telemetry:
        with telemetry.run("run"):
            emit("work")
            assert trace.get_current_span() is trace.INVALID_SPAN
        telemetry.flush()
        during = trace.get_tracer_provider()

    assert len(ours.spans) == 2
    assert before is during is trace.get_tracer_provider()
