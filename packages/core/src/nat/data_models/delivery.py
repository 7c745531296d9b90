"""Configuration of delivery: the `delivery:` block, of one exporter or of all.

```yaml
general:
  telemetry:
    delivery: {timeout: 20}          # for all exporters
    tracing:
      backend:
        _type: queue
        delivery:                    # for this one; goes before, key by key
          retry: {max_elapsed_time: 600}
```
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "BatchDeliveryConfig",
    "BreakerConfig",
    "DeadLettersConfig",
    "DeliveryConfig",
    "IntakeConfig",
    "RetryConfig",
    "SpoolConfig",
]


class _Block(BaseModel):
    """A mapping whose keys count only where they are written; the others stay as the exporter has them."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True, allow_inf_nan=False)

    def over(self, general: Self) -> Self:
        """Return this block with what only `general` sets."""
        changes: dict[str, Any] = {}
        for key in self.model_fields_set:
            mine, theirs = getattr(self, key), getattr(general, key)
            is_nested = isinstance(mine, _Block) and isinstance(theirs, type(mine))
            changes[key] = mine.over(theirs) if is_nested else mine
        return general.model_copy(update=changes)


class RetryConfig(_Block):
    """When a failure that may pass is tried again; names and shape are those of the OpenTelemetry Collector.

    Source: configretry of the Collector, `retry_on_failure`. Times are in seconds.
    """

    initial_interval: float = Field(default=1.0, gt=0, description="Seconds before the second attempt.")
    multiplier: float = Field(default=1.5, ge=1, description="Factor from one wait to the next.")
    max_interval: float = Field(default=30.0, gt=0, description="Longest wait in seconds.")
    randomization_factor: float = Field(
        default=0.5, ge=0, le=1, description="Share by which a wait varies, up and down."
    )
    max_elapsed_time: float = Field(
        default=300.0, ge=0, description="Seconds from the first attempt after which an item is given up; 0: never."
    )
    max_retries: int | None = Field(
        default=None, ge=0, description="Repetitions after which an item is given up; null: any number."
    )


class BreakerConfig(_Block):
    """When a backend that fails again and again is left alone."""

    failures: int = Field(
        default=10, ge=0, description="Failures in a row, of those that may pass, that stop all attempts; 0: none do."
    )
    open_for: float = Field(
        default=30.0, gt=0, description="Seconds without attempts; then one is made, and the others follow if it works."
    )


class BatchDeliveryConfig(_Block):
    """What is sent at once."""

    size: int | None = Field(
        default=None, ge=1, description="Items that are handed over together at most; 100 unless the exporter says."
    )
    bytes: int | None = Field(
        default=None,
        ge=1024,
        description="Bytes that are handed over together at most, before encoding; null: no limit.",
    )
    interval: float | None = Field(
        default=None,
        ge=0,
        description="Seconds that an item waits for more to come, where the exporter takes lists; 0: no wait.",
    )


class IntakeConfig(_Block):
    """What may be on its way to all exporters together, captured and not delivered yet."""

    max_items: int = Field(default=200_000, ge=1, description="Steps and spans that may be on their way.")
    max_bytes: int = Field(default=256 * 2**20, ge=2**20, description="Bytes of memory that they may hold.")
    overflow: Literal["drop_newest", "drop_oldest", "wait"] = Field(
        default="drop_newest",
        description="Beyond that, for an exporter that does not keep up: what is new is lost, what is oldest is lost, or "
        "the workflow waits for room.",
    )
    wait_timeout: float = Field(
        default=1.0,
        ge=0,
        description="Seconds that one step waits at most with `overflow: wait`; then what is new is lost.",
    )


class _Storage(_Block):
    """A block that may be written as `true` or `false`, and that any other key switches on, too."""

    enabled: bool = Field(
        default=False, description="Whether it is on; true in place of the block, or any key in it, says so too."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_flag(cls, value: Any) -> Any:
        if isinstance(value, bool):
            return {"enabled": value}
        if not isinstance(value, dict | cls):
            raise ValueError(f"expected true, false or a mapping with the keys {', '.join(cls.model_fields)}")
        return {"enabled": True, **value} if isinstance(value, dict) and value else value


class SpoolConfig(_Storage):
    """Whether items are written to disk before they are sent, so that they outlive the process."""

    directory: str | None = Field(
        default=None,
        min_length=1,
        description="Where; any number of processes and exporters share it. null: nat/spool below $XDG_STATE_HOME, which is "
        "~/.local/state unless set.",
    )
    max_bytes: int = Field(default=2**30, ge=2**20, description="What one exporter's share may take on disk.")
    max_age: float | None = Field(
        default=7 * 86_400.0, gt=0, description="Seconds after which what was left is deleted, not sent; null: never."
    )
    fsync: Literal["never", "batch", "always"] = Field(
        default="never",
        description="What a crash of the machine may cost: the last seconds; nothing that was written; nor a second "
        "delivery of what was acknowledged. A crash of the process costs nothing either way.",
    )
    wait: Literal["never", "run"] = Field(
        default="never", description="run: the end of a run waits until its items are on disk."
    )
    wait_timeout: float = Field(default=5.0, gt=0, description="Seconds that the end of a run waits at most.")


class DeadLettersConfig(_Storage):
    """Whether items that a backend refuses for good are kept on disk."""

    directory: str | None = Field(
        default=None,
        min_length=1,
        description="Where; any number of processes and exporters share it. null: nat/dead-letters below $XDG_STATE_HOME, "
        "which is ~/.local/state unless set.",
    )
    max_bytes: int = Field(default=256 * 2**20, ge=2**20, description="What the directory may take on disk.")


class DeliveryConfig(_Block):
    """How items get to a backend. A key that is not written stays as the exporter has it."""

    timeout: float | None = Field(
        default=60.0, gt=0, description="Seconds that one attempt to send may take; null: no limit."
    )
    retry: RetryConfig = Field(default_factory=RetryConfig, description="When a failure that may pass is tried again.")
    concurrency: int | None = Field(
        default=None,
        ge=1,
        description="Attempts at the same time; 1 for exporters of steps, 8 for exporters of spans. 1 keeps the order.",
    )
    batch: BatchDeliveryConfig = Field(default_factory=BatchDeliveryConfig, description="What is sent at once.")
    max_item_bytes: int | None = Field(
        default=None,
        ge=1024,
        description="Bytes of one item at most, before encoding; a larger one has its biggest texts cut. null: no limit.",
    )
    breaker: BreakerConfig = Field(
        default_factory=BreakerConfig, description="When a backend that fails again and again is left alone."
    )
    spool: SpoolConfig = Field(
        default_factory=SpoolConfig, description="Whether items are on disk before they are sent: true, or a mapping."
    )
    dead_letters: DeadLettersConfig = Field(
        default_factory=DeadLettersConfig, description="Whether what is refused for good is kept: true, or a mapping."
    )
    loop: Literal["shared", "own"] | None = Field(
        default=None,
        description="The event loop it lives on: shared with others, or its own; own if it has a spool, or is not ours.",
    )
    intake: IntakeConfig = Field(
        default_factory=IntakeConfig,
        description="What may be on its way to all exporters together; under general.telemetry only.",
    )
