"""The event stream: a run's steps from the moment they are pushed.

A step is captured on the pushing thread, once, as a `CapturedStep`: ids, times, its parent, and snapshots of the values
that the workflow could still change. Everything else is derived from it later, on other threads.
"""

import contextvars
import hashlib
import logging
import traceback
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nat.data_models.step_types import IntermediateStepType
from nat.observability.snapshot import Snapshot
from nat.utils.ids import random_128_bits
from nat.utils.reactive.subject import OnComplete, OnError, Subject, guarded, lock
from nat.utils.records import Record

if TYPE_CHECKING:
    from nat.data_models.intermediate_step import IntermediateStep

__all__ = [
    "MAX_ERROR_MESSAGE_CHARS",
    "CapturedError",
    "CapturedStep",
    "EventStream",
    "FunctionRef",
    "Run",
    "StepListener",
    "Usage",
    "capture_error",
    "finish",
    "new_trace_id",
    "report_nothing",
    "span_id_of",
]

_log = logging.getLogger("nat.observability.stream")

_MASK_64 = 2**64 - 1
_MAX_STACKTRACE_CHARS = 32_768
MAX_ERROR_MESSAGE_CHARS = 8_192

_reports_nothing: contextvars.ContextVar[bool] = contextvars.ContextVar("nat_reports_nothing", default=False)


def report_nothing() -> None:
    """Record no steps of the code that runs in the current `contextvars` context: it is an exporter's own."""
    _reports_nothing.set(True)


def new_trace_id() -> int:
    """A random 128-bit id, never zero (W3C Trace Context level 2)."""
    return random_128_bits() or 1


