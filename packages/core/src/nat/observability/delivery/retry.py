"""Retry: when to send again, as a value."""

from collections.abc import Callable
from dataclasses import dataclass

from nat.data_models.delivery import RetryConfig

__all__ = ["RetryPolicy"]

_DEFAULT = {name: field.get_default(call_default_factory=True) for name, field in RetryConfig.model_fields.items()}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter, in the OpenTelemetry Collector's shape (configretry, `retry_on_failure`).

    Attributes:
        initial_interval_s: Wait before the second attempt.
        multiplier: Factor from one wait to the next.
        max_interval_s: Longest wait.
        max_elapsed_s: Give up when the next attempt would come later than this after the first.
        max_retries: Give up after that many repetitions; `None` sets no limit.
        jitter: Share by which a wait varies, up and down.
    """

    initial_interval_s: float = _DEFAULT["initial_interval"]
    multiplier: float = _DEFAULT["multiplier"]
    max_interval_s: float = _DEFAULT["max_interval"]
    max_elapsed_s: float = _DEFAULT["max_elapsed_time"]
    max_retries: int | None = _DEFAULT["max_retries"]
    jitter: float = _DEFAULT["randomization_factor"]

    def wait_s(
        self, attempts: int, elapsed_s: float, random: Callable[[], float], retry_after_s: float | None = None
    ) -> float | None:
        """Seconds to wait after so many failed attempts; `None` to give up.

        Args:
            attempts: Failed attempts so far, at least 1.
            elapsed_s: Seconds since the first one began.
            random: Gives a number from 0 up to 1.
            retry_after_s: The backend's own wish; waits are never shorter.
        """
        if self.max_retries is not None and attempts > self.max_retries:
            return None
        interval_s = min(self.initial_interval_s * self.multiplier ** min(attempts - 1, 64), self.max_interval_s)
        wait_s = interval_s * (1 + self.jitter * (2 * random() - 1))
        wait_s = max(wait_s, retry_after_s or 0.0)
        return None if elapsed_s + wait_s > self.max_elapsed_s else wait_s
