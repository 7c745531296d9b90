"""Workloads: what an agent does in a run, the same for every participant. Standard library only.

(a) `synthetic_run`: 13 spans: one workflow, four functions, each with one model call of 1 KB in and 0.5 KB out with usage,
and one tool call. (b) `recorded_runs`: the runs of a real agent, whose model calls are given everything said before.
"""

import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["Node", "count", "end_attributes", "recorded_runs", "start_attributes", "synthetic_run"]

Kind = Literal["workflow", "function", "llm", "tool"]

MODEL, PROVIDER, PARAMETERS = "gpt-4o", "openai", {"temperature": 0.1, "max_tokens": 512}

_SENTENCE = (
    "the agent looks for a flight to Lisbon and books two seats in the last row because the price of 180 euros matters; "
    "a bag costs extra, so one is left at home, and the answer comes as a short table with times, gates and prices"
)
_SPAN_KINDS = {"workflow": "CHAIN", "function": "CHAIN", "llm": "LLM", "tool": "TOOL"}


@dataclass
class Node:
    """One span: what it does, what goes in and out, and what happens in it."""

    kind: Kind
    name: str
    input: Any
    output: Any = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    children: list["Node"] = field(default_factory=list)
    function: str | None = None
    step_id: str = field(default_factory=lambda: uuid.uuid4().hex)


def synthetic_run() -> Node:
    """Workload (a)."""
    draw = random.Random(5)
    functions = []
    for number in range(4):
        messages = [
            {"role": "system", "content": _text(draw, 200)},
            {"role": "user", "content": _text(draw, 760)},
        ]
        chat = Node("llm", "chat", messages, _text(draw, 512), 250, 120)
        search = Node("tool", "search", {"query": _text(draw, 40), "limit": 5}, _text(draw, 60))
        functions.append(Node("function", f"step_{number}", {"task": _text(draw, 60)}, _text(draw, 30)))
        functions[-1].children = [chat, search]
        for node in (functions[-1], chat, search):
            node.function = functions[-1].name
    return Node("workflow", "assistant", "Which flight shall I take?", "The one at noon.", children=functions)


def recorded_runs(directory: Path) -> list[Node]:
    """Workload (b): `agent_runs.jsonl` in that folder, where `NAT_TEST_DATA` leads."""
    with (directory / "agent_runs.jsonl").open(encoding="utf-8") as file:
        return [_recorded(json.loads(line)) for line in file]


def count(node: Node) -> int:
    """Spans of a run."""
    return 1 + sum(map(count, node.children))


def start_attributes(node: Node, dumps: Any) -> dict[str, Any]:
    """What a span is told when it starts: see attributes.md."""
    attributes: dict[str, Any] = {
        "openinference.span.kind": _SPAN_KINDS[node.kind],
        "nat.event_type": f"{node.kind.upper()}_START",
        "nat.step.id": node.step_id,
        "nat.workflow.name": "assistant",
    }
    if node.function is not None:
        attributes["nat.function.name"] = node.function
    if isinstance(node.input, str):
        attributes["input.value"], attributes["input.mime_type"] = node.input, "text/plain"
    else:
        attributes["input.value"], attributes["input.mime_type"] = dumps(node.input), "application/json"
    if node.kind == "tool":
        attributes["tool.name"] = node.name
        attributes["tool.parameters"] = attributes["input.value"]
    elif node.kind == "llm":
        attributes["llm.model_name"] = MODEL
        attributes["llm.provider"] = PROVIDER
        attributes["llm.invocation_parameters"] = dumps(PARAMETERS)
        for index, message in enumerate(node.input):
            key = f"llm.input_messages.{index}.message"
            attributes[f"{key}.role"] = message["role"]
            if message.get("content"):
                attributes[f"{key}.content"] = message["content"]
            for position, call in enumerate(message.get("tool_calls") or ()):
                called = f"{key}.tool_calls.{position}.tool_call"
                attributes[f"{called}.id"] = call["id"]
                attributes[f"{called}.function.name"] = call["function"]["name"]
                attributes[f"{called}.function.arguments"] = call["function"]["arguments"]
            if message.get("tool_call_id"):
                attributes[f"{key}.tool_call_id"] = message["tool_call_id"]
    return attributes


def end_attributes(node: Node, dumps: Any) -> dict[str, Any]:
    """What a span is told when it ends."""
    attributes: dict[str, Any] = {}
    if isinstance(node.output, str):
        attributes["output.value"], attributes["output.mime_type"] = node.output, "text/plain"
    elif node.output is not None:
        attributes["output.value"], attributes["output.mime_type"] = dumps(node.output), "application/json"
    if node.kind == "llm" and node.prompt_tokens:
        attributes["llm.token_count.prompt"] = node.prompt_tokens
        attributes["llm.token_count.completion"] = node.completion_tokens
        attributes["llm.token_count.total"] = node.prompt_tokens + node.completion_tokens
    return attributes


def _text(draw: random.Random, length: int) -> str:
    return " ".join(draw.choices(_SENTENCE.split(), k=length // 2))[:length]


def _recorded(record: dict[str, Any]) -> Node:
    messages = record["messages"]
    run = Node("workflow", "assistant", messages[1]["content"], None, children=list(_steps(messages)))
    run.output = next((node.output for node in reversed(run.children) if isinstance(node.output, str)), None)
    return run


def _steps(messages: list[dict[str, Any]]) -> Iterator[Node]:
    arguments: dict[str, Any] = {}
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            for call in message.get("tool_calls") or ():
                arguments[call["id"]] = call["function"]["arguments"]
            yield Node("llm", "chat", messages[:index], message["content"] or message)
        elif message["role"] == "tool":
            yield Node("tool", message["name"], arguments.get(message["tool_call_id"], ""), message["content"])
