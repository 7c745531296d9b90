"""Telemetry, step and observe: what an agent's author can say, and what arrives."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from nat.builder.builder import Builder
from nat.builder.context import Context
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry, observe, step
from tests.support.collecting import Received, SpanCollector, registered

Spans = Callable[[], dict[str, Span]]


@pytest.fixture
def received() -> Received[Span]:
    return Received()


@pytest.fixture
def telemetry(received: Received[Span]) -> Iterator[Telemetry]:
    with Telemetry(registered(lambda: SpanCollector(received))()) as telemetry:
        yield telemetry


@pytest.fixture
def spans(telemetry: Telemetry, received: Received[Span]) -> Spans:
    """The spans by name, after a flush."""

    def read() -> dict[str, Span]:
        telemetry.flush()
        return {span.name: span for span in received.items}

    return read


def input_of(span: Span) -> Any:
    value: Any = span.attributes.get("input.value")
    return json.loads(value) if span.attributes.get("input.mime_type") == "application/json" else value


def test_a_failure_that_was_handled_can_be_reported(telemetry: Telemetry, spans: Spans) -> None:
    with telemetry.run("run") as run, step("search", kind="tool") as search:
        search.fail(LookupError("nothing found"))
        run.fail(RuntimeError("gave up"))

    found = spans()
    assert (found["search"].status.code, found["search"].status.message) == ("ERROR", "nothing found")
    assert found["search"].attributes["error.type"] == "LookupError"
    assert (found["run"].status.code, found["run"].status.message) == ("ERROR", "gave up")
    assert run.error is not None
    assert run.error.type == "RuntimeError"


def test_what_a_step_says_while_it_lasts(telemetry: Telemetry, spans: Spans) -> None:
    with telemetry.run("run", kind="agent"), step("chat", kind="llm", model="asked") as chat:
        chat.update(model="answered", finish_reason="stop")
        chat.set_attribute("my.key", 7)
        chat.usage(prompt_tokens=3, completion_tokens=4, cached_tokens=1)
        chat.chunk("an")
        chat.chunk("swer")

    found = spans()
    attributes = found["chat"].attributes
    assert found["run"].attributes["openinference.span.kind"] == "AGENT"
    assert attributes["llm.model_name"] == "answered"
    assert attributes["llm.finish_reason"] == "stop"
    assert attributes["my.key"] == 7
    assert attributes["llm.token_count.total"] == 7
    assert attributes["llm.token_count.prompt_details.cache_read"] == 1
    assert attributes["nat.stream.chunk_count"] == 2
    assert 0 <= attributes["nat.stream.time_to_first_chunk_s"] < 60


def test_the_context_knows_its_run(telemetry: Telemetry) -> None:
    assert Context.get().workflow_name is None

    with telemetry.run("agent", session_id="s", user_id="u") as run:
        context = Context.get()

        assert (context.workflow_name, context.session_id, context.user_id) == ("agent", "s", "u")
        assert context.trace_id == run.trace_id


def test_an_exporter_can_look_at_the_config_of_another() -> None:
    seen: dict[str, Any] = {}

    class FrontDoorConfig(TelemetryExporterBaseConfig, name="front_door"):
        """Says which entry it is."""

        label: str

    @register_telemetry_exporter(config_type=FrontDoorConfig)
    async def build(config: FrontDoorConfig, builder: Builder) -> AsyncIterator[Any]:
        seen[config.label] = builder.get_telemetry_exporter_config("second")
        with pytest.raises(KeyError, match="no telemetry exporter 'third'; configured: first, second"):
            builder.get_telemetry_exporter_config("third")
        yield SpanCollector()

    configs = {"first": FrontDoorConfig(label="a"), "second": FrontDoorConfig(label="b")}
    with Telemetry(configs) as telemetry:
        telemetry.flush()

    assert seen == {"a": configs["second"], "b": configs["second"]}


@observe
def positional(question: str) -> str:
    return question


@observe(name="several", kind="tool")
def many(a: int, *rest: int, key: str = "k", **more: Any) -> None:
    return None


class Agent:
    """An agent with an observed method."""

    @observe
    def method(self, question: str) -> str:
        return question


@observe(capture_input=False, capture_output=False)
def secretive(password: str) -> str:
    return password


@observe
async def coroutine(first: int, second: int) -> int:
    await asyncio.sleep(0)
    return first + second


async def test_observed_calls_record_their_arguments_by_name(telemetry: Telemetry, spans: Spans) -> None:
    with telemetry.run("run"):
        assert positional("why?") == "why?"
        many(1, 2, 3, key="x", extra=True)
        Agent().method("how?")
        secretive("hunter2")
        assert await coroutine(1, second=2) == 3

    found = spans()
    assert input_of(found["positional"]) == "why?"
    assert found["positional"].attributes["output.value"] == "why?"
    assert input_of(found["several"]) == {"a": 1, "args": [2, 3], "key": "x", "extra": True}
    assert found["several"].attributes["openinference.span.kind"] == "TOOL"
    assert input_of(found["method"]) == "how?"
    assert not {"input.value", "output.value"} & set(found["secretive"].attributes)
    assert input_of(found["coroutine"]) == {"first": 1, "second": 2}
    assert found["coroutine"].attributes["output.value"] == "3"


@pytest.mark.parametrize(
    "response",
    [
        {"usage": {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}},
        SimpleNamespace(
            usage=SimpleNamespace(
                input_tokens=5, output_tokens=2, total_tokens=7, input_tokens_details=SimpleNamespace(cached_tokens=4)
            )
        ),
    ],
    ids=["chat completion", "response object"],
)
def test_usage_is_read_from_a_models_response(telemetry: Telemetry, spans: Spans, response: Any) -> None:
    @observe(kind="llm")
    def chat() -> Any:
        return response

    with telemetry.run("run"):
        chat()

    attributes = spans()["chat"].attributes
    assert attributes["llm.token_count.prompt"] == 5
    assert attributes["llm.token_count.completion"] == 2
    assert attributes["llm.token_count.total"] == 7
    assert attributes["llm.token_count.prompt_details.cache_read"] == 4


def test_a_generator_can_be_sent_to_and_thrown_into(telemetry: Telemetry, spans: Spans) -> None:
    @observe
    def talk() -> Generator[str, str, str]:
        heard = yield "first"
        try:
            yield f"heard {heard}"
        except LookupError as missing:
            yield f"caught {missing}"
        return "done"

    with telemetry.run("run"):
        talking = talk()
        assert next(talking) == "first"
        assert talking.send("you") == "heard you"
        assert talking.throw(LookupError("it")) == "caught it"
        with pytest.raises(StopIteration) as stop:
            next(talking)

    assert stop.value.value == "done"
    assert spans()["talk"].attributes["output.value"] == "firstheard youcaught it"


async def test_an_async_generator_can_be_sent_to_thrown_into_and_fail(telemetry: Telemetry, spans: Spans) -> None:
    @observe
    async def talk() -> AsyncGenerator[str, str]:
        heard = yield "first"
        try:
            yield f"heard {heard}"
        except LookupError as missing:
            yield f"caught {missing}"
        raise RuntimeError("no more")

    with telemetry.run("run"):
        talking = talk()
        assert await anext(talking) == "first"
        assert await talking.asend("you") == "heard you"
        assert await talking.athrow(LookupError("it")) == "caught it"
        with pytest.raises(RuntimeError, match="no more"):
            await anext(talking)

    span = spans()["talk"]
    assert span.attributes["output.value"] == "firstheard youcaught it"
    assert (span.status.code, span.status.message) == ("ERROR", "no more")


def test_an_unknown_kind_is_refused_at_once() -> None:
    nonsense: Any = "nonsense"
    with pytest.raises(ValueError, match=r"step kind must be one of function, llm, tool,.*got 'nonsense'"):
        step("x", kind=nonsense)
    with pytest.raises(ValueError, match="got 'nonsense'"):
        observe(kind=nonsense)


def test_a_run_starts_what_is_not_started_and_a_closed_telemetry_says_so(caplog: pytest.LogCaptureFixture) -> None:
    received = Received[Span]()
    telemetry = Telemetry(registered(lambda: SpanCollector(received))())

    with telemetry.run("first"):
        pass
    status = telemetry.close()
    with telemetry.run("too late"):
        pass

    assert [span.name for span in received.items] == ["first"]
    (exporter,) = status.exporters.values()
    assert (exporter.delivered, exporter.lost) == (1, 0)
    (after,) = telemetry.status().exporters.values()
    assert after.dropped == {"shutdown": 1}
    assert "run 'too late' is not recorded" in caplog.text
    with pytest.raises(RuntimeError, match="started already"):
        telemetry.start()


async def test_flush_and_close_without_blocking_the_loop(received: Received[Span]) -> None:
    telemetry = Telemetry(registered(lambda: SpanCollector(received))())
    with telemetry.run("run"):
        pass

    flushed = await telemetry.aflush()
    closed = await telemetry.aclose()

    assert [status.delivered for status in flushed.exporters.values()] == [1]
    assert [str(status.state) for status in closed.exporters.values()] == ["stopped"]
