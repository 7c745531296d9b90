"""The pipeline: an exporter's processors, in order, failing closed."""

import logging
import types
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Union, get_args, get_origin

from nat.data_models.span import Span
from nat.observability.events import Run
from nat.observability.noise import Noise, is_ours, raised
from nat.observability.processor.batching_processor import BatchingProcessor
from nat.observability.processor.callback_processor import CallbackProcessor
from nat.observability.processor.deciding_processor import DecidingProcessor, Verdict
from nat.observability.processor.processor import Processor
from nat.observability.processor.run_processor import RunProcessor
from nat.observability.processor.span_to_dict import span_to_dict
from nat.observability.snapshot import plain
from nat.observability.spans.capture import CapturedSpan
from nat.observability.spans.describe import describe
from nat.utils.time_limit import TimeLimitExceededError, within

if TYPE_CHECKING:
    from nat.observability.delivery.spool import SpoolId

__all__ = [
    "Envelope",
    "Outlet",
    "Pipeline",
    "PipelineTypeError",
    "SpanView",
    "describe_captured",
    "fits",
    "generic_arguments",
    "halves_of",
    "items_of",
    "type_text",
]

_log = logging.getLogger("nat.observability.pipeline")


class PipelineTypeError(TypeError):
    """Two neighbours in a pipeline do not fit."""


class Envelope:
    """An item on its way through a lane.

    Attributes:
        value: The item, or a list of items.
        count: How many accepted items it stands for.
        run: The run it belongs to; `None` if it mixes runs.
        sequence: Its number among what the lane sends, from 1; 0 before that.
        counts: For a list, how many accepted items each of its items stands for, if that is known.
        trace_ids: For a list that mixes runs, the trace of each of its items, if that is known.
        size_bytes: What it carries, if that was measured.
        was_cut: Whether it was refused as too large and has had its texts cut.
        ready_at_s: When it was ready to be sent, on the lane's clock; `None` before, and once an attempt has been made.
        kept: Its record on disk: in the spool, or the id of a dead letter that is sent again.
        record_bytes: What that record takes.
        is_keepable: Whether it can be written to disk, as far as is known.
    """

    __slots__ = (
        "count",
        "counts",
        "is_keepable",
        "kept",
        "ready_at_s",
        "record_bytes",
        "run",
        "sequence",
        "size_bytes",
        "trace_ids",
        "value",
        "was_cut",
    )

    def __init__(self, value: Any, run: Run | None, count: int = 1) -> None:
        self.value = value
        self.run = run
        self.count = count
        self.sequence = 0
        self.counts: list[int] | None = None
        self.trace_ids: list[int | None] | None = None
        self.size_bytes = 0
        self.was_cut = False
        self.ready_at_s: float | None = None
        self.kept: SpoolId | str | None = None
        self.record_bytes = 0
        self.is_keepable = True


def describe_captured(envelope: Envelope) -> None:
    """Put spans in place of those that were only captured."""
    if isinstance(envelope.value, list):
        envelope.value = [describe(item) if isinstance(item, CapturedSpan) else item for item in envelope.value]


def items_of(envelope: Envelope) -> Iterator[tuple[Any, int]]:
    """A list's items, and how many accepted items each stands for; where nobody has said, they are spread evenly."""
    items = envelope.value
    counts = envelope.counts
    if counts is None or len(counts) != len(items):
        share, rest = divmod(envelope.count, max(1, len(items)))
        counts = [share + (index < rest) for index in range(len(items))]
    return zip(items, counts, strict=True)


def halves_of(envelope: Envelope) -> tuple[Envelope, Envelope]:
    """A list's two halves, in order; they keep its place among what is sent."""
    counts, middle = [count for _, count in items_of(envelope)], len(envelope.value) // 2
    halves = []
    for part in (slice(None, middle), slice(middle, None)):
        half = Envelope(envelope.value[part], envelope.run, sum(counts[part]))
        half.counts, half.sequence = counts[part], envelope.sequence
        half.trace_ids = None if envelope.trace_ids is None else envelope.trace_ids[part]
        half.kept, half.record_bytes = envelope.kept, envelope.record_bytes
        halves.append(half)
    return halves[0], halves[1]


