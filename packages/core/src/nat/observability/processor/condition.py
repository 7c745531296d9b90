"""Conditions on items: which spans and steps a rule is for."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span, SpanStatusCode
from nat.data_models.span_names import SpanKind
from nat.observability.events import Run
from nat.observability.processor.step_metadata import metadata_of
from nat.observability.snapshot import encode, restore
from nat.observability.spans import conventions as names

__all__ = ["Condition", "Globs"]


class Globs:
    """Patterns with `*`, `?` and `[…]`, upper and lower case told apart; any of them has to match the whole text."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._matches: list[Callable[[str], object]] = [re.compile(translate(pattern)).match for pattern in patterns]

    def match(self, text: str | None) -> bool:
        """Whether there is a text, and one of the patterns is for it."""
        return text is not None and any(match(text) for match in self._matches)


@dataclass(frozen=True, slots=True)
class Condition:
    """What an item must be; it must be all that is said here.

    What a span or step does not say matches nothing, not even `*`.

    Attributes:
        kinds: OpenInference's span kinds, of which it must have one.
        name: Of the span or step.
        tag: One of its labels, or of its run's.
        workflow: Name of its run.
        tenant: `tenant` in the metadata of its run.
        is_failed: Whether its status is ERROR; only of spans.
        min_duration_s, max_duration_s: Seconds from start to end, bounds included; only of spans.
        attributes: Values of a span's attributes, or of a step's metadata; what is no text is compared as JSON.
    """

    kinds: frozenset[SpanKind] | None = None
    name: Globs | None = None
    tag: Globs | None = None
    workflow: Globs | None = None
    tenant: Globs | None = None
    is_failed: bool | None = None
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    attributes: Mapping[str, Globs] = field(default_factory=dict)

    def matches(self, item: Span | IntermediateStep, run: Run | None) -> bool:
        """Whether an item of that run is all of it."""
        return (
            (self.name is None or self.name.match(item.name))
            and (self.kinds is None or _kind_of(item) in self.kinds)
            and (self.workflow is None or self.workflow.match(None if run is None else run.name))
            and (self.tenant is None or self.tenant.match(_tenant_of(run)))
            and (self.tag is None or any(map(self.tag.match, _tags_of(item, run))))
            and (not self.attributes or self._has_attributes(item))
            and (isinstance(item, IntermediateStep) or self._is_outcome(item))
        )

    def _has_attributes(self, item: Span | IntermediateStep) -> bool:
        values = item.attributes if isinstance(item, Span) else metadata_of(item)
        return all(key in values and globs.match(_text_of(values[key])) for key, globs in self.attributes.items())

    def _is_outcome(self, span: Span) -> bool:
        duration_s = span.duration_s
        if self.min_duration_s is not None and (duration_s is None or duration_s < self.min_duration_s):
            return False
        if self.max_duration_s is not None and (duration_s is None or duration_s > self.max_duration_s):
            return False
        return self.is_failed is None or (span.status.code is SpanStatusCode.ERROR) is self.is_failed


def _kind_of(item: Span | IntermediateStep) -> Any:
    if isinstance(item, Span):
        return item.attributes.get(names.SPAN_KIND)
    return names.KIND_OF_CATEGORY[item.event_category]


def _tags_of(item: Span | IntermediateStep, run: Run | None) -> list[Any]:
    own = item.attributes.get(names.TAGS) if isinstance(item, Span) else item.tags
    return [*(own or ()), *(() if run is None else run.tags)]


def _tenant_of(run: Run | None) -> str | None:
    metadata = None if run is None else restore(run.metadata)
    tenant = metadata.get("tenant") if isinstance(metadata, dict) else None
    return None if tenant is None else _text_of(tenant)


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()
