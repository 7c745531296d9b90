"""Processors that look at values as their lane's redaction does."""

from collections.abc import Callable
from typing import Any

from nat.observability.processor.processor import InputT, OutputT, Processor

__all__ = ["LookingProcessor"]


class LookingProcessor(Processor[InputT, OutputT]):
    """A processor that takes values from elsewhere than its item, or writes some elsewhere: it redacts these with `look`."""

    _look: Callable[[Any], Any] | None = None

    def use_look(self, look: Callable[[Any], Any]) -> None:
        """Redact with that; without it, or where nothing is redacted, `look` gives what it is given."""
        self._look = look

    def look(self, value: Any) -> Any:
        """A value of any kind without what must not leave."""
        return value if self._look is None else self._look(value)
