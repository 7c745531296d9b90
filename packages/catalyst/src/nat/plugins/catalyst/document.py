"""The trace document: a run as Catalyst reads it.

Source: what ragaai-catalyst 2.2.7 uploads, seen at a server that records requests (2026-11-23). Names, order and nesting are
its; a span is what OpenTelemetry's SDK for Python gives as `ReadableSpan.to_json()`. What differs is said in the docs.
"""

import os
import platform
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import distributions
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from nat.data_models.span import Span, SpanAttributes, SpanEvent, SpanKind, SpanLink, SpanStatus
from nat.observability.snapshot import plain
from nat.plugins.opentelemetry.environment import OtlpEnvironment
from nat.plugins.opentelemetry.resource import resource_of

__all__ = ["NO_CODE_HASH", "DocumentSettings", "columns_of", "document_of", "spans_of_dataset"]

NO_CODE_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing: no code is uploaded."""

_INDIA = timezone(timedelta(hours=5, minutes=30))  # in which Catalyst wants the times of a trace
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, tzinfo=UTC)
_RESERVED = frozenset({"log_source", "recorded_on"})  # columns that Catalyst fills itself
_COSTS = {
    "input_cost": "llm.cost.prompt",
    "output_cost": "llm.cost.completion",
    "total_cost": "llm.cost.total",
}


@dataclass(frozen=True, slots=True)
class DocumentSettings:
    """What all documents of an exporter have in common.

    Attributes:
        project, dataset, tracer_type: As configured.
        metadata: Facts that stand in each.
        lists_packages: Whether what is installed is listed.
    """

    project: str
    dataset: str
    tracer_type: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    lists_packages: bool = False


def document_of(spans: Sequence[Span], settings: DocumentSettings) -> dict[str, Any]:
    """The document of a run. No value in a span makes this raise.

    Args:
        spans: At least one, in any order; in the document it is that in which they ended.
        settings: Of the exporter.
    """
    spans = sorted(spans, key=lambda span: (_end_ns(span), span.context.parent_span_id is None))
    shown = _spans(spans)
    start = _in_india(min(span.start_time for span in spans))
    end = _in_india(max(_end_ns(span) for span in spans))
    tokens = _tokens(shown)
    cost = _sums({name: [span["attributes"].get("llm.cost", {}).get(name) for span in shown] for name in _COSTS})
    return {
        "id": f"0x{spans[0].context.trace_id:032x}",
        "trace_name": "",
        "project_name": settings.project,
        "start_time": start,
        "end_time": end,
        "external_id": _user_of(spans),
        "metadata": {
            "tokens": tokens,
            "cost": cost,
            "total_cost": cost["total_cost"],
            "total_tokens": tokens["total_tokens"],
            "system_info": _system_info(settings),
            **{key: plain(settings.metadata[key]) for key in columns_of(settings.metadata)},
        },
        "replays": {"source": None},
        "data": [{"spans": shown, "start_time": start, "end_time": end}],
        "network_calls": [],
        "interactions": [],
        "workflow": _workflow(shown),
        "tracer_type": settings.tracer_type,
    }


def columns_of(metadata: Mapping[str, Any]) -> list[str]:
    """The facts of the metadata that are columns of the dataset: all but those that Catalyst fills itself."""
    return [key for key in metadata if key not in _RESERVED]


def spans_of_dataset(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the dataset is told of a document's spans."""
    return [
        {
            "spanId": span["context"]["span_id"],
            "spanName": span["name"],
            "spanHash": span["hash_id"],
            "spanType": span["attributes"][SpanAttributes.SPAN_KIND],
        }
        for span in document["data"][0]["spans"]
    ]


def _spans(spans: Sequence[Span]) -> list[dict[str, Any]]:
    resource = {"attributes": resource_of(OtlpEnvironment(os.environ).resource_attributes), "schema_url": ""}
    occurrences: Counter[str] = Counter()
    shown = []
    for span in spans:
        number = occurrences[span.name]
        occurrences[span.name] += 1
        shown.append(_span(span, number, resource))
    return shown


