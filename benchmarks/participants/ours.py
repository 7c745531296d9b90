"""nat-telemetry with exporters `otelcollector`, through `step()`."""

import asyncio
from typing import Any, Literal

from measuring import Participant, main
from workload import MODEL, PARAMETERS, PROVIDER, Node

from nat.data_models.delivery import DeliveryConfig, IntakeConfig
from nat.observability import Telemetry, step
from nat.plugins.opentelemetry.register import OtelCollectorConfig


class Ours(Participant):
    """Without redaction, which others do not do by default either.

    Args:
        redact: What is taken out of everything.
    """

    def __init__(self, redact: Literal["none", "secrets"] = "none") -> None:
        self.redact = redact

    def start(self, endpoints: list[str], *, is_lossless: bool) -> None:
        configs = {f"exporter_{number}": OtelCollectorConfig(endpoint=url) for number, url in enumerate(endpoints)}
        intake = IntakeConfig() if self.most_bytes is None else IntakeConfig(max_bytes=self.most_bytes)
        self.telemetry = Telemetry(configs, delivery=DeliveryConfig(intake=intake), redact=self.redact).start()

    def play(self, run: Node) -> None:
        with self.telemetry.run(run.name, input=run.input) as current:
            for node in run.children:
                self._step(node)
            current.output = run.output

    def _step(self, node: Node) -> None:
        with step(node.name, node.kind, input=node.input, **_facts(node)) as current:
            for inner in node.children:
                self._step(inner)
            if node.prompt_tokens:
                current.usage(prompt_tokens=node.prompt_tokens, completion_tokens=node.completion_tokens)
            current.output = node.output

    async def play_async(self, run: Node) -> None:
        async with self.telemetry.run(run.name, input=run.input) as current:
            for node in run.children:
                await self._step_async(node)
            current.output = run.output

    async def _step_async(self, node: Node) -> None:
        async with step(node.name, node.kind, input=node.input, **_facts(node)) as current:
            await asyncio.sleep(0)
            for inner in node.children:
                await self._step_async(inner)
            if node.prompt_tokens:
                current.usage(prompt_tokens=node.prompt_tokens, completion_tokens=node.completion_tokens)
            current.output = node.output

    def flush(self) -> None:
        self.telemetry.flush(300)

    def counted_lost(self) -> int:
        return sum(status.lost for status in self.telemetry.status().exporters.values())


_LLM_FACTS: dict[str, Any] = {"model": MODEL, "provider": PROVIDER, "parameters": PARAMETERS}


def _facts(node: Node) -> dict[str, Any]:
    return _LLM_FACTS if node.kind == "llm" else {}


if __name__ == "__main__":
    main(Ours())
