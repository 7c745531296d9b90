"""What is pushed is what exporters of steps get, whatever the values in it are."""

import math
from typing import Any

import pytest

from nat.builder.framework_enum import LLMFrameworkEnum
from nat.data_models.intermediate_step import (
    IntermediateStep,
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
    TraceMetadata,
    UsageInfo,
)
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability.step_models import capture_payload, capture_step, to_intermediate_step

END = IntermediateStepType.LLM_END


class Mute:
    """Has no text and no truth."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")


def through(**fields: Any) -> IntermediateStep:
    payload = IntermediateStepPayload(event_type=END, **fields)
    return to_intermediate_step(capture_payload(payload, parent_id="root", function=None, run=None))


def test_a_step_comes_out_as_it_went_in() -> None:
    payload = IntermediateStepPayload(
        event_type=END,
        event_timestamp=1_790_000_000.123456,
        span_event_timestamp=1_790_000_000.0,
        framework=LLMFrameworkEnum.LANGCHAIN,
        name="chat",
        tags=["a"],
        metadata=TraceMetadata(chat_inputs=["hi"], provided_metadata={"k": 1}),
        data=StreamEventData.model_validate({"input": "q", "output": {"role": "assistant"}, "more": [1]}),
        usage_info=UsageInfo(
            token_usage=TokenUsageBaseModel(prompt_tokens=3, completion_tokens=0),
            num_llm_calls=2,
            seconds_between_calls=1.5,
        ),
        UUID="0" * 32,
    )
    step = IntermediateStep(parent_id="above", payload=payload)

    received = to_intermediate_step(capture_step(step, None))

    assert received.model_dump() == step.model_dump()
    assert received.framework is LLMFrameworkEnum.LANGCHAIN


@pytest.mark.parametrize("error", [None, False, "", [], {}])
def test_an_error_that_says_nothing_is_none(error: Any) -> None:
    payload = IntermediateStepPayload(event_type=END, metadata={"error": error})

    assert capture_payload(payload, parent_id="root", function=None, run=None).error is None


def test_an_error_of_any_kind_is_taken() -> None:
    payload = IntermediateStepPayload(event_type=END, metadata={"error": Mute(), "error_type": Mute()})

    error = capture_payload(payload, parent_id="root", function=None, run=None).error

    assert error is not None
    assert "Mute" in error.message
    assert "Mute" in error.type


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf])
def test_a_time_that_is_none_is_now(seconds: float) -> None:
    received = through(event_timestamp=seconds, span_event_timestamp=seconds)

    assert math.isfinite(received.event_timestamp)
    assert received.span_event_timestamp is None
