"""Recorded runs, replayed into a file: every step arrives, in its own trace, below its parent."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from nat.observability import Telemetry
from nat.plugins.file.register import FileConfig
from nat.testing import RecordedRun
from nat.testing import replay as replay_one
from tests.support.chats import recorded_chats

Replay = Callable[[Telemetry, list[RecordedRun]], None]


def one_after_another(telemetry: Telemetry, recordings: list[RecordedRun]) -> None:
    for recording in recordings:
        replay_one(recording, telemetry)


def all_at_once_with_asyncio(telemetry: Telemetry, recordings: list[RecordedRun]) -> None:
    async def replay(recording: RecordedRun, everybody: asyncio.Barrier) -> None:
        await everybody.wait()
        replay_one(recording, telemetry)

    async def main() -> None:
        everybody = asyncio.Barrier(len(recordings))
        await asyncio.gather(*(replay(recording, everybody) for recording in recordings))

    asyncio.run(main())


def all_at_once_with_threads(telemetry: Telemetry, recordings: list[RecordedRun]) -> None:
    everybody = threading.Barrier(len(recordings))

    def replay(recording: RecordedRun) -> None:
        everybody.wait()
        replay_one(recording, telemetry)

    threads = [threading.Thread(target=replay, args=(recording,)) for recording in recordings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture
def recordings() -> list[RecordedRun]:
    return recorded_chats()


@pytest.mark.parametrize("replay", [one_after_another, all_at_once_with_asyncio, all_at_once_with_threads])
def test_every_step_of_every_run_is_in_the_file(tmp_path: Path, recordings: list[RecordedRun], replay: Replay) -> None:
    """40 runs give 40 roots, 579 model calls and 274 tool calls; one trace a run, every parent present."""
    file = tmp_path / "spans.jsonl"

    with Telemetry(FileConfig(output_path=str(file), format="spans")) as telemetry:
        replay(telemetry, recordings)

    spans = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    roots = {span["trace_id"]: span for span in spans if span["parent_span_id"] is None}
    kinds = Counter(span["attributes"]["openinference.span.kind"] for span in spans)
    assert kinds == {"CHAIN": 40, "LLM": 579, "TOOL": 274}
    assert len(roots) == 40
    assert sorted(root["name"] for root in roots.values()) == sorted(recording.name for recording in recordings)
    assert {(span["trace_id"], span["parent_span_id"]) for span in spans if span["parent_span_id"]} == {
        (trace_id, root["span_id"]) for trace_id, root in roots.items()
    }
    assert len({(span["trace_id"], span["span_id"]) for span in spans}) == len(spans)
    assert telemetry.status().exporters["file"].delivered == len(spans) == 893


def test_messages_arrive_as_they_were(tmp_path: Path, recordings: list[RecordedRun]) -> None:
    """The last model call of a run has every message before it, role and text, in order."""
    file = tmp_path / "spans.jsonl"
    recording = recordings[0]
    expected = [step.input for step in recording.steps if step.kind == "llm"][-1]

    with Telemetry(FileConfig(output_path=str(file), format="spans")) as telemetry:
        replay_one(recording, telemetry)

    spans = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    last = [span for span in spans if span["name"] == "chat"][-1]["attributes"]
    for index, message in enumerate(expected):
        assert last[f"llm.input_messages.{index}.message.role"] == message["role"]
        if message["content"]:
            assert last[f"llm.input_messages.{index}.message.content"] == message["content"]
    assert f"llm.input_messages.{len(expected)}.message.role" not in last
