"""Between the contract's models and what the event stream carries: `IntermediateStep` and `CapturedStep`."""

import time

from nat.builder.framework_enum import LLMFrameworkEnum
from nat.data_models.intermediate_step import (
    IntermediateStep,
    IntermediateStepPayload,
    IntermediateStepState,
    StreamEventData,
    TraceMetadata,
    UsageInfo,
)
from nat.data_models.invocation_node import InvocationNode
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability.events import (
    MAX_ERROR_MESSAGE_CHARS,
    CapturedError,
    CapturedStep,
    FunctionRef,
    Run,
    StepListener,
    Usage,
    capture_error,
    finish,
)
from nat.observability.snapshot import restore, snapshot, text

__all__ = [
    "capture_payload",
    "capture_step",
    "captured_usage",
    "finish_step",
    "to_intermediate_step",
    "to_invocation_node",
]

_FRAMEWORKS: dict[str | None, LLMFrameworkEnum] = {framework.value: framework for framework in LLMFrameworkEnum}
_EMPTY = (b"[]", b"{}")


def capture_step(step: IntermediateStep, run: Run | None) -> CapturedStep:
    """Capture a finished step as it is."""
    node = step.function_ancestry
    function = FunctionRef(node.function_id, node.function_name, node.parent_id, node.parent_name)
    return capture_payload(step.payload, parent_id=step.parent_id, function=function, run=run)


def capture_payload(
    payload: IntermediateStepPayload, *, parent_id: str, function: FunctionRef | None, run: Run | None
) -> CapturedStep:
    """Capture what a step says now: later changes of its values change nothing here. Never raises."""
    data, metadata, tags = payload.data, payload.metadata, payload.tags
    timestamp, usage = payload.event_timestamp, payload.usage_info
    at_ns = _nanoseconds(timestamp)
    step = CapturedStep(
        payload.event_type,
        payload.UUID,
        parent_id,
        payload.name,
        time.time_ns() if at_ns is None else at_ns,
        run,
        function,
        None if metadata is None else snapshot(metadata if isinstance(metadata, dict) else _trace_metadata(metadata)),
        tuple(tags) if tags else (),
    )
    if at_ns is not None:
        step.timestamp = timestamp
    if payload.span_event_timestamp is not None:
        step.started_ns = _nanoseconds(payload.span_event_timestamp)
    if payload.framework is not None:
        step.framework = str(payload.framework)
    if isinstance(metadata, TraceMetadata):
        step.has_trace_metadata = True
    if usage is not None:
        step.usage = captured_usage(usage)
    if payload.event_type.state is IntermediateStepState.END:
        step.error = _reported_error(payload)
    if data is not None:
        given, output, chunk = data.input, data.output, data.chunk
        if given is not None:
            step.input = snapshot(given)
        if output is not None:
            step.output = snapshot(output)
        if chunk is not None:
            step.chunk = snapshot(chunk)
        if data.__pydantic_extra__:
            step.extra = snapshot(data.__pydantic_extra__)
    return step


def finish_step(payload: IntermediateStepPayload, listener: StepListener) -> bool:
    """Pass on an END that says no more than output and usage to a stream's only listener; false: capture and emit it."""
    data = payload.data
    if payload.metadata or payload.tags or payload.framework is not None:
        return False
    if data is not None and (data.input is not None or data.chunk is not None or data.__pydantic_extra__):
        return False
    at_ns, usage = _nanoseconds(payload.event_timestamp), payload.usage_info
    output = None if data is None else data.output
    return finish(
        listener,
        payload.UUID,
        time.time_ns() if at_ns is None else at_ns,
        None if output is None else snapshot(output),
        None if usage is None else captured_usage(usage),
        capture_error(output) if isinstance(output, BaseException) else None,
    )


