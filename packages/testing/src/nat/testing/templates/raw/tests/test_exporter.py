"""What this exporter writes."""

import json
from pathlib import Path

from nat.observability import Telemetry, step

from nat_acme.register import AcmeConfig


def test_every_step_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "acme.jsonl"

    with (
        Telemetry(AcmeConfig(path=file)) as telemetry,
        telemetry.run("agent"),
        step("look_up", kind="tool", input="Why?") as tool,
    ):
        tool.output = "42"

    lines = [json.loads(line)["payload"] for line in file.read_text(encoding="utf-8").splitlines()]
    assert [(line["event_type"], line["name"]) for line in lines] == [
        ("WORKFLOW_START", "agent"),
        ("TOOL_START", "look_up"),
        ("TOOL_END", "look_up"),
        ("WORKFLOW_END", "agent"),
    ]
