"""The front of a lane: its configured processors, which items pass before anything of the exporter's own."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from nat.data_models.errors import ConfigurationError, Problem
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.observability.ledger import Ledger
from nat.observability.pipeline import Envelope, Pipeline, fits, generic_arguments, type_text
from nat.observability.processor.processor import Processor

__all__ = ["ConfiguredProcessor", "Front"]


class ConfiguredProcessor(NamedTuple):
    """A processor as it is configured: `path` says where, and `timeout_s` how many seconds it may take for one item."""

    processor: Processor[Any, Any]
    path: str
    timeout_s: float


class Front:
    """The configured processors of one lane, in order, and what they have passed on.

    An item that one of them fails on, that it takes too long for, or that it returns as something else, is dropped.

    Args:
        name: Name of the exporter's entry, for messages.
        processors: What the lane alone uses.
        takes: What the lane carries.

    Attributes:
        last_failure: How one of them failed, if one has.

    Raises:
        ConfigurationError: One of them does not take or give what the lane carries.
    """

    def __init__(self, name: str, processors: Sequence[ConfiguredProcessor], takes: Literal["steps", "spans"]) -> None:
        kind = IntermediateStep if takes == "steps" else Span
        self.name = name
        self.pipeline = Pipeline(name, kind, kind)
        self.last_failure = ""
        self.past: deque[Envelope] = deque()
        self.resumed: deque[tuple[Envelope, int]] = deque()
        self._ledger = Ledger()
        self._wake: Callable[[], None] = _nothing
        self._is_ready: Callable[[], bool] = _always
        self.is_counted = True
        for configured in processors:
            _check(configured, kind, name)
            self.pipeline.add_configured(configured.processor, configured.path, configured.timeout_s)
        self.pipeline.fix()

    def open(self, ledger: Ledger, *, is_counted: bool, wake: Callable[[], None], is_ready: Callable[[], bool]) -> None:
        """Begin to serve a lane.

        Args:
            ledger: The lane's.
            is_counted: Whether items have been counted as accepted before they come here.
            wake: Tells the lane that something waits in `resumed`.
            is_ready: Whether sending keeps up.
        """
        self._ledger, self.is_counted, self._wake, self._is_ready = ledger, is_counted, wake, is_ready
        self.pipeline.connect(self)

    def discard(self) -> int:
        """Forget everything that is on its way; returns how many accepted items that were."""
        envelopes = [*self.past, *(envelope for envelope, _ in self.resumed)]
        count = self.pipeline.disconnect(self) + sum(envelope.count for envelope in envelopes)
        self.past.clear()
        self.resumed.clear()
        return count if self.is_counted else 0

    # -- what the pipeline needs: its outlet ---------------------------------------------------------------------------

    def put(self, envelope: Envelope) -> None:
        """Take what has passed all processors."""
        self.past.append(envelope)

    def resume(self, envelope: Envelope, index: int, *, is_new: bool) -> None:
        """Go on later with what a processor gave by itself."""
        if is_new and self.is_counted:
            self._ledger.accept(envelope.count)
        self.resumed.append((envelope, index))
        self._wake()

    def drop(self, reason: str, count: int, why: str = "") -> None:
        """Count what was dropped; `why` says what failed."""
        self.last_failure = why or self.last_failure
        if self.is_counted:
            self._ledger.drop(reason, count)
        else:
            self._ledger.refuse(reason, count)

    def is_ready(self) -> bool:
        """Whether sending keeps up."""
        return self._is_ready()


def _check(configured: ConfiguredProcessor, kind: type, owner: str) -> None:
    takes, gives = generic_arguments(type(configured.processor), Processor, configured.processor)
    if not fits(kind, takes):
        given = "finished spans" if kind is Span else "every step"
        wanted = "steps" if kind is Span else "spans"
        message = (
            f"takes {type_text(takes)}, but exporter {owner!r} is given {given} ({kind.__name__}); "
            f"configure it for exporters of {wanted} only"
        )
    elif not fits(gives, kind):
        message = f"gives {type_text(gives)}, expected {kind.__name__}: what it is given, changed or not"
    else:
        return
    raise ConfigurationError(Problem(message, path=configured.path))


def _nothing() -> None:
    """No lane is served yet."""


def _always() -> bool:
    return True
