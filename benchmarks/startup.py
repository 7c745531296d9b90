"""Start-up: what a user waits for before the first step, against its budgets.

Each figure is the median, over interleaved rounds, of whole processes from start to end, with all bytecode compiled.
`import pydantic` is measured in the same rounds, since two budgets are stated against it. Budgets are for an idle
machine; the processor time beside them says whether it was one.

    uv run benchmarks/startup.py
    uv run benchmarks/startup.py --rounds 40 --importtime 25

Exit code 1 if a budget is exceeded, 2 if a command fails.
"""

import argparse
import compileall
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FRONT_DOOR = "from nat.observability import Telemetry, step, observe"

_NAT = str(Path(sys.executable).parent / "nat")
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}


@dataclass(frozen=True, slots=True)
class Sample:
    """One process, in milliseconds: from start to end, and of processor time."""

    wall_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Subject:
    """One command to time; `budget_ms` gives its limit from the median of `import pydantic`."""

    name: str
    command: Sequence[str]
    budget: str = ""
    budget_ms: Callable[[float], float] | None = None


PYDANTIC = Subject("import pydantic", (sys.executable, "-c", "import pydantic"))
SUBJECTS = (
    Subject("python, nothing imported", (sys.executable, "-c", "pass")),
    PYDANTIC,
    Subject(FRONT_DOOR, (sys.executable, "-c", FRONT_DOOR), "import pydantic + 80 ms", lambda base: base + 80),
    Subject("nat --version", (_NAT, "--version"), "150 ms", lambda base: 150),
    Subject(
        "nat info components -t tracing",
        (_NAT, "info", "components", "-t", "tracing"),
        "2.5 x import pydantic",
        lambda base: 2.5 * base,
    ),
)


def compile_all() -> None:
    """Compile what is installed and what is under development, as an installer does."""
    for folder in (sysconfig.get_path("purelib"), *ROOT.glob("packages/*/src")):
        compileall.compile_dir(str(folder), quiet=2, workers=0)


def measure(rounds: int) -> dict[str, list[Sample]]:
    """Samples of every subject, one per round, after one round that warms the disk cache.

    Raises:
        subprocess.CalledProcessError: A command failed.
    """
    samples: dict[str, list[Sample]] = {subject.name: [] for subject in SUBJECTS}
    for number in range(rounds + 1):
        for subject in SUBJECTS:
            sample = _time(subject.command)
            if number:
                samples[subject.name].append(sample)
    return samples


def report(samples: Mapping[str, list[Sample]]) -> bool:
    """Print the table, in milliseconds; whether every budget is kept."""
    base = _median(samples[PYDANTIC.name])
    kept = True
    print(f"{'':<56} {'median':>8} {'best':>8} {'cpu':>8} {'budget':>8}")
    for subject in SUBJECTS:
        median = _median(samples[subject.name])
        best = min(sample.wall_ms for sample in samples[subject.name])
        cpu = statistics.median(sample.cpu_ms for sample in samples[subject.name])
        line = f"{subject.name:<56} {median:>8.1f} {best:>8.1f} {cpu:>8.1f}"
        if subject.budget_ms is not None:
            limit = subject.budget_ms(base)
            kept = kept and median <= limit
            verdict = "kept" if median <= limit else "EXCEEDED"
            line += f" {limit:>8.1f}  {verdict} ({subject.budget})"
        print(line)
    return kept


def import_evidence(top: int) -> None:
    """Print where the front door's import time goes: own time by top-level package, and the costliest modules."""
    done = _run([sys.executable, "-X", "importtime", "-c", FRONT_DOOR])
    own_us: dict[str, int] = {}
    for line in done.stderr.splitlines():
        if line.startswith("import time:") and "[us]" not in line:
            self_us, _, module = line.removeprefix("import time:").split("|")
            own_us[module.strip()] = int(self_us)
    by_package: dict[str, int] = defaultdict(int)
    for name, own in own_us.items():
        by_package[name.split(".")[0]] += own
    print(f"\n-X importtime {FRONT_DOOR!r}: {len(own_us)} modules, {sum(own_us.values()) / 1000:.1f} ms")
    for title, costs in (("by package", by_package), ("by module", own_us)):
        print(f"\n{'own ms':>8}  {title}")
        for name, own in sorted(costs.items(), key=lambda item: -item[1])[:top]:
            print(f"{own / 1000:>8.1f}  {name}")


def _median(samples: Sequence[Sample]) -> float:
    return statistics.median(sample.wall_ms for sample in samples)


def _time(command: Sequence[str]) -> Sample:
    cpu_before, started = _children_cpu_s(), time.perf_counter()
    _run(command)
    ended = time.perf_counter()
    return Sample((ended - started) * 1000, (_children_cpu_s() - cpu_before) * 1000)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True, check=True, cwd=ROOT)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure start-up against its budgets.")
    parser.add_argument("--rounds", type=int, default=20, help="measured rounds (default: %(default)s)")
    parser.add_argument("--importtime", type=int, default=15, metavar="N", help="show the N costliest imports")
    arguments = parser.parse_args()
    compile_all()
    try:
        kept = report(measure(arguments.rounds))
        import_evidence(arguments.importtime)
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(error.cmd)}: exit code {error.returncode}\n{error.stderr}", file=sys.stderr)
        return 2
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
