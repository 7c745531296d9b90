"""Where code reports the steps it takes."""

import sys
from collections.abc import Iterable

from nat.builder.context import ActiveStep, ContextState, enter_step, find_step, leave_step
from nat.data_models.intermediate_step import (
    ROOT_PARENT_ID,
    IntermediateStep,
    IntermediateStepCategory,
    IntermediateStepPayload,
    IntermediateStepState,
)
from nat.observability.step_models import capture_payload, finish_step

__all__ = ["IntermediateStepManager"]


class IntermediateStepManager:
    """Pushes steps into the event stream of a context.

    All methods are synchronous, may be called from any thread, and never raise on account of an exporter.
    """

    __slots__ = ("_context_state",)

    def __init__(self, context_state: ContextState) -> None:
        self._context_state = context_state

    def push_intermediate_step(self, payload: IntermediateStepPayload) -> None:
        """Push one step; its parent is the innermost step around the caller.

        An END repeats its START's UUID. A failed step says so on its END: with the exception as `data.output`, or with
        `error` (an exception or a text) and `error_type` in its metadata. Exporters see all values as they are now.
        """
        event_type = payload.event_type
        if event_type.state is IntermediateStepState.START:
            is_function = event_type.category is IntermediateStepCategory.FUNCTION
            step: ActiveStep | None = enter_step(
                payload.UUID, payload.name, is_function=is_function, frame=sys._getframe(1)
            )
        elif event_type.state is IntermediateStepState.END:
            step = leave_step(payload.UUID)
        else:
            step = find_step(payload.UUID)
        stream = self._context_state.stream
        listener = stream.only_listener
        if listener is not None:
            if event_type.state is IntermediateStepState.END and finish_step(payload, listener):
                return
        elif not stream.is_heard:
            return
        parent_id, function = (ROOT_PARENT_ID, None) if step is None else (step.parent_id, step.function)
        stream.emit(capture_payload(payload, parent_id=parent_id, function=function, run=self._context_state.run))

    def push_intermediate_steps(self, steps: Iterable[IntermediateStep]) -> None:
        """Push finished steps as they are: their own parents, times and functions stay."""
        for step in steps:
            self._context_state.stream.on_next(step)
