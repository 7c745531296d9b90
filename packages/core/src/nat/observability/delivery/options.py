"""How one exporter's items are delivered."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from nat.data_models.delivery import DeadLettersConfig, DeliveryConfig, RetryConfig, SpoolConfig
from nat.data_models.telemetry_exporter import BatchConfigMixin, DeliveryConfigMixin
from nat.observability.delivery.breaker import BreakerPolicy
from nat.observability.delivery.retry import RetryPolicy

__all__ = [
    "DeadLettersOptions",
    "DeliveryOptions",
    "SpoolOptions",
    "StorageKind",
    "configured",
    "default_directory",
    "directory_of",
    "spool_options",
]

StorageKind = Literal["spool", "dead-letters"]


@dataclass(frozen=True, slots=True)
class SpoolOptions:
    """Where and how a lane keeps what it has not sent.

    Attributes:
        directory: Shared by exporters; each has a folder in it.
        max_bytes: Cap of the exporter's folder.
        max_age_s: Older records are deleted instead of sent; `None` for no limit.
        fsync: See `Spool`.
        run_wait_s: Seconds that the end of a run waits at most until its items are on disk; 0: it does not.
    """

    directory: Path
    max_bytes: int = 2**30
    max_age_s: float | None = 7 * 86_400.0
    fsync: Literal["never", "batch", "always"] = "never"
    run_wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class DeadLettersOptions:
    """Where a lane keeps what was refused for good.

    Attributes:
        directory: Shared by exporters; each has a folder in it.
        max_bytes: Cap of the directory.
    """

    directory: Path
    max_bytes: int = 256 * 2**20


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """Settings of one lane.

    Attributes:
        takes_lists: `export_processed` takes lists: whatever waits, up to `batch_size`, at most `flush_interval_s` late. Lists
            mix runs and go to the exporter itself, not to a run's copy.
        groups_runs: With `takes_lists`, for exporters of spans: a list holds one trace. It is sent when the runs of the trace
            have ended, whatever `flush_interval_s` says, and at the latest at the shutdown.
        batch_size: Items of one group. For exporters that take single items, how many are handed over together.
        flush_interval_s: Seconds that an item may wait for more to come; only with `takes_lists`.
        concurrency: Calls of `export_processed` at the same time; with 1 the order of items is kept.
        timeout_s: Seconds that one call may take; `None` sets no limit.
        retry: When a transient failure is tried again.
        shutdown_timeout_s: Seconds that the last flush may take; `None`: as long as whoever ends the exporter allows.
        max_queue_size: Items that may wait to be sent, behind the pipeline; `None` leaves the bound to the whole lane.
        breaker: When attempts stop for a while.
        drop_on_overflow: Beyond that, new items are dropped and counted; else what waits is sent at once.
        batch_bytes: Bytes of one call of `export_processed`, before encoding; `None` sets no limit.
        max_item_bytes: Bytes of one item, before encoding; `None` sets no limit.
        spool: What waits to be sent is kept on disk; `None`: in memory only.
        dead_letters: What is refused for good is kept on disk; `None`: it is lost.

    Raises:
        ValueError: A value is out of its range.
    """

    takes_lists: bool = False
    groups_runs: bool = False
    batch_size: int = 100
    flush_interval_s: float = 0.0
    concurrency: int = 1
    timeout_s: float | None = 60.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    shutdown_timeout_s: float | None = None
    max_queue_size: int | None = None
    drop_on_overflow: bool = False
    batch_bytes: int | None = None
    max_item_bytes: int | None = None
    spool: SpoolOptions | None = None
    dead_letters: DeadLettersOptions | None = None

    @property
    def item_limit_bytes(self) -> int | None:
        """Bytes that one item may have; `None` sets no limit."""
        return min((limit for limit in (self.batch_bytes, self.max_item_bytes) if limit is not None), default=None)

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


def configured(options: DeliveryOptions, config: object, delivery: DeliveryConfig | None) -> DeliveryOptions:
    """What an exporter asks for, with what its user has written: keys of the mixins, and before these the `delivery:` block.

    Raises:
        ValueError: The values do not go together.
    """
    changes: dict[str, Any] = {}
    if isinstance(config, BatchConfigMixin):
        changes |= _renamed(_written(config), _MIXIN_NAMES)
    if isinstance(config, DeliveryConfigMixin):
        changes |= _renamed(_written(config), _MIXIN_NAMES)
        if "retries" in config.model_fields_set:
            changes["retry"] = replace(options.retry, max_retries=config.retries)
    if delivery is not None:
        changes |= _renamed(_written(delivery), _BLOCK_NAMES)
        changes |= _renamed(_written(delivery.batch), _BATCH_NAMES)
        changes["retry"] = _retry(changes.get("retry", options.retry), delivery.retry)
        changes["breaker"] = replace(options.breaker, **_renamed(_written(delivery.breaker), _BREAKER_NAMES))
        changes["spool"] = spool_options(delivery.spool)
        changes["dead_letters"] = _dead_letters(delivery.dead_letters)
    return replace(options, **changes)


def spool_options(config: SpoolConfig) -> SpoolOptions | None:
    """What the `spool` key says; `None` if there is no spool."""
    if not config.enabled:
        return None
    return SpoolOptions(
        directory=_directory(config.directory, "spool"),
        max_bytes=config.max_bytes,
        max_age_s=config.max_age,
        fsync=config.fsync,
        run_wait_s=config.wait_timeout if config.wait == "run" else 0.0,
    )


def _dead_letters(config: DeadLettersConfig) -> DeadLettersOptions | None:
    """What the `dead_letters` key says; `None` if there are none."""
    if not config.enabled:
        return None
    return DeadLettersOptions(_directory(config.directory, "dead-letters"), config.max_bytes)


def directory_of(kind: StorageKind, delivery: DeliveryConfig | None) -> Path:
    """The directory that a `delivery:` block says, or the default one; also if the block switches that storage off."""
    config = None
    if delivery is not None:
        config = delivery.spool if kind == "spool" else delivery.dead_letters
    return _directory(None if config is None else config.directory, kind)


def default_directory(name: StorageKind) -> Path:
    """Where state is kept unless the user says (XDG Base Directory Specification, `XDG_STATE_HOME`)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    home = Path(state) if os.path.isabs(state) else Path("~/.local/state").expanduser()  # noqa: PTH117  (may be empty)
    return home / "nat" / name


