"""Enrichment as a processor: what is the same for all items, what follows from others, costs, and totals of runs."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span, SpanContext
from nat.data_models.span_names import SpanAttributes
from nat.data_models.step_types import IntermediateStepState
from nat.observability.events import Run
from nat.observability.noise import Noise
from nat.observability.processor.enriched import Enriched, SpanEnriched, StepEnriched, StepModels
from nat.observability.processor.looking_processor import LookingProcessor
from nat.observability.processor.prices import PriceTable, costs_of
from nat.observability.processor.run_processor import RunProcessor
from nat.observability.processor.run_totals import RunTotals
from nat.observability.processor.template import Template
from nat.observability.snapshot import restore, text
from nat.observability.spans import conventions as names

__all__ = ["CostRules", "EnrichProcessor"]

_log = logging.getLogger("nat.observability.processor")

_MOST_NAMED_MODELS = 100  # in messages
_DIGITS = 12  # behind the point, of costs


@dataclass(frozen=True, slots=True)
class CostRules:
    """What model calls cost.

    Attributes:
        prices: By model.
        currency: Of the prices.
        usd_rate: US dollars for one of it.
    """

    prices: PriceTable
    currency: str = "USD"
    usd_rate: float = 1.0


class EnrichProcessor(
    RunProcessor[Span | IntermediateStep, Span | IntermediateStep],
    LookingProcessor[Span | IntermediateStep, Span | IntermediateStep],
):
    """Adds attributes to spans, and the same to the metadata of steps; chunks of steps stay as they are.

    Args:
        constant: What all items get.
        templates: Attributes that are made of what an item and its run say.
        costs: What model calls cost; `None`: that is not said.
        totals: Sums up runs; `None`: they are not.
    """

    def __init__(
        self,
        constant: Mapping[str, Any] | None = None,
        templates: Mapping[str, Template] | None = None,
        costs: CostRules | None = None,
        totals: RunTotals | None = None,
    ) -> None:
        self._constant = constant or {}
        self._templates = templates or {}
        self._costs = None if costs is None else _Costs(costs)
        self._totals = totals
        self._models = StepModels()
        self._facts: WeakKeyDictionary[Run, _Facts] = WeakKeyDictionary()

    async def process_in(self, item: Span | IntermediateStep, run: Run | None) -> Span | IntermediateStep:
        """The item, or a copy with more in it."""
        enriched: Enriched
        if isinstance(item, Span):
            enriched = SpanEnriched(item, run)
        elif item.event_state is IntermediateStepState.CHUNK:
            return item
        else:
            enriched = StepEnriched(item, run, self._models.model_of(item, run))
        enriched.additions |= self._constant
        for key, template in self._templates.items():
            value = template.value(lambda name: self._value(name, enriched))
            if value is not None:
                enriched.additions[key] = value
        if self._costs is not None:
            self._costs.add(enriched)
        if self._totals is not None:
            self._totals.add(enriched)
        result: Span | IntermediateStep = enriched.result()
        return result

    def _value(self, name: str, item: Enriched) -> Any:
        """What a reference of a template stands for."""
        first, _, rest = name.partition(".")
        if first == "step":
            return item.name if rest == "name" else item.kind
        if first == "run":
            return getattr(self._facts_of(item.run), rest)
        if first == "metadata":
            own = _at(item.metadata, rest)
            return _at(self._facts_of(item.run).metadata, rest) if own is None else own
        return item.get(name)

    def _facts_of(self, run: Run | None) -> "_Facts":
        if run is None:
            return _Facts()
        facts = self._facts.get(run)
        if facts is None:
            facts = self._facts[run] = _Facts.of(self.look(_shown_run(run)))
        return facts


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a run says, redacted."""

    name: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, span: Span) -> "_Facts":
        attributes = span.attributes
        metadata = attributes.get(names.METADATA)
        value = None if metadata is None else restore(metadata.encode())
        return cls(
            attributes.get(names.NAT_WORKFLOW_NAME),
            attributes.get(names.SESSION_ID),
            attributes.get(names.USER_ID),
            value if type(value) is dict else {},
        )


def _shown_run(run: Run) -> Span:
    """What a run says as a span, so that it is redacted by the same rules: also those that name attributes."""
    said = {
        names.NAT_WORKFLOW_NAME: run.name,
        names.SESSION_ID: run.session_id,
        names.USER_ID: run.user_id,
        names.METADATA: None if run.metadata is None else text(run.metadata)[0],
    }
    attributes = {key: value for key, value in said.items() if value is not None}
    return Span(name="run", context=SpanContext(trace_id=run.trace_id, span_id=1), attributes=attributes)


class _Costs:
    """Adds costs to model calls, and says which models have no price."""

    def __init__(self, rules: CostRules) -> None:
        self._rules = rules
        self._noise = Noise(_log)
        self._named: set[str] = set()

    def add(self, item: Enriched) -> None:
        usage = item.usage
        if usage is None or (usage.prompt_tokens is None and usage.completion_tokens is None):
            return
        if item.get(SpanAttributes.LLM_COST_TOTAL.value) is not None:
            return  # whoever made the call knows
        models = item.models
        price = self._rules.prices.find(models)
        if price is None:
            self._miss(models)
            return
        costs, rate = costs_of(usage, price), self._rules.usd_rate
        if self._rules.currency != "USD":
            item.additions[SpanAttributes.NAT_COST_TOTAL.value] = costs[SpanAttributes.LLM_COST_TOTAL.value]
            item.additions[SpanAttributes.NAT_COST_CURRENCY.value] = self._rules.currency
            costs = {key: round(cost * rate, _DIGITS) for key, cost in costs.items()}
        item.additions |= costs

    def _miss(self, models: list[str]) -> None:
        """Say of each model once that it has no price; of many, that there are more."""
        model = models[0] if models else None
        if model in self._named:
            return
        if len(self._named) < _MOST_NAMED_MODELS and model is not None:
            self._named.add(model)
            _log.warning("enrich: no price for model %r; its calls have no cost", model)
        else:
            self._noise.warn("price", "enrich: no price for a model call, whose model is one of many or not known")


def _at(fields: Mapping[str, Any], path: str) -> Any:
    """A field by its name, or by a path of names with dots."""
    if path in fields:
        return fields[path]
    value: Any = fields
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
