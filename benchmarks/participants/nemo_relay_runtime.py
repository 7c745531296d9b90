"""nemo-relay with an `OpenTelemetrySubscriber` of type `openinference`: scopes, tool and LLM calls by hand."""

import asyncio
from typing import Any

import nemo_relay
from measuring import Participant, main
from nemo_relay import LLMRequest, OpenTelemetryConfig, OpenTelemetrySubscriber, ScopeType, ToolExecutionResult
from workload import MODEL, PARAMETERS, PROVIDER, Node


class NemoRelay(Participant):
    def start(self, endpoints: list[str], *, is_lossless: bool) -> None:
        self.subscribers = []
        for number, endpoint in enumerate(endpoints):
            config = OpenTelemetryConfig("openinference", f"{endpoint}/v1/traces")
            config.service_name = "benchmarks"
            subscriber = OpenTelemetrySubscriber(config)
            subscriber.register(f"exporter_{number}")
            self.subscribers.append(subscriber)

    def play(self, run: Node) -> None:
        if run.kind == "llm":
            request = LLMRequest({}, {"messages": run.input, "model": MODEL, **PARAMETERS})
            call = nemo_relay.llm.call(run.name, request, model_name=MODEL, metadata=_facts(run))
            nemo_relay.llm.call_end(call, _response(run))
        elif run.kind == "tool":
            tool = nemo_relay.tools.call(run.name, run.input, metadata=_facts(run))
            nemo_relay.tools.call_end(tool, ToolExecutionResult(run.output))
        else:
            kind = ScopeType.Agent if run.kind == "workflow" else ScopeType.Function
            scope = nemo_relay.scope.push(run.name, kind, input=run.input, metadata=_facts(run))
            for node in run.children:
                self.play(node)
            nemo_relay.scope.pop(scope, output=run.output)

    async def play_async(self, run: Node) -> None:
        self.play(run)
        await asyncio.sleep(0)

    def flush(self) -> None:
        nemo_relay.subscribers.flush()
        for subscriber in self.subscribers:
            subscriber.force_flush()


def _facts(node: Node) -> dict[str, Any]:
    facts = {
        "nat.event_type": f"{node.kind.upper()}_START",
        "nat.step.id": node.step_id,
        "nat.workflow.name": "assistant",
    }
    if node.function is not None:
        facts["nat.function.name"] = node.function
    if node.kind == "llm":
        facts["llm.provider"] = PROVIDER
    return facts


def _response(node: Node) -> dict[str, Any]:
    response: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": node.output}}], "model": MODEL}
    if node.prompt_tokens:
        total = node.prompt_tokens + node.completion_tokens
        response["usage"] = {
            "prompt_tokens": node.prompt_tokens,
            "completion_tokens": node.completion_tokens,
            "total_tokens": total,
        }
    return response


if __name__ == "__main__":
    main(NemoRelay())
