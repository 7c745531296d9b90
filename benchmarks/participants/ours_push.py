"""nat-telemetry with exporters `otelcollector`, through `push_intermediate_step` with payloads that the caller builds."""

import asyncio

from measuring import main
from ours import Ours
from workload import MODEL, PARAMETERS, PROVIDER, Node

from nat.builder.context import Context
from nat.builder.intermediate_step_manager import IntermediateStepManager
from nat.data_models.intermediate_step import (
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
    UsageInfo,
)
from nat.data_models.token_usage import TokenUsageBaseModel

_START = {kind: IntermediateStepType(f"{kind.upper()}_START") for kind in ("workflow", "function", "llm", "tool")}
_END = {kind: IntermediateStepType(f"{kind.upper()}_END") for kind in _START}


class OursPushed(Ours):
    def play(self, run: Node) -> None:
        with self.telemetry.run(run.name, input=run.input) as current:
            manager = Context.get().intermediate_step_manager
            for node in run.children:
                self._push(manager, node)
            current.output = run.output

    def _push(self, manager: IntermediateStepManager, node: Node) -> None:
        start = _start(node)
        manager.push_intermediate_step(start)
        for inner in node.children:
            self._push(manager, inner)
        manager.push_intermediate_step(_end(node, start))

    async def play_async(self, run: Node) -> None:
        async with self.telemetry.run(run.name, input=run.input) as current:
            manager = Context.get().intermediate_step_manager
            for node in run.children:
                await self._push_async(manager, node)
            current.output = run.output

    async def _push_async(self, manager: IntermediateStepManager, node: Node) -> None:
        start = _start(node)
        manager.push_intermediate_step(start)
        await asyncio.sleep(0)
        for inner in node.children:
            await self._push_async(manager, inner)
        manager.push_intermediate_step(_end(node, start))

    def build(self, run: Node) -> None:
        for node in run.children:
            _end(node, _start(node))
            self.build(node)


def _start(node: Node) -> IntermediateStepPayload:
    facts = {"model": MODEL, "provider": PROVIDER, "parameters": PARAMETERS} if node.kind == "llm" else None
    return IntermediateStepPayload(
        event_type=_START[node.kind], name=node.name, metadata=facts, data=StreamEventData(input=node.input)
    )


def _end(node: Node, start: IntermediateStepPayload) -> IntermediateStepPayload:
    usage = None
    if node.prompt_tokens:
        total = node.prompt_tokens + node.completion_tokens
        tokens = TokenUsageBaseModel(
            prompt_tokens=node.prompt_tokens, completion_tokens=node.completion_tokens, total_tokens=total
        )
        usage = UsageInfo(token_usage=tokens)
    return IntermediateStepPayload(
        event_type=_END[node.kind],
        name=node.name,
        UUID=start.UUID,
        data=StreamEventData(output=node.output),
        usage_info=usage,
    )


if __name__ == "__main__":
    main(OursPushed())
