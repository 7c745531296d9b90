"""The plot of docs/explain/performance.md: what a span costs. Reads samples by title as JSON from standard input.

plot.py FILE.svg < samples.json
"""

import json
import statistics
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "nat-telemetry"  # the same figures give the same file
import matplotlib.pyplot as plt  # noqa: E402  (the backend is chosen before)

FIGURES = (("agent_cpu_us", "on the agent's thread"), ("total_cpu_us", "in total"))


def main() -> None:
    samples = json.load(sys.stdin)
    titles = list(reversed(samples))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 0.6 * len(titles) + 1.6), sharey=True)
    height = 0.38
    for index, (key, label) in enumerate(FIGURES):
        values = [[sample[key] for sample in samples[title]] for title in titles]
        places = [place + (0.5 - index) * height for place in range(len(titles))]
        left.barh(places, [statistics.median(each) for each in values], height, xerr=_spread(values), label=label)
    left.set_xscale("log")
    left.set_xlabel("CPU per span, µs (log)")
    left.set_yticks(range(len(titles)), titles)
    left.legend()
    values = [[sample["spans_per_s"] for sample in samples[title]] for title in titles]
    right.barh(
        range(len(titles)), [statistics.median(each) for each in values], 0.6, xerr=_spread(values), color="tab:green"
    )
    right.set_xlabel("spans per second until acknowledged")
    for axis in (left, right):
        axis.grid(axis="x", alpha=0.3)
        axis.set_axisbelow(True)
    figure.tight_layout()
    figure.savefig(sys.argv[1], metadata={"Date": None})


def _spread(values: list[list[float]]) -> list[list[float]]:
    medians = [statistics.median(each) for each in values]
    return [
        [median - min(each) for median, each in zip(medians, values, strict=True)],
        [max(each) - median for median, each in zip(medians, values, strict=True)],
    ]


if __name__ == "__main__":
    main()
