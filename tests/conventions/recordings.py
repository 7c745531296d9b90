"""Recorded runs in the three conventions, as they are on the wire, in a form that can be read and compared."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nat.data_models.conventions import Conventions
from nat.observability import Telemetry
from nat.observability.registry import exporter_entry
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.testing import FakeBackend, ReceivedSpan, facts_of, recorded_run, replay

__all__ = ["CONVENTIONS", "RUNS", "golden_file", "said_by", "sent", "text_of"]

CONVENTIONS: tuple[Conventions, ...] = ("openinference", "gen_ai@1.41", "gen_ai@0.1.0")
RUNS = (
    "cached_prompt",
    "failing_tool",
    "grounded_answer",
    "guarded_answer",
    "streamed_answer",
    "tool_call",
)
"""Between them they have everything that the conventions have a name for."""

_FOLDER = Path(__file__).parent / "golden"
_OWN = (
    "nat.step.id",
    "nat.stream.time_to_first_chunk_s",
    "gen_ai.response.time_to_first_chunk",
    "exception.stacktrace",
)
_UNSTABLE = "(not the same each time)"


def golden_file(run_id: str, conventions: Conventions) -> Path:
    return _FOLDER / run_id / f"{conventions}.json"


def sent(run_id: str, conventions: Conventions) -> list[ReceivedSpan]:
    """The spans of a recorded run, as a backend receives them over OTLP; in the order in which they began."""
    with FakeBackend() as backend:
        entry = exporter_entry(OtelCollectorConfig(endpoint=backend.url), conventions=conventions)
        with Telemetry(entry) as telemetry:
            replay(recorded_run(run_id), telemetry)
        spans = {span.name: span for span in backend.spans}
    return [spans[span.name] for span in facts_of(recorded_run(run_id)).spans]


def said_by(spans: list[ReceivedSpan]) -> list[dict[str, Any]]:
    """What spans say beside ids and times, JSON texts opened."""
    return [
        {
            "name": span.name,
            "status": span.status,
            "attributes": _readable(span.attributes),
            "events": [{"name": event.name, "attributes": _readable(event.attributes)} for event in span.events],
        }
        for span in spans
    ]


def _readable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _UNSTABLE if key in _OWN else _opened(value) for key, value in sorted(attributes.items())}


def _opened(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("{", "[")):
        return {"JSON": json.loads(value)}
    return value


def text_of(said: list[dict[str, Any]]) -> str:
    """JSON with a line for each attribute."""
    return "[\n" + ",\n".join(map(_span_text, said)) + "\n]\n"


def _span_text(span: dict[str, Any]) -> str:
    attributes = ",\n  ".join(f"{_text(key)}: {_text(value)}" for key, value in span["attributes"].items())
    events = ",\n  ".join(map(_text, span["events"]))
    head = f"{_text('name')}: {_text(span['name'])}, {_text('status')}: {_text(span['status'])}"
    return f'{{{head},\n "attributes": {{\n  {attributes}}},\n "events": [{events}]}}'


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
