"""langfuse: observations of its own SDK, which it sends over OTLP; one client for each endpoint is all that it offers."""

import asyncio
from typing import Any

from langfuse import Langfuse
from measuring import Participant, main
from opentelemetry.sdk.trace import TracerProvider
from workload import MODEL, PARAMETERS, Node


class LangfuseSdk(Participant):
    def start(self, endpoints: list[str], *, is_lossless: bool) -> None:
        (endpoint,) = endpoints
        more = {"flush_at": 512} if is_lossless else {}
        self.client = Langfuse(
            public_key="pk-benchmark",
            secret_key="sk-benchmark",
            host=endpoint,
            tracer_provider=TracerProvider(),
            **more,
        )

    def play(self, run: Node) -> None:
        with self.client.start_as_current_observation(name=run.name, as_type=_TYPES[run.kind], **_given(run)) as span:
            for node in run.children:
                self.play(node)
            span.update(output=run.output, **_used(run))

    async def play_async(self, run: Node) -> None:
        with self.client.start_as_current_observation(name=run.name, as_type=_TYPES[run.kind], **_given(run)) as span:
            await asyncio.sleep(0)
            for node in run.children:
                await self.play_async(node)
            span.update(output=run.output, **_used(run))

    def flush(self) -> None:
        self.client.flush()


_TYPES = {"workflow": "chain", "function": "span", "llm": "generation", "tool": "tool"}


def _given(node: Node) -> dict[str, Any]:
    if node.kind != "llm":
        return {"input": node.input}
    return {"input": node.input, "model": MODEL, "model_parameters": PARAMETERS}


def _used(node: Node) -> dict[str, Any]:
    if not node.prompt_tokens:
        return {}
    usage = {"input": node.prompt_tokens, "output": node.completion_tokens}
    return {"usage_details": usage | {"total": node.prompt_tokens + node.completion_tokens}}


if __name__ == "__main__":
    main(LangfuseSdk())
