"""The vendors' own SDKs as oracles: a stand-in takes what they send and what we send, and shows the same of both."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry, step
from nat.plugins.galileo.register import GalileoConfig
from nat.plugins.langfuse.register import LangfuseConfig
from nat.plugins.langsmith.register import LangsmithConfig
from nat.plugins.patronus.register import PatronusConfig
from nat.testing import FakeBackend, ReceivedSpan, Request
from tests.products.servers import program
from tests.vendors import galileo, langfuse, langsmith, patronus
from tests.vendors.reading import sent_again

_PROGRAMS = Path(__file__).with_name("vendor_sdks")
_VENDORS = ("GALILEO_", "LANGFUSE_", "LANGSMITH_", "LANGCHAIN_", "PATRONUS_", "OTEL_")
_TRANSPORT = {"accept", "accept-encoding", "connection", "content-encoding", "content-length", "host", "user-agent"}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(_VENDORS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def use_sdk(name: str, variables: Mapping[str, str], environment: str = "oracles") -> None:
    """Let an SDK send its trace, with these settings of its own."""
    done = subprocess.run(
        [program(environment, "bin/python"), "-P", str(_PROGRAMS / f"use_{name}.py")],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def use_ours(config: TelemetryExporterBaseConfig, answer: Any = None) -> None:
    """The same trace through our exporter, with settings from the same variables."""
    facts = {"session_id": "session-1", "user_id": "user-1", "tags": ["beta"], "metadata": {"tenant": "acme"}}
    question = {"question": "6 * 7?"} if answer else "6 * 7?"
    messages = [{"role": "user", "content": "What is six times seven?"}]
    with Telemetry(config) as telemetry:
        with telemetry.run("assistant", input=question, kind="agent", **facts) as run:  # type: ignore[arg-type]  # its own
            with step("chat", "llm", input=messages, model="m-1", parameters={"temperature": 0.5}) as call:
                call.output = answer or {"role": "assistant", "content": "42"}
                cached = {"cached_tokens": 5, "reasoning_tokens": 2} if answer else {}
                call.usage(prompt_tokens=11, completion_tokens=7, **cached)
            with step("multiply", "tool", input={"a": 6, "b": 7}, metadata={"unit": "none"}) as tool:
                tool.fail(OverflowError("overflow"))
            run.output = "42"
        status = telemetry.flush().exporters[config.type]
    assert (status.delivered, status.rejected) == (3, 0)


def by_name(requests: list[Request]) -> dict[str, ReceivedSpan]:
    return {span.name: span for request in requests for span in request.spans}


def headers_of(request: Request) -> dict[str, str]:
    """What is the vendor's own."""
    return {
        name: value
        for name, value in request.headers.items()
        if name not in _TRANSPORT and not name.startswith(("grpc-", ":")) and name != "te"
    }


def missing(theirs: ReceivedSpan, ours: ReceivedSpan, apart: set[str]) -> set[str]:
    """Attributes that the SDK has written and we have not, but for those that are known to be its own affair."""
    return {
        key
        for key in theirs.attributes.keys() - ours.attributes.keys()
        if not any(key == name or (name.endswith(".") and key.startswith(name)) for name in apart)
    }


def is_ours(request: Request) -> bool:
    return request.spans[0].resource.get("telemetry.sdk.name") == "nat-telemetry"


def requests_of(backend: FakeBackend) -> tuple[list[Request], list[Request]]:
    """The requests with spans: the SDK's, and ours."""
    sent = [request for request in backend.requests if request.spans]
    return [request for request in sent if not is_ours(request)], [request for request in sent if is_ours(request)]


