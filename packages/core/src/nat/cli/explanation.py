"""Explanation: what each exporter of a configuration would make of a recorded run, processor by processor.

Processors run as they do in a lane, each in a pipeline of its own, so that what goes in and what comes out can be told. No
exporter is built, so nothing is sent, opened or written.
"""

import copy
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from nat.builder.builder import Builder
from nat.cli.differences import Difference, differences
from nat.cli.recorded import RecordedRun
from nat.data_models.errors import ConfigurationError
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.observability.delivery.front import ConfiguredProcessor, Front
from nat.observability.delivery.sizes import size_of
from nat.observability.events import Run, report_nothing
from nat.observability.exporter.address import shown_text
from nat.observability.ledger import Ledger
from nat.observability.noise import is_ours
from nat.observability.pipeline import Envelope
from nat.observability.processor.redact_processor import RedactProcessor
from nat.observability.redacting import Redaction
from nat.observability.redaction.guard import Guard
from nat.observability.redaction.switches import Switches
from nat.observability.registry import ExporterEntry, ProcessorEntry
from nat.observability.spans.capture import CapturedSpan
from nat.observability.spans.describe import describe
from nat.observability.spans.genai import Said, genai_of, said_span
from nat.observability.step_models import to_intermediate_step

__all__ = ["Explained", "Fate", "Stage", "explain", "label_of"]

_Item = tuple[Any, Run | None]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one span or step at one stage.

    Attributes:
        item: What came out; of what was dropped, what went in.
        outcome: Whether it came out, and how.
        reason: Why it was dropped.
        changes: What is different about what came out.
    """

    item: Span | IntermediateStep
    outcome: Literal["passed", "changed", "dropped", "added"]
    reason: str = ""
    changes: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that items pass.

    Attributes:
        name: What it is.
        fates: Of what went in, in order, and of what is new.
        hides: Whether it takes out what is not to be shown, so that only what came out may be.
    """

    name: str
    fates: tuple[Fate, ...]
    hides: bool = False

    def count(self, *outcomes: str) -> int:
        """How many items met one of these fates."""
        return sum(fate.outcome in outcomes for fate in self.fates)


@dataclass(slots=True)
class Explained:
    """One exporter.

    Attributes:
        entry: As it is configured.
        unit: What it takes.
        stages: In order, as far as anything came.
        result: What it would be given to send.
        is_seen: Whether the recording holds what it takes.
        problem: Why it would not start.
        notes: What cannot be seen.
    """

    entry: ExporterEntry
    unit: Literal["steps", "spans"]
    stages: list[Stage] = field(default_factory=list)
    result: list[Span | IntermediateStep] = field(default_factory=list)
    is_seen: bool = True
    problem: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def conventions(self) -> str | None:
        """In whose names its spans are written; `None` if it leaves no choice."""
        usual = "openinference" if self.entry.config.spoken_conventions() else None
        return self.entry.conventions or usual


async def explain(entry: ExporterEntry, recorded: RecordedRun) -> Explained:
    """Take a recorded run through everything that an exporter's items pass before it gets them."""
    report_nothing()
    unit = entry.config.item_kind()
    explained = Explained(entry, unit or "spans")
    if unit is None:
        explained.notes.append("what it takes is known only when it is built; spans are shown")
    if not entry.registration.is_ours:
        explained.notes.append("processors that its author has added come behind these, and are not shown")
    if unit == "steps" and recorded.form == "spans":
        explained.notes.append("it takes steps, and spans were recorded; record with `format: steps` to see it")
        explained.is_seen = False
        return explained
    try:
        async with AsyncExitStack() as built:
            await _Walk(entry, recorded, explained).go(built)
    except BaseException as exc:
        if is_ours(exc):
            raise
        text = str(exc) if isinstance(exc, ConfigurationError) else f"{type(exc).__name__}: {exc}"
        explained.problem = f"would not start: {_hidden(text, entry)}"
    return explained


