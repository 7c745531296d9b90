"""What redaction means for one lane: its guard, and what goes before its configured processors."""

from collections.abc import Iterable
from typing import NamedTuple, Self

from nat.observability.delivery.front import ConfiguredProcessor
from nat.observability.processor.looking_processor import LookingProcessor
from nat.observability.processor.redact_processor import RedactProcessor
from nat.observability.redaction.guard import Guard, guard_of
from nat.observability.redaction.rules import Rules, rules_of
from nat.observability.redaction.settings import RedactConfig
from nat.observability.redaction.switches import Switches

__all__ = ["Redaction"]

_TIMEOUT_S = 60.0  # it does not wait for anything


class Redaction(NamedTuple):
    """How a lane redacts.

    Attributes:
        guard: Of what is captured; `None` if nothing is redacted.
        processors: For rules that name attributes, which only spans have.
    """

    guard: Guard | None
    processors: tuple[ConfiguredProcessor, ...]

    @classmethod
    def of(cls, config: RedactConfig | None) -> Self:
        """What a configuration says, and the environment; where nothing is said: secrets.

        Raises:
            ValueError: A variable of the environment says something else than its convention has it say.
        """
        rules = Rules() if config is None else rules_of(config)
        switches = Switches.read()
        guard = guard_of(rules, switches) if rules.has_any or switches.hide_any else None
        processors = (ConfiguredProcessor(RedactProcessor(rules), "redact", _TIMEOUT_S),) if rules.paths else ()
        return cls(guard, processors)

    def introduce(self, processors: Iterable[ConfiguredProcessor]) -> None:
        """Tell processors that put values elsewhere, or take some from there, how this lane redacts them."""
        for configured in processors:
            if self.guard is not None and isinstance(configured.processor, LookingProcessor):
                configured.processor.use_look(self.guard.look)
