"""What an agent does, kept in memory: the exporter, the recording, and the fixtures that pytest finds by itself."""

import asyncio
import subprocess
import sys

import pytest

from nat.data_models.span import SpanStatusCode
from nat.observability import Telemetry, observe, step
from nat.plugins.filter.register import FilterConfig
from nat.testing import FakeBackend, InMemoryExporter, Recording, recorded_run, replay


@observe(kind="tool")
def look_up(question: str) -> str:
    return f"{question} 42"


def answer(question: str) -> str:
    with step("chat", kind="llm", input=question, model="a-model") as call:
        call.output = look_up(question)
        call.usage(prompt_tokens=3, completion_tokens=1)
    return "42"


def test_three_lines_assert_on_a_run(nat_recording: Recording) -> None:
    with nat_recording.run("agent"):
        answer("Why?")
    assert nat_recording.tree == ("agent", (("chat", (("look_up", ()),)),))


def test_spans_are_found_by_name(nat_recording: Recording) -> None:
    """With all that an exporter would be given; a wrong name lists those that there are."""
    with nat_recording.run("agent", session_id="session 1"):
        answer("Why?")

    chat = nat_recording.span("chat")

    assert chat.attributes["llm.model_name"] == "a-model"
    assert chat.attributes["llm.token_count.total"] == 4
    assert chat.attributes["session.id"] == "session 1"
    assert [span.name for span in nat_recording.spans] == ["agent", "chat", "look_up"]
    with pytest.raises(AssertionError, match=r"0 spans are called 'caht'; there are: \['agent', 'chat', 'look_up'\]"):
        nat_recording.span("caht")


def test_steps_outside_a_run_are_recorded_too(nat_recording: Recording) -> None:
    """Each outermost one is a trace; `tree` is of one trace only."""
    answer("Why?")
    answer("How?")

    assert nat_recording.trees == [("chat", (("look_up", ()),))] * 2
    with pytest.raises(AssertionError, match="there are 2 traces, expected one"):
        _ = nat_recording.tree


def test_what_was_recorded_can_be_forgotten(nat_recording: Recording) -> None:
    answer("Why?")
    nat_recording.clear()
    look_up("How?")

    assert nat_recording.tree == ("look_up", ())


async def test_a_failed_run_of_a_coroutine(nat_recording: Recording) -> None:
    async def agent() -> None:
        async with nat_recording.run("agent"):
            await asyncio.sleep(0)
            raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await agent()

    assert nat_recording.span("agent").status.code is SpanStatusCode.ERROR


def test_a_recording_may_have_processors_and_redacts_as_usual() -> None:
    """Secrets are taken out unless said otherwise; what a processor drops is not there."""
    no_tools = FilterConfig.model_validate({"action": "drop", "when": {"kind": ["TOOL"]}})
    key = "sk-ant-api03-" + "Zr8" * 31 + "AA"

    with Recording(processors=[no_tools]) as redacted, redacted.run("agent", input=key):
        look_up("Why?")
    with Recording(redact="none") as plain, plain.run("agent", input=key):
        pass

    assert [span.name for span in redacted.spans] == ["agent"]
    assert key not in str(redacted.span("agent").attributes["input.value"])
    assert plain.span("agent").attributes["input.value"] == key


def test_the_exporter_goes_beside_others(nat_backend: FakeBackend) -> None:
    """`entry` is what `Telemetry` takes; it keeps spans in the order of their start."""
    from nat.plugins.opentelemetry.register import OtelCollectorConfig

    memory = InMemoryExporter()

    with Telemetry(memory.entry("mine"), OtelCollectorConfig(endpoint=nat_backend.url)) as telemetry:
        replay(recorded_run("tool_call"), telemetry)

    assert [span.name for span in memory.spans] == ["weather agent", "choose a tool", "forecast", "answer"]
    assert telemetry.status().exporters["mine"].delivered == len(nat_backend.spans) == 4


def test_the_plugin_loads_nothing_until_a_fixture_is_used() -> None:
    """What pytest imports in every session of somebody who has the package is light."""
    program = (
        "import sys, nat.testing.pytest_plugin; "
        "print([name for name in ('aiohttp', 'pydantic', 'nat.observability.api', 'google.protobuf') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