def _span(span: Span, number: int, resource: Mapping[str, Any]) -> dict[str, Any]:
    name = f"{span.name}.{number}"
    parent_id = span.context.parent_span_id
    attributes = {key: plain(value) for key, value in span.attributes.items() if value is not None}
    attributes.setdefault(SpanAttributes.SPAN_KIND.value, SpanKind.UNKNOWN.value)
    costs = {name: attributes[key] for name, key in _COSTS.items() if isinstance(attributes.get(key), int | float)}
    if costs:
        attributes["llm.cost"] = dict.fromkeys(_COSTS, 0.0) | costs
    return {
        "name": name,
        "context": _context(span.context.trace_id, span.context.span_id),
        "kind": "SpanKind.INTERNAL",
        "parent_id": None if parent_id is None else f"0x{parent_id:016x}",
        "start_time": _in_utc(span.start_time),
        "end_time": _in_utc(_end_ns(span)),
        "status": _status(span.status),
        "attributes": attributes,
        "events": [_event(event) for event in span.events],
        "links": [_link(link) for link in span.links],
        "resource": resource,
        "name_occurrences": number,
        "hash_id": str(uuid5(NAMESPACE_DNS, name.encode("utf-8", "replace").decode())),
    }


def _context(trace_id: int, span_id: int) -> dict[str, str]:
    return {"trace_id": f"0x{trace_id:032x}", "span_id": f"0x{span_id:016x}", "trace_state": "[]"}


def _status(status: SpanStatus) -> dict[str, str]:
    code = {"status_code": status.code.value}
    return code if status.message is None else {**code, "description": status.message}


def _event(event: SpanEvent) -> dict[str, Any]:
    return {"name": event.name, "timestamp": _in_utc(event.timestamp), "attributes": plain(event.attributes)}


def _link(link: SpanLink) -> dict[str, Any]:
    return {
        "context": _context(link.context.trace_id, link.context.span_id),
        "attributes": plain(link.attributes),
    }


def _workflow(shown: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A start and an end for each span, in the order in which they happened."""
    moments = [
        {
            "id": "",
            "span_id": None,
            "interaction_type": f"None_call_{moment}",
            "name": span["name"],
            "content": None,
            "timestamp": span[f"{moment}_time"],
            "error": None,
        }
        for span in shown
        for moment in ("start", "end")
    ]
    moments.sort(key=lambda moment: str(moment["timestamp"]))
    for number, moment in enumerate(moments, 1):
        moment["id"] = str(number)
    return moments


def _tokens(shown: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    keys = {
        "prompt_tokens": SpanAttributes.LLM_TOKEN_COUNT_PROMPT,
        "completion_tokens": SpanAttributes.LLM_TOKEN_COUNT_COMPLETION,
    }
    sums = _sums({name: [span["attributes"].get(key) for span in shown] for name, key in keys.items()})
    return {**sums, "total_tokens": sum(sums.values())}


def _sums(values: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    return {name: float(sum(one for one in found if isinstance(one, int | float))) for name, found in values.items()}


def _user_of(spans: Sequence[Span]) -> str | None:
    """The root's user, else that of the first span that has one."""
    roots_first = sorted(spans, key=lambda span: span.context.parent_span_id is not None)
    return next((str(user) for span in roots_first if (user := span.attributes.get(SpanAttributes.USER_ID))), None)


def _system_info(settings: DocumentSettings) -> dict[str, Any]:
    environment: dict[str, Any] = {"name": "Python", "version": platform.python_version()}
    if settings.lists_packages:
        environment |= {
            "packages": sorted(f"{found.name.lower()}=={found.version}" for found in distributions()),
            "env_path": sys.prefix,
            "command_to_run": f"python {sys.argv[0] if sys.argv else ''}",
        }
    return {
        "id": f"sys_{settings.dataset}",
        "os": {
            "name": platform.system(),
            "version": platform.version(),
            "platform": platform.machine(),
            "kernel_version": platform.release(),
        },
        "environment": environment,
        "source_code": NO_CODE_HASH,
    }


def _end_ns(span: Span) -> int:
    return span.start_time if span.end_time is None else span.end_time


def _in_utc(time_ns: int) -> str:
    return f"{_moment(time_ns):%Y-%m-%dT%H:%M:%S.%f}Z"


def _in_india(time_ns: int) -> str:
    return _moment(time_ns).astimezone(_INDIA).isoformat(timespec="microseconds")


def _moment(time_ns: int) -> datetime:
    """A time, rounded as OpenTelemetry's SDK does it; one that a calendar does not have is the first or the last of it."""
    try:
        return min(max(datetime.fromtimestamp(time_ns / 1e9, UTC), _EPOCH), _LAST)
    except (OSError, OverflowError, ValueError):
        return _LAST if time_ns > 0 else _EPOCH
