"""The front door for applications: `Telemetry`, `step`, `observe`."""

import contextvars
import functools
import inspect
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, overload

from nat.builder.context import (
    ActiveStep,
    ContextState,
    current_state,
    enter_step,
    leave_step,
    resume_at,
)
from nat.data_models.span_names import SpanAttributes
from nat.data_models.step_types import ROOT_PARENT_ID, IntermediateStepType
from nat.observability.events import CapturedError, CapturedStep, Usage, capture_error, finish
from nat.observability.snapshot import snapshot
from nat.utils.ids import random_hex
from nat.utils.records import Record

if TYPE_CHECKING:
    from nat.data_models.delivery import DeliveryConfig
    from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
    from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
    from nat.observability.delivery.metrics import Measurement
    from nat.observability.manager import FlushResult, RunScope, TelemetryStatus
    from nat.observability.redaction.settings import RedactConfig, RedactProfile
    from nat.observability.registry import ExporterEntry

__all__ = [
    "Step",
    "StepKind",
    "Telemetry",
    "carry_context",
    "observe",
    "step",
]

P = ParamSpec("P")
R = TypeVar("R")

StepKind = Literal[
    "function",
    "llm",
    "tool",
    "retriever",
    "agent",
    "embedder",
    "reranker",
    "guardrail",
    "evaluator",
    "task",
    "custom",
    "workflow",
]
"""What a step does; decides its span kind (OpenInference) and which attributes it gets."""

_START = {kind: IntermediateStepType(f"{kind.upper()}_START") for kind in StepKind.__args__}  # type: ignore[attr-defined]
_END = {kind: IntermediateStepType(f"{kind.upper()}_END") for kind in _START}
_FLUSH_TIMEOUT_S = 10.0


