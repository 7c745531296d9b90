"""Recorded runs: ten of our own, which between them have everything that a backend shows, and chats recorded elsewhere.

A run of our own is a JSON file in `recordings/`: the fields of a `RecordedRun`, and in its `steps` those of a `RecordedStep`,
each left out where it has its default. `{"$repeat": {"text": …, "times": …}}` stands for a long text.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from nat.observability import StepKind

__all__ = ["Failure", "RecordedRun", "RecordedStep", "read_chats", "recorded_run", "recorded_runs"]

_REPEAT = "$repeat"
_CHAT_MODEL = "gpt-4o"


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception: the name of a class of Python's own, and its message."""

    type: str
    message: str


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One step of a recorded run, and the steps in it.

    Attributes:
        name, kind, input, output, model, provider, parameters, tools, metadata: As for `nat.observability.step`.
        update: Metadata that is known at the end, such as `finish_reason`.
        usage: Tokens, under the names that `Step.usage` takes.
        chunks: Parts of the output, in the order in which they stream.
        error: Why it fails; goes on to the step around it if that has the same.
        is_unfinished: It never ends.
        through: How it is reported: `step`, `IntermediateStepManager.push_intermediate_step`, or `Telemetry.run`.
        steps: What happens inside.
    """

    name: str
    kind: StepKind
    input: Any = None
    output: Any = None
    model: str | None = None
    provider: str | None = None
    parameters: Mapping[str, Any] | None = None
    tools: Sequence[Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    update: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, int | None] = field(default_factory=dict)
    chunks: Sequence[str] = ()
    error: Failure | None = None
    is_unfinished: bool = False
    through: Literal["step", "push", "run"] = "step"
    steps: Sequence["RecordedStep"] = ()


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One recorded run.

    Attributes:
        id: What it is called in tests.
        about: What is in it.
        name, kind, input, output, session_id, user_id, tags, metadata: As for `Telemetry.run`.
        error: Why it fails.
        steps: What happens in it.
    """

    id: str
    about: str
    name: str
    kind: Literal["workflow", "agent"] = "workflow"
    input: Any = None
    output: Any = None
    session_id: str | None = None
    user_id: str | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    error: Failure | None = None
    steps: Sequence[RecordedStep] = ()

    def in_session(self, session_id: str) -> Self:
        """The same run in another session; some backends know a session id only once."""
        return replace(self, session_id=session_id)


@cache
def recorded_runs() -> tuple[RecordedRun, ...]:
    """The ten runs of our own, by id."""
    folder = files("nat.testing") / "recordings"
    texts = {item.name.removesuffix(".json"): item.read_text(encoding="utf-8") for item in folder.iterdir()}
    return tuple(_run(name, json.loads(texts[name], object_hook=_expanded)) for name in sorted(texts))


def recorded_run(run_id: str) -> RecordedRun:
    """One of the ten runs.

    Raises:
        KeyError: There is none of that id.
    """
    runs = {run.id: run for run in recorded_runs()}
    if run_id not in runs:
        raise KeyError(f"no recorded run {run_id!r}; there are: {', '.join(runs)}")
    return runs[run_id]


def read_chats(file: Path) -> list[RecordedRun]:
    """Runs from recorded chats.

    Args:
        file: One JSON object a line: `run_id`, and `messages` in OpenAI's form. Every `assistant` message is one model call
            whose input is all messages before it; every `tool` message one tool call. The run's id is its session.
    """
    with file.open(encoding="utf-8") as lines:
        return [_chat(json.loads(line)) for line in lines]


def _expanded(fields: dict[str, Any]) -> Any:
    if fields.keys() != {_REPEAT}:
        return fields
    text: str = fields[_REPEAT]["text"]
    return text * int(fields[_REPEAT]["times"])


def _run(run_id: str, document: dict[str, Any]) -> RecordedRun:
    return RecordedRun(id=run_id, **_known(document, RecordedRun))


def _step(document: dict[str, Any]) -> RecordedStep:
    return RecordedStep(**_known(document, RecordedStep))


def _known(document: dict[str, Any], cls: type[RecordedRun | RecordedStep]) -> dict[str, Any]:
    unknown = document.keys() - {one.name for one in fields(cls)}
    assert not unknown, f"recorded run: {cls.__name__} has no {', '.join(sorted(unknown))}"
    values = {**document, "steps": tuple(_step(step) for step in document.get("steps", ()))}
    if "error" in document:
        values["error"] = Failure(**document["error"])
    return values


def _chat(document: dict[str, Any]) -> RecordedRun:
    messages = document["messages"]
    arguments: dict[str, str] = {}
    steps = []
    for index, message in enumerate(messages):
        match message["role"]:
            case "assistant":
                steps.append(RecordedStep("chat", "llm", messages[:index], message, model=_CHAT_MODEL))
                calls = message.get("tool_calls") or []
                arguments.update({call["id"]: call["function"]["arguments"] for call in calls})
            case "tool":
                steps.append(
                    RecordedStep(message["name"], "tool", arguments[message["tool_call_id"]], message["content"])
                )
    run_id = document["run_id"]
    return RecordedRun(
        id=run_id,
        about="a recorded chat",
        name=run_id,
        input=next(message["content"] for message in messages if message["role"] == "user"),
        output=messages[-1]["content"],
        session_id=run_id,
        steps=tuple(steps),
    )
