"""An agent that looks up the weather, and does not notice that it asks the same again."""

from nat.observability import observe, step

_WEATHER = {"Bergen": "rain", "Oslo": "sun"}


def answer(question: str) -> str:
    """Say what the weather is in the place that the question ends with."""
    place = question.rstrip("?").split()[-1]
    for _ in range(3):
        with step("plan", kind="llm", input=question, metadata={"model": "none, this is an example"}) as plan:
            plan.output = f"forecast({place!r})"
            plan.usage(prompt_tokens=40, completion_tokens=8)
        found = forecast(place)
    return f"{place}: {found}"


@observe(kind="tool")
def forecast(place: str) -> str:
    """What the weather will be."""
    return _WEATHER[place]
