"""A span in LangSmith's words.

What LangSmith has a field for moves there; the rest stays as it is. Sources: the `langsmith` SDK 0.15.0, which sends the same
names; LangSmith's page "Trace with OpenTelemetry", section "Supported OpenTelemetry attribute and event mapping". What
LangSmith calls a session is a project; conversations are threads there, found by the metadata `session_id`, which must be on
every span.
"""

from collections.abc import Mapping
from typing import Any

from nat.data_models.span import Span, SpanAttributes, SpanKind
from nat.observability.spans import conventions as names
from nat.observability.spans.genai import genai_facts
from nat.plugins.opentelemetry.contents import Contents, contents_of, json_object, json_text, taken_list

__all__ = ["langsmith_attributes"]

_PROMPT, _COMPLETION, _TOTAL, _CACHE_READ, _CACHE_WRITE, _REASONING = names.LLM_USAGE_KEYS[:6]
_RUN_TYPES: dict[str, str] = {
    SpanKind.LLM: "llm",
    SpanKind.TOOL: "tool",
    SpanKind.RETRIEVER: "retriever",
    SpanKind.EMBEDDING: "embedding",
    SpanKind.PROMPT: "prompt",
}
_TOKENS = frozenset((_PROMPT, _COMPLETION, _TOTAL))
_DETAILS = {
    "input_token_details": {
        "cache_read": _CACHE_READ,
        "cache_creation": _CACHE_WRITE,
    },
    "output_token_details": {"reasoning": _REASONING},
}
_COSTS = {
    "input_cost": SpanAttributes.LLM_COST_PROMPT.value,
    "output_cost": SpanAttributes.LLM_COST_COMPLETION.value,
    "total_cost": SpanAttributes.LLM_COST_TOTAL.value,
}
_COST_DETAILS = {
    "input_cost_details": {
        "cache_read": SpanAttributes.LLM_COST_CACHE_READ.value,
        "cache_creation": SpanAttributes.LLM_COST_CACHE_WRITE.value,
    },
    "output_cost_details": {"reasoning": SpanAttributes.LLM_COST_REASONING.value},
}


_FACTS = (
    ("session_id", names.SESSION_ID),
    ("user_id", names.USER_ID),
    ("ls_provider", names.LLM_PROVIDER),
    ("ls_model_name", names.LLM_MODEL_NAME),
)


def langsmith_attributes(span: Span, project: str, process: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a span as LangSmith wants to see them.

    Args:
        span: The span.
        project: Where it goes.
        process: Metadata of every run.
    """
    contents = contents_of(span.attributes)
    rest = contents.rest
    found = {
        "langsmith.span.kind": _RUN_TYPES.get(str(rest.get(names.SPAN_KIND)), "chain"),
        "langsmith.trace.name": span.name,
        "langsmith.trace.session_name": project,
        "langsmith.span.tags": ", ".join(map(str, taken_list(rest, names.TAGS))),
        "gen_ai.prompt": _inputs(contents),
        "gen_ai.completion": _outputs(contents),
        "gen_ai.tool.definitions": json_text(contents.tools) if contents.tools else None,
        "gen_ai.system": rest.get(names.LLM_PROVIDER),
        **genai_facts(rest),
        **_usage(rest),
        **_metadata(rest, process),
    }
    return {**rest, **{key: value for key, value in found.items() if value not in (None, "")}}


def _inputs(contents: Contents) -> str | None:
    request = contents.request()
    return json_text(request) if request is not None else _object("input", contents.input, contents.input_is_json)


def _outputs(contents: Contents) -> str | None:
    response = contents.response()
    if response is not None:
        return json_text(response)
    if contents.documents:
        return json_text({"documents": [_document(document) for document in contents.documents]})
    return _object("output", contents.output, contents.output_is_json)


def _object(name: str, text: str | None, is_json: bool) -> str | None:
    """A JSON object, which is what inputs and outputs of a run are."""
    if text is None:
        return None
    if not is_json:
        return json_text({name: text})
    return text if text.startswith("{") else f'{{"{name}":{text}}}'


def _document(document: Mapping[str, Any]) -> dict[str, Any]:
    """As LangSmith draws documents: what is not text is metadata."""
    facts = {key: document[key] for key in ("id", "score") if key in document}
    metadata = {**json_object(document.get("metadata")), **facts}
    return {"type": "Document", "page_content": document.get("content", ""), "metadata": metadata}


def _usage(rest: dict[str, Any]) -> dict[str, Any]:
    """Tokens, those of kinds that have a price of their own in detail; the sums include them."""
    if _TOKENS.isdisjoint(rest):
        return {}
    counts = {
        "input_tokens": rest.pop(_PROMPT, None),
        "output_tokens": rest.pop(_COMPLETION, None),
        "total_tokens": rest.pop(_TOTAL, None),
    }
    known: dict[str, Any] = {name: count for name, count in counts.items() if count is not None}
    if not known:
        return {}
    details = {
        group: {name: rest.pop(key) for name, key in keys.items() if key in rest} for group, keys in _DETAILS.items()
    }
    known.update({group: found for group, found in details.items() if found})
    known.update(_costs(rest))
    return {
        "gen_ai.usage.total_tokens": counts["total_tokens"],
        "langsmith.metadata.usage_metadata": json_text(known),
    }


def _costs(rest: dict[str, Any]) -> dict[str, Any]:
    """What the tokens cost, under the names of `UsageMetadata` in LangSmith's own SDK; LangSmith reckons what is not said."""
    known = {name: rest.pop(key) for name, key in _COSTS.items() if key in rest}
    for group, keys in _COST_DETAILS.items():
        details = {name: rest.pop(key) for name, key in keys.items() if key in rest}
        if details:
            known[group] = details
    return known


def _metadata(rest: dict[str, Any], process: Mapping[str, Any]) -> dict[str, Any]:
    facts = dict(process)
    for name, key in _FACTS:
        if key in rest:
            facts[name] = rest[key]
    if names.LLM_INVOCATION_PARAMETERS in rest:
        facts["invocation_params"] = rest.pop(names.LLM_INVOCATION_PARAMETERS)
    if names.METADATA in rest:
        facts.update(json_object(rest.pop(names.METADATA)))
    return {f"langsmith.metadata.{key}": _plain(value) for key, value in facts.items() if value is not None}


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | bool | int | float) else json_text(value)