def to_intermediate_step(step: CapturedStep) -> IntermediateStep:
    """The step as exporters and subscribers see it; every call gives fresh containers."""
    data = None
    if not (step.input is None and step.output is None and step.chunk is None and step.extra is None):
        extra = restore(step.extra) if step.extra is not None else {}
        data = StreamEventData.model_construct(
            input=restore(step.input), output=restore(step.output), chunk=restore(step.chunk), **extra
        )
    metadata = restore(step.metadata)
    if not isinstance(metadata, dict):
        metadata = None
    if step.error is not None and "error" not in (metadata or {}):
        metadata = {**(metadata or {}), "error": step.error.message, "error_type": step.error.type}
    if step.has_trace_metadata and metadata is not None:
        metadata = TraceMetadata.model_construct(**metadata)
    payload = IntermediateStepPayload.model_construct(
        event_type=step.event_type,
        event_timestamp=step.time_ns / 1e9 if step.timestamp is None else step.timestamp,
        span_event_timestamp=None if step.started_ns is None else step.started_ns / 1e9,
        framework=_FRAMEWORKS.get(step.framework, step.framework),
        name=step.name,
        tags=list(step.tags) or None,
        metadata=metadata,
        data=data,
        usage_info=None if step.usage is None else _usage_info(step.usage),
        UUID=step.step_id,
    )
    return IntermediateStep.model_construct(
        parent_id=step.parent_id, function_ancestry=to_invocation_node(step.function), payload=payload
    )


def _reported_error(payload: IntermediateStepPayload) -> CapturedError | None:
    """What an END says of its failure: an exception as output, or `error` in its metadata."""
    output = payload.data.output if payload.data is not None else None
    if isinstance(output, BaseException):
        return capture_error(output)
    metadata = payload.metadata
    fields = metadata if metadata is None or isinstance(metadata, dict) else metadata.model_extra
    if not fields or "error" not in fields:
        return None
    error = fields["error"]
    if isinstance(error, BaseException):
        return capture_error(error)
    message = _said(error)
    if message is None:
        return None
    return CapturedError(_said(fields.get("error_type")) or "_OTHER", message[:MAX_ERROR_MESSAGE_CHARS])


def _said(value: object) -> str | None:
    """A value as text, whatever its own code does; `None` where it says nothing: none, false, empty."""
    captured = snapshot(value)
    if captured is None or captured is False or (captured in _EMPTY if type(captured) is bytes else captured == ""):
        return None
    return text(captured)[0]


def _nanoseconds(seconds: float | None) -> int | None:
    """A time as an integer; `None` for one that is none: infinite or not a number."""
    if seconds is None:
        return None
    try:
        return round(seconds * 1e9)
    except (ValueError, OverflowError):
        return None


def _trace_metadata(metadata: TraceMetadata) -> dict[str, object]:
    fields = {name: value for name, value in metadata.__dict__.items() if value is not None}
    return {**fields, **(metadata.model_extra or {})}


def captured_usage(info: UsageInfo) -> Usage:
    """What a step consumed; a count that was never set is not known."""
    tokens = info.token_usage
    known, known_of_calls = tokens.__pydantic_fields_set__, info.__pydantic_fields_set__
    return Usage(
        tokens.prompt_tokens if "prompt_tokens" in known else None,
        tokens.completion_tokens if "completion_tokens" in known else None,
        tokens.total_tokens if "total_tokens" in known else None,
        tokens.cached_tokens if "cached_tokens" in known else None,
        tokens.cache_write_tokens if "cache_write_tokens" in known else None,
        tokens.reasoning_tokens if "reasoning_tokens" in known else None,
        info.num_llm_calls if "num_llm_calls" in known_of_calls else None,
        info.seconds_between_calls if "seconds_between_calls" in known_of_calls else None,
    )


def _usage_info(usage: Usage) -> UsageInfo:
    tokens = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
    known = TokenUsageBaseModel.model_construct(
        None, **{name: count for name, count in tokens.items() if count is not None}
    )
    info = UsageInfo.model_construct(token_usage=known)
    if usage.llm_calls is not None:
        info.num_llm_calls = usage.llm_calls
    if usage.seconds_between_calls is not None:
        info.seconds_between_calls = usage.seconds_between_calls
    return info


def to_invocation_node(function: FunctionRef | None) -> InvocationNode:
    """The contract's form of a function reference; `None` is the top of the workflow."""
    if function is None:
        return InvocationNode()
    return InvocationNode.model_construct(
        function_id=function.id,
        function_name=function.name,
        parent_id=function.parent_id,
        parent_name=function.parent_name,
    )
