"""Run in the environment `oracles`: a trace through LangSmith's own SDK, which takes its settings from the environment."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from langsmith import Client, traceable  # type: ignore[import-not-found]  # of that environment
from opentelemetry import trace

client = Client()
FACTS = {"session_id": "session-1", "user_id": "user-1"}


def traced(
    function: Callable[..., Any], run_type: str, metadata: dict[str, Any], tags: list[str]
) -> Callable[..., Any]:
    wrapped: Callable[..., Any] = traceable(
        run_type=run_type, name=function.__name__, client=client, metadata={**FACTS, **metadata}, tags=tags
    )(function)
    return wrapped


def chat(messages: list[dict[str, str]]) -> dict[str, object]:
    return {
        "choices": [{"message": {"role": "assistant", "content": "42"}, "finish_reason": "stop"}],
        "usage_metadata": {
            "input_tokens": 11,
            "output_tokens": 7,
            "total_tokens": 18,
            "input_token_details": {"cache_read": 5},
            "output_token_details": {"reasoning": 2},
        },
    }


def multiply(a: int, b: int) -> int:
    raise OverflowError("overflow")


def assistant(question: str) -> str:
    parameters = {"ls_model_name": "m-1", "invocation_params": {"temperature": 0.5}}
    traced(chat, "llm", parameters, [])([{"role": "user", "content": "What is six times seven?"}])
    with suppress(OverflowError):
        traced(multiply, "tool", {"unit": "none"}, [])(6, 7)
    return "42"


traced(assistant, "chain", {"tenant": "acme"}, ["beta"])("6 * 7?")
client.flush()
provider = trace.get_tracer_provider()
provider.force_flush()  # type: ignore[attr-defined]  # of OpenTelemetry's SDK