class Outlet(Protocol):
    """Where a pipeline's outputs go: the lane."""

    @property
    def name(self) -> str:
        """What messages call it: the exporter's entry."""
        ...

    def put(self, envelope: Envelope) -> None:
        """Take an output."""
        ...

    def resume(self, envelope: Envelope, index: int, *, is_new: bool) -> None:
        """Go on later, at the processor of that index, with an item that a processor gave by itself.

        One that `is_new` stands for no item that waits: what it was made of has met its fate.
        """
        ...

    def drop(self, reason: str, count: int, why: str = "") -> None:
        """Count what was dropped; `why` says what failed."""
        ...

    def is_ready(self) -> bool:
        """Whether sending keeps up."""
        ...


@dataclass(frozen=True, slots=True)
class SpanView:
    """Another form of spans that an exporter's processors may take and give; the pipeline takes in and gives spans.

    Attributes:
        kind: Its class.
        of: Makes it of a span.
        span_of: Gives the span that it shows.
    """

    kind: type
    of: Callable[[Span], Any]
    span_of: Callable[[Any], Span]


@dataclass(frozen=True, slots=True)
class _Stage:
    """A processor in its place; `label` is for messages, and `gives` what it may return, if that is checked."""

    name: str
    processor: Processor[Any, Any]
    label: str
    timeout_s: float | None = None
    gives: type | None = None

    async def process(self, value: Any, run: Run | None) -> Any:
        processor = self.processor
        begun = processor.process_in(value, run) if isinstance(processor, RunProcessor) else processor.process(value)
        return self.checked(await within(self.timeout_s, begun))

    def checked(self, value: Any) -> Any:
        if self.gives is not None and value is not None and not isinstance(value, self.gives):
            raise TypeError(f"{self.label} gives {type(value).__qualname__}, expected {self.gives.__name__}")
        return value


