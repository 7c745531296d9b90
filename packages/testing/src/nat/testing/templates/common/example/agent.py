"""An agent to try it on, without a model or a network."""

from nat.observability import step


def answer(question: str) -> str:
    """Answer one question."""
    with step("think", kind="llm", input=question, model="none") as call:
        with step("multiply", kind="tool", input={"a": 6, "b": 7}) as tool:
            tool.output = 42
        call.output = "42"
        call.usage(prompt_tokens=12, completion_tokens=1)
    return "42"
