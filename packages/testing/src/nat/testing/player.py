"""Replay: the steps of a recorded run are taken again, through the front door that agents use."""

import builtins
import contextvars
from collections.abc import Sequence
from typing import Any

from nat.builder.context import Context
from nat.data_models.intermediate_step import (
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
    UsageInfo,
)
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability import Step, Telemetry, step
from nat.testing.runs import Failure, RecordedRun, RecordedStep

__all__ = ["replay"]


def replay(run: RecordedRun, telemetry: Telemetry) -> str:
    """Take the steps of a recorded run again, one after the other, and record them with `telemetry`.

    A run that fails is recorded as failed, and nothing is raised. May be called by many threads and coroutines at once.

    Returns:
        The id of its trace: 32 lower-case hexadecimal digits.
    """
    scope = telemetry.run(
        run.name,
        input=run.input,
        session_id=run.session_id,
        user_id=run.user_id,
        tags=run.tags,
        metadata=run.metadata,
        kind=run.kind,
    )
    try:
        with scope:
            _play_all(run.steps, telemetry, run.error)
            scope.output = run.output
    except Exception as exc:
        if not _is(exc, run.error):
            raise
    return f"{scope.trace_id:032x}"


def _play_all(steps: Sequence[RecordedStep], telemetry: Telemetry, error: Failure | None) -> None:
    """Play what is inside a step or run, which fails with `error`, be it that of a step inside or one of its own."""
    for inner in steps:
        try:
            _play(inner, telemetry)
        except Exception as exc:
            if not _is(exc, inner.error) or inner.error == error:
                raise
    if error is not None:
        raise _exception(error)


def _play(recorded: RecordedStep, telemetry: Telemetry) -> None:
    if recorded.is_unfinished:  # in a context of its own, so that what comes next is not inside it
        contextvars.copy_context().run(_begin, recorded)
    elif recorded.through == "run":
        _play_run(recorded, telemetry)
    elif recorded.through == "push":
        _play_pushed(recorded, telemetry)
    else:
        with _step(recorded) as current:
            _play_inside(recorded, current, telemetry)


def _play_inside(recorded: RecordedStep, current: Step, telemetry: Telemetry) -> None:
    for chunk in recorded.chunks:
        current.chunk(chunk)
    if recorded.usage:
        current.usage(**recorded.usage)
    if recorded.update:
        current.update(**recorded.update)
    _play_all(recorded.steps, telemetry, recorded.error)
    current.output = recorded.output


def _play_run(recorded: RecordedStep, telemetry: Telemetry) -> None:
    scope = telemetry.run(
        recorded.name,
        input=recorded.input,
        metadata=recorded.metadata,
        kind="agent" if recorded.kind == "agent" else "workflow",
    )
    with scope:
        _play_all(recorded.steps, telemetry, recorded.error)
        scope.output = recorded.output


def _play_pushed(recorded: RecordedStep, telemetry: Telemetry) -> None:
    uuid = _push_start(recorded)
    failed: Exception | None = None
    try:
        _play_all(recorded.steps, telemetry, recorded.error)
    except Exception as exc:
        failed = exc
    _push_end(recorded, uuid, failed)
    if failed is not None:
        raise failed


def _begin(recorded: RecordedStep) -> None:
    if recorded.through == "push":
        _push_start(recorded)
    else:
        _step(recorded).__enter__()


def _step(recorded: RecordedStep) -> Step:
    return step(
        recorded.name,
        recorded.kind,
        input=recorded.input,
        model=recorded.model,
        provider=recorded.provider,
        parameters=recorded.parameters,
        tools=recorded.tools,
        metadata=recorded.metadata,
    )


def _push_start(recorded: RecordedStep) -> str:
    facts = {
        "model": recorded.model,
        "provider": recorded.provider,
        "parameters": recorded.parameters,
        "tools_schema": recorded.tools,
    }
    metadata = {**recorded.metadata, **{name: value for name, value in facts.items() if value is not None}}
    payload = IntermediateStepPayload(
        event_type=IntermediateStepType(f"{recorded.kind.upper()}_START"),
        name=recorded.name,
        metadata=metadata or None,
        data=StreamEventData(input=recorded.input),
    )
    Context.get().intermediate_step_manager.push_intermediate_step(payload)
    return payload.UUID


def _push_end(recorded: RecordedStep, uuid: str, failed: Exception | None) -> None:
    known = {name: count for name, count in recorded.usage.items() if count is not None}
    if "total_tokens" not in known and {"prompt_tokens", "completion_tokens"} <= known.keys():
        known["total_tokens"] = known["prompt_tokens"] + known["completion_tokens"]
    payload = IntermediateStepPayload(
        event_type=IntermediateStepType(f"{recorded.kind.upper()}_END"),
        name=recorded.name,
        metadata=dict(recorded.update) or None,
        data=StreamEventData(output=recorded.output if failed is None else failed),
        usage_info=UsageInfo(token_usage=TokenUsageBaseModel(**known)) if known else None,
        UUID=uuid,
    )
    Context.get().intermediate_step_manager.push_intermediate_step(payload)


def _exception(failure: Failure) -> Exception:
    made: Any = getattr(builtins, failure.type)(failure.message)
    assert isinstance(made, Exception)
    return made


def _is(exc: Exception, failure: Failure | None) -> bool:
    return failure is not None and type(exc).__name__ == failure.type and str(exc) == failure.message