class _Walk:
    """One exporter's way."""

    def __init__(self, entry: ExporterEntry, recorded: RecordedRun, explained: Explained) -> None:
        self._entry = entry
        self._recorded = recorded
        self._explained = explained

    async def go(self, built: AsyncExitStack) -> None:
        redaction = Redaction.of(self._entry.redact)
        processors = [
            *redaction.processors,
            *[await built.enter_async_context(_built(processor)) for processor in self._entry.processors],
        ]
        redaction.introduce(processors)
        for processor in processors:  # all of them must fit, whatever comes through
            self._front(processor)
        items = self._redacted(self._routed(self._items(), redaction.guard), redaction.guard)
        for processor in processors:
            if items:
                items = await self._through(processor, items)
        if processors and items and redaction.guard is not None:
            items = self._looked_at_again(items, redaction.guard)
        self._explained.result = [value for value, _ in self._said(items)]

    def _items(self) -> list[_Item]:
        """What was recorded; spans as they are for this exporter alone, since processors may change them in place."""
        items: Sequence[_Item] = self._recorded.steps if self._explained.unit == "steps" else self._recorded.spans
        return [(copy.deepcopy(value) if isinstance(value, Span) else value, run) for value, run in items]

    def _routed(self, items: list[_Item], guard: Guard | None) -> list[_Item]:
        route = self._entry.route
        if route is None:
            return items
        fates, passed = [], []
        for item in items:
            taken = route.router.route_of(item[1])
            reason = ""
            if taken != route.name:
                reason = f"goes to {route.exporter if taken is None else f'{route.exporter}/{taken}'}"
            elif route.is_withheld:
                reason = "unrouted"
            fates.append(Fate(_guarded(item[0], guard), "dropped" if reason else "passed", reason))
            if not reason:
                passed.append(item)
        self._add("route", fates)
        return passed

    def _redacted(self, items: list[_Item], guard: Guard | None) -> list[_Item]:
        """What a lane makes of what was captured, before any processor sees it."""
        if guard is not None and self._recorded.form == "spans" and Switches.read().hide_any:
            self._explained.notes.append(
                "what variables such as OPENINFERENCE_HIDE_INPUTS hide is seen in recordings of steps only"
            )
        fates, passed = [], []
        for value, run in items:
            before, after = _shown(value), _guarded(value, guard)
            fates.append(_fate(before, after))
            passed.append((after, run))
        if guard is not None and items:
            self._add("redact", fates, hides=True)
        return passed

    def _looked_at_again(self, items: list[_Item], guard: Guard) -> list[_Item]:
        looked = [(guard.look(value), run) for value, run in items]
        fates = [_fate(before, after) for (before, _), (after, _) in zip(items, looked, strict=True)]
        if any(fate.changes for fate in fates):
            self._add("redact, once more", fates, hides=True)
        return looked

    def _said(self, items: list[_Item]) -> list[_Item]:
        """In the backend's own words, and in the conventions that the entry has chosen."""
        words, chosen = self._entry.config.own_words(), self._entry.conventions
        if words is not None:
            type_name = self._entry.registration.type_name
            items = self._each(f"fields of {type_name}", items, lambda span: Said(words(span), []))
        genai = None if chosen is None else genai_of(chosen)
        if genai is not None:
            items = self._each(f"conventions {chosen}", items, lambda span: genai.say(span.attributes))
        return items

    def _each(self, name: str, items: list[_Item], say: Callable[[Span], Said]) -> list[_Item]:
        said = [(said_span(value, say(value)), run) for value, run in items]
        if said:
            self._add(name, [_fate(old, new) for (old, _), (new, _) in zip(items, said, strict=True)])
        return said

    async def _through(self, configured: ConfiguredProcessor, items: list[_Item]) -> list[_Item]:
        """Take items through one processor, and let it know of the runs' ends; those around others end last."""
        walk = _Stretch(self._front(configured))
        for value, run in items:
            await walk.feed(value, run)
        for run in self._recorded.runs:
            await walk.end(run)
        await walk.finish()
        self._add(configured.path, walk.fates(), hides=isinstance(configured.processor, RedactProcessor))
        return walk.passed

    def _front(self, configured: ConfiguredProcessor) -> Front:
        return Front(self._entry.name, [configured], self._explained.unit)

    def _add(self, name: str, fates: Sequence[Fate], *, hides: bool = False) -> None:
        shown = tuple(replace(fate, reason=_hidden(fate.reason, self._entry)) for fate in fates)
        self._explained.stages.append(Stage(name, shown, hides))


