"""Circuit breaker: leave a backend alone that fails again and again, as a value."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from nat.data_models.delivery import BreakerConfig

__all__ = ["Breaker", "BreakerPolicy"]

_DEFAULT = {name: field.default for name, field in BreakerConfig.model_fields.items()}


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When to stop attempts, and for how long.

    Attributes:
        failures: Transient failures in a row that open the breaker; 0: it never opens.
        open_for_s: Seconds without any attempt, until one is made as a probe.

    Raises:
        ValueError: A value is out of its range.
    """

    failures: int = _DEFAULT["failures"]
    open_for_s: float = _DEFAULT["open_for"]

    def __post_init__(self) -> None:
        if self.failures < 0:
            raise ValueError(f"breaker.failures must be 0 or more, got {self.failures!r}")
        if not self.open_for_s > 0:
            raise ValueError(f"breaker.open_for must be more than 0 seconds, got {self.open_for_s!r}")


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether attempts are made: closed they are, open they are not, half-open there is one, the probe.

    Each method returns the breaker that it becomes; times are monotonic seconds.
    """

    policy: BreakerPolicy = field(default_factory=BreakerPolicy)
    failures: int = 0
    open_until_s: float | None = None
    is_probing: bool = False

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """Where it is."""
        if self.open_until_s is None:
            return "closed"
        return "half-open" if self.is_probing else "open"

    def wait_s(self, now_s: float, at_most_s: float = math.inf) -> float:
        """Seconds until an attempt may begin; infinite while the probe's answer is awaited.

        Args:
            now_s: Now.
            at_most_s: For how long it may be open, when somebody waits for the backend.
        """
        if self.open_until_s is None:
            return 0.0
        if self.is_probing:
            return math.inf
        spared_s = max(self.policy.open_for_s - at_most_s, 0.0)
        return max(self.open_until_s - spared_s - now_s, 0.0)

    def began(self) -> "Breaker":
        """An attempt begins, `wait_s` being 0."""
        return self if self.open_until_s is None else replace(self, is_probing=True)

    def succeeded(self) -> "Breaker":
        """The backend has answered: whatever it said, it is there."""
        return self if self.failures == 0 and self.open_until_s is None else Breaker(self.policy)

    def failed(self, now_s: float) -> "Breaker":
        """An attempt has failed in a way that may pass."""
        failures = self.failures + 1
        if self.state == "open":  # an attempt that began before
            return replace(self, failures=failures)
        if self.is_probing or 0 < self.policy.failures <= failures:
            return Breaker(self.policy, failures, now_s + self.policy.open_for_s)
        return replace(self, failures=failures)