def _directory(configured: str | None, name: StorageKind) -> Path:
    return default_directory(name) if configured is None else Path(configured).expanduser().absolute()


_MIXIN_NAMES = {
    "batch_size": "batch_size",
    "flush_interval": "flush_interval_s",
    "max_queue_size": "max_queue_size",
    "drop_on_overflow": "drop_on_overflow",
    "shutdown_timeout": "shutdown_timeout_s",
    "timeout": "timeout_s",
}
_BLOCK_NAMES = {"timeout": "timeout_s", "concurrency": "concurrency", "max_item_bytes": "max_item_bytes"}
_BATCH_NAMES = {"size": "batch_size", "bytes": "batch_bytes", "interval": "flush_interval_s"}
_BREAKER_NAMES = {"failures": "failures", "open_for": "open_for_s"}
_RETRY_NAMES = {
    "initial_interval": "initial_interval_s",
    "multiplier": "multiplier",
    "max_interval": "max_interval_s",
    "randomization_factor": "jitter",
    "max_elapsed_time": "max_elapsed_s",
    "max_retries": "max_retries",
}
_MAY_BE_NULL = frozenset(
    {"timeout_s", "max_retries", "max_item_bytes", "batch_bytes"}
)  # elsewhere null says what saying nothing says


def _retry(policy: RetryPolicy, config: RetryConfig) -> RetryPolicy:
    changes = _renamed(_written(config), _RETRY_NAMES)
    if changes.get("max_elapsed_s") == 0:
        changes["max_elapsed_s"] = math.inf
    return replace(policy, **changes)


def _written(config: BaseModel) -> dict[str, Any]:
    """The keys that a user has set, with their values."""
    return {key: getattr(config, key) for key in type(config).model_fields if key in config.model_fields_set}


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    renamed = {names[key]: value for key, value in values.items() if key in names}
    return {name: value for name, value in renamed.items() if value is not None or name in _MAY_BE_NULL}
