"""Redaction as a processor: of spans and of steps, with rules of its own."""

from typing import Any

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.observability.processor.processor import Processor
from nat.observability.redaction.redactor import Redactor
from nat.observability.redaction.rules import Rules

__all__ = ["RedactProcessor"]


class RedactProcessor(Processor[Span | IntermediateStep, Span | IntermediateStep]):
    """Passes on items without what rules say must not be in them; the same item if there is nothing of it.

    Args:
        rules: What is redacted, and what is put in its place.
    """

    def __init__(self, rules: Rules) -> None:
        self._redactor = Redactor(rules)

    async def process(self, item: Span | IntermediateStep) -> Any:
        """The item, redacted."""
        return self._redactor.look(item)
