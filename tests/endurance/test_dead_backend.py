"""A backend that is dead for a million spans: memory has a bound, and every span is counted."""

import gc
import os
import threading
import time
from pathlib import Path

import pytest

from nat.observability import DeliveryConfig, Telemetry, step
from nat.observability.delivery.spool import exporter_directory, survey
from nat.observability.ledger import Counts
from tests.support.collecting import registered
from tests.support.fault_backend import PostLists, PostSpans, closed_port, fault_backend_process

_SPANS = 1_000_000
_SPANS_PER_S = 5_000  # that any machine makes: with less than 200 s there are fewer than a million
_SPOOLED_SPANS = 200_000
_SPOOLED_PER_S = 2_000
_SPANS_PER_RUN = 1_000
_THREADS = 2
_BYTE_BUDGET = 256 * 2**20  # of the intake, as resident memory
_OVERHEAD_BYTES = 30 * 2**20


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def assert_balanced(counts: Counts) -> None:
    fates = counts.delivered + counts.rejected + sum(counts.dropped.values()) + counts.dead_lettered + counts.spooled
    assert counts.accepted + counts.recovered == fates + counts.pending
    assert min(counts.accepted, counts.delivered, counts.rejected, counts.pending, *counts.dropped.values()) >= 0


class Load:
    """Runs in several threads for a backend that is dead; memory and accounts are sampled throughout."""

    def __init__(self, telemetry: Telemetry, runs: int) -> None:
        with telemetry.run("warm up"), step("work"):
            pass
        telemetry.flush(0.5)
        gc.collect()
        self.before = resident_bytes()
        self.samples: list[int] = []
        self._telemetry = telemetry
        is_over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(is_over,))
        workers = [threading.Thread(target=self._work, args=(runs,)) for _ in range(_THREADS)]
        for thread in (watcher, *workers):
            thread.start()
        for thread in workers:
            thread.join()
        is_over.set()
        watcher.join()
        self.spans = runs * _SPANS_PER_RUN * _THREADS + 2

    @property
    def peak_bytes(self) -> int:
        """The most that it took beyond what there was before."""
        return max(*self.samples, resident_bytes()) - self.before

    def _watch(self, is_over: threading.Event) -> None:
        while not is_over.wait(0.1):
            self.samples.append(resident_bytes())
            assert_balanced(self._telemetry.status().exporters["dead"])

    def _work(self, runs: int) -> None:
        for _ in range(runs):
            with self._telemetry.run("load"):
                for number in range(_SPANS_PER_RUN - 1):
                    with step("call", kind="llm", model="small", input=f"question {number} " * 20) as call:
                        call.output = f"answer {number} " * 20


@pytest.mark.parametrize(("fault", "exporter"), [("refuses", PostSpans), ("hangs", PostLists)])
def test_a_million_spans_for_a_dead_backend(fault: str, exporter: type[PostSpans], seconds_per_test: float) -> None:
    """Resident memory stays within the budget plus 30 MB, sampled throughout; the ledger balances at any moment."""
    runs = min(_SPANS, int(seconds_per_test * _SPANS_PER_S)) // _THREADS // _SPANS_PER_RUN
    with fault_backend_process("hangs") as hanging:
        url = closed_port() if fault == "refuses" else hanging
        telemetry = Telemetry({"dead": registered(lambda: exporter(url))()}).start()
        load = Load(telemetry, runs)
        before_close = telemetry.status().exporters["dead"]
        peak_bytes = load.peak_bytes
        started = time.monotonic()
        status = telemetry.close(5.0).exporters["dead"]
        closing_s = time.monotonic() - started

    print(f"peak {peak_bytes / 2**20:.0f} MiB above {load.before / 2**20:.0f} MiB; {before_close}")
    assert_balanced(before_close)
    assert_balanced(status)
    assert (status.accepted, status.delivered, status.pending) == (load.spans, 0, 0)
    assert closing_s < 5.0 + 2.0
    assert peak_bytes < _BYTE_BUDGET + _OVERHEAD_BYTES


@pytest.mark.parametrize("exporter", [PostSpans, PostLists])
def test_a_dead_backend_costs_disk_and_not_memory_with_a_spool(
    exporter: type[PostSpans], tmp_path: Path, seconds_per_test: float
) -> None:
    """Each run waits for the disk, so nothing piles up before it; at the end, every span is there."""
    runs = max(1, min(_SPOOLED_SPANS, int(seconds_per_test * _SPOOLED_PER_S)) // _THREADS // _SPANS_PER_RUN)
    url = closed_port()
    delivery = DeliveryConfig.model_validate({"spool": {"directory": str(tmp_path), "wait": "run", "wait_timeout": 60}})
    telemetry = Telemetry({"dead": registered(lambda: exporter(url))()}, delivery=delivery).start()
    load = Load(telemetry, runs)
    peak_bytes = load.peak_bytes
    started = time.monotonic()
    status = telemetry.close(5.0).exporters["dead"]
    closing_s = time.monotonic() - started

    print(
        f"peak {peak_bytes / 2**20:.0f} MiB above {load.before / 2**20:.0f} MiB; closed in {closing_s:.2f} s; {status}"
    )
    assert_balanced(status)
    assert (status.accepted, status.spooled, status.lost, status.pending) == (load.spans, load.spans, 0, 0)
    assert sum(owner.items for owner in survey(exporter_directory(tmp_path, "dead"))) == load.spans
    assert closing_s < 5.0 + 2.0
    assert peak_bytes < _OVERHEAD_BYTES
