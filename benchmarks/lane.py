"""What a spool costs a lane: spans a second on the exporter's thread, with a backend that answers at once.

Spans of about 1 KB go through a lane as the telemetry thread would hand them over, to an exporter of single items and to one
of lists. Each figure is the median of the rounds, in microseconds a span; the rounds go through all cases in turn.

    uv run benchmarks/lane.py --directory /var/tmp
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

from nat.data_models.span import Span, SpanContext
from nat.observability.delivery.options import DeliveryOptions, SpoolOptions
from nat.observability.delivery.worker import Lane
from nat.observability.exporter.base_exporter import LaneView
from nat.observability.exporter.processing_exporter import ProcessingExporter

_AT_ONCE = 250  # that one distribution of the intake hands over


class Answering(ProcessingExporter[Span, Span]):
    """Takes everything at once."""

    async def export_processed(self, item: Any) -> None:
        """Nothing to do."""


def spans(count: int) -> list[Span]:
    return [
        Span(
            name="call",
            context=SpanContext(trace_id=1 + number // 20, span_id=number + 1),
            attributes={
                "openinference.span.kind": "LLM",
                "input.value": f"question {number} " * 25,
                "output.value": f"answer {number} " * 25,
                "llm.model_name": "small",
                "llm.token_count.prompt": number,
            },
        )
        for number in range(count)
    ]


async def cost_us(items: list[Span], options: DeliveryOptions) -> float:
    """Microseconds of this thread's processor time for each span, from its submission to its acknowledgement."""
    exporter = Answering()
    lane = Lane("bench", LaneView(exporter), options, is_solo=True)
    exporter.use_lane(lane)
    async with exporter.start():
        before = time.perf_counter()
        for start in range(0, len(items), _AT_ONCE):
            for item in items[start : start + _AT_ONCE]:
                lane.submit(item)
            await asyncio.sleep(0)
        await lane.flush()
        took_s = time.perf_counter() - before
    assert lane.ledger.counts().delivered == len(items)
    return took_s / len(items) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=None, help="where the spool is (default: the system's)")
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    policies: tuple[Literal["never", "batch"] | None, ...] = (None, "never", "batch")
    items = spans(arguments.spans)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(arguments.rounds):
        for takes_lists in (False, True):
            for fsync in policies:
                with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
                    spool = None if fsync is None else SpoolOptions(Path(directory), fsync=fsync)
                    options = DeliveryOptions(
                        takes_lists=takes_lists, batch_size=100, concurrency=2 if takes_lists else 8, spool=spool
                    )
                    case = ("lists" if takes_lists else "items", fsync or "no spool")
                    found[case].append(asyncio.run(cost_us(items, options)))
    for (kind, policy), costs in found.items():
        print(f"{kind:6} {policy:9} {statistics.median(costs):7.1f} us a span ({min(costs):.1f} to {max(costs):.1f})")


if __name__ == "__main__":
    main()
