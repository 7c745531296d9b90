"""What redaction costs: microseconds a span on the telemetry thread, nothing on the agent's, and seconds for nasty texts.

The run has 13 spans: a workflow, four functions, each with a model call (1 KB in, 0.5 KB out, usage) and a tool call. Captured
spans are redacted as a lane does it, each for the first time; the profiles take turns, and each figure is the median of all
rounds.

    PYTHONPATH=. uv run benchmarks/redaction.py
"""

import argparse
import gc
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from nat.builder.context import ContextState
from nat.observability import RedactConfig, Telemetry, step
from nat.observability.events import CapturedStep, Run, new_trace_id
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.redaction.guard import Guard, guard_of
from nat.observability.redaction.redactor import Redactor
from nat.observability.redaction.rules import Rules, rules_of
from nat.observability.redaction.switches import Switches
from nat.observability.spans.capture import CapturedSpan, RunCapture

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.collecting import registered

_LARGE = 10_000_000
_QUESTION = "The quick brown fox jumps over the lazy dog near the river bank. " * 16
_ANSWER = "It was seen at noon by 3 people, who wrote it down in order 12345. " * 8
_UNITS = ("eyJ", "sk-", "eyJaaaaaaaa.", "a@a.", "1.1.1.", "://a:", "password=", "-----BEGIN PRIVATE KEY-----", "\\u0073",
          "sk-a1a1a1a1a1a1a1a1a1 ", '{"password":"', "4111111111111112 ", "DE89 3704 0044 ", "face::add ", "\\")  # fmt: skip


class Captured:
    """Takes what is captured."""

    wants_steps = False

    def __init__(self) -> None:
        self.spans: list[CapturedSpan] = []

    def record_step(self, step: CapturedStep, run: Run) -> None:
        """Not wanted."""

    def record_span(self, span: CapturedSpan, run: Run) -> None:
        self.spans.append(span)

    def record_end(self, run: Run) -> None:
        """Of no interest."""


def workload(number: int) -> None:
    """The run of 13 spans."""
    with step("workflow", kind="workflow", input={"question": _QUESTION[:200], "number": number}) as root:
        for index in range(4):
            with step(f"function_{index}", input={"index": index}) as function:
                messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": _QUESTION[:1000]}]
                with step("chat", kind="llm", input=messages, model="gpt-4o", parameters={"temperature": 0}) as call:
                    call.usage(prompt_tokens=250, completion_tokens=120)
                    call.output = {"role": "assistant", "content": _ANSWER[:500]}
                with step("search", kind="tool", input={"query": f"fox {number}"}) as tool:
                    tool.output = ["river", "bank"]
                function.output = "done"
        root.output = _ANSWER[:100]


def captured_spans(runs: int) -> list[CapturedSpan]:
    """The spans of so many runs, which nobody has redacted."""
    recorder = Captured()
    stream = ContextState.get().stream
    for number in range(runs):
        capture = RunCapture(Run(trace_id=new_trace_id(), name="workflow"), recorder)
        stream.attach(capture)
        workload(number)
        stream.detach(capture)
    return recorder.spans


def redaction_us(guard: Guard, runs: int) -> float:
    """Microseconds for a span."""
    spans = captured_spans(runs)
    gc.collect()
    gc.disable()
    before = time.process_time()
    for span in spans:
        guard.span(span)
    spent = time.process_time() - before
    gc.enable()
    return spent / len(spans) * 1e6


class Answering(SpanExporter):  # type: ignore[type-arg]  # of spans
    """Takes everything at once."""

    async def export_processed(self, item: object) -> None:
        """Nothing to do."""


def agent_us(profile: str, runs: int) -> float:
    """Microseconds of the agent's own thread for a span."""
    with Telemetry(registered(Answering)(), redact=RedactConfig.model_validate({"profile": profile})) as telemetry:
        before = time.thread_time()
        for number in range(runs):
            with telemetry.run("run"):
                workload(number)
        spent = time.thread_time() - before
    return spent / (runs * 14) * 1e6


def large_s(redactor: Redactor) -> Iterator[tuple[str, float]]:
    """Seconds for 10 MB of what is nearly something, again and again something, or nothing at all."""
    letters = "".join(map(chr, range(32, 127)))
    texts = {unit: unit * (_LARGE // len(unit)) for unit in _UNITS}
    texts["random printable"] = "".join(random.Random(1).choices(letters, k=_LARGE))
    for name, text in texts.items():
        before = time.perf_counter()
        redactor.text(text)
        yield name, time.perf_counter() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runs", type=int, default=300, help="of 13 spans, in one round")
    arguments = parser.parse_args()
    profiles = {
        "secrets": Rules(),
        "pii": Rules(profile="pii"),
        "pii and own": rules_of(RedactConfig(profile="pii", patterns={"e": r"E-\d{6}"}, fields=["diagnosis", "*_id"])),
    }
    cases: dict[str, Callable[[], float]] = {}
    for name, rules in profiles.items():
        guard = guard_of(rules, Switches())
        cases[f"redacting, {name}: us a span"] = lambda guard=guard: redaction_us(guard, arguments.runs)  # type: ignore[misc]  # mypy 1 cannot infer it
    for name in ("none", "secrets", "pii"):
        cases[f"agent's thread, {name}: us a span"] = lambda name=name: agent_us(name, arguments.runs)  # type: ignore[misc]  # mypy 1 cannot infer it
    figures: dict[str, list[float]] = defaultdict(list)
    for _ in range(arguments.rounds + 1):
        for name, measure in cases.items():
            figures[name].append(measure())
    for name, values in figures.items():
        warm = values[1:]
        print(f"{name:45} {statistics.median(warm):6.2f}  ({min(warm):.2f} to {max(warm):.2f})")
    for profile in ("secrets", "pii"):
        slowest = max(large_s(Redactor(profiles[profile])), key=lambda pair: pair[1])
        print(f"10 MB, {profile}, slowest of {len(_UNITS) + 1}: {slowest[1]:.2f} s ({slowest[0]!r})")


if __name__ == "__main__":
    main()
