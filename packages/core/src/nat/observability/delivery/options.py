"""How one exporter's items are delivered."""

from dataclasses import dataclass, field

from nat.observability.delivery.retry import RetryPolicy

__all__ = ["DeliveryOptions"]


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """Settings of one lane.

    Attributes:
        takes_lists: `export_processed` takes lists: whatever waits, up to `batch_size`, at most `flush_interval_s` late. Lists
            mix runs and go to the exporter itself, not to a run's copy.
        batch_size: Items of one group. For exporters that take single items, how many are handed over together.
        flush_interval_s: Seconds that an item may wait for more to come; only with `takes_lists`.
        concurrency: Calls of `export_processed` at the same time; with 1 the order of items is kept.
        timeout_s: Seconds that one call may take; `None` sets no limit.
        retry: When a transient failure is tried again.
        shutdown_timeout_s: Seconds that the last flush may take; `None`: as long as whoever ends the exporter allows.

    Raises:
        ValueError: A value is out of its range.
    """

    takes_lists: bool = False
    batch_size: int = 100
    flush_interval_s: float = 0.0
    concurrency: int = 1
    timeout_s: float | None = 60.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    shutdown_timeout_s: float | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size!r}")
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {self.concurrency!r}")
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise ValueError(f"timeout must be more than 0 seconds, got {self.timeout_s!r}")
        if self.retry.max_retries is not None and self.retry.max_retries < 0:
            raise ValueError(f"retries must be 0 or more, got {self.retry.max_retries!r}")
        if not self.flush_interval_s >= 0:
            raise ValueError(f"flush_interval must be 0 or more seconds, got {self.flush_interval_s!r}")
        if self.shutdown_timeout_s is not None and not self.shutdown_timeout_s >= 0:
            raise ValueError(f"shutdown_timeout must be 0 or more seconds, got {self.shutdown_timeout_s!r}")
