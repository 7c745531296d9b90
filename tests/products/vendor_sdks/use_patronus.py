"""Run in the environment `oracles`: a trace through Patronus's own SDK, which takes its settings from the environment."""

import patronus  # type: ignore[import-not-found]  # of that environment

context = patronus.init(service="oracle")


def multiply(a: int, b: int) -> int:
    return a * b


def assistant(question: str) -> str:
    return str(patronus.traced("multiply")(multiply)(6, 7))


patronus.traced("assistant")(assistant)("6 * 7?")
context.tracer_provider.force_flush()
