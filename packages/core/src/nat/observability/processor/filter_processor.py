"""Filter: which items an exporter gets at all."""

from typing import Literal, TypeVar
from weakref import WeakKeyDictionary

from nat.data_models.intermediate_step import IntermediateStep, IntermediateStepState
from nat.data_models.span import Span
from nat.observability.events import Run
from nat.observability.processor.condition import Condition
from nat.observability.processor.run_processor import RunProcessor

__all__ = ["FilterProcessor"]

ItemT = TypeVar("ItemT", bound=Span | IntermediateStep)


class FilterProcessor(RunProcessor[ItemT, ItemT]):
    """Drops items, counted as `filtered`: those that a condition is for, or all others.

    What was decided of a step's START holds for its chunks and its END, so that a step is there as a whole or not at all.

    Args:
        condition: Which items.
        action: `drop`: these are dropped; `keep`: all others are.
    """

    def __init__(self, condition: Condition, action: Literal["keep", "drop"]) -> None:
        self._condition = condition
        self._passes_on_match = action == "keep"
        self._begun: WeakKeyDictionary[Run, dict[str, bool]] = WeakKeyDictionary()

    async def process_in(self, item: ItemT, run: Run | None) -> ItemT | None:
        """The item, or `None`."""
        passes = self._step_passes(item, run) if isinstance(item, IntermediateStep) else self._passes(item, run)
        return item if passes else None

    def _passes(self, item: Span | IntermediateStep, run: Run | None) -> bool:
        return self._condition.matches(item, run) is self._passes_on_match

    def _step_passes(self, step: IntermediateStep, run: Run | None) -> bool:
        if run is None:
            return self._passes(step, run)
        begun = self._begun.setdefault(run, {})
        match step.event_state:
            case IntermediateStepState.START:
                passes = begun[step.UUID] = self._passes(step, run)
            case IntermediateStepState.END:
                known = begun.pop(step.UUID, None)
                passes = self._passes(step, run) if known is None else known
            case _:
                passes = begun[step.UUID] if step.UUID in begun else self._passes(step, run)
        return passes