def test_langfuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same path, headers, attributes and values; the same trace and observations are shown."""
    variables = {
        "LANGFUSE_PUBLIC_KEY": langfuse.PUBLIC_KEY,
        "LANGFUSE_SECRET_KEY": langfuse.SECRET_KEY,
        "LANGFUSE_TRACING_ENVIRONMENT": "ci",
        "LANGFUSE_RELEASE": "r1",
    }
    with langfuse.stand_in() as backend:
        variables["LANGFUSE_BASE_URL"] = backend.base_url
        use_sdk("langfuse", variables)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        use_ours(LangfuseConfig())
        (theirs,), (ours,) = requests_of(backend)
        wrong = {**theirs.headers, "authorization": "Basic d3Jvbmc="}
        assert sent_again(backend, theirs, headers={**wrong, "content-encoding": "identity"}) == 401

    software = {"x-langfuse-sdk-name", "x-langfuse-sdk-version"}
    assert ours.path == theirs.path
    assert headers_of(ours).keys() == headers_of(theirs).keys()
    assert {name for name, value in headers_of(theirs).items() if headers_of(ours)[name] != value} == software
    their_spans, our_spans = by_name([theirs]), by_name([ours])
    apart = {"langfuse.trace.", "langfuse.internal.is_app_root"}  # the SDK says of every observation what the root says
    for name, span in their_spans.items():
        assert missing(span, our_spans[name], apart if name != "assistant" else apart - {"langfuse.trace."}) == set()
        assert langfuse.observation(our_spans[name]) == langfuse.observation(span)
    assert langfuse.trace_of(list(our_spans.values())) == langfuse.trace_of([their_spans["assistant"]])


def test_langsmith(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same path, headers, attributes and values; the same runs are shown."""
    variables = {
        "LANGSMITH_API_KEY": langsmith.KEY,
        "LANGSMITH_PROJECT": "shop",
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_OTEL_ENABLED": "true",
        "LANGSMITH_OTEL_ONLY": "true",
    }
    answer = {
        "choices": [{"message": {"role": "assistant", "content": "42"}, "finish_reason": "stop"}],
        "usage_metadata": {
            "input_tokens": 11,
            "output_tokens": 7,
            "total_tokens": 18,
            "input_token_details": {"cache_read": 5},
            "output_token_details": {"reasoning": 2},
        },
    }
    with langsmith.stand_in() as backend:
        variables["LANGSMITH_ENDPOINT"] = backend.base_url
        use_sdk("langsmith", variables)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        use_ours(LangsmithConfig(), answer)
        theirs, (ours,) = requests_of(backend)
        assert sent_again(backend, theirs[0], headers={**theirs[0].headers, "x-api-key": "wrong"}) == 403

    assert (ours.path, headers_of(ours)) == (theirs[0].path, headers_of(theirs[0]))
    their_spans, our_spans = by_name(theirs), by_name([ours])
    apart = {
        "gen_ai.system",  # "langchain": a guess at the provider, which our run does not know
        "gen_ai.serialized.name",
        "gen_ai.usage.input_token_details",  # as Python writes a dict; the same is in the metadata usage_metadata
        "gen_ai.usage.output_token_details",
        "langsmith.metadata.ls_method",
        "langsmith.metadata.revision_id",  # of the git repository around the program
        "langsmith.metadata.LANGSMITH_",
    } | {key for span in their_spans.values() for key in span.attributes if ".LANGSMITH_" in key}
    inherited = {"langsmith.metadata.tenant", "langsmith.span.tags"}
    for name, span in their_spans.items():
        own = {"gen_ai.operation.name"} if name == "assistant" else inherited  # "chain" is no operation
        failed = {"gen_ai.completion"} if name == "multiply" else set()
        assert missing(span, our_spans[name], apart | own | failed) == set()
        their_run, our_run = langsmith.run_of(span), langsmith.run_of(our_spans[name])
        assert (our_run.run_type, our_run.project, our_run.inputs) == (
            their_run.run_type,
            their_run.project,
            their_run.inputs,
        )
        assert name == "multiply" or our_run.outputs == their_run.outputs
        assert (our_run.model, our_run.usage) == (their_run.model, their_run.usage)
    assert langsmith.run_of(our_spans["assistant"]).tags == langsmith.run_of(their_spans["assistant"]).tags


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_patronus(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same protocol, path and key, and the SDK's attributes on every span."""
    variables = {
        "PATRONUS_API_KEY": patronus.KEY,
        "PATRONUS_PROJECT_NAME": "shop",
        "PATRONUS_APP": "agent",
        "PATRONUS_OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
    }
    with patronus.stand_in() as backend:
        address = f"http://{backend.grpc_endpoint}" if protocol == "grpc" else backend.base_url
        variables.update(PATRONUS_OTEL_ENDPOINT=address, PATRONUS_API_URL=backend.base_url)
        use_sdk("patronus", variables)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        use_ours(PatronusConfig())
        (theirs,), (ours,) = requests_of(backend)
        if protocol != "grpc":
            assert sent_again(backend, theirs, headers={**theirs.headers, "x-api-key": "wrong"}) == 401

    assert (ours.protocol, ours.path) == (theirs.protocol, theirs.path)
    assert headers_of(ours) == {**headers_of(theirs), "pat-project-name": "shop"}
    (expected,) = {tuple(span.attributes.items()) for span in theirs.spans}
    for span in ours.spans:
        assert span.attributes.items() >= dict(expected).items()


def test_galileo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same path and headers, and the SDK's attributes on resource and spans."""
    variables = {"GALILEO_API_KEY": galileo.KEY, "GALILEO_PROJECT": "shop", "GALILEO_LOG_STREAM": "production"}
    with galileo.stand_in() as backend:
        galileo.serve_log_in(backend)
        variables.update(GALILEO_API_URL=backend.base_url, GALILEO_CONSOLE_URL=backend.base_url)
        use_sdk("galileo", variables, "oracle-galileo")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        use_ours(GalileoConfig())
        (theirs,), (ours,) = requests_of(backend)
        assert sent_again(backend, theirs, headers={**theirs.headers, "galileo-api-key": "wrong"}) == 401

    assert (ours.path, headers_of(ours)) == (theirs.path, headers_of(theirs))
    named = {
        key: value for key, value in theirs.spans[0].resource.items() if key.endswith(".name") and "galileo" in key
    }
    assert ours.spans[0].resource.items() >= named.items()
    their_spans, our_spans = by_name([theirs]), by_name([ours])
    apart = {
        "gen_ai.system",  # "galileo-otel"
        "galileo.dataset.metadata",
        "gen_ai.tool.call.",  # the contents are in input.value and output.value, which Galileo reads as well
        "gen_ai.input.messages",
        "gen_ai.output.messages",
    }
    assert missing(their_spans["multiply"], our_spans["multiply"], apart) == set()
    assert missing(their_spans["assistant"], our_spans["assistant"], set()) == set()
    assert their_spans["find"].attributes["db.operation"] == "search"
