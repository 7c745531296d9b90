"""Load for as long as we are given: nothing is lost, nothing piles up."""

import gc
import os
import threading
import time
from pathlib import Path

from nat.observability import Telemetry, step

_WORKERS = 4
_STEPS_PER_RUN = 20
_EVENTS_PER_RUN = 2 * (_STEPS_PER_RUN + 1)  # START and END of every step and of the run

WORKFLOW = """\
general:
  telemetry:
    tracing:
      steps: {{_type: file, output_path: {folder}/steps.jsonl}}
      spans: {{_type: file, output_path: {folder}/spans.jsonl, format: spans}}
"""


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def agent(telemetry: Telemetry, until: float, counts: list[int]) -> None:
    """Run an agent again and again; the number of its runs is appended."""
    runs = 0
    while time.monotonic() < until:
        with telemetry.run("load", input=runs) as run:
            for number in range(_STEPS_PER_RUN):
                with step("call", kind="llm", model="small", input=[{"role": "user", "content": "x" * 500}]) as call:
                    call.output = f"answer {number}"
            run.output = runs
        runs += 1
        telemetry.flush(timeout=60)
    counts.append(runs)


def test_long_load_loses_nothing_and_keeps_its_memory(tmp_path: Path, seconds_per_test: float) -> None:
    """Every event of every run is in both files, and memory after the load is what it was after a tenth of it."""
    (tmp_path / "workflow.yaml").write_text(WORKFLOW.format(folder=tmp_path))
    started = time.monotonic()
    counts: list[int] = []

    with Telemetry.from_file(tmp_path / "workflow.yaml") as telemetry:
        workers = [
            threading.Thread(target=agent, args=(telemetry, started + seconds_per_test, counts))
            for _ in range(_WORKERS)
        ]
        for worker in workers:
            worker.start()
        threading.Event().wait(seconds_per_test / 10)
        early_bytes = resident_bytes()
        for worker in workers:
            worker.join()
        status = telemetry.flush(timeout=60)
        gc.collect()
        late_bytes = resident_bytes()

    runs = sum(counts)
    assert runs > 0
    assert len(counts) == _WORKERS
    assert {name: exporter.lost for name, exporter in status.exporters.items()} == {"steps": 0, "spans": 0}
    assert {name: exporter.pending for name, exporter in status.exporters.items()} == {"steps": 0, "spans": 0}
    with (tmp_path / "steps.jsonl").open("rb") as lines:
        assert sum(1 for _ in lines) == runs * _EVENTS_PER_RUN
    with (tmp_path / "spans.jsonl").open("rb") as lines:
        assert sum(1 for _ in lines) == runs * (_STEPS_PER_RUN + 1)
    assert late_bytes - early_bytes < 32 * 2**20
