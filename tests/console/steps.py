"""Steps of a small run, and an exporter that draws them."""

from collections.abc import Sequence
from typing import Any

from nat.builder.context import ContextState
from nat.data_models.intermediate_step import (
    IntermediateStep,
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
    UsageInfo,
)
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.plugins.console.exporter import ConsoleExporter


def step(event: str, step_id: str, parent_id: str = "root", *, at: float = 0.0, **payload: Any) -> IntermediateStep:
    """One event `at` seconds after an arbitrary moment; `input` and `output` go into its data."""
    data = {key: payload.pop(key) for key in ("input", "output", "chunk") if key in payload}
    return IntermediateStep(
        parent_id=parent_id,
        payload=IntermediateStepPayload(
            event_type=IntermediateStepType(event),
            UUID=step_id,
            event_timestamp=1_000_000.0 + at,
            data=StreamEventData(**data) if data else None,
            **payload,
        ),
    )


def tokens(prompt: int, completion: int) -> UsageInfo:
    return UsageInfo(
        token_usage=TokenUsageBaseModel(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
        )
    )


ERROR = {"error": "no page 'x'", "error_type": "ValueError"}

FAILED_RUN = [
    step("WORKFLOW_START", "w", name="quickstart", input="How do I\ninstall it?"),
    step("AGENT_START", "a", "w", name="researcher", at=0.001),
    step("LLM_START", "l", "a", name="plan", at=0.01, metadata={"model": "m-1"}, input=[{"role": "user"}]),
    step("LLM_NEW_TOKEN", "l", "a", name="plan", at=0.13, chunk="Rea"),
    step("LLM_NEW_TOKEN", "l", "a", name="plan", at=0.15, chunk="d"),
    step("LLM_END", "l", "a", name="plan", at=0.43, usage_info=tokens(1512, 40), output="Read"),
    step("RETRIEVER_START", "r", "a", name="docs", at=0.43),
    step("EMBEDDER_START", "e", "r", name="embed", at=0.435),
    step("EMBEDDER_END", "e", "r", name="embed", at=0.44, usage_info=tokens(12, 0)),
    step("RETRIEVER_END", "r", "a", name="docs", at=0.5),
    step("TOOL_START", "t", "a", name="read_page", at=0.5),
    step("TOOL_END", "t", "a", name="read_page", at=0.5004, metadata=ERROR),
    step("AGENT_END", "a", "w", name="researcher", at=1.2, metadata=ERROR),
    step("WORKFLOW_END", "w", name="quickstart", at=1.24, metadata=ERROR),
]

FAILED_TREE = """\
✗ workflow quickstart      1.24 s  2 model calls  1,524 → 40 tokens
└─ ✗ agent researcher      1.20 s
   ├─ ✓ llm plan           420 ms  1,512 → 40 tokens  2 chunks, first after 120 ms  m-1
   ├─ ✓ retriever docs      70 ms
   │  └─ ✓ embedder embed    5 ms  12 tokens
   └─ ✗ tool read_page     0.4 ms
         ValueError: no page 'x'
"""


async def draw(steps: Sequence[IntermediateStep], exporter: ConsoleExporter) -> None:
    """Push steps while the exporter is started, as user code would."""
    stream = ContextState.get().event_stream.get()
    async with exporter.start():
        for each in steps:
            stream.on_next(each)
