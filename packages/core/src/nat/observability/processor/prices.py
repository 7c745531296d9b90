"""Prices of model calls: what a call costs, by a table that the user has written."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate

from nat.data_models.span_names import SpanAttributes
from nat.observability.events import Usage

__all__ = ["Price", "PriceTable", "costs_of"]

_TOKENS = 1_000_000  # that a price is for
_DIGITS = 12  # behind the point; what is finer comes from binary fractions
_WILD = re.compile(r"[*?\[]")
_MOST_KNOWN = 4096

_PROMPT = SpanAttributes.LLM_COST_PROMPT.value
_INPUT = SpanAttributes.LLM_COST_INPUT.value
_CACHE_READ = SpanAttributes.LLM_COST_CACHE_READ.value
_CACHE_WRITE = SpanAttributes.LLM_COST_CACHE_WRITE.value
_COMPLETION = SpanAttributes.LLM_COST_COMPLETION.value
_OUTPUT = SpanAttributes.LLM_COST_OUTPUT.value
_REASONING = SpanAttributes.LLM_COST_REASONING.value
_TOTAL = SpanAttributes.LLM_COST_TOTAL.value


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of a model for a million tokens; one that is `None` is that of the input, or of the output."""

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None


class PriceTable:
    """Prices by the name of the model, patterns with `*`, `?` and `[…]` among them.

    A name that is written out goes before patterns, and of these the one with more characters of its own.

    Args:
        models: Prices by name or pattern.
    """

    def __init__(self, models: Mapping[str, Price]) -> None:
        self._exact = {name: price for name, price in models.items() if not _WILD.search(name)}
        patterns = sorted(models.keys() - self._exact.keys(), key=lambda glob: (-_own_chars(glob), glob))
        self._patterns = [(re.compile(translate(pattern)), models[pattern]) for pattern in patterns]
        self._known: dict[str, Price | None] = {}

    def find(self, names: Iterable[str]) -> Price | None:
        """The price of the first of these names that has one."""
        return next((price for price in map(self._find, names) if price is not None), None)

    def _find(self, name: str) -> Price | None:
        if name not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = (price for pattern, price in self._patterns if pattern.match(name))
            self._known[name] = self._exact.get(name) or next(found, None)
        return self._known[name]


def costs_of(usage: Usage, price: Price) -> dict[str, float]:
    """What a call costs, under OpenInference's names; details only where they differ from the whole.

    Cached and cache-writing tokens are part of the prompt's, reasoning ones of the completion's.
    """
    read, written, reasoning = usage.cached_tokens or 0, usage.cache_write_tokens or 0, usage.reasoning_tokens or 0
    costs: dict[str, float] = {}
    if usage.prompt_tokens is not None:
        costs |= _sum(
            _PROMPT,
            (_INPUT, max(usage.prompt_tokens - read - written, 0), price.input),
            (_CACHE_READ, read, _or(price.cached_input, price.input)),
            (_CACHE_WRITE, written, _or(price.cache_write, price.input)),
        )
    if usage.completion_tokens is not None:
        costs |= _sum(
            _COMPLETION,
            (_OUTPUT, max(usage.completion_tokens - reasoning, 0), price.output),
            (_REASONING, reasoning, _or(price.reasoning, price.output)),
        )
    if costs:
        costs[_TOTAL] = round(costs.get(_PROMPT, 0.0) + costs.get(_COMPLETION, 0.0), _DIGITS)
    return costs


def _sum(key: str, plain: tuple[str, int, float], *others: tuple[str, int, float]) -> dict[str, float]:
    """The cost under that key, and its parts if there are others than the plain one; each a name, a token count and a price."""
    parts = {name: count * price / _TOKENS for name, count, price in (plain, *others) if count}
    whole = {key: round(sum(parts.values()), _DIGITS)}
    if parts.keys() <= {plain[0]}:
        return whole
    return whole | {name: round(cost, _DIGITS) for name, cost in parts.items()}


def _or(price: float | None, otherwise: float) -> float:
    return otherwise if price is None else price


def _own_chars(pattern: str) -> int:
    return len(re.sub(r"\[[^\]]*\]|[*?]", "", pattern))
