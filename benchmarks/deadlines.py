"""Deadlines: how much one bad exporter of eight delays the start, and how far flush and close overrun their timeout.

Each of the ways to misbehave (raise, hang, block the thread, refuse to be cancelled) in each part of an exporter's life
(registration function, start, processor, export_processed, _flush, _cleanup), beside seven good exporters. The budgets are for
an idle machine.

    uv run benchmarks/deadlines.py

Exit code 1 if a budget is exceeded or a good exporter loses a span.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

START_BUDGET_S = 0.1
OVERRUN_BUDGET_S = 0.5


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    from tests.support.bad_exporter import MANNERS, PLACES, SPANS, Manners, bad_config, life_beside

    logging.disable()
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; milliseconds beyond the usual start, and beyond the timeout"
    )
    print(f"{'place':18} {'manner':22} {'start':>8} {'flush':>8} {'close':>8}")
    is_kept = True
    for place in PLACES:
        for manner in MANNERS:
            manners = Manners()
            life = life_beside(bad_config(place, getattr(manners, manner)))
            manners.is_over.set()
            start_s, flush_s, close_s = life.start_delay_s, life.flush_overrun_s, life.close_overrun_s
            is_kept &= start_s < START_BUDGET_S and max(flush_s, close_s) < OVERRUN_BUDGET_S
            is_kept &= life.received == [SPANS] * 7
            figures = " ".join(f"{max(value, 0) * 1e3:8.0f}" for value in (start_s, flush_s, close_s))
            print(f"{place:18} {manner:22} {figures}")
    said = "kept" if is_kept else "exceeded"
    print(
        f"budgets: start {START_BUDGET_S * 1e3:.0f} ms, deadlines {OVERRUN_BUDGET_S * 1e3:.0f} ms, no span lost: {said}"
    )
    sys.stdout.flush()
    os._exit(0 if is_kept else 1)  # what still blocks would be waited for


if __name__ == "__main__":
    main()
