"""Event-loop delay: what an agent on an asyncio loop feels of telemetry whose backend fails, against its budget.

The agent makes 2,000 spans a second in bursts, as agents do, and a ticker on the same loop notes how late it is woken. The same
load runs without telemetry in alternating rounds; the difference at the 99.9th percentile is what telemetry causes. Each round
is a process of its own, and so is the backend, so that it takes none of the agent's interpreter. The budget is for an idle
machine; the load average beside the figures says whether it was one.

    uv run benchmarks/event_loop_delay.py
    uv run benchmarks/event_loop_delay.py --rounds 10 --seconds 10 --faults hangs 503

Exit code 1 if the budget is exceeded, 2 if a round fails.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BUDGET_MS = 10.0
FAULTS = ("none", "healthy", "hangs", "refuses", "503", "resets", "trickles")
_SPANS_PER_S = 2_000
_BURST = 10  # spans between two turns of the loop
_TICK_S = 0.001


async def agent(telemetry: Any, seconds: float) -> None:
    """Spans at a steady rate, a burst at a time."""
    from nat.observability import step

    begun = time.perf_counter()
    made = 0
    question = [{"role": "user", "content": "what is it? " * 20}]
    with telemetry.run("agent", input=question) as run:
        while (elapsed_s := time.perf_counter() - begun) < seconds:
            due = int(elapsed_s * _SPANS_PER_S)
            while made < due:
                for _ in range(_BURST):
                    with step("call", kind="llm", model="small", input=question) as call:
                        call.output = "it is this. " * 20
                made += _BURST
                await asyncio.sleep(0)
            await asyncio.sleep(_TICK_S)
        run.output = made


async def delays_ms(work: "asyncio.Task[None]") -> list[float]:
    """How much later than asked for the ticker is woken, tick by tick, while the agent works."""
    late: list[float] = []
    while not work.done():
        before = time.perf_counter()
        await asyncio.sleep(_TICK_S)
        late.append((time.perf_counter() - before - _TICK_S) * 1_000)
    await work
    return late


def one_round(fault: str, url: str, seconds: float) -> None:
    """Print one round's percentiles as JSON; `none` is the load without telemetry."""
    from nat.observability import Telemetry
    from tests.support.collecting import registered
    from tests.support.fault_backend import PostLists, PostSpans

    exporters = []
    if fault != "none":
        exporters = [registered(lambda: PostSpans(url))(), registered(lambda: PostLists(url))()]

    async def main() -> list[float]:
        telemetry = Telemetry(*exporters).start()
        late = await delays_ms(asyncio.create_task(agent(telemetry, seconds)))
        await telemetry.aclose(1.0)
        return late

    late = sorted(asyncio.run(main()))
    print(json.dumps({"median": statistics.median(late), "p999": late[int(len(late) * 0.999)], "max": late[-1]}))


@contextmanager
def backend(fault: str) -> Iterator[str]:
    """The URL of a backend in a process of its own."""
    from tests.support.fault_backend import closed_port, fault_backend_process

    if fault in ("none", "refuses"):
        yield closed_port()
        return
    with fault_backend_process(fault) as url:
        yield url


def measure(fault: str, seconds: float) -> dict[str, float]:
    with backend(fault) as url:
        command = [sys.executable, __file__, "--round", fault, "--url", url, "--seconds", str(seconds)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        print(f"{fault}: failed\n{result.stderr}", file=sys.stderr)
        raise SystemExit(2)
    figures: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return figures


def compare(faults: Sequence[str], rounds: int, seconds: float) -> bool:
    """Print a line for each fault; whether all keep the budget."""
    figures: dict[str, list[dict[str, float]]] = {fault: [] for fault in ("none", *faults)}
    for _ in range(rounds):
        for fault, samples in figures.items():
            samples.append(measure(fault, seconds))
    base = statistics.median(sample["p999"] for sample in figures["none"])
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {rounds} rounds of {seconds:g} s, {_SPANS_PER_S} spans/s"
    )
    print(f"{'backend':10} {'median':>10} {'p99.9':>10} {'longest':>10} {'caused':>10}")
    is_kept = True
    for fault, samples in figures.items():
        median, p999 = (statistics.median(sample[name] for sample in samples) for name in ("median", "p999"))
        longest = max(sample["max"] for sample in samples)
        caused = p999 - base
        is_kept = is_kept and caused < BUDGET_MS
        print(f"{fault:10} {median:7.2f} ms {p999:7.2f} ms {longest:7.2f} ms {caused:7.2f} ms")
    print(f"budget: less than {BUDGET_MS:g} ms caused at p99.9: {'kept' if is_kept else 'exceeded'}")
    return is_kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round")
    parser.add_argument("--faults", nargs="+", choices=FAULTS[1:], default=FAULTS[1:])
    parser.add_argument("--round", choices=FAULTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.round:
        one_round(arguments.round, arguments.url, arguments.seconds)
    elif not compare(arguments.faults, arguments.rounds, arguments.seconds):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
