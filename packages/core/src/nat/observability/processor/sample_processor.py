"""Sampling: keep a share of the runs, and those that matter, each run whole."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from nat.data_models.intermediate_step import IntermediateStep, IntermediateStepState
from nat.data_models.span import Span, SpanStatusCode
from nat.data_models.span_names import SpanAttributes
from nat.observability.events import Run
from nat.observability.processor.deciding_processor import DecidingProcessor, Verdict

__all__ = ["KeepRules", "SampleProcessor"]

_RANDOM_VALUES = (
    1 << 56
)  # of a trace id, the low 56 bits: W3C Trace Context level 2, "random-trace-id", read 2026-11-26
_MINUTE_S = 60.0
_TOTAL = SpanAttributes.LLM_TOKEN_COUNT_TOTAL.value
_PARTS = (SpanAttributes.LLM_TOKEN_COUNT_PROMPT.value, SpanAttributes.LLM_TOKEN_COUNT_COMPLETION.value)

ItemT = TypeVar("ItemT", bound=Span | IntermediateStep)


@dataclass(frozen=True, slots=True)
class KeepRules:
    """Which runs are kept whatever the ratio; those that are any of it.

    Attributes:
        errors: Those with a step that failed.
        min_duration_s: Those that took so many seconds, or more.
        min_tokens: Those whose model calls used so many tokens, or more.
        min_cost: Those whose spans' `llm.cost.total` adds up to so much, or more; only of spans.
        first_per_minute: So many first ones of each minute.
    """

    errors: bool = False
    min_duration_s: float | None = None
    min_tokens: int | None = None
    min_cost: float | None = None
    first_per_minute: int = 0

    @property
    def are_of_ends(self) -> bool:
        """Whether a run must have gone on for a while before it is known."""
        return self.errors or any(rule is not None for rule in (self.min_duration_s, self.min_tokens, self.min_cost))


class _Trace:
    """What is known of a run and those nested in it; `is_kept` is `None` until it is decided."""

    __slots__ = ("cost", "ended_ns", "has_error", "held", "is_kept", "started_ns", "tokens")

    def __init__(self, is_kept: bool | None) -> None:
        self.is_kept = is_kept
        self.held: list[tuple[Any, int]] = []
        self.has_error = False
        self.started_ns = self.ended_ns = 0
        self.tokens = 0
        self.cost = 0.0

    def add(self, item: Span | IntermediateStep) -> None:
        if isinstance(item, Span):
            attributes = item.attributes
            self._extend(item.start_time, item.end_time or item.start_time)
            self.has_error |= item.status.code is SpanStatusCode.ERROR
            self.tokens += _number(attributes.get(_TOTAL)) or sum(_number(attributes.get(part)) for part in _PARTS)
            self.cost += _number(attributes.get(SpanAttributes.LLM_COST_TOTAL.value))
            return
        at_ns = round(item.event_timestamp * 1e9)
        self._extend(at_ns, at_ns)
        if item.event_state is IntermediateStepState.END:
            self.has_error |= _failed(item)
            if item.usage_info is not None and item.event_category == "LLM":
                usage = item.usage_info.token_usage
                self.tokens += usage.total_tokens or usage.prompt_tokens + usage.completion_tokens

    def is_any_of(self, rules: KeepRules) -> bool:
        return bool(
            (rules.errors and self.has_error)
            or _reaches((self.ended_ns - self.started_ns) / 1e9, rules.min_duration_s)
            or _reaches(self.tokens, rules.min_tokens)
            or _reaches(self.cost, rules.min_cost)
        )

    def _extend(self, started_ns: int, ended_ns: int) -> None:
        self.started_ns = min(started_ns, self.started_ns or started_ns)
        self.ended_ns = max(ended_ns, self.ended_ns)


class SampleProcessor(DecidingProcessor[ItemT, ItemT]):
    """Passes a share of all runs, and those that rules keep; the others are counted as `sampled_out`.

    All items of a trace meet the same fate: also those of nested runs, and those that come after the run's end. The share
    depends on the trace id alone, so every process that uses the same ratio passes the same traces, and a lower ratio passes
    some of those of a higher one. Runs outside the share are held as long as a rule may still keep them: until a rule does, or
    the outermost run has ended. When too much is held, the run that has waited longest is kept, as it may still turn out to
    be one that a rule is for.

    Args:
        ratio: Share of traces, from 0.0 to 1.0.
        rules: What is kept beside that share.
        max_held_items, max_held_bytes: What may be held.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        ratio: float,
        rules: KeepRules,
        *,
        max_held_items: int,
        max_held_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bound = round(ratio * _RANDOM_VALUES)
        self._rules = rules
        self._max_items = max_held_items
        self._max_bytes = max_held_bytes
        self._clock = clock
        self._minute_began_s: float | None = None
        self._seen_in_minute = 0
        self._traces: WeakKeyDictionary[Run, _Trace] = (
            WeakKeyDictionary()
        )  # a run lives as long as items of it may come
        self._open: OrderedDict[Run, _Trace] = OrderedDict()
        self._held_items = 0
        self._held_bytes = 0

    def connect(self, pass_on: Callable[[Any], None], drop: Callable[[Any], None]) -> None:
        """Call one of these with the ticket of each item that was held."""
        self._pass_on, self._drop = pass_on, drop

    async def process(self, item: ItemT) -> ItemT | None:
        """The item, if its trace is in the share; a step's is not known."""
        return item if not isinstance(item, Span) or self._is_in_share(item.context.trace_id) else None

    def take(self, item: ItemT, run: Run | None, ticket: Any, size_bytes: int) -> Verdict:
        """Decide on an item, or hold it; what is held of its run passes with it if it decides."""
        if run is None:
            in_share = not isinstance(item, Span) or self._is_in_share(item.context.trace_id)
            return Verdict.PASS if in_share else Verdict.DROP
        top = run.top
        trace = self._traces.get(top)
        if trace is None:
            trace = self._traces[top] = _Trace(self._decided_at_start(top))
        if trace.is_kept is None:
            trace.add(item)
            self._hold(top, trace, ticket, size_bytes)
            return Verdict.HOLD
        return Verdict.PASS if trace.is_kept else Verdict.DROP

    def end_run(self, run: Run) -> None:
        """If it is an outermost one, what is held of it is dropped: no rule has kept it."""
        trace = self._traces.get(run)
        if trace is not None and trace.is_kept is None:
            self._decide(run, trace, is_kept=False)

    def end_all(self) -> None:
        """Keep what is held: its runs have not ended, so a rule may be for them."""
        for run, trace in list(self._open.items()):
            self._decide(run, trace, is_kept=True)

    def discard(self) -> int:
        """Forget what is held; returns how many items that were."""
        count, self._held_items, self._held_bytes = self._held_items, 0, 0
        self._open.clear()
        return count

    def _decided_at_start(self, run: Run) -> bool | None:
        is_among_first = self._rules.first_per_minute > 0 and self._is_among_first()
        if is_among_first or self._is_in_share(run.trace_id):
            return True
        return None if self._rules.are_of_ends else False

    def _is_in_share(self, trace_id: int) -> bool:
        return trace_id % _RANDOM_VALUES < self._bound

    def _is_among_first(self) -> bool:
        now_s = self._clock()
        if self._minute_began_s is None or now_s - self._minute_began_s >= _MINUTE_S:
            self._minute_began_s, self._seen_in_minute = now_s, 0
        self._seen_in_minute += 1
        return self._seen_in_minute <= self._rules.first_per_minute

    def _hold(self, run: Run, trace: _Trace, ticket: Any, size_bytes: int) -> None:
        self._open.setdefault(run, trace)
        trace.held.append((ticket, size_bytes))
        self._held_items += 1
        self._held_bytes += size_bytes
        if trace.is_any_of(self._rules):
            self._decide(run, trace, is_kept=True)  # after what was held of it: steps stay in their order
        while self._open and (self._held_items > self._max_items or self._held_bytes > self._max_bytes):
            oldest, its_trace = next(iter(self._open.items()))
            self._decide(oldest, its_trace, is_kept=True)

    def _decide(self, run: Run, trace: _Trace, *, is_kept: bool) -> None:
        trace.is_kept = is_kept
        self._open.pop(run, None)
        held, trace.held = trace.held, []
        self._held_items -= len(held)
        self._held_bytes -= sum(size_bytes for _, size_bytes in held)
        tell = self._pass_on if is_kept else self._drop
        for ticket, _ in held:
            tell(ticket)


def _failed(step: IntermediateStep) -> bool:
    metadata = step.metadata
    fields = metadata if metadata is None or isinstance(metadata, dict) else metadata.model_extra
    return bool(fields and fields.get("error"))


def _reaches(value: float, least: float | None) -> bool:
    return least is not None and value >= least


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) else 0
