"""A backend that is dead for a million spans: memory has a bound, and every span is counted."""

import gc
import os
import threading
import time
from pathlib import Path

import pytest

from nat.observability import Telemetry, step
from nat.observability.ledger import Counts
from tests.support.collecting import registered
from tests.support.fault_backend import HANGS, PostLists, PostSpans, closed_port, running_fault_backend

_SPANS = 1_000_000
_SPANS_PER_S = 5_000  # that any machine makes: with less than 200 s there are fewer than a million
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


@pytest.mark.parametrize(("fault", "exporter"), [("refuses", PostSpans), ("hangs", PostLists)])
def test_a_million_spans_for_a_dead_backend(fault: str, exporter: type[PostSpans], seconds_per_test: float) -> None:
    """Resident memory stays within the budget plus 30 MB, sampled throughout; the ledger balances at any moment."""
    runs = min(_SPANS, int(seconds_per_test * _SPANS_PER_S)) // _THREADS // _SPANS_PER_RUN
    with running_fault_backend() as backend:
        backend.from_now_on(HANGS)
        url = closed_port() if fault == "refuses" else backend.url
        telemetry = Telemetry({"dead": registered(lambda: exporter(url))()}).start()
        with telemetry.run("warm up"), step("work"):
            pass
        telemetry.flush(0.5)
        gc.collect()
        before = resident_bytes()
        samples: list[int] = []
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.wait(0.1):
                samples.append(resident_bytes())
                assert_balanced(telemetry.status().exporters["dead"])

        def work() -> None:
            for _ in range(runs):
                with telemetry.run("load"):
                    for number in range(_SPANS_PER_RUN - 1):
                        with step("call", kind="llm", model="small", input=f"question {number} " * 20) as call:
                            call.output = f"answer {number} " * 20

        watcher = threading.Thread(target=watch)
        workers = [threading.Thread(target=work) for _ in range(_THREADS)]
        for thread in (watcher, *workers):
            thread.start()
        for thread in workers:
            thread.join()
        is_over.set()
        watcher.join()
        samples.append(resident_bytes())
        before_close = telemetry.status().exporters["dead"]
        started = time.monotonic()
        status = telemetry.close(5.0).exporters["dead"]
        closing_s = time.monotonic() - started

    made = runs * _SPANS_PER_RUN * _THREADS + 2
    print(f"peak {(max(samples) - before) / 2**20:.0f} MiB above {before / 2**20:.0f} MiB; {before_close}")
    assert_balanced(before_close)
    assert_balanced(status)
    assert (status.accepted, status.delivered, status.pending) == (made, 0, 0)
    assert closing_s < 5.0 + 2.0
    assert max(samples) - before < _BYTE_BUDGET + _OVERHEAD_BYTES