@lru_cache(maxsize=4_096)  # a parent is asked for by each of its children
def span_id_of(step_id: str) -> int:
    """The 64-bit span id of a step, never zero: the same for the same step wherever it is computed.

    Both halves of a UUID are folded together, since time-based ones (versions 1 and 7) have little randomness in either.
    """
    digits = step_id.replace("-", "")
    if len(digits) == 32:
        try:
            number = int(digits, 16)
        except ValueError:
            pass
        else:
            return ((number >> 64) ^ number) & _MASK_64 or 1
    digest = hashlib.blake2b(step_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


class Usage(Record, gc=False):
    """What a step consumed; `None` is not known."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    llm_calls: int | None = None
    seconds_between_calls: float | None = None


class CapturedError(NamedTuple):
    """Why a step failed, as text."""

    type: str
    message: str
    stacktrace: str | None = None


class FunctionRef(Record, gc=False):
    """The function that a step happened in, and its caller."""

    id: str
    name: str
    parent_id: str | None
    parent_name: str | None


class Run:
    """What all steps of one run have in common.

    Attributes:
        trace_id: 128-bit id of the trace; a nested run shares its outer run's.
        root_id: Step id of the run's root, `None` for an implicit run.
        name: Name of the workflow, if it has one.
        owner: Whoever records it; a recorder that finds its own nested run in an outer one's stream passes it over.
        session_id, user_id, tags, metadata: As given at its start.
        context: The `contextvars` context captured at its start.
        has_ended: Set once, by the thread that ends it.
        attributes: What all of its spans say of it; made where the first one is described.
        outer: The run that it is nested in.
        guarded: Who has redacted it, and the result: `None` if there was nothing to redact.
    """

    __slots__ = (
        "__weakref__",
        "attributes",
        "context",
        "guarded",
        "has_ended",
        "metadata",
        "name",
        "outer",
        "owner",
        "root_id",
        "session_id",
        "tags",
        "trace_id",
        "user_id",
    )

    def __init__(
        self,
        *,
        trace_id: int,
        name: str | None = None,
        owner: object = None,
        root_id: str | None = None,
        session_id: str | None = None,
        user_id: str | None = None,
        tags: tuple[str, ...] = (),
        metadata: Snapshot = None,
        outer: "Run | None" = None,
    ) -> None:
        self.trace_id = trace_id
        self.name = name
        self.owner = owner
        self.root_id = root_id
        self.session_id = session_id
        self.user_id = user_id
        self.tags = tags
        self.metadata = metadata
        self.context: contextvars.Context | None = None
        self.has_ended = False
        self.attributes: dict[str, str] | None = None
        self.guarded: tuple[object, Run | None] | None = None
        self.outer = outer

    @property
    def top(self) -> "Run":
        """The outermost run around it, or itself, that whoever records it records, too: its end is the end of all."""
        top = run = self
        while run.outer is not None:
            run = run.outer
            if run.owner is self.owner:
                top = run
        return top


class CapturedStep(Record, eq=False, gc=False):
    """One step event. Nothing in it changes once it has been passed on, but what `StepListener.finish` adds.

    The garbage collector need not look into it: nothing leads from a step back to itself.

    Attributes:
        run: The run it belongs to; `None` outside any run.
        event_type: Kind of event.
        step_id: Shared by START, chunks and END.
        parent_id: Step id of the enclosing step, `"root"` at the top.
        name: Name of the step.
        time_ns: When it happened, nanoseconds since the epoch.
        started_ns: On an END or chunk: when the step started, if the pushing code says so.
        framework: Agent framework that reported it.
        tags: Free labels.
        metadata: Snapshot of the metadata.
        input, output, chunk: Snapshots of the data.
        extra: Snapshot of further data fields (a mapping), or `None`.
        usage: What it consumed.
        error: Why it failed; only on an END.
        function: The function it happened in.
        attributes: Further span attributes set by the instrumenting code (a mapping), or `None`.
        guarded: Who has redacted it, and the result: `None` if there was nothing to redact.
    """

    event_type: IntermediateStepType
    step_id: str
    parent_id: str
    name: str | None
    time_ns: int
    run: Run | None = None
    function: FunctionRef | None = None
    metadata: Snapshot = None
    tags: tuple[str, ...] = ()
    input: Snapshot = None
    output: Snapshot = None
    usage: Usage | None = None
    error: CapturedError | None = None
    attributes: Snapshot = None
    chunk: Snapshot = None
    framework: str | None = None
    timestamp: float | None = None
    started_ns: int | None = None
    has_trace_metadata: bool = False
    extra: Snapshot = None
    guarded: "tuple[object, CapturedStep | None] | None" = None

    def __repr__(self) -> str:
        return f"CapturedStep({self.event_type}, {self.step_id!r})"


class StepListener(Protocol):
    """Takes captured steps, on the thread that pushes them; must return at once."""

    def on_step(self, step: CapturedStep) -> None:
        """Take one step."""
        ...

    def finish(
        self,
        step_id: str,
        time_ns: int,
        output: Snapshot,
        usage: Usage | None,
        error: CapturedError | None,
        attributes: Snapshot,
    ) -> bool:
        """Take the END of a step that nobody else listens to, and that says no more than this; false: send it as a step."""
        ...


class EventStream(Subject["IntermediateStep"]):
    """The steps of one `ContextState`, in the order in which they are pushed. Thread-safe.

    Listeners get the captured form; subscribers (the contract's `subscribe`) an `IntermediateStep` built from it, or exactly
    the object that was given to `on_next`.

    Args:
        outer: The stream around this one; what is pushed here is heard there too.
        run: The run that steps pushed here belong to.
    """

    def __init__(self, outer: "EventStream | None" = None, run: Run | None = None) -> None:
        super().__init__()
        self._outer = outer
        self._run = run
        self._listeners: tuple[StepListener, ...] = ()
        self._listeners_below: tuple[StepListener, ...] = ()
        self._signals: dict[StepListener, tuple[OnError | None, OnComplete | None]] = {}

    def attach(
        self,
        listener: StepListener,
        on_error: OnError | None = None,
        on_complete: OnComplete | None = None,
        *,
        hears_below: bool = True,
    ) -> None:
        """Pass every step from now on to `listener`, and the stream's signals to the callbacks.

        Args:
            listener: Takes the steps.
            on_error, on_complete: Are called with the stream's signals.
            hears_below: Whether it takes what is pushed into streams below this one, too.
        """
        with lock:
            self._listeners += (listener,)
            if hears_below:
                self._listeners_below += (listener,)
            self._signals[listener] = (on_error, on_complete)

    def detach(self, listener: StepListener) -> None:
        """Pass nothing more to `listener`."""
        with lock:
            self._listeners = tuple(kept for kept in self._listeners if kept is not listener)
            self._listeners_below = tuple(kept for kept in self._listeners_below if kept is not listener)
            self._signals.pop(listener, None)

    @property
    def is_heard(self) -> bool:
        """Whether a step pushed here would reach anybody."""
        if _reports_nothing.get():
            return False
        if self._listeners or self._observers:
            return True
        stream = self._outer
        while stream is not None:
            if stream._listeners_below or stream._observers:
                return True
            stream = stream._outer
        return False

    @property
    def only_listener(self) -> "StepListener | None":
        """Who would hear a step pushed here, if that is just one listener and nobody else: see `finish`."""
        listeners = self._listeners
        if len(listeners) != 1 or self._observers or _reports_nothing.get():
            return None
        stream = self._outer
        while stream is not None:
            if stream._listeners_below or stream._observers:
                return None
            stream = stream._outer
        return listeners[0]

    def emit(self, step: CapturedStep, original: "IntermediateStep | None" = None) -> None:
        """Pass on one captured step, and outwards; ask `is_heard` before. Never raises."""
        stream, listeners = self, self._listeners
        while True:
            for listener in listeners:
                try:
                    listener.on_step(step)
                except Exception as exc:
                    _log.warning(
                        "event stream: a listener raised %s; the others and the workflow go on", type(exc).__name__
                    )
            if stream._observers:
                from nat.observability.step_models import to_intermediate_step  # only subscribers need models

                original = original or to_intermediate_step(step)
                Subject.on_next(stream, original)
            if stream._outer is None:
                return
            stream = stream._outer
            listeners = stream._listeners_below

    def on_next(self, value: "IntermediateStep") -> None:
        """Push a finished step as it is, with the parent it names. Never raises."""
        from nat.observability.step_models import capture_step

        if self.is_heard:
            self.emit(capture_step(value, self._run), value)

    def on_error(self, exc: BaseException) -> None:
        """Tell every subscriber and listener of an error; the stream goes on."""
        super().on_error(exc)
        for on_error, _ in list(self._signals.values()):
            if on_error is not None:
                guarded(on_error, exc)

    def on_complete(self) -> None:
        """End the stream for its subscribers, and tell listeners so."""
        super().on_complete()
        for _, on_complete in list(self._signals.values()):
            if on_complete is not None:
                guarded(on_complete)


def finish(
    listener: StepListener,
    step_id: str,
    time_ns: int,
    output: Snapshot = None,
    usage: Usage | None = None,
    error: CapturedError | None = None,
    attributes: Snapshot = None,
) -> bool:
    """Pass on the END of a step that says no more than this to a stream's only listener; false: emit it. Never raises."""
    try:
        return listener.finish(step_id, time_ns, output, usage, error, attributes)
    except Exception as exc:
        _log.warning("event stream: a listener raised %s; the workflow goes on", type(exc).__name__)
        return True


def capture_error(exc: BaseException) -> CapturedError:
    """The failure as text: class name, message and stack trace, bounded in length. Never raises `Exception`."""
    try:
        message = str(exc)
    except Exception:
        message = f"<{type(exc).__name__} whose text cannot be made>"
    try:
        stacktrace = "".join(traceback.format_exception(exc))
    except Exception:
        stacktrace = ""
    if len(stacktrace) > _MAX_STACKTRACE_CHARS:
        half = _MAX_STACKTRACE_CHARS // 2
        stacktrace = (
            f"{stacktrace[:half]}\n[... {len(stacktrace) - 2 * half} characters left out ...]\n{stacktrace[-half:]}"
        )
    return CapturedError(_error_type(exc), message[:MAX_ERROR_MESSAGE_CHARS], stacktrace or None)


def _error_type(exc: BaseException) -> str:
    cls = type(exc)
    return cls.__qualname__ if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}.{cls.__qualname__}"
