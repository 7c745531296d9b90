"""Short forms: keys of an exporter's entry that each stand for one processor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CONTENT", "SHORT_FORMS", "ShortForm"]


@dataclass(frozen=True, slots=True)
class ShortForm:
    """What one key means.

    Attributes:
        type: Of the processor.
        setting: The one of its settings that the key's value is.
        takes_settings: Whether a mapping is all of its settings instead.
        fixed: Settings that go with it.
    """

    type: str
    setting: str
    takes_settings: bool = False
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def is_all_of(self, value: Any) -> bool:
        """Whether a value holds the processor's settings and is not just the one."""
        return self.takes_settings and isinstance(value, dict)

    def item(self, value: Any) -> dict[str, Any]:
        """What a `processors:` list would hold for it."""
        settings = value if self.is_all_of(value) else {self.setting: value}
        return {**self.fixed, **settings, "_type": self.type}


SHORT_FORMS = {
    "when": ShortForm("filter", "when", fixed={"action": "keep"}),
    "sample": ShortForm("sample", "ratio", takes_settings=True),
}
"""By key, in the order in which items pass them, before the processors of the list."""

CONTENT = ShortForm("content", "mode", takes_settings=True)
"""What `content` stands for: behind all others, which see what there is; for all exporters, too."""
