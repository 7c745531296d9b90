"""What is measured of a participant, in a process of its own. Standard library only: it runs in every environment.

A participant's program ends with `main(Participant())`; its argument is a scenario as JSON, what it prints last is the result.
"""

import asyncio
import json
import resource
import statistics
import sys
import time
import tracemalloc
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from workload import Node, count, recorded_runs, synthetic_run

_WARM_RUNS = 40


class Participant(ABC):
    """One way to record runs.

    Attributes:
        loop: Where coroutines must run, if that matters.
        chosen: The only one of its exporters that the scenario wants; `None` for all.
        most_bytes: What may be on its way; `None` as by default.
    """

    loop: asyncio.AbstractEventLoop | None = None
    chosen: str | None = None
    most_bytes: int | None = None

    @abstractmethod
    def start(self, endpoints: list[str], *, is_lossless: bool) -> None:
        """Be ready to record, for an exporter for each of the endpoints (URLs without a path).

        Args:
            endpoints: Base URLs.
            is_lossless: Whether queues are to be so large that nothing is lost; else everything is as it is by default.
        """

    @abstractmethod
    def play(self, run: Node) -> None:
        """Record one run as code that uses this participant would."""

    @abstractmethod
    async def play_async(self, run: Node) -> None:
        """The same in a coroutine that lets others go on (`asyncio.sleep(0)`) in each step."""

    @abstractmethod
    def flush(self) -> None:
        """Return when everything was acknowledged, or given up."""

    def counted_lost(self) -> int:
        """How many spans it says are lost."""
        return 0

    def build(self, run: Node) -> None:
        """Only make what `play` passes on, where that is worth a figure of its own."""
        raise NotImplementedError


def main(participant: Participant) -> None:
    scenario = json.loads(sys.argv[1])
    participant.chosen = scenario.get("chosen")
    participant.most_bytes = scenario.get("most_bytes")
    participant.start(scenario["endpoints"], is_lossless=scenario.get("is_lossless", True))
    result = _SCENARIOS[scenario["kind"]](participant, scenario)
    print(json.dumps({**result, "recorded": _recorded[0], "counted_lost": participant.counted_lost()}), flush=True)


_recorded = [0]  # spans, those of warming up among them


def _steady(participant: Participant, scenario: dict[str, Any]) -> dict[str, float]:
    """Runs flat out from one thread, until everything was acknowledged."""
    runs = _runs(scenario)
    _warm(participant, runs)
    times = scenario["runs"]
    return _timed(participant, lambda number: participant.play(runs[number % len(runs)]), times, _spans(runs, times))


def _concurrent(participant: Participant, scenario: dict[str, Any]) -> dict[str, float]:
    """So many runs at the same time, in one event loop."""
    runs, at_once = _runs(scenario), scenario["at_once"]
    _warm(participant, runs)
    rounds = max(1, scenario["runs"] // at_once)

    async def together() -> None:
        for _ in range(rounds):
            await asyncio.gather(*(participant.play_async(runs[number % len(runs)]) for number in range(at_once)))

    loop = participant.loop or asyncio.new_event_loop()
    return _timed(participant, lambda _: loop.run_until_complete(together()), 1, rounds * _spans(runs, at_once))


def _empty(participant: Participant, scenario: dict[str, Any]) -> dict[str, float]:
    """Runs without any step: starting and ending is all there is."""
    runs = [Node("workflow", "assistant", "Which flight shall I take?", "The one at noon.")]
    _warm(participant, runs)
    return _timed(participant, lambda _: participant.play(runs[0]), scenario["runs"], scenario["runs"])


def _build(participant: Participant, scenario: dict[str, Any]) -> dict[str, float]:
    """Only what the caller makes; nothing is recorded."""
    runs = _runs(scenario)
    _recorded[0] = -_spans(runs, scenario["runs"])
    times = scenario["runs"]
    return _timed(participant, lambda number: participant.build(runs[number % len(runs)]), times, _spans(runs, times))


def _flat(participant: Participant, scenario: dict[str, Any]) -> dict[str, Any]:
    """Many small runs in parts: what each part costs, and the memory after it."""
    runs = [Node("workflow", "assistant", "q", "a", children=[Node("tool", "search", {"query": "q"}, "a")])]
    _warm(participant, runs)
    parts = []
    for _ in range(scenario["parts"]):
        times = scenario["runs"] // scenario["parts"]
        part = _timed(participant, lambda _: participant.play(runs[0]), times, 2 * times)
        parts.append({"agent_cpu_us": part["agent_cpu_us"], "resident_bytes": _resident_bytes()})
    return {"parts": parts, "spans": scenario["runs"] * 2}


def _copies(participant: Participant, scenario: dict[str, Any]) -> dict[str, float]:
    """Runs one by one, each delivered before the next: the memory that Python's allocators give out for it at most.

    That is all copies of what a run says, from its capture to its acknowledgement, for each byte of what it says.
    """
    runs = sorted(_runs(scenario), key=_payload)
    _warm(participant, runs)
    tracemalloc.start()
    found = []
    for run in runs:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        participant.play(run)
        participant.flush()
        found.append((tracemalloc.get_traced_memory()[1] - before) / _payload(run))
    tracemalloc.stop()
    _recorded[0] += _spans(runs, len(runs))
    half = len(runs) // 2
    return {
        "spans": _spans(runs, len(runs)),
        "small_copies": statistics.median(found[:half]),
        "large_copies": statistics.median(found[-half:]),
    }


def _payload(run: Node) -> int:
    """Bytes of everything that goes in and comes out, in all of its spans."""
    own = sum(len(value if isinstance(value, str) else json.dumps(value)) for value in (run.input, run.output) if value)
    return own + sum(map(_payload, run.children))


def _startup(participant: Participant, _: dict[str, Any]) -> dict[str, float]:
    """Ready to record: the time is the caller's to take."""
    return {"spans": 0}


_SCENARIOS = {
    "steady": _steady,
    "burst": _steady,
    "concurrent": _concurrent,
    "empty": _empty,
    "build": _build,
    "copies": _copies,
    "flat": _flat,
    "startup": _startup,
}


def _runs(scenario: dict[str, Any]) -> list[Node]:
    return [synthetic_run()] if scenario["workload"] == "a" else recorded_runs(Path(scenario["workload"]))


def _warm(participant: Participant, runs: list[Node]) -> None:
    for number in range(_WARM_RUNS):
        participant.play(runs[number % len(runs)])
    participant.flush()
    _recorded[0] += _spans(runs, _WARM_RUNS)


def _spans(runs: list[Node], times: int) -> int:
    counts = [count(run) for run in runs]
    return sum(counts[number % len(counts)] for number in range(times))


def _timed(participant: Participant, play: Any, times: int, spans: int) -> dict[str, float]:
    before = _resident_bytes()
    agent_cpu, process_cpu, wall = time.thread_time_ns(), time.process_time_ns(), time.perf_counter_ns()
    for number in range(times):
        play(number)
    agent_cpu, agent_wall = time.thread_time_ns() - agent_cpu, time.perf_counter_ns() - wall
    participant.flush()
    wall, process_cpu = time.perf_counter_ns() - wall, time.process_time_ns() - process_cpu
    _recorded[0] += spans
    return {
        "spans": spans,
        "agent_cpu_us": agent_cpu / spans / 1e3,
        "agent_wall_us": agent_wall / spans / 1e3,
        "total_cpu_us": process_cpu / spans / 1e3,
        "spans_per_s": spans / wall * 1e9,
        "run_cpu_us": agent_cpu / times / 1e3,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "grown_bytes": max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before),
    }


def _resident_bytes() -> int:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize()
