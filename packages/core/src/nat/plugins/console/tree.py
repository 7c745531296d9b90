"""The trees of one run, grown step by step: what the console shows, not yet how it looks."""

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from nat.data_models.intermediate_step import (
    ROOT_PARENT_ID,
    IntermediateStep,
    IntermediateStepCategory,
    IntermediateStepState,
    TraceMetadata,
)

__all__ = ["Forest", "Outcome", "ShownStep", "ShownUsage"]

Outcome = Literal["running", "ok", "failed", "unfinished"]

_MODEL_KINDS = frozenset({IntermediateStepCategory.LLM, IntermediateStepCategory.EMBEDDER})
_MODEL_KEYS = ("model", "model_name")
_UNCLASSIFIED = "_OTHER"  # `error.type` of a failure whose kind is not known


class ShownUsage:
    """Tokens and model calls, as far as they are known; they can be added up."""

    __slots__ = ("completion", "llm_calls", "prompt", "total")

    def __init__(self, prompt: int = 0, completion: int = 0, total: int = 0, llm_calls: int = 0) -> None:
        self.prompt = prompt
        self.completion = completion
        self.total = total
        self.llm_calls = llm_calls

    def add(self, other: "ShownUsage") -> None:
        """Count another step's tokens in."""
        self.prompt += other.prompt
        self.completion += other.completion
        self.total += other.total
        self.llm_calls += other.llm_calls

    def __bool__(self) -> bool:
        return bool(self.prompt or self.completion or self.total)


class ShownStep:
    """One step of a tree; times in seconds since the epoch.

    Attributes:
        top: The step at the top of its tree, itself if nothing encloses it.
        is_orphan: Its parent was never seen.
        model_usage: At the top of a tree: what the model calls below add up to.
        open_count: At the top of a tree: how many of its steps are still running.
    """

    __slots__ = (
        "children",
        "chunk_count",
        "ended",
        "error",
        "first_chunk",
        "input",
        "is_orphan",
        "kind",
        "model",
        "model_usage",
        "name",
        "open_count",
        "outcome",
        "output",
        "started",
        "step_id",
        "top",
        "usage",
    )

    def __init__(self, step: IntermediateStep, parent: "ShownStep | None", *, started: float) -> None:
        self.step_id = step.UUID
        self.kind = step.event_category
        self.name = step.name
        self.model: str | None = None
        self.started = started
        self.ended: float | None = None
        self.outcome: Outcome = "running"
        self.error: str | None = None
        self.chunk_count = 0
        self.first_chunk: float | None = None
        self.input: Any = None
        self.output: Any = None
        self.usage = ShownUsage()
        self.model_usage = ShownUsage()
        self.open_count = 0
        self.children: list[ShownStep] = []
        self.is_orphan = parent is None and step.parent_id != ROOT_PARENT_ID
        self.top: ShownStep = self if parent is None else parent.top
        if parent is not None:
            parent.children.append(self)

    def depth_first(self) -> "Iterator[ShownStep]":
        """This step and all below it, in the order in which they are drawn."""
        waiting = [self]
        while waiting:
            step = waiting.pop()
            yield step
            waiting.extend(reversed(step.children))


class Forest:
    """All trees of one run that are not finished yet.

    A run has one tree as a rule. Steps outside any run, and steps whose parent was never seen, are trees of their own.

    Attributes:
        tops: The first step of each tree, by step id.
        lock: Held while the trees change; hold it to read them on another thread.
    """

    def __init__(self) -> None:
        self._steps: dict[str, ShownStep] = {}
        self.tops: dict[str, ShownStep] = {}
        self.lock = threading.Lock()

    def add(self, step: IntermediateStep, *, keeps_content: bool = False) -> ShownStep | None:
        """Take in one event; returns the top of the tree if that has ended by it, and forgets it."""
        with self.lock:
            return self._add(step, keeps_content)

    def close(self) -> list[ShownStep]:
        """The tops of all trees that are left, their open steps marked as unfinished; forgets them."""
        with self.lock:
            left = list(self.tops.values())
            self._steps.clear()
            self.tops.clear()
        for top in left:
            for step in top.depth_first():
                if step.outcome == "running":
                    step.outcome = "unfinished"
        return left

    def _add(self, step: IntermediateStep, keeps_content: bool) -> ShownStep | None:
        shown = self._steps.get(step.UUID)
        state = step.event_state
        if shown is None:
            shown = self._plant(step)
        if state is IntermediateStepState.START:
            self._take_start(shown, step, keeps_content)
        elif state is IntermediateStepState.CHUNK:
            shown.chunk_count += 1
            if shown.first_chunk is None:
                shown.first_chunk = step.event_timestamp
        elif shown.outcome == "running":
            self._take_end(shown, step, keeps_content)
        return self._harvest(shown.top)

    def _plant(self, step: IntermediateStep) -> ShownStep:
        started = step.event_timestamp
        if step.event_state is not IntermediateStepState.START and step.span_event_timestamp is not None:
            started = step.span_event_timestamp
        shown = ShownStep(step, self._steps.get(step.parent_id), started=started)
        self._steps[shown.step_id] = shown
        if shown.top is shown:
            self.tops[shown.step_id] = shown
        shown.top.open_count += 1
        return shown

    def _take_start(self, shown: ShownStep, step: IntermediateStep, keeps_content: bool) -> None:
        shown.model = _model_of(step)
        if keeps_content and step.data is not None:
            shown.input = step.data.input

    def _take_end(self, shown: ShownStep, step: IntermediateStep, keeps_content: bool) -> None:
        shown.ended = step.event_timestamp
        shown.error = _error_of(step)
        shown.outcome = "ok" if shown.error is None else "failed"
        shown.model = shown.model or _model_of(step)
        shown.usage = _usage_of(step)
        if shown.kind in _MODEL_KINDS and shown.top is not shown:
            shown.top.model_usage.add(shown.usage)
            shown.top.model_usage.llm_calls += shown.usage.llm_calls == 0
        if keeps_content and step.data is not None:
            shown.output = step.data.output
            shown.input = step.data.input if shown.input is None else shown.input
        shown.top.open_count -= 1

    def _harvest(self, top: ShownStep) -> ShownStep | None:
        if top.open_count or top.step_id not in self.tops:
            return None
        del self.tops[top.step_id]
        for step in top.depth_first():
            del self._steps[step.step_id]
        return top


def _usage_of(step: IntermediateStep) -> ShownUsage:
    if step.usage_info is None:
        return ShownUsage()
    tokens = step.usage_info.token_usage
    total = tokens.total_tokens or tokens.prompt_tokens + tokens.completion_tokens
    return ShownUsage(tokens.prompt_tokens, tokens.completion_tokens, total, step.usage_info.num_llm_calls)


def _model_of(step: IntermediateStep) -> str | None:
    metadata = _metadata_of(step)
    for key in _MODEL_KEYS:
        model = metadata.get(key)
        if isinstance(model, str) and model:
            return model
    return None


def _error_of(step: IntermediateStep) -> str | None:
    metadata = _metadata_of(step)
    error = metadata.get("error")
    if not error and not metadata.get("error_type"):
        return None
    kind, message = str(metadata.get("error_type") or ""), str(error or "")
    if kind in ("", _UNCLASSIFIED) or message == kind or message.startswith(f"{kind}:"):
        return message or kind
    return f"{kind}: {message}" if message else kind


def _metadata_of(step: IntermediateStep) -> Mapping[str, Any]:
    metadata = step.metadata
    if isinstance(metadata, TraceMetadata):
        return metadata.model_extra or {}
    return metadata if isinstance(metadata, Mapping) else {}
