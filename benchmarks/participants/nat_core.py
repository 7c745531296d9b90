"""nvidia-nat-core with nvidia-nat-opentelemetry as shipped: on the agent's event loop, exporters for each run."""

import asyncio

from measuring import Participant, main
from workload import Node

from nat.builder.context import Context, ContextState
from nat.builder.intermediate_step_manager import IntermediateStepManager
from nat.data_models.intermediate_step import (
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
    UsageInfo,
)
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability.exporter_manager import ExporterManager
from nat.plugins.opentelemetry import OTLPSpanAdapterExporter
from nat.utils.reactive.subject import Subject

_TURNS = 20

_START = {kind: IntermediateStepType(f"{kind.upper()}_START") for kind in ("workflow", "function", "llm", "tool")}
_END = {kind: IntermediateStepType(f"{kind.upper()}_END") for kind in _START}


class NvidiaNat(Participant):
    def start(self, endpoints: list[str], *, is_lossless: bool) -> None:
        more = {"max_queue_size": 10_000_000} if is_lossless else {}
        exporters = {
            f"exporter_{number}": OTLPSpanAdapterExporter(endpoint=f"{url}/v1/traces", **more)
            for number, url in enumerate(endpoints)
        }
        self.manager = ExporterManager.from_exporters(exporters)
        self.loop = asyncio.new_event_loop()

    def play(self, run: Node) -> None:
        self.loop.run_until_complete(self._run(run))

    async def _run(self, run: Node) -> None:
        async with self.manager.start(_new_state()):
            _push(Context.get().intermediate_step_manager, run)
            for _ in range(_TURNS):  # an agent waits for its model now and then; without that, all spans would be lost
                await asyncio.sleep(0)

    async def play_async(self, run: Node) -> None:
        async with self.manager.start(_new_state()):
            await _push_async(Context.get().intermediate_step_manager, run)

    def flush(self) -> None:
        self.loop.run_until_complete(self._settle())

    async def _settle(self) -> None:
        while pending := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(pending, timeout=30)


def _new_state() -> ContextState:
    """The state of one run, with an event stream of its own."""
    state = ContextState.get()
    state.event_stream.set(Subject())
    return state


def _push(manager: IntermediateStepManager, node: Node) -> None:
    start = _start(node)
    manager.push_intermediate_step(start)
    for inner in node.children:
        _push(manager, inner)
    manager.push_intermediate_step(_end(node, start))


async def _push_async(manager: IntermediateStepManager, node: Node) -> None:
    start = _start(node)
    manager.push_intermediate_step(start)
    await asyncio.sleep(0)
    for inner in node.children:
        await _push_async(manager, inner)
    manager.push_intermediate_step(_end(node, start))


def _start(node: Node) -> IntermediateStepPayload:
    return IntermediateStepPayload(event_type=_START[node.kind], name=node.name, data=StreamEventData(input=node.input))


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
    main(NvidiaNat())
