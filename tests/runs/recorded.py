"""Recorded agent runs, and how to replay one as telemetry.

One JSON object a line: `run_id` and `messages`, the chat as the model saw it. Every `assistant` message is one model call whose
input is all messages before it; every `tool` message one tool call.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from nat.observability import Telemetry, step

__all__ = ["FOLDER_VARIABLE", "load", "replay"]

FOLDER_VARIABLE = "NAT_TEST_DATA"

Recording = dict[str, Any]


@cache
def load() -> list[Recording] | None:
    """All recorded runs; `None` if the variable names no folder that holds them."""
    folder = os.environ.get(FOLDER_VARIABLE)
    file = Path(folder or "") / "agent_runs.jsonl"
    if not folder or not file.is_file():
        return None
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def replay(telemetry: Telemetry, recording: Recording) -> None:
    """Take the recorded run's steps again."""
    messages = recording["messages"]
    arguments: dict[str, str] = {}
    with telemetry.run(recording["run_id"], input=messages[1]["content"], session_id=recording["run_id"]) as run:
        for index, message in enumerate(messages):
            match message["role"]:
                case "assistant":
                    with step("chat", kind="llm", model="gpt-4o", input=messages[:index]) as call:
                        call.output = message
                    calls = message.get("tool_calls") or []
                    arguments.update({call["id"]: call["function"]["arguments"] for call in calls})
                case "tool":
                    with step(message["name"], kind="tool", input=arguments[message["tool_call_id"]]) as tool:
                        tool.output = message["content"]
        run.output = messages[-1]["content"]
