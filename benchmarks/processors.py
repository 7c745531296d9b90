"""What processors cost: microseconds a span on the telemetry thread, nothing on the agent's.

The run is that of `redaction.py`: 13 spans, four of them model calls with 1 KB in and 0.5 KB out. Spans are described anew for
each processor; the processors take turns, and each figure is the median of all rounds, in processor time.

    PYTHONPATH=. uv run benchmarks/processors.py
"""

import argparse
import gc
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from redaction import captured_spans

from nat.data_models.span import Span
from nat.observability.events import Run
from nat.observability.processor.blob_store import DirectoryStore
from nat.observability.processor.content_processor import ContentMode, ContentProcessor
from nat.observability.processor.enrich_processor import CostRules, EnrichProcessor
from nat.observability.processor.offload import Offload
from nat.observability.processor.prices import Price, PriceTable
from nat.observability.processor.run_totals import RunTotals
from nat.observability.processor.template import Template
from nat.observability.spans.describe import describe

Processor = ContentProcessor | EnrichProcessor


def processors(folder: Path) -> Mapping[str, Callable[[], Processor]]:
    """Each made anew for every round."""
    prices = CostRules(PriceTable({"gpt-4o": Price(2.5, 10.0)}))
    return {
        "content: truncate:300": lambda: ContentProcessor(ContentMode.of("truncate:300")),
        "content: metadata": lambda: ContentProcessor(ContentMode.of("metadata")),
        "content: none": lambda: ContentProcessor(ContentMode.of("none")),
        "content: offload, nothing to store": lambda: ContentProcessor(
            ContentMode.of("full"), Offload(DirectoryStore(folder), 16_384, keeps_texts=False)
        ),
        "enrich: two constants": lambda: EnrichProcessor({"team": "search", "environment": "test"}),
        "enrich: a template": lambda: EnrichProcessor({}, {"label": Template("{run.name}/{step.name}")}),
        "enrich: costs and totals": lambda: EnrichProcessor(costs=prices, totals=RunTotals(has_prices=True)),
    }


def microseconds(processor: Processor, items: list[tuple[Span, Run]]) -> float:
    """For one span; none of them waits for anything."""
    gc.collect()
    gc.disable()
    began_ns = time.thread_time_ns()
    for span, run in items:
        begun = processor.process_in(span, run) if isinstance(processor, EnrichProcessor) else processor.process(span)
        try:
            begun.send(None)
        except StopIteration:
            continue
    took_ns = time.thread_time_ns() - began_ns
    gc.enable()
    return took_ns / len(items) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    captured = captured_spans(40)
    found: defaultdict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name, make in processors(Path(folder)).items():
                found[name].append(microseconds(make(), [(describe(span), span.run) for span in captured]))
    for name, figures in found.items():
        print(f"{name:40} {statistics.median(figures):6.1f} us")


if __name__ == "__main__":
    main()
