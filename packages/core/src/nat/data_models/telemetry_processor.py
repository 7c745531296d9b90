"""Configuration of processors: the base class.

```python
class ShortenConfig(TelemetryProcessorBaseConfig, name="shorten"):
    \"\"\"Cuts long texts.\"\"\"

    characters: int = Field(default=1000, ge=1, description="Length that texts are cut to.")
```

Light: only pydantic is imported here, so that a module which merely declares a configuration costs nothing.
"""

from typing import ClassVar, Self

from nat.data_models.component_config import ComponentBaseConfig

__all__ = ["TelemetryProcessorBaseConfig"]


class TelemetryProcessorBaseConfig(ComponentBaseConfig):
    """Settings of one processor; subclass with `name=`, which is what a workflow file writes after `_type:`.

    Raises:
        TypeError: On declaring a subclass with a field that the toolkit takes itself (`enabled`, `timeout`, `type`).
        pydantic.ValidationError: On making one from values that do not fit.
    """

    _entry: ClassVar[str] = "a processor's entry"
    reserved_keys: ClassVar[frozenset[str]] = frozenset({"enabled", "timeout"})
    for_one_exporter: ClassVar[bool] = False
    """Whether it has a meaning among the processors of an exporter only, and none for all exporters together."""

    def without_effects(self) -> Self:
        """Settings with which its processor makes the same of items, and writes nothing: for looking at what it does."""
        return self

    @property
    def may_block(self) -> bool:
        """Whether a processor with these settings may block its thread; then its exporter has one to itself."""
        return False
