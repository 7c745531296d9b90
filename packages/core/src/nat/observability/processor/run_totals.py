"""Run totals: tokens, costs, calls and errors of a run, summed up for its root."""

from collections import Counter
from typing import Any
from weakref import WeakKeyDictionary

from nat.data_models.span_names import SpanAttributes, SpanKind
from nat.observability.events import Run
from nat.observability.processor.enriched import Enriched

__all__ = ["RunTotals"]

_LLM_CALLS = SpanAttributes.NAT_RUN_LLM_CALLS.value
_TOOL_CALLS = SpanAttributes.NAT_RUN_TOOL_CALLS.value
_ERRORS = SpanAttributes.NAT_RUN_ERRORS.value
_COST = SpanAttributes.NAT_RUN_COST.value
_TOTAL_TOKENS = SpanAttributes.NAT_RUN_TOTAL_TOKENS.value
_TOKENS = {  # by the field of `events.Usage`
    "prompt_tokens": SpanAttributes.NAT_RUN_PROMPT_TOKENS.value,
    "completion_tokens": SpanAttributes.NAT_RUN_COMPLETION_TOKENS.value,
    "total_tokens": _TOTAL_TOKENS,
    "cached_tokens": SpanAttributes.NAT_RUN_CACHED_TOKENS.value,
    "cache_write_tokens": SpanAttributes.NAT_RUN_CACHE_WRITE_TOKENS.value,
    "reasoning_tokens": SpanAttributes.NAT_RUN_REASONING_TOKENS.value,
}
_DIGITS = 12  # behind the point, of costs


class RunTotals:
    """Sums up what the items of each run say, those of nested runs included, until its root has ended.

    What comes of a run after that is in no total.

    Args:
        has_prices: Whether model calls without a cost are counted.
    """

    def __init__(self, *, has_prices: bool) -> None:
        self._has_prices = has_prices
        self._of_runs: WeakKeyDictionary[Run, Counter[str]] = WeakKeyDictionary()

    def add(self, item: Enriched) -> None:
        """Count an item; the end of a run's root gets the totals."""
        run = item.run
        if run is None or not item.has_ended:
            return
        counts = _counts_of(item, has_prices=self._has_prices)
        around: Run | None = run
        while around is not None:
            self._of_runs.setdefault(around, Counter()).update(counts)
            around = around.outer
        if item.is_end_of_run:
            item.additions |= _shown(self._of_runs.pop(run))


def _counts_of(item: Enriched, *, has_prices: bool) -> dict[str, Any]:
    counts: dict[str, Any] = {
        _LLM_CALLS: int(item.kind == SpanKind.LLM),
        _TOOL_CALLS: int(item.kind == SpanKind.TOOL),
        _ERRORS: int(item.is_failed),
    }
    usage = item.usage
    if usage is not None:
        counts |= {key: count for name, key in _TOKENS.items() if (count := getattr(usage, name)) is not None}
        if usage.total_tokens is None:
            counts[_TOTAL_TOKENS] = (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        cost = item.get(SpanAttributes.LLM_COST_TOTAL.value)
        if isinstance(cost, int | float):
            counts[_COST] = cost
        elif has_prices:
            counts[SpanAttributes.NAT_RUN_UNPRICED_CALLS.value] = 1
    return counts


def _shown(counts: Counter[str]) -> dict[str, Any]:
    return {key: round(count, _DIGITS) if type(count) is float else count for key, count in counts.items()}
