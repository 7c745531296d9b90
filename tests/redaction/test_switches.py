"""Environment variables that hide content: nothing of it is left anywhere, and everything else stays."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from nat.observability import Telemetry, step
from nat.observability.manager import ExporterState
from nat.observability.redaction.switches import Switches
from tests.support.collecting import SpanCollector, StepCollector, registered

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
IMAGE = "data:image/png;base64," + "A" * 50

Shown = Callable[..., dict[str, Any]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What a run looks like with some variables: the spans' attributes by name, and all steps as one text."""

    def run(**variables: str) -> dict[str, Any]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        spans, steps = SpanCollector(), StepCollector()
        with Telemetry(registered(lambda: spans)(), registered(lambda: steps)()) as telemetry:
            _replay(telemetry)
        found: dict[str, Any] = {name: span.attributes for name, span in spans.by_name().items()}
        return {**found, "steps": json.dumps([item.model_dump(mode="json") for item in steps.received.items])}

    return run


def _replay(telemetry: Telemetry) -> None:
    messages = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "ASKED"}, {"type": "image_url", "image_url": {"url": IMAGE}}],
        }
    ]
    with telemetry.run("run", input="ASKED", metadata={"tenant": "t"}) as run:
        with step(
            "llm",
            kind="llm",
            input=messages,
            model="m",
            parameters={"temperature": 0.25},
            tools=[{"name": "TOOL"}],
        ) as call:
            call.chunk("ANSWERED")
            call.set_attribute("llm.prompts.0.prompt.text", "ASKED")
            call.output = {"role": "assistant", "content": "ANSWERED"}
        with step("tool", kind="tool", input={"q": "ASKED"}, metadata={"tool_call_id": "c1"}) as tool:
            tool.output = "ANSWERED"
        with step("embed", kind="embedder", input=["ASKED"]) as embed:
            embed.output = [[0.125, 0.5]]
        run.output = "ANSWERED"


def test_nothing_is_hidden_by_default(shown: Shown) -> None:
    all_of_it = json.dumps(shown(OPENINFERENCE_HIDE_INPUTS="false", **{CONTENT: "SPAN_ONLY"}))

    for content in ("ASKED", "ANSWERED", "TOOL", "temperature", IMAGE, "0.125"):
        assert content in all_of_it


@pytest.mark.parametrize(
    "variables",
    [
        {"OPENINFERENCE_HIDE_INPUTS": "true", "OPENINFERENCE_HIDE_OUTPUTS": "1"},
        {CONTENT: "NO_CONTENT"},
        {CONTENT: "event_only"},
        {CONTENT: "false"},
    ],
)
def test_all_content_can_be_hidden(shown: Shown, variables: dict[str, str]) -> None:
    """In spans and in steps; models, kinds and ids stay."""
    found = shown(**variables)

    all_of_it = json.dumps(found)
    assert "ASKED" not in all_of_it
    assert "ANSWERED" not in all_of_it
    assert "0.125" not in all_of_it
    assert "TOOL\\\\" not in all_of_it
    assert found["llm"]["llm.model_name"] == "m"
    assert found["llm"]["input.value"] == found["llm"]["output.value"] == "__REDACTED__"
    assert found["tool"]["tool.id"] == "c1"
    assert found["run"]["metadata"] == '{"tenant":"t"}'


@pytest.mark.parametrize(
    ("name", "gone", "stays"),
    [
        ("INPUTS", {"ASKED", IMAGE}, {"ANSWERED"}),
        ("OUTPUTS", {"ANSWERED", "0.125"}, {"ASKED"}),
        ("INPUT_IMAGES", {IMAGE}, {"ASKED"}),
        ("LLM_TOOLS", {"TOOL\\"}, {"ASKED"}),
        ("LLM_INVOCATION_PARAMETERS", {"temperature"}, {"ASKED"}),
        ("EMBEDDINGS_VECTORS", {"0.125"}, {"ASKED"}),
        ("EMBEDDING_VECTORS", {"0.125"}, {"ASKED"}),
    ],
)
def test_each_switch_hides_what_it_names(shown: Shown, name: str, gone: set[str], stays: set[str]) -> None:
    all_of_it = json.dumps(shown(**{f"OPENINFERENCE_HIDE_{name}": "true"}))

    assert [content for content in gone if content in all_of_it] == []
    assert [content for content in stays if content not in all_of_it] == []


@pytest.mark.parametrize(
    ("name", "span", "gone"),
    [
        ("INPUT_MESSAGES", "llm", "ASKED"),
        ("INPUT_TEXT", "llm", "ASKED"),
        ("OUTPUT_MESSAGES", "llm", "ANSWERED"),
        ("OUTPUT_TEXT", "llm", "ANSWERED"),
        ("PROMPTS", "llm", "ASKED"),
        ("CHOICES", "llm", "ANSWERED"),
        ("EMBEDDINGS_TEXT", "embed", "ASKED"),
    ],
)
def test_messages_are_hidden_in_both_copies(shown: Shown, name: str, span: str, gone: str) -> None:
    """Of model calls only: the run's own input and output are no messages."""
    found = shown(**{f"OPENINFERENCE_HIDE_{name}": "true"})

    here = {
        key: value
        for key, value in found[span].items()
        if not (name.startswith("INPUT_") and key.startswith("llm.prompts"))
    }
    assert gone not in json.dumps(here)
    assert gone in json.dumps(found["run"])


def test_texts_of_messages_are_hidden_and_their_images_stay(shown: Shown) -> None:
    found = shown(OPENINFERENCE_HIDE_INPUT_TEXT="true")

    (message,) = json.loads(found["llm"]["input.value"])
    assert message["content"][0] == {"type": "text", "text": "__REDACTED__"}
    assert message["content"][1]["image_url"]["url"] == IMAGE


def test_long_images_are_hidden(shown: Shown) -> None:
    assert IMAGE in json.dumps(shown(OPENINFERENCE_BASE64_IMAGE_MAX_LENGTH="100"))
    assert IMAGE not in json.dumps(shown(OPENINFERENCE_BASE64_IMAGE_MAX_LENGTH="40"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OPENINFERENCE_HIDE_INPUTS", "maybe", "OPENINFERENCE_HIDE_INPUTS is 'maybe', expected true or false"),
        (CONTENT, "some", f"{CONTENT} is 'some', expected NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT"),
        (
            "OPENINFERENCE_BASE64_IMAGE_MAX_LENGTH",
            "big",
            "OPENINFERENCE_BASE64_IMAGE_MAX_LENGTH is 'big', expected a number",
        ),
    ],
)
def test_a_switch_that_says_something_else_lets_nothing_out(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    """Nobody knows what was meant, so the exporter does not start."""
    monkeypatch.setenv(name, value)
    collector = SpanCollector()

    with Telemetry({"mine": registered(lambda: collector)()}) as telemetry:
        _replay(telemetry)
    status = telemetry.status().exporters["mine"]

    assert status.state is ExporterState.DISABLED
    assert message in str(status.reason)
    assert collector.received.items == []


def test_nothing_said_is_nothing_hidden() -> None:
    assert not Switches.read({}).hide_any
    assert not Switches.read({"OPENINFERENCE_HIDE_INPUTS": "0", CONTENT: ""}).hide_any