class Pipeline:
    """The processors of one exporter; shared by all of its runs.

    Args:
        owner: Name of the exporter's class, for messages about how it is built.
        input_type, output_type: What the exporter gives in and takes out.
        view: A form of spans that processors may use instead of them; one that is the output type is made by the exporter.
    """

    def __init__(self, owner: str, input_type: Any, output_type: Any, view: SpanView | None = None) -> None:
        self._owner = owner
        self._input_type = input_type
        self._output_type = Span if view is not None and _is_kind(output_type, view.kind) else output_type
        self._view = view
        self._stages: list[_Stage] = []
        self._is_fixed = False
        self._running: list[_Stage] = []
        self._outlets: list[Outlet] = []
        self._noise = Noise(_log)

    # -- building ------------------------------------------------------------------------------------------------------

    @property
    def processors(self) -> list[Processor[Any, Any]]:
        """The processors that were added, in order."""
        return [stage.processor for stage in self._stages]

    @property
    def shutdown_timeout_s(self) -> float | None:
        """The longest time that a batching processor asks for its last flush; `None` if there is none."""
        timeouts = [
            stage.processor.shutdown_timeout_s
            for stage in self._stages
            if isinstance(stage.processor, BatchingProcessor)
        ]
        return max(timeouts, default=None)

    def add(
        self,
        processor: Processor[Any, Any],
        *,
        name: str | None = None,
        position: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> None:
        """Add a processor at the end, or where `position`, `before` or `after` (names) says.

        Raises:
            RuntimeError: The exporter has started.
            TypeError: It is no `Processor`; as `PipelineTypeError`, it does not fit its neighbours.
            ValueError: More than one place is named, or none of that name exists, or the name is taken.
        """
        self._check_open()
        if not isinstance(processor, Processor):
            raise TypeError(f"{self._owner}: {processor!r} is not a Processor")
        if isinstance(processor, DecidingProcessor):
            raise TypeError(
                f"{self._owner}: {type(processor).__name__} decides on runs; configure it under processors:"
            )
        label = type(processor).__name__
        stage = _Stage(name or label, processor, label)
        if name is not None and any(known.name == name for known in self._stages):
            raise ValueError(f"{self._owner}: there is a processor named {name!r} already")
        stages = list(self._stages)
        stages.insert(self._index(position, before, after), stage)
        self._check_types([known.processor for known in stages], is_complete=False)
        self._stages = stages

    def add_configured(self, processor: Processor[Any, Any], label: str, timeout_s: float) -> None:
        """Add a processor at the end that must return what comes in, an item within `timeout_s` seconds."""
        self._check_open()
        self._stages.append(_Stage(label, processor, label, timeout_s, self._input_type))

    def get(self, name: str) -> Processor[Any, Any] | None:
        """The processor of that name, `None` if there is none."""
        return next((stage.processor for stage in self._stages if stage.name == name), None)

    def remove(self, processor: str | int | Processor[Any, Any]) -> None:
        """Remove a processor by its name, position or itself.

        Raises:
            RuntimeError: The exporter has started.
            ValueError: There is no such processor.
        """
        self._check_open()
        for index, stage in enumerate(self._stages):
            if processor in (stage.name, index) or stage.processor is processor:
                del self._stages[index]
                return
        raise ValueError(f"{self._owner}: no processor {processor!r}; there are: {self._names()}")

    def clear(self) -> None:
        """Remove all processors; `RuntimeError` once the exporter has started."""
        self._check_open()
        self._stages = []

    def fix(self) -> None:
        """Check the whole pipeline, fill in the conversion of spans to dicts, and allow no more changes.

        Raises:
            PipelineTypeError: Two neighbours do not fit.
        """
        if self._is_fixed:
            return
        stages = self._with_conversion(self._stages)
        self._check_types([stage.processor for stage in stages], is_complete=True)
        self._running = stages
        self._is_fixed = True

    def release_for_changes(self) -> None:
        """Allow changes again."""
        self._is_fixed = False
        self._running = []

    # -- running -------------------------------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        """Whether items pass as they are."""
        return not self._running and not self._makes_dicts

    def connect(self, outlet: Outlet) -> None:
        """Serve a lane, too. What processors give by themselves goes to the lane that has been connected longest."""
        self._outlets.append(outlet)
        for index, stage in enumerate(self._running):
            processor = stage.processor
            if isinstance(processor, CallbackProcessor):
                is_new = not isinstance(processor, BatchingProcessor)
                processor.set_done_callback(self._continuation(stage, index + 1, is_new=is_new))
            if isinstance(processor, BatchingProcessor):
                processor.set_downstream_ready(self._is_downstream_ready)
            if isinstance(processor, DecidingProcessor):
                processor.connect(self._passing_on(index + 1), self._drop_held)

    def disconnect(self, outlet: Outlet) -> int:
        """Serve a lane no longer; with the last one, items that still wait are lost: returns how many."""
        if outlet not in self._outlets:
            return 0
        self._outlets.remove(outlet)
        if self._outlets:
            return 0
        held = sum(processor.discard() for processor in self._deciders())
        return held + sum(processor.discard() for processor in self._batchers())

    def is_last(self, outlet: Outlet) -> bool:
        """Whether no other lane is served."""
        return self._outlets == [outlet]

    async def feed(self, envelope: Envelope, outlet: Outlet, index: int = 0) -> None:
        """Take one item through, from the processor of that index on; its output goes to the outlet.

        Raises `Exception` only if the outlet does. While it goes on, `envelope` says how many items it stands for.
        """
        value, run, count = envelope.value, envelope.run, envelope.count
        for stage in self._running[index:]:
            batcher = stage.processor if isinstance(stage.processor, BatchingProcessor) else None
            dropped = batcher.dropped_count if batcher else 0
            try:
                if isinstance(stage.processor, DecidingProcessor):
                    held = Envelope(value, run, count)
                    verdict = stage.processor.take(value, run, held, envelope.size_bytes)
                    if verdict is Verdict.PASS:
                        continue
                    if verdict is Verdict.DROP:
                        outlet.drop("sampled_out", count)
                    return
                value = await stage.process(value, run)
            except BaseException as exc:
                if is_ours(exc):
                    raise
                self._fail(stage, exc, outlet, count)
                return
            if batcher is not None:
                if batcher.dropped_count > dropped:
                    outlet.drop("queue_full", batcher.dropped_count - dropped)
                if not value:
                    return
                run, count = None, len(value)
                envelope.count = count
            elif value is None or (isinstance(value, list) and not value):
                outlet.drop("filtered", count)
                return
        if self._makes_dicts:
            value = [plain(item) for item in value] if isinstance(value, list) else plain(value)
        outlet.put(Envelope(value, run, count))

    def _fail(self, stage: _Stage, exc: BaseException, outlet: Outlet, count: int) -> None:
        is_late = isinstance(exc, TimeLimitExceededError)
        what = str(exc) if is_late else f"raised {raised(exc)}"
        reason = "processor_timeout" if is_late else "processor_error"
        outlet.drop(reason, count, f"processor {stage.label} {what}")
        self._noise.warn(stage.label, "%s: processor %s %s; its item is not exported", outlet.name, stage.label, what)

    @property
    def has_batching(self) -> bool:
        """Whether a processor makes lists of items."""
        return bool(self._batchers())

    @property
    def waiting_count(self) -> int:
        """Items that wait in batching processors."""
        return sum(processor.waiting_count for processor in self._batchers())

    async def release(self) -> None:
        """Pass on full batches that waited for sending to keep up."""
        for processor in self._batchers():
            await processor.flush_full()

    async def flush(self) -> None:
        """Pass on everything that waits in the processors, first to last."""
        for processor in self._batchers():
            await self._guarded(processor, processor.force_flush)

    async def shut_down(self) -> None:
        """Like `flush`, and the processors take nothing any more."""
        for stage in self._running:
            if isinstance(stage.processor, CallbackProcessor):
                await self._guarded(stage.processor, stage.processor.shutdown)
            elif isinstance(stage.processor, DecidingProcessor):
                stage.processor.end_all()

    def end_run(self, run: Run) -> None:
        """A run has ended: processors that decide on runs give or drop what they hold of it."""
        for processor in self._deciders():
            processor.end_run(run)

    async def _guarded(self, processor: Processor[Any, Any], hook: Callable[[], Awaitable[object]]) -> None:
        try:
            await hook()
        except BaseException as exc:
            if is_ours(exc):
                raise
            name, hook_name = type(processor).__name__, getattr(hook, "__name__", "")
            where = self._outlets[0].name if self._outlets else self._owner
            self._noise.warn(
                f"{name}.{hook_name}", "%s: processor %s: %s raised %s", where, name, hook_name, raised(exc)
            )

    def _batchers(self) -> list[BatchingProcessor[Any]]:
        return [stage.processor for stage in self._running if isinstance(stage.processor, BatchingProcessor)]

    def _deciders(self) -> list[DecidingProcessor[Any, Any]]:
        return [stage.processor for stage in self._running if isinstance(stage.processor, DecidingProcessor)]

    def _passing_on(self, index: int) -> Callable[[Envelope], None]:
        return lambda envelope: self._outlets[0].resume(envelope, index, is_new=False)

    def _drop_held(self, envelope: Envelope) -> None:
        self._outlets[0].drop("sampled_out", envelope.count)

    def _is_downstream_ready(self) -> bool:
        return not self._outlets or self._outlets[0].is_ready()

    def _continuation(self, stage: _Stage, index: int, *, is_new: bool) -> Callable[[Any], Awaitable[None]]:
        async def go_on(value: Any) -> None:
            stage.checked(value)
            count = len(value) if isinstance(value, list) else 1
            self._outlets[0].resume(Envelope(value, None, count), index, is_new=is_new)

        return go_on

    # -- types ---------------------------------------------------------------------------------------------------------

    @property
    def _makes_dicts(self) -> bool:
        return self._output_type is dict or get_origin(self._output_type) is dict

    def _with_conversion(self, stages: Sequence[_Stage]) -> list[_Stage]:
        """Put conversions where a span would meet a dict or a view, or a view a span.

        Where a processor of the author's makes dicts, there is no conversion to dicts.
        """
        result: list[_Stage] = []
        current = self._input_type
        is_converted = False
        for stage in stages:
            takes, gives = generic_arguments(type(stage.processor), Processor, stage.processor)
            if not is_converted and _is_span(current) and _is_dict(takes):
                result.append(_conversion(span_to_dict))
                is_converted = True
            is_converted = is_converted or (_is_span(current) and _is_dict(gives))
            result += self._view_conversions(current, takes)
            result.append(stage)
            current = gives if not isinstance(gives, TypeVar) else current
        if self._makes_dicts and not is_converted and _is_span(self._input_type) and _is_span(_item_type(current)):
            result.append(_conversion(span_to_dict))
        return result + self._view_conversions(_item_type(current), self._output_type)

    def _view_conversions(self, given: Any, wanted: Any) -> list[_Stage]:
        """What turns `given` into `wanted`, if one is a span and the other its view, or both are lists of these."""
        view = self._view
        if view is None or fits(given, wanted):
            return []
        if get_origin(given) is list and get_origin(wanted) is list:
            given, wanted = _item_type(given), _item_type(wanted)
        if _is_span(given) and _is_kind(wanted, view.kind):
            return [_conversion(view.of)]
        if _is_kind(given, view.kind) and _is_span(wanted):
            return [_conversion(view.span_of)]
        return []

    def _check_types(self, processors: Sequence[Processor[Any, Any]], *, is_complete: bool) -> None:
        current, giver = self._input_type, f"{self._owner} (its input)"
        for processor in processors:
            name = type(processor).__name__
            takes, gives = generic_arguments(type(processor), Processor, processor)
            is_convertible = (_is_span(current) and _is_dict(takes)) or self._view_conversions(current, takes)
            if not (fits(current, takes) or is_convertible):
                raise PipelineTypeError(
                    f"{self._owner}: {name} takes {type_text(takes)} but comes after {giver}, which gives {type_text(current)}"
                )
            if isinstance(gives, TypeVar):
                gives = Any
            current, giver = gives, name
        if not is_complete:
            return
        if not (fits(current, self._output_type) or fits(_item_type(current), self._output_type)):
            raise PipelineTypeError(
                f"{self._owner}: exports {type_text(self._output_type)} but {giver} gives {type_text(current)}; "
                f"add a processor that turns {type_text(current)} into {type_text(self._output_type)}"
            )

    # -- small parts ---------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._is_fixed:
            raise RuntimeError(f"{self._owner} has started; its processors cannot be changed any more")

    def _index(self, position: int | None, before: str | None, after: str | None) -> int:
        if sum(place is not None for place in (position, before, after)) > 1:
            raise ValueError(f"{self._owner}: give one of position, before and after")
        if position is not None:
            if not -len(self._stages) <= position <= len(self._stages):
                raise ValueError(f"{self._owner}: no position {position} among {len(self._stages)} processors")
            return position
        anchor = before or after
        if anchor is None:
            return len(self._stages)
        for index, stage in enumerate(self._stages):
            if stage.name == anchor:
                return index if before else index + 1
        raise ValueError(f"{self._owner}: no processor named {anchor!r}; there are: {self._names()}")

    def _names(self) -> str:
        return ", ".join(repr(stage.name) for stage in self._stages) or "none"


class _Conversion(Processor[Any, Any]):
    """A built-in conversion: of an item, or of each item of a list."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        self._convert = convert

    async def process(self, item: Any) -> Any:
        return [self._convert(one) for one in item] if isinstance(item, list) else self._convert(item)


def _conversion(convert: Callable[[Any], Any]) -> _Stage:
    return _Stage("", _Conversion(convert), "conversion")


def generic_arguments(cls: type, base: type, instance: object = None) -> tuple[Any, ...]:
    """The type arguments with which `cls` (or `instance`, subscripted at construction) fills the parameters of `base`.

    A parameter that stays open is its `TypeVar`.
    """
    subscripted = getattr(instance, "__orig_class__", None)
    parameters = getattr(cls, "__parameters__", ())
    known = dict(zip(parameters, get_args(subscripted), strict=False)) if subscripted else {}
    return tuple(_substitute(argument, known) for argument in _arguments(cls, base))


def _arguments(cls: type, base: type) -> tuple[Any, ...]:
    if cls is base:
        return tuple(getattr(base, "__parameters__", ()))
    for parent in _original_bases(cls):
        origin = get_origin(parent) or parent
        if not (isinstance(origin, type) and issubclass(origin, base)):
            continue
        inner = _arguments(origin, base)
        filled = dict(zip(getattr(origin, "__parameters__", ()), get_args(parent), strict=False))
        return tuple(_substitute(argument, filled) for argument in inner)
    return tuple(getattr(base, "__parameters__", ()))


def _original_bases(cls: type) -> tuple[Any, ...]:
    bases: tuple[Any, ...] = cls.__dict__.get("__orig_bases__", cls.__bases__)
    return bases


def _substitute(argument: Any, filled: dict[Any, Any]) -> Any:
    if isinstance(argument, TypeVar):
        return filled.get(argument, argument)
    parameters = getattr(argument, "__parameters__", ())
    if parameters:
        return argument[tuple(filled.get(parameter, parameter) for parameter in parameters)]
    return argument


def fits(given: Any, wanted: Any) -> bool:
    """Whether a value of type `given` may be passed where `wanted` is expected; open and unknown types fit everything."""
    if wanted is Any or given is Any or isinstance(wanted, TypeVar) or isinstance(given, TypeVar) or wanted is object:
        return True
    if _is_union(given):
        return any(fits(option, wanted) for option in get_args(given))
    if _is_union(wanted):
        return any(fits(given, option) for option in get_args(wanted))
    given_class, wanted_class = get_origin(given) or given, get_origin(wanted) or wanted
    if not (isinstance(given_class, type) and isinstance(wanted_class, type)):
        return True  # forward references and protocols without a class cannot be told
    try:
        is_fit = issubclass(given_class, wanted_class)
    except TypeError:
        return True
    if is_fit and given_class is list and wanted_class is list and get_args(given) and get_args(wanted):
        return fits(get_args(given)[0], get_args(wanted)[0])
    return is_fit


def _is_union(candidate: Any) -> bool:
    return get_origin(candidate) in (Union, types.UnionType)


def _item_type(candidate: Any) -> Any:
    arguments = get_args(candidate)
    return arguments[0] if get_origin(candidate) is list and arguments else candidate


def _is_span(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, Span)


def _is_kind(candidate: Any, kind: type) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, kind)


def _is_dict(candidate: Any) -> bool:
    return (get_origin(candidate) or candidate) is dict


def type_text(candidate: Any) -> str:
    """A type as people write it."""
    return candidate.__name__ if isinstance(candidate, type) and not get_args(candidate) else str(candidate)