class Telemetry:
    """Sends what an agent does to every exporter it is configured with.

    Use it with `with` or `async with`. Nothing here waits for a backend, except `flush`, `close` and the end of the
    `with` block, which have a deadline. A program that closes nothing still delivers when it exits. Thread-safe.

    Args:
        exporters: Configs of the exporters; an entry is named after its type (`file`, `file_2`), or by the mapping's key.
            `exporter_entry` makes one with settings of its own.
        delivery: How all of them are delivered to: timeout, retry, concurrency …
        redact: What is taken out of everything before any of it leaves: `"secrets"` unless given, `"pii"`, `"none"`, or a
            `RedactConfig`.
        processors: Configs of processors that the items of all exporters pass, in order; each exporter has its own.
        status_directory: Where this process keeps a file that says what became of everything, for `nat status` and other
            programs; relative to the working directory. None: there is no such file.

    Raises:
        ConfigurationError: A config's class is not registered.
        ValueError: `status_directory` is no path.
    """

    def __init__(
        self,
        *exporters: "TelemetryExporterBaseConfig | Mapping[str, TelemetryExporterBaseConfig] | ExporterEntry",
        delivery: "DeliveryConfig | None" = None,
        redact: "RedactConfig | RedactProfile | None" = None,
        processors: "Sequence[TelemetryProcessorBaseConfig]" = (),
        status_directory: str | os.PathLike[str] | None = None,
    ) -> None:
        from nat.observability.manager import TelemetryManager, entries_of, limits_of  # steps alone need none of this
        from nat.observability.status_file import resolve_status_directory

        self._manager = TelemetryManager(
            entries_of(exporters, delivery, processors, redact),
            intake=limits_of(delivery),
            status_directory=None if status_directory is None else resolve_status_directory(status_directory),
        )

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], overrides: Sequence[tuple[str, str]] = ()) -> Self:
        """Telemetry as a workflow file says under `general.telemetry`.

        Modules that the file names (`plugins`, `workflow.entrypoint`) are imported, since they may register exporters; the
        workflow itself is not run.

        Args:
            path: The file.
            overrides: Dotted keys and the values they get, as if they stood in the file.

        Raises:
            ConfigurationError: With every problem that was found, each with its place in the file.
        """
        from nat.runtime.loader import load_workflow

        workflow = load_workflow(path, overrides, entrypoint="unused")
        return cls(*workflow.exporters, delivery=workflow.delivery, status_directory=workflow.status_directory)

    def start(self) -> Self:
        """Start the exporters; returns at once, unless one is `required`.

        Raises:
            ConfigurationError: A required exporter did not start.
        """
        self._manager.start()
        return self

    def run(
        self,
        name: str,
        *,
        input: Any = None,
        session_id: str | None = None,
        user_id: str | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        kind: Literal["workflow", "agent"] = "workflow",
    ) -> "RunScope":
        """One run of the agent, as a context manager: its root span, and one trace for everything in the body.

        An exception that leaves the body is recorded and goes on unchanged. What is still open at the end is recorded as
        incomplete, and the run as failed. A run inside another one hangs below the step around it, in the same trace, and takes
        over its session and user.

        Args:
            name: Of the workflow or agent.
            input: What it was asked. Set `output` on the result for what it answers.
            session_id: Conversation that it belongs to.
            user_id: Who it works for.
            tags: Free labels.
            metadata: Further facts.
            kind: Whether the root is a workflow or itself an agent.
        """
        return self._manager.open_run(
            name, input=input, session_id=session_id, user_id=user_id, tags=tags, metadata=metadata, kind=_START[kind]
        )

    def flush(self, timeout: float = _FLUSH_TIMEOUT_S) -> "FlushResult":
        """Send now what waits; blocks until it has met its fate, `timeout` seconds at most for all exporters together."""
        return self._manager.flush(timeout)

    async def aflush(self, timeout: float = _FLUSH_TIMEOUT_S) -> "FlushResult":  # noqa: ASYNC109  (as `flush`)
        """Like `flush`, without blocking the event loop."""
        return await _off_the_loop(self._manager.flush, timeout)

    def status(self) -> "TelemetryStatus":
        """What every exporter is doing, and what became of everything it accepted."""
        return self._manager.status()

    def metrics(self) -> "list[Measurement]":
        """What every exporter has counted and measured, under OpenTelemetry's names for SDK self-observation."""
        return self._manager.metrics()

    def trace_urls(self, run: "RunScope") -> dict[str, str]:
        """Pages on which backends show a run, by entry name; only of those that have such a page."""
        return self._manager.run_urls(run)

    def close(self, timeout: float | None = None) -> "FlushResult":
        """Deliver what waits and stop the exporters; blocks, `timeout` seconds at most for all together. Idempotent."""
        return self._manager.close(timeout)

    async def aclose(self, timeout: float | None = None) -> "FlushResult":  # noqa: ASYNC109  (as `close`)
        """Like `close`, without blocking the event loop."""
        return await _off_the_loop(self._manager.close, timeout)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await _off_the_loop(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.shield(self.aclose())


class Step(Record, eq=False):
    """A step of a run, as a context manager: `with` or `async with`. Made by `step`; entered once.

    An exception that leaves the body is recorded and goes on unchanged. Values are recorded as they are at that moment.

    Attributes:
        output: What the step gives; set it before the end.
    """

    _name: str
    _kind: StepKind
    _input: Any
    _tags: Sequence[str]
    _metadata: dict[str, Any] | None
    _step_id: str = ""
    _state: ContextState | None = None
    _usage: Usage | None = None
    _error: CapturedError | None = None
    _attributes: dict[str, Any] | None = None
    _end_metadata: dict[str, Any] | None = None
    output: Any = None

    @property
    def id(self) -> str:
        """Id of the step; empty before it is entered."""
        return self._step_id

    def usage(
        self,
        *,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
        total_tokens: int | None = None,
        cached_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        reasoning_tokens: int | None = None,
    ) -> None:
        """What the step consumed. `prompt_tokens` includes cached ones, `completion_tokens` reasoning ones."""
        if total_tokens is None and prompt_tokens is not None and completion_tokens is not None:
            total_tokens = prompt_tokens + completion_tokens
        self._usage = Usage(
            prompt_tokens, completion_tokens, total_tokens, cached_tokens, cache_write_tokens, reasoning_tokens
        )

    def chunk(self, value: Any) -> None:
        """A part of the output has come: the first one gives the time to first token, all of them a count."""
        state = self._state
        if state is not None and state.stream.is_heard:
            event_type = IntermediateStepType.LLM_NEW_TOKEN if self._kind == "llm" else IntermediateStepType.SPAN_CHUNK
            state.stream.emit(
                CapturedStep(
                    event_type,
                    self._step_id,
                    ROOT_PARENT_ID,
                    self._name,
                    time.time_ns(),
                    state.run,
                    chunk=snapshot(value),
                )
            )

    def update(self, **metadata: Any) -> None:
        """Further metadata, such as `model`, `finish_reason` or `documents`; what is known at the end wins."""
        self._end_metadata = {**(self._end_metadata or {}), **metadata}

    def set_attribute(self, key: str, value: Any) -> None:
        """An attribute of the span, as it is; replaces a derived one of that key."""
        if self._attributes is None:
            self._attributes = {}
        self._attributes[key] = value

    def fail(self, exc: BaseException) -> None:
        """Mark the step as failed although no exception leaves its body."""
        self._error = capture_error(exc)

    def __enter__(self) -> Self:
        self._begin(sys._getframe(1))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        state = self._state
        active = leave_step(self._step_id)
        if state is None:
            return
        listener = state.stream.only_listener
        if listener is None and not state.stream.is_heard:
            return
        if exc is not None:
            if isinstance(exc, GeneratorExit):
                self.set_attribute(_ABANDONED, True)
            else:
                self._error = capture_error(exc)
        output, usage = self.output, self._usage
        if usage is None and self._kind in _CONSUMERS:
            usage = reported_usage(output)
        metadata, attributes = self._end_metadata, self._attributes
        time_ns = time.time_ns()
        given = None if output is None else snapshot(output)
        more = None if attributes is None else snapshot(attributes)
        if (
            listener is not None
            and metadata is None
            and finish(listener, self._step_id, time_ns, given, usage, self._error, more)
        ):
            return
        state.stream.emit(
            CapturedStep(
                _END[self._kind],
                self._step_id,
                ROOT_PARENT_ID if active is None else active.parent_id,
                self._name,
                time_ns,
                state.run,
                None if active is None else active.function,
                snapshot(metadata),
                (),
                None,
                given,
                usage,
                self._error,
                more,
            )
        )

    async def __aenter__(self) -> Self:
        self._begin(sys._getframe(1))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, exc, traceback)

    def __repr__(self) -> str:
        return f"Step({self._name!r}, {self._kind!r})"

    def _begin(self, frame: FrameType | None) -> None:
        state = self._state = current_state()
        kind, step_id = self._kind, random_hex()
        self._step_id = step_id
        active = enter_step(step_id, self._name, is_function=kind == "function", frame=frame)
        if not state.stream.is_heard:
            return
        given, metadata = self._input, self._metadata
        state.stream.emit(
            CapturedStep(
                _START[kind],
                step_id,
                active.parent_id,
                self._name,
                time.time_ns(),
                state.run,
                active.function,
                None if metadata is None else snapshot(metadata),
                tuple(self._tags),
                None if given is None else snapshot(given),
            )
        )


