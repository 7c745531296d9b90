"""What an item says of itself to those that enrich it: a span, or a step."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span, SpanStatusCode
from nat.data_models.step_types import ROOT_PARENT_ID, IntermediateStepCategory, IntermediateStepState
from nat.observability.events import Run, Usage, span_id_of
from nat.observability.processor.step_metadata import metadata_of, with_contents
from nat.observability.snapshot import parsed
from nat.observability.spans import conventions as names
from nat.observability.step_models import captured_usage

__all__ = ["Enriched", "SpanEnriched", "StepEnriched", "StepModels"]

_COUNTS = names.LLM_USAGE_KEYS[:6]  # tokens, in the order of `Usage`
_NO_COUNTS: list[int | None] = [None] * len(_COUNTS)
_MODEL_FIELDS = ("model", "model_name")
_Category = IntermediateStepCategory


class Enriched(ABC):
    """An item and what is added to it, which counts as its own at once.

    Attributes:
        fields: Attributes of a span, metadata of a step.
        additions: What is added to them.
        kind: Its span kind, or the one that its step has.
        is_failed: Whether it has ended, and failed.
        has_ended: Whether it is the end of something.
    """

    def __init__(self, fields: Mapping[str, Any], run: Run | None) -> None:
        self.fields = fields
        self.run = run
        self.additions: dict[str, Any] = {}
        self.kind: Any = None
        self.is_failed = False
        self.has_ended = True

    def get(self, key: str) -> Any:
        """An attribute of a span, a field of a step's metadata; `None` if it has none."""
        return self.additions[key] if key in self.additions else self.fields.get(key)

    @property
    @abstractmethod
    def name(self) -> str | None:
        """Of the item."""

    @property
    @abstractmethod
    def metadata(self) -> Mapping[str, Any]:
        """The metadata that it has itself."""

    @property
    @abstractmethod
    def models(self) -> list[str]:
        """Under which names the model that it has called may be known, the best first."""

    @property
    @abstractmethod
    def usage(self) -> Usage | None:
        """What a model call consumed that has ended."""

    @property
    @abstractmethod
    def is_end_of_run(self) -> bool:
        """Whether it is the end of its run's root."""

    @abstractmethod
    def result(self) -> Any:
        """A copy with what was added; the item itself if that is nothing."""


class SpanEnriched(Enriched):
    """A span."""

    def __init__(self, span: Span, run: Run | None) -> None:
        super().__init__(span.attributes, run)
        self._span = span
        self.kind = span.attributes.get(names.SPAN_KIND)
        self.is_failed = span.status.code is SpanStatusCode.ERROR

    @property
    def name(self) -> str | None:
        """Of the span."""
        return self._span.name

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What its attribute `metadata` says."""
        text = self.get(names.METADATA)
        value = parsed(text) if type(text) is str else None
        return value if type(value) is dict else {}

    @property
    def models(self) -> list[str]:
        """As the answer and the request name it, and with the provider's name; of a span that knows none, its own name."""
        provider = self.get(names.LLM_PROVIDER)
        keys = (names.LLM_RESPONSE_MODEL_NAME, names.LLM_MODEL_NAME, names.EMBEDDING_MODEL_NAME)
        known = [model for model in map(self.get, keys) if type(model) is str]
        return [*known, *(f"{provider}/{model}" for model in known if type(provider) is str)] or [self._span.name]

    @cached_property
    def usage(self) -> Usage | None:
        """What its token counts say; none on sums, which have other names."""
        counts = [_count(self.fields.get(key)) for key in _COUNTS]
        return None if counts == _NO_COUNTS else Usage(*counts)

    @property
    def is_end_of_run(self) -> bool:
        """Whether it is the run's root, or of a run without one at the top of its trace."""
        context = self._span.context
        root_id = None if self.run is None else self.run.root_id
        return context.parent_span_id is None if root_id is None else context.span_id == span_id_of(root_id)

    def result(self) -> Span:
        """The span with further attributes."""
        if not self.additions:
            return self._span
        return self._span.model_copy(update={"attributes": {**self.fields, **self.additions}})


class StepEnriched(Enriched):
    """A step.

    Args:
        step: The step.
        run: Its run.
        model: The model that its START has named.
    """

    def __init__(self, step: IntermediateStep, run: Run | None, model: str | None) -> None:
        super().__init__(metadata_of(step), run)
        self._step = step
        self._model = model
        self.kind = names.KIND_OF_CATEGORY[step.event_category]
        self.has_ended = step.event_state is IntermediateStepState.END
        self.is_failed = self.has_ended and bool(self.fields.get("error"))

    @property
    def name(self) -> str | None:
        """Of the step."""
        return self._step.name

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its own."""
        return self.fields

    @property
    def models(self) -> list[str]:
        """As its metadata or that of its START names it; else the step's own name."""
        found = _model_of(self.fields) or self._model or self._step.name
        return [] if found is None else [found]

    @cached_property
    def usage(self) -> Usage | None:
        """At the END of a call of a model or embedder; on others it is a sum of what has been counted already."""
        step = self._step
        is_call = self.has_ended and step.event_category in (_Category.LLM, _Category.EMBEDDER)
        return captured_usage(step.usage_info) if is_call and step.usage_info is not None else None

    @property
    def is_end_of_run(self) -> bool:
        """Whether it ends the run's root, or in a run without one a step at the top."""
        root_id = None if self.run is None else self.run.root_id
        step = self._step
        return self.has_ended and (step.parent_id == ROOT_PARENT_ID if root_id is None else root_id == step.UUID)

    def result(self) -> IntermediateStep:
        """The step with further metadata."""
        if not self.additions:
            return self._step
        return with_contents(self._step, {**self.fields, **self.additions}, self._step.data)


class StepModels:
    """Which models the STARTs of steps have named, until these have ended; forgotten with their run."""

    def __init__(self) -> None:
        self._of_runs: WeakKeyDictionary[Run, dict[str, str]] = WeakKeyDictionary()

    def model_of(self, step: IntermediateStep, run: Run | None) -> str | None:
        """Take note of a START; for an END, what its START has named."""
        if run is None:
            return None
        if step.event_state is IntermediateStepState.START:
            model = _model_of(metadata_of(step))
            if model is not None:
                self._of_runs.setdefault(run, {})[step.UUID] = model
            return model
        known = self._of_runs.get(run)
        return None if known is None else known.pop(step.UUID, None)


def _model_of(fields: Mapping[str, Any]) -> str | None:
    return next((model for model in map(fields.get, _MODEL_FIELDS) if type(model) is str and model), None)


def _count(value: Any) -> int | None:
    return value if type(value) is int else None
