"""A span in Langfuse's words.

What Langfuse has a field for moves there; the rest stays as it is, and Langfuse shows it as metadata. Sources: `Langfuse`
Python SDK 5.0.4, which sends the same names; Langfuse's page "OpenTelemetry", section "Property mapping", and the code of its
server (August 2026). On a span that is not the root, tags are metadata: Langfuse would take them for those of the trace.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nat.data_models.span import Span, SpanAttributes, SpanKind, SpanStatusCode
from nat.observability.spans import conventions as names
from nat.plugins.opentelemetry.contents import Contents, contents_of, json_object, json_text, taken_list

__all__ = ["langfuse_attributes"]

_PROMPT, _COMPLETION, _TOTAL, _CACHE_READ, _CACHE_WRITE, _REASONING = names.LLM_USAGE_KEYS[:6]
_TYPES: dict[str, str] = {
    SpanKind.LLM: "generation",
    SpanKind.EMBEDDING: "embedding",
    SpanKind.TOOL: "tool",
    SpanKind.AGENT: "agent",
    SpanKind.CHAIN: "chain",
    SpanKind.RETRIEVER: "retriever",
    SpanKind.GUARDRAIL: "guardrail",
    SpanKind.EVALUATOR: "evaluator",
}
_MODELS = (names.LLM_MODEL_NAME, names.EMBEDDING_MODEL_NAME, names.RERANKER_MODEL_NAME)
_PARAMETERS = (names.LLM_INVOCATION_PARAMETERS, names.EMBEDDING_INVOCATION_PARAMETERS)

_COSTS = {  # as `_usage` calls what they are for
    "input": SpanAttributes.LLM_COST_INPUT.value,
    "input_cached_tokens": SpanAttributes.LLM_COST_CACHE_READ.value,
    "input_cache_creation": SpanAttributes.LLM_COST_CACHE_WRITE.value,
    "output": SpanAttributes.LLM_COST_OUTPUT.value,
    "output_reasoning_tokens": SpanAttributes.LLM_COST_REASONING.value,
}
_COSTS_OF_SIDES = {"input": SpanAttributes.LLM_COST_PROMPT.value, "output": SpanAttributes.LLM_COST_COMPLETION.value}

_OBSERVATION, _TRACE = "langfuse.observation", "langfuse.trace"
_TYPE, _INPUT, _OUTPUT = (f"{_OBSERVATION}.{name}" for name in ("type", "input", "output"))
_MODEL, _MODEL_PARAMETERS = f"{_OBSERVATION}.model.name", f"{_OBSERVATION}.model.parameters"
_USAGE, _COST = f"{_OBSERVATION}.usage_details", f"{_OBSERVATION}.cost_details"
_FIRST_CHUNK = f"{_OBSERVATION}.completion_start_time"
_TOKENS = frozenset((_PROMPT, _COMPLETION, _TOTAL, _CACHE_READ, _CACHE_WRITE, _REASONING))


def langfuse_attributes(span: Span, process: Mapping[str, str]) -> dict[str, Any]:
    """The attributes of a span as Langfuse wants to see them.

    Args:
        span: The span.
        process: Attributes of every span.
    """
    contents = contents_of(span.attributes)
    rest = contents.rest
    kind = rest.get(names.SPAN_KIND)
    found = {
        _TYPE: _TYPES.get(str(kind), "span"),
        _INPUT: _input(contents),
        _OUTPUT: _output(contents),
        _MODEL: _first(rest, _MODELS),
        _MODEL_PARAMETERS: _first(rest, _PARAMETERS),
        _USAGE: _usage(rest),
        _COST: _cost(rest),
        _FIRST_CHUNK: _first_chunk_time(span, rest),
    }
    if span.status.code is SpanStatusCode.ERROR:
        found[f"{_OBSERVATION}.level"] = "ERROR"
        found[f"{_OBSERVATION}.status_message"] = span.status.message
    found.update(_trace(span, rest) if span.context.parent_span_id is None else _metadata(_OBSERVATION, rest))
    return {**rest, **process, **{key: value for key, value in found.items() if value is not None}}


def _input(contents: Contents) -> str | None:
    request = contents.request()
    if request is None:
        return contents.input
    return json_text(request["messages"] if len(request) == 1 else request)


def _output(contents: Contents) -> str | None:
    messages = contents.output_messages
    if not messages or contents.own_response() is not None:
        return contents.output
    return json_text(messages[0] if len(messages) == 1 else messages)


def _usage(rest: dict[str, Any]) -> str | None:
    """Tokens by kinds that do not overlap, as Langfuse prices them: cached ones are not `input` as well."""
    if _TOKENS.isdisjoint(rest):
        return None
    prompt = _taken(rest, _PROMPT)
    completion = _taken(rest, _COMPLETION)
    parts = {
        "input_cached_tokens": _taken(rest, _CACHE_READ),
        "input_cache_creation": _taken(rest, _CACHE_WRITE),
        "output_reasoning_tokens": _taken(rest, _REASONING),
    }
    read, written, reasoning = (count or 0 for count in parts.values())
    counts = {
        "input": None if prompt is None else max(prompt - read - written, 0),
        "output": None if completion is None else max(completion - reasoning, 0),
        **parts,
        "total": _taken(rest, _TOTAL),
    }
    known = {name: count for name, count in counts.items() if count is not None}
    return json_text(known) if known else None


def _cost(rest: dict[str, Any]) -> str | None:
    """Costs by the kinds of tokens that they are for, where these have prices of their own, else of prompt and completion."""
    if SpanAttributes.LLM_COST_TOTAL.value not in rest:
        return None
    known = {name: rest.pop(key) for name, key in _COSTS.items() if key in rest}
    for side, key in _COSTS_OF_SIDES.items():
        cost = rest.pop(key, None)
        if cost is not None and not any(name.startswith(side) for name in known):
            known[side] = cost
    return json_text({**known, "total": rest.pop(SpanAttributes.LLM_COST_TOTAL.value)})


def _taken(rest: dict[str, Any], key: str) -> int | None:
    value = rest.get(key)
    return rest.pop(key) if isinstance(value, int) else None


def _first(rest: dict[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        if key in rest:
            return rest.pop(key)
    return None


def _first_chunk_time(span: Span, rest: dict[str, Any]) -> str | None:
    waited_s = rest.get(names.NAT_TIME_TO_FIRST_CHUNK_S)
    if not isinstance(waited_s, float):
        return None
    try:
        return datetime.fromtimestamp(span.start_time / 1e9 + waited_s, UTC).isoformat(timespec="microseconds")
    except (OSError, OverflowError, ValueError):  # a start that was given in another unit
        return None


def _trace(span: Span, rest: dict[str, Any]) -> dict[str, Any]:
    """What the root says of its whole trace."""
    tags = taken_list(rest, names.TAGS)
    return {f"{_TRACE}.name": span.name, f"{_TRACE}.tags": tags or None, **_metadata(_TRACE, rest)}


def _metadata(owner: str, rest: dict[str, Any]) -> dict[str, Any]:
    """A key for each fact, and the step's own tags among them."""
    if names.METADATA not in rest and names.TAGS not in rest:
        return {}
    facts = json_object(rest.get(names.METADATA))
    if facts:
        del rest[names.METADATA]
    tags = taken_list(rest, names.TAGS)
    if tags:
        facts.setdefault("tags", tags)
    return {f"{owner}.metadata.{key}": _plain(value) for key, value in facts.items()}


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | bool | int | float) else json_text(value)
