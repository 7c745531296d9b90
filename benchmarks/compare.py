"""Compare: what recording an agent's runs costs, here and with others that do the same job.

All participants take turns, each in a process of its own, and send the same attributes (attributes.md) to one OTLP receiver on
this machine (sink.py), which counts what arrives. Figures are medians of the repetitions; what must hold is printed as kept or
broken, as ratios to the better of opentelemetry-sdk and nemo-relay, so that a busy machine changes little.

    uv run benchmarks/compare.py
    uv run benchmarks/compare.py --quick --only ours,otel
    uv run benchmarks/compare.py --write        # figures and plot into docs/explain/performance.md

The first call installs the others' packages, as locked in tools/environments/. With NAT_TEST_DATA, recorded runs are a second
workload. Exit code 1 if something that must hold does not, 2 if a participant fails.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.environments import installed  # noqa: E402  (a script's own folder comes first on the path)

HERE = ROOT / "benchmarks"
PAGE = ROOT / "docs" / "explain" / "performance.md"
PLOT = ROOT / "docs" / "explain" / "performance.svg"
_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True, slots=True)
class Participant:
    """One way to record runs.

    Attributes:
        key: Short name.
        title: What it is called in tables.
        program: In participants/.
        environment: Where its packages are; `None` is the workspace.
        distributions: Whose versions are told.
        share: Of the runs that others make: slow ones make fewer.
        most_exporters: How many it can have at the same time.
    """

    key: str
    title: str
    program: str
    environment: str | None
    distributions: Sequence[str]
    share: float = 1.0
    most_exporters: int = 8

    @property
    def python(self) -> str:
        return sys.executable if self.environment is None else str(installed(self.environment).python)


OURS = Participant("ours", "nat-telemetry, `step()`", "ours", None, ["nat-telemetry-core", "nat-telemetry-otlp"])
PUSH = replace(OURS, key="push", title="nat-telemetry, `push_intermediate_step`", program="ours_push")
DEFAULT = replace(OURS, key="default", title="nat-telemetry, `step()`, secrets redacted", program="ours_default")
OTEL = Participant("otel", "opentelemetry-sdk", "otel_sdk", "peer-opentelemetry", ["opentelemetry-sdk"])
RELAY = Participant("relay", "nemo-relay", "nemo_relay_runtime", "peer-nemo-relay", ["nemo-relay"])
NAT = Participant(
    "nat", "nvidia-nat-core", "nat_core", "peer-nvidia-nat", ["nvidia-nat-core", "nvidia-nat-opentelemetry"], 0.05
)
LOGFIRE = Participant("logfire", "logfire", "logfire_sdk", "peer-logfire", ["logfire"], 0.25)
LANGFUSE = Participant("langfuse", "langfuse", "langfuse_sdk", "peer-langfuse", ["langfuse"], 0.25, most_exporters=1)
CONVENTIONS = replace(
    OURS, key="conventions", title="nat-telemetry: otelcollector, langfuse, langsmith", program="ours_conventions"
)
NOTHING = Participant("nothing", "nobody", "nothing", None, [])
_SHOWN = (OURS, PUSH, DEFAULT, OTEL, RELAY, NAT, LOGFIRE, LANGFUSE)
PARTICIPANTS = (*_SHOWN, CONVENTIONS, NOTHING)


@dataclass(frozen=True, slots=True)
class Experiment:
    """What some participants are made to do.

    Attributes:
        key: Short name.
        kind: Scenario in participants/measuring.py.
        who: Keys of participants.
        runs: How many, full size.
        exporters: How many endpoints are sent to.
        is_lossless: Queues are as large as it takes; else they are as by default.
        more: Further settings of the scenario.
        workload: `"a"`, or the folder of recorded runs.
    """

    key: str
    kind: str
    who: Sequence[str]
    runs: int
    exporters: int = 1
    is_lossless: bool = True
    more: dict[str, Any] = field(default_factory=dict)
    workload: str = "a"


_MAIN = ("ours", "push", "otel", "relay")
_ALL = tuple(participant.key for participant in _SHOWN)
AT_ONCE = (1, 10, 100, 1000)
BUDGET, SMALL_BUDGET = 256 * 2**20, 16 * 2**20  # bytes that may be on their way: as by default, and too few for a burst
CONVENTION_TYPES = ("otelcollector", "langfuse", "langsmith")


def experiments(recorded: str | None) -> list[Experiment]:
    """All that is measured; workload (b) only where there are recorded runs."""
    found = [
        Experiment("steady", "steady", _ALL, 2_000),
        Experiment("build", "build", ("push",), 2_000),
        Experiment("exporters_3", "steady", ("ours", "push", "otel", "relay"), 1_000, exporters=3),
        Experiment("exporters_8", "steady", ("ours", "push", "otel", "relay"), 500, exporters=8),
        Experiment("conventions_3", "steady", ("conventions",), 1_000, exporters=3),
        *(
            Experiment(f"convention_{chosen}", "steady", ("conventions",), 1_000, more={"chosen": chosen})
            for chosen in CONVENTION_TYPES
        ),
        Experiment("empty_3", "empty", ("ours", "otel", "relay"), 2_000, exporters=3),
        *(
            Experiment(f"at_once_{count}", "concurrent", ("ours", "nothing"), 2_000, more={"at_once": count})
            for count in AT_ONCE
        ),
        Experiment("startup", "startup", _ALL, 1),
        Experiment("burst", "burst", _MAIN, 7_693, is_lossless=False),
        Experiment("burst_bounded", "burst", ("ours",), 7_693, is_lossless=False, more={"most_bytes": SMALL_BUDGET}),
        Experiment("flat", "flat", ("ours",), 100_000, more={"parts": 10}),
    ]
    if recorded is not None:
        found.append(Experiment("recorded", "steady", ("ours", "default", "otel"), 120, workload=recorded))
        found.append(Experiment("copies", "copies", ("ours", "otel"), 1, workload=recorded))
    return found


@dataclass(slots=True)
class Results:
    """All samples, by experiment and participant."""

    samples: dict[str, dict[str, list[dict[str, Any]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def has(self, experiment: str, *participants: str) -> bool:
        return all(self.samples.get(experiment, {}).get(participant) for participant in participants)

    def values(self, experiment: str, participant: str, figure: str) -> list[float]:
        return [sample[figure] for sample in self.samples[experiment][participant]]

    def median(self, experiment: str, participant: str, figure: str) -> float:
        return statistics.median(self.values(experiment, participant, figure))

    def shown(self, experiment: str, participant: str, column: "Column") -> str:
        """Median and spread."""
        values = [value / column.unit for value in self.values(experiment, participant, column.figure)]
        median, low, high = (
            f"{value:,.{column.digits}f}" for value in (statistics.median(values), min(values), max(values))
        )
        return median if low == high else f"{median} ({low} to {high})"


@dataclass(frozen=True, slots=True)
class Column:
    """A figure as it is shown."""

    figure: str
    title: str
    digits: int = 1
    unit: float = 1.0


class Sink:
    """The receiver, in a process of its own."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def forget(self) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/forget", method="POST")).close()

    def taken(self) -> dict[str, dict[str, int]]:
        with urllib.request.urlopen(f"{self.url}/taken") as answer:
            found: dict[str, dict[str, int]] = json.load(answer)
            return found