_CONSUMERS = ("llm", "embedder")  # steps whose output may say what they consumed
_ABANDONED = SpanAttributes.NAT_ABANDONED.value


def step(
    name: str,
    kind: StepKind = "function",
    *,
    input: Any = None,
    model: str | None = None,
    provider: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    tools: Sequence[Any] | None = None,
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Step:
    """One step of the agent, as a context manager: what happens in the body lies below it.

    Outside any run, and without telemetry, the body runs just the same.

    Args:
        name: Of the function, tool, model call …
        kind: What the step does.
        input: What goes in: a text, a list of messages, arguments.
        model: Model that is asked; for LLM, embedder and reranker steps.
        provider: Host of the model (`openai`, `azure`, `aws` …), not the framework.
        parameters: Model parameters: temperature, max_tokens …
        tools: Schemas of the tools that the model may call.
        tags: Free labels.
        metadata: Further facts.

    Raises:
        ValueError: `kind` is none of `StepKind`.
    """
    if kind not in _START:
        raise ValueError(f"step kind must be one of {', '.join(_START)}, got {kind!r}")
    facts = dict(metadata) if metadata else {}
    if model is not None:
        facts["model"] = model
    if provider is not None:
        facts["provider"] = provider
    if parameters is not None:
        facts["parameters"] = parameters
    if tools is not None:
        facts["tools_schema"] = tools
    return Step(name, kind, input, tags, facts or None)


@overload
def observe(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def observe(
    *,
    name: str | None = None,
    kind: StepKind = "function",
    model: str | None = None,
    provider: str | None = None,
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    capture_input: bool = True,
    capture_output: bool = True,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def observe(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    kind: StepKind = "function",
    model: str | None = None,
    provider: str | None = None,
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    capture_input: bool = True,
    capture_output: bool = True,
) -> Any:
    """Make every call of a function a step: `@observe` or `@observe(kind="tool")`.

    For functions, coroutine functions, generators and async generators. The input is the arguments by name (a single one
    as it is), the output what is returned, or what was yielded in all; usage is read from a model's response that reports
    it. The step of a generator lasts from its first value to its end, and is active only while its body runs.

    Args:
        name: Of the step; the function's name if not given.
        kind: What the step does.
        model, provider, tags, metadata: As for `step`.
        capture_input, capture_output: Whether to record arguments and results.

    Raises:
        ValueError: `kind` is none of `StepKind`.
    """
    if kind not in _START:
        raise ValueError(f"step kind must be one of {', '.join(_START)}, got {kind!r}")

    def decorate(observed: Callable[..., Any]) -> Callable[..., Any]:
        step_name = name or getattr(observed, "__qualname__", type(observed).__name__).rpartition(".")[2]
        read_input = _argument_reader(observed) if capture_input else None

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step:
            given = None if read_input is None else read_input(args, kwargs)
            return step(step_name, kind, input=given, model=model, provider=provider, tags=tags, metadata=metadata)

        return _WRAPPERS[_flavour(observed)](observed, begin, capture_output)

    return decorate if function is None else decorate(function)


def carry_context(function: Callable[P, R]) -> Callable[P, R]:
    """The function, to be called on another thread as if it were called here: same run, same parent step.

    For `threading.Thread`, `Executor.submit` and `loop.run_in_executor`, which do not carry the context over by themselves
    (`asyncio.to_thread` does). The result may be called many times and by several threads at once.
    """
    context = contextvars.copy_context()

    @functools.wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return carried


def reported_usage(output: Any) -> Usage | None:
    """Token counts in a model's response: `usage` with OpenAI's or Anthropic's field names, as object or mapping."""
    usage = None if output is None or type(output) is str else _field(output, "usage")
    if usage is None:
        return None
    prompt = _count(usage, "prompt_tokens", "input_tokens")
    completion = _count(usage, "completion_tokens", "output_tokens")
    if prompt is None and completion is None:
        return None
    total = _count(usage, "total_tokens")
    if total is None and prompt is not None and completion is not None:
        total = prompt + completion
    prompt_details = _field(usage, "prompt_tokens_details") or _field(usage, "input_tokens_details")
    completion_details = _field(usage, "completion_tokens_details") or _field(usage, "output_tokens_details")
    return Usage(
        prompt,
        completion,
        total,
        _count(prompt_details, "cached_tokens"),
        None,
        _count(completion_details, "reasoning_tokens"),
    )


# -- observed functions ------------------------------------------------------------------------------------------------

_Begin = Callable[[tuple[Any, ...], dict[str, Any]], Step]


def _flavour(function: Callable[..., Any]) -> str:
    if inspect.isasyncgenfunction(function):
        return "async generator"
    if inspect.iscoroutinefunction(function):
        return "coroutine"
    return "generator" if inspect.isgeneratorfunction(function) else "function"


def _observe_function(function: Callable[..., Any], begin: _Begin, capture_output: bool) -> Callable[..., Any]:
    @functools.wraps(function)
    def observed(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs) as current:
            result = function(*args, **kwargs)
            if capture_output:
                current.output = result
            return result

    return observed


def _observe_coroutine(function: Callable[..., Any], begin: _Begin, capture_output: bool) -> Callable[..., Any]:
    @functools.wraps(function)
    async def observed(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs) as current:
            result = await function(*args, **kwargs)
            if capture_output:
                current.output = result
            return result

    return observed


def _observe_generator(function: Callable[..., Any], begin: _Begin, capture_output: bool) -> Callable[..., Any]:
    @functools.wraps(function)
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        stretch = _Stretch(begin(args, kwargs), capture_output)
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            stretch.resume()
            try:
                value = generator.send(sent) if thrown is None else generator.throw(thrown)
            except StopIteration as stop:
                stretch.end(None)
                return stop.value
            except BaseException as exc:
                stretch.end(exc)
                raise
            stretch.suspend(value)
            sent, thrown = None, None
            try:
                sent = yield value
            except GeneratorExit as exc:
                stretch.resume()
                try:
                    generator.close()
                finally:
                    stretch.end(exc)
                raise
            except BaseException as exc:
                thrown = exc

    return observed


def _observe_async_generator(function: Callable[..., Any], begin: _Begin, capture_output: bool) -> Callable[..., Any]:
    @functools.wraps(function)
    async def observed(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        stretch = _Stretch(begin(args, kwargs), capture_output)
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            stretch.resume()
            try:
                value = await (generator.asend(sent) if thrown is None else generator.athrow(thrown))
            except StopAsyncIteration:
                stretch.end(None)
                return
            except BaseException as exc:
                stretch.end(exc)
                raise
            stretch.suspend(value)
            sent, thrown = None, None
            try:
                sent = yield value
            except GeneratorExit as exc:
                stretch.resume()
                try:
                    await generator.aclose()
                finally:
                    stretch.end(exc)
                raise
            except BaseException as exc:
                thrown = exc

    return observed


_WRAPPERS = {
    "function": _observe_function,
    "coroutine": _observe_coroutine,
    "generator": _observe_generator,
    "async generator": _observe_async_generator,
}


class _Stretch:
    """A generator's step, which is the innermost one only while the generator's body runs."""

    def __init__(self, current: Step, capture_output: bool) -> None:
        self._step = current
        self._values: list[Any] | None = [] if capture_output else None
        self._inside: ActiveStep | None = None
        self._outside: ActiveStep | None = None
        self._has_begun = False

    def resume(self) -> None:
        if self._has_begun:
            self._outside = resume_at(self._inside)
            return
        self._has_begun = True
        outside = resume_at(None)
        resume_at(outside)
        self._outside = outside
        self._step._begin(None)

    def suspend(self, value: Any) -> None:
        self._inside = resume_at(self._outside)
        self._step.chunk(value)
        if self._values is not None:
            self._values.append(value)

    def end(self, exc: BaseException | None) -> None:
        if self._values is not None:
            texts = [value for value in self._values if isinstance(value, str)]
            is_text = len(texts) == len(self._values) and bool(texts)
            self._step.output = "".join(texts) if is_text else self._values
        self._step.__exit__(None, exc, None)
        resume_at(self._outside)


def _argument_reader(function: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    """Gives a call's arguments by name, without `self`; the value itself where the function takes just one."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return lambda args, kwargs: {"args": args, **kwargs}
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    is_method = bool(names) and names[0] in ("self", "cls")
    is_single = len(parameters) - is_method == 1 and parameters[-1].kind not in (
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    )

    def read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        named = dict(zip(names, args, strict=False))
        if is_method:
            named.pop(names[0], None)
        if len(args) > len(names):
            named["args"] = args[len(names) :]
        named.update(kwargs)
        if is_single and len(named) == 1:
            return next(iter(named.values()))
        return named or None

    return read


# -- small parts -------------------------------------------------------------------------------------------------------


async def _off_the_loop(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    import asyncio  # is there already: a coroutine runs

    return await asyncio.to_thread(call, *args, **kwargs)


def _field(holder: Any, name: str) -> Any:
    if isinstance(holder, Mapping):
        return holder.get(name)
    try:
        return getattr(holder, name, None)
    except Exception:  # a property of somebody else's
        return None


def _count(holder: Any, *names: str) -> int | None:
    for name in names:
        value = _field(holder, name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None
