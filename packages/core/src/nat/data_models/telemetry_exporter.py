"""Configuration of exporters: the base class, and fields that many exporters share.

```python
class QueueConfig(BatchConfigMixin, TelemetryExporterBaseConfig, name="queue"):
    \"\"\"Sends spans to a message queue.\"\"\"

    url: str = Field(description="Where the queue listens.")
    api_key: SecretStr = Field(description="Key of the queue.")
```

Light: only pydantic is imported here, so that a module which merely declares a configuration costs nothing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from nat.data_models.component_config import ComponentBaseConfig
from nat.data_models.conventions import Conventions

if TYPE_CHECKING:
    from nat.data_models.span import Span

__all__ = ["RESERVED_KEYS", "BatchConfigMixin", "DeliveryConfigMixin", "TelemetryExporterBaseConfig"]

RESERVED_KEYS = frozenset(
    {"enabled", "required", "delivery", "processors", "when", "sample", "redact", "content", "conventions"}
)
"""Keys of an exporter entry that the toolkit takes itself, before the configuration class sees the entry."""


class TelemetryExporterBaseConfig(ComponentBaseConfig):
    """Settings of one exporter; subclass with `name=`, which is what a workflow file writes after `_type:`.

    Raises:
        TypeError: On declaring a subclass with a field that the toolkit takes itself (`RESERVED_KEYS`, `type`).
        pydantic.ValidationError: On making one from values that do not fit.
    """

    _entry: ClassVar[str] = "an exporter entry"
    reserved_keys: ClassVar[frozenset[str]] = RESERVED_KEYS
    route_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys that say where runs go or on whose account; processor `route` may choose them for each run. None: it cannot."""

    def spoken_conventions(self) -> tuple[Conventions, ...]:
        """Return what `conventions` may be in an entry with these settings; nothing, if the exporter leaves no choice.

        An exporter whose configuration returns more asks its lane which one it is (`Lane.conventions`).
        """
        return ()

    def item_kind(self) -> Literal["steps", "spans"] | None:
        """Return what an exporter with these settings is given, for those who do not build it; `None` if nobody says."""
        return None

    def own_words(self) -> "Callable[[Span], dict[str, Any]] | None":
        """Return what gives a span's attributes in the backend's own words, before conventions; `None`: they have none.

        It changes nothing of the span, and never raises.
        """
        return None


class BatchConfigMixin(BaseModel):
    """How an exporter groups what it sends; a mixin for configuration classes."""

    model_config = ConfigDict(defer_build=True)

    batch_size: int = Field(default=100, ge=1, description="How many items are sent together at most.")
    flush_interval: float = Field(
        default=5.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds after which waiting items are sent, however few they are.",
    )
    max_queue_size: int = Field(
        default=1000, ge=1, description="How many items may wait to be sent; at least batch_size."
    )
    drop_on_overflow: bool = Field(
        default=False,
        description="Whether items beyond max_queue_size are dropped, and counted, instead of sent at once.",
    )
    shutdown_timeout: float = Field(
        default=10.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds that sending what still waits may take when the exporter stops.",
    )

    @model_validator(mode="after")
    def _queue_holds_a_batch(self) -> Self:
        if self.max_queue_size < self.batch_size:
            raise PydanticCustomError(
                "queue_too_small",
                "max_queue_size is {max_queue_size}, expected at least batch_size ({batch_size})",
                {"max_queue_size": self.max_queue_size, "batch_size": self.batch_size},
            )
        return self


class DeliveryConfigMixin(BaseModel):
    """How long and how often an exporter tries to send; a mixin for configuration classes."""

    model_config = ConfigDict(defer_build=True)

    timeout: float = Field(
        default=60.0, gt=0, allow_inf_nan=False, description="Seconds that one attempt to send may take."
    )
    retries: int | None = Field(
        default=None,
        ge=0,
        description="How often sending is tried again after a failure that may pass; unset: until delivery gives up.",
    )