@contextmanager
def sink() -> Iterator[Sink]:
    process = subprocess.Popen([sys.executable, str(HERE / "sink.py")], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Sink(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


def measure(experiment: Experiment, participant: Participant, receiver: Sink, scale: float) -> dict[str, Any]:
    """One sample.

    Raises:
        subprocess.CalledProcessError: The participant fails.
    """
    receiver.forget()
    scenario = {
        "kind": experiment.kind,
        "workload": experiment.workload,
        "runs": max(20, round(experiment.runs * scale * (1.0 if experiment.kind == "burst" else participant.share))),
        "endpoints": [f"{receiver.url}/{participant.key}_{number}" for number in range(experiment.exporters)],
        "is_lossless": experiment.is_lossless,
        **experiment.more,
    }
    program = HERE / "participants" / f"{participant.program}.py"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OTEL_", "COV"))}
    started = time.perf_counter()
    command = [participant.python, "-W", "ignore", str(program), json.dumps(scenario)]
    with tempfile.TemporaryFile("w+") as errors:  # no pipe: it would fill up before anybody reads it
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        assert process.stdout is not None
        first = process.stdout.readline()
        ready_s = time.perf_counter() - started
        rest, _ = process.communicate()
        errors.seek(0)
        said = errors.read()[-4_000:]
    lines = (first + rest).splitlines()
    if process.returncode or not lines:
        raise subprocess.CalledProcessError(process.returncode, command, rest, said)
    sample: dict[str, Any] = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
    taken = receiver.taken()
    arrived = sum(found["spans"] for found in taken.values())
    sample["lost"] = 0 if participant is NOTHING else sample["recorded"] * experiment.exporters - arrived
    sample["bytes_per_span"] = sum(found["bytes"] for found in taken.values()) / arrived if arrived else 0
    sample["ready_ms"] = ready_s * 1e3
    return sample


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that must hold."""

    said: str
    is_kept: bool

    def __str__(self) -> str:
        return f"{'kept  ' if self.is_kept else 'BROKEN'}  {self.said}"


def verdicts(results: Results) -> Iterator[Verdict]:
    """What must hold, as far as it was measured."""
    if results.has("steady", "ours", "push", "otel", "relay"):
        yield from _against_peers(results)
    if results.has("steady", "push", "nat"):
        ours, theirs = (results.median("steady", who, "agent_cpu_us") for who in ("push", "nat"))
        yield _at_most("push_intermediate_step: CPU on the agent's thread, to nvidia-nat-core", ours / theirs, 0.12)
    for who in ("ours", "push"):
        yield from _of_exporters(results, who)
    if all(results.has(f"at_once_{count}", "ours", "nothing") for count in AT_ONCE):
        costs = [
            results.median(f"at_once_{count}", "ours", "agent_cpu_us")
            - results.median(f"at_once_{count}", "nothing", "agent_cpu_us")
            for count in AT_ONCE
        ]
        said = "1 to 1,000 runs at once: CPU on the agent's thread per span without the loop's own, most to one"
        yield _at_most(said, max(costs) / costs[0], 1.3)
    if results.has("flat", "ours"):
        yield from _flat(results)
    if results.has("empty_3", "ours"):
        cost = results.median("empty_3", "ours", "run_cpu_us")
        yield _at_most("start and end of a run with three exporters, µs", cost, 150)
    if results.has("recorded", "ours", "otel"):
        ours, theirs = (results.median("recorded", who, "total_cpu_us") for who in ("ours", "otel"))
        yield _at_most("recorded runs: total CPU, to opentelemetry-sdk", ours / theirs, 0.5)
    if results.has("copies", "ours"):
        yield from _copies(results)
    yield from _bursts(results)
    for experiment, by_participant in results.samples.items():
        if experiment == "burst_bounded":
            continue
        lost = sum(
            sample["lost"]
            for who in ("ours", "push", "default", "conventions")
            for sample in by_participant.get(who, [])
        )
        yield Verdict(f"{experiment}: spans lost {lost:,}", lost == 0)


def _against_peers(results: Results) -> Iterator[Verdict]:
    for who, share, budget_us in (("ours", 0.15, 12), ("push", 0.35, 25)):
        yield _of_better(results, f"{who}: CPU on the agent's thread per span", who, "agent_cpu_us", share, budget_us)
    yield _of_better(results, "ours: total CPU per span", "ours", "total_cpu_us", 0.22, 45)
    speed = results.median("steady", "ours", "spans_per_s")
    for peer, factor in (("relay", 2.5), ("otel", 4.0)):
        ratio = speed / results.median("steady", peer, "spans_per_s")
        yield Verdict(f"ours: spans per second {ratio:.2f} x {peer}, at least {factor} x", ratio >= factor)


def _of_better(results: Results, what: str, who: str, figure: str, share: float, budget_us: float) -> Verdict:
    ours = results.median("steady", who, figure)
    better = min(results.median("steady", peer, figure) for peer in ("otel", "relay"))
    limit = max(share * better, budget_us)
    said = f"{what} {ours:.1f} µs = {ours / better:.2f} x the better peer; at most {share} x or {budget_us} µs"
    return Verdict(said, ours <= limit)


def _of_exporters(results: Results, who: str) -> Iterator[Verdict]:
    for count, limit in ((3, 1.1), (8, 1.25)):
        if results.has(f"exporters_{count}", who) and results.has("steady", who):
            ratio = results.median(f"exporters_{count}", who, "agent_cpu_us") / results.median(
                "steady", who, "agent_cpu_us"
            )
            yield _at_most(f"{who}: {count} exporters, CPU on the agent's thread, to one", ratio, limit)
    if who == "ours" and results.has("exporters_3", who):
        ratio = results.median("exporters_3", who, "total_cpu_us") / results.median("steady", who, "total_cpu_us")
        yield _at_most(f"{who}: 3 exporters of the same bytes, total CPU, to one", ratio, 1.3)
    alone = [f"convention_{chosen}" for chosen in CONVENTION_TYPES]
    if who == "ours" and all(results.has(one, "conventions") for one in ("conventions_3", *alone)):
        costs = [results.median(one, "conventions", "total_cpu_us") for one in alone]
        ratio = results.median("conventions_3", "conventions", "total_cpu_us") / statistics.mean(costs)
        yield _at_most("ours: 3 exporters of different conventions, total CPU, to each alone on average", ratio, 1.9)


def _copies(results: Results) -> Iterator[Verdict]:
    large, small = (results.median("copies", "ours", figure) for figure in ("large_copies", "small_copies"))
    yield _at_most(
        "recorded runs: bytes for each byte of payload, the larger half of runs to the smaller", large / small, 1.0
    )


def _bursts(results: Results) -> Iterator[Verdict]:
    if results.has("burst", "ours"):
        grown = results.median("burst", "ours", "grown_bytes") / 2**20
        yield _at_most("burst: memory beyond that at its start, MiB, to the byte budget", grown, BUDGET / 2**20)
    if results.has("burst_bounded", "ours"):
        samples = results.samples["burst_bounded"]["ours"]
        lost, counted = (sum(sample[figure] for sample in samples) for figure in ("lost", "counted_lost"))
        yield Verdict(f"burst beyond its budget: {lost:,} spans lost, {counted:,} of them counted", lost == counted)


def _flat(results: Results) -> Iterator[Verdict]:
    parts = [sample["parts"] for sample in results.samples["flat"]["ours"]]
    first, last = (statistics.median(sample[index]["agent_cpu_us"] for sample in parts) for index in (0, -1))
    yield _at_most("run 100,000: CPU on the agent's thread, to the first ones", last / first, 1.3)
    grown = statistics.median(sample[-1]["resident_bytes"] - sample[1]["resident_bytes"] for sample in parts)
    yield _at_most("memory that finished runs leave behind, MB", grown / 1e6, 10)


def _at_most(what: str, value: float, limit: float) -> Verdict:
    return Verdict(f"{what} {value:.2f}, at most {limit}", value <= limit)


def tables(results: Results) -> str:
    """All figures, as Markdown."""
    titles = {participant.key: participant.title for participant in PARTICIPANTS}
    parts = []
    for experiment, title, columns in _TABLES:
        found = results.samples.get(experiment, {})
        if found:
            parts.append(f"| {title} | {' | '.join(column.title for column in columns)} | lost |")
            parts.append("|---" * (len(columns) + 2) + "|")
            for who in found:
                cells = [results.shown(experiment, who, column) for column in columns]
                lost = max(results.values(experiment, who, "lost"))
                parts.append(f"| {titles[who]} | {' | '.join(cells)} | {lost:,} |")
            parts.append("")
    return "\n".join(parts)


_AGENT = Column("agent_cpu_us", "CPU on the agent's thread, µs")
_CPU = (_AGENT, Column("total_cpu_us", "total CPU, µs"))
_SPEED = Column("spans_per_s", "spans/s until acknowledged", 0)
_PEAK = Column("peak_bytes", "peak memory, MB", 0, 1e6)
_GROWN = Column("grown_bytes", "of these by the burst", 0, 1e6)
_COPIES = (Column("small_copies", "smaller half of runs"), Column("large_copies", "larger half of runs"))
_BYTES = Column("bytes_per_span", "bytes sent", 0)
_TABLES: tuple[tuple[str, str, Sequence[Column]], ...] = (
    (
        "steady",
        "per span, (a)",
        (*_CPU, Column("agent_wall_us", "time on the agent's thread, µs"), _SPEED, _PEAK, _BYTES),
    ),
    ("build", "building two payloads, per span", [_AGENT]),
    ("exporters_3", "per span, three exporters of the same bytes", _CPU),
    ("exporters_8", "per span, eight exporters of the same bytes", _CPU),
    ("conventions_3", "per span, exporters of three conventions", _CPU),
    *((f"convention_{chosen}", f"per span, {chosen} alone", _CPU) for chosen in CONVENTION_TYPES),
    ("empty_3", "start and end of a run, three exporters", [Column("run_cpu_us", "CPU on the agent's thread, µs")]),
    *((f"at_once_{count}", f"per span, {count:,} runs at once", _CPU) for count in AT_ONCE),
    ("recorded", "per span, (b)", (*_CPU, _BYTES)),
    ("copies", "(b), memory given out for a byte of payload", _COPIES),
    ("burst", "100,000 spans at once, queues as by default", (_PEAK, _GROWN, _SPEED)),
    ("burst_bounded", "100,000 spans at once, 16 MiB for all that waits", (_PEAK, _GROWN, _SPEED)),
    ("startup", "from the start of Python to ready", [Column("ready_ms", "ms", 0)]),
)


def machine() -> str:
    """What this was measured on."""
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores of {model or platform.processor()}, {system}"


def versions(who: Sequence[Participant]) -> str:
    """Of the participants' distributions."""
    found = []
    for participant in [one for one in who if one.distributions]:
        code = "import sys, importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
        command = [participant.python, "-c", code, *participant.distributions]
        found.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    return ", ".join(dict.fromkeys(found))


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def write_page(text: str, results: Results) -> None:
    """Put the figures between the page's markers, and draw them."""
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(_BEGIN)
    PAGE.write_text(f"{head}{_BEGIN}\n\n{text}\n\n{_END}{rest.partition(_END)[2]}", encoding="utf-8")
    titles = {participant.key: participant.title.replace("`", "") for participant in PARTICIPANTS}
    shown = {titles[who]: samples for who, samples in results.samples["steady"].items()}
    plotter = [str(installed("plots").python), str(HERE / "plot.py"), str(PLOT)]
    subprocess.run(plotter, input=json.dumps(shown), text=True, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs: for ratios at a glance")
    keys = ",".join(participant.key for participant in PARTICIPANTS)
    parser.add_argument("--only", default=keys, help="participants, by key (default: %(default)s)")
    parser.add_argument("--experiments", default="", help="experiments, by key (default: all)")
    parser.add_argument("--write", action="store_true", help="put figures and plot into the documentation")
    parser.add_argument("--json", type=Path, default=None, help="keep all samples in this file")
    arguments = parser.parse_args()
    environments = [sys.executable, str(ROOT / "tools" / "environments.py"), "install", "--tier", "benchmarks"]
    subprocess.run(environments, check=True)
    chosen = [participant for participant in PARTICIPANTS if participant.key in arguments.only.split(",")]
    wanted = arguments.experiments.split(",") if arguments.experiments else None
    todo = [one for one in experiments(os.environ.get("NAT_TEST_DATA")) if wanted is None or one.key in wanted]
    results = Results()
    try:
        with sink() as receiver:
            for repetition in range(arguments.repetitions):
                for experiment in todo:
                    able = [
                        one
                        for one in chosen
                        if one.key in experiment.who and one.most_exporters >= experiment.exporters
                    ]
                    for participant in able[repetition % max(1, len(able)) :] + able[: repetition % max(1, len(able))]:
                        sample = measure(experiment, participant, receiver, 0.1 if arguments.quick else 1.0)
                        results.samples[experiment.key][participant.key].append(sample)
                        print(f"{repetition + 1}/{arguments.repetitions} {experiment.key} {participant.key}: {_short(sample)}",
                              file=sys.stderr)  # fmt: skip
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(error.cmd)}: exit code {error.returncode}\n{error.stderr}", file=sys.stderr)
        return 2
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results.samples))
    return report(results, chosen, arguments)


def report(results: Results, chosen: Sequence[Participant], arguments: argparse.Namespace) -> int:
    """Print everything, and write it down if that is wanted; the exit code."""
    about = f"{machine()}. {versions(chosen)}. Medians of {arguments.repetitions} repetitions, least and greatest in brackets."
    judged = list(verdicts(results))
    shown = tables(results)
    print(f"{about}\n\n{shown}\n")
    print(*judged, sep="\n")
    if arguments.write:
        listed = "\n".join(f"| {verdict.said} | {'kept' if verdict.is_kept else '**broken**'} |" for verdict in judged)
        write_page(f"{about}\n\n{shown}\n\n| what must hold | |\n|---|---|\n{listed}", results)
    return 0 if all(verdict.is_kept for verdict in judged) else 1


def _short(sample: dict[str, Any]) -> str:
    keys = ("agent_cpu_us", "total_cpu_us", "spans_per_s", "lost", "ready_ms")
    return ", ".join(f"{key} {sample[key]:,.1f}" for key in keys if key in sample)


if __name__ == "__main__":
    raise SystemExit(main())