class _Stretch:
    """One processor, and what becomes of what it is given."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._ledger = Ledger()
        self._given: dict[int, Any] = {}
        self._before: dict[int, Any] = {}
        self._reasons: dict[int, str] = {}
        self._made: dict[int, Any] = {}
        self._added: list[Any] = []
        self._current: Any = None
        self.passed: list[_Item] = []
        front.open(self._ledger, is_counted=False, wake=lambda: None, is_ready=lambda: True)

    async def feed(self, value: Any, run: Run | None) -> None:
        """Give it one item."""
        self._given[id(value)] = self._current = value
        self._before[id(value)] = copy.deepcopy(value)
        envelope = Envelope(value, run)
        envelope.size_bytes = size_of(value)
        lost = self._lost()
        await self._front.pipeline.feed(envelope, self._front)
        if self._lost() > lost:
            self._reasons[id(value)] = self._latest_reason()
        await self._take()
        self._current = None

    async def end(self, run: Run) -> None:
        """A run has ended."""
        self._front.pipeline.end_run(run)
        await self._take()

    async def finish(self) -> None:
        """Nothing more comes."""
        await self._front.pipeline.flush()
        await self._take()
        await self._front.pipeline.shut_down()
        await self._take()

    def fates(self) -> list[Fate]:
        """What became of each item, in order."""
        fates = [self._fate(key) for key in self._given]
        return [*fates, *(Fate(value, "added") for value in self._added)]

    def _fate(self, key: int) -> Fate:
        before = self._before[key]
        if key in self._made:
            return _fate(before, self._made[key])
        return Fate(before, "dropped", self._reasons.get(key) or self._latest_reason())

    async def _take(self) -> None:
        """Take on what it has passed on, and what it gave by itself."""
        front = self._front
        while front.past or front.resumed:
            while front.resumed:
                envelope, index = front.resumed.popleft()
                await front.pipeline.feed(envelope, front, index)
            while front.past:
                envelope = front.past.popleft()
                self._keep(envelope)

    def _keep(self, envelope: Envelope) -> None:
        value, run = envelope.value, envelope.run
        source = self._given.get(id(value), self._current)
        if source is None or id(source) in self._made or run is None:
            self._added.append(value)
        else:
            self._made[id(source)] = value
        self.passed.append((value, run))

    def _lost(self) -> int:
        return self._ledger.counts().lost

    def _latest_reason(self) -> str:
        reason = next(reversed(self._ledger.counts().dropped), "")
        return f"{reason}: {self._front.last_failure}" if self._front.last_failure else reason


@asynccontextmanager
async def _built(entry: ProcessorEntry) -> AsyncIterator[ConfiguredProcessor]:
    """A processor for one look: what writes elsewhere does not write."""
    async with entry.registration.build(entry.config.without_effects(), Builder({})) as processor:
        yield ConfiguredProcessor(processor, f"{entry.path} ({entry.registration.type_name})", entry.timeout_s)


def label_of(item: Span | IntermediateStep) -> str:
    """What an item is called: its name, and what kind of span or event it is."""
    if isinstance(item, Span):
        kind = item.attributes.get("openinference.span.kind")
        return f"{item.name} ({kind})" if kind else item.name
    return f"{item.name or item.event_type.category} ({item.event_type})"


def _fate(before: Any, after: Any) -> Fate:
    changes = tuple(differences(before, after))
    return Fate(after, "changed" if changes else "passed", changes=changes)


def _shown(value: Any) -> Any:
    """What was captured as exporters see it."""
    if isinstance(value, CapturedSpan):
        return describe(value)
    return value if isinstance(value, Span) else to_intermediate_step(value)


def _guarded(value: Any, guard: Guard | None) -> Any:
    """The same, redacted."""
    if guard is None or isinstance(value, Span):
        return _shown(value) if guard is None else guard.look(value)
    return _shown(guard.span(value) if isinstance(value, CapturedSpan) else guard.step(value))


def _hidden(text: str, entry: ExporterEntry) -> str:
    for config in (entry.config, *(processor.config for processor in entry.processors)):
        text = shown_text(text, config)
    return text
