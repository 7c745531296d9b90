"""A span as a Weave call, whichever way it goes there.

Sources: the trace server in weave 0.52.36: which attributes it reads, the first hit winning (`opentelemetry/constants.py`,
`python_spans.py`), and what a call is (`trace_server_interface.py`). Read 2026-11-26.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nat.data_models.span import Span, SpanStatusCode
from nat.observability.spans import conventions as names
from nat.plugins.opentelemetry.contents import Contents, contents_of, json_object, json_text, json_value

__all__ = ["WeaveCall", "attributes_of", "call_of", "otlp_attributes"]

_PROMPT, _COMPLETION, _TOTAL = names.LLM_USAGE_KEYS[:3]
_MODELS = (
    names.LLM_RESPONSE_MODEL_NAME,
    names.LLM_MODEL_NAME,
    names.EMBEDDING_MODEL_NAME,
    names.RERANKER_MODEL_NAME,
)
_PARAMETERS = (names.LLM_INVOCATION_PARAMETERS, names.EMBEDDING_INVOCATION_PARAMETERS)
_JSON_ATTRIBUTES = (names.METADATA, names.NAT_DATA)


@dataclass(frozen=True, slots=True)
class WeaveCall:
    """What Weave shows of a span.

    Attributes:
        inputs: Always an object; of a model call `messages` and `tools` as OpenAI's API has them.
        output: A text or a JSON value; `None` if there is none.
        kind, model, provider, system, parameters: What Weave has a place of its own for; `None` where it is not known.
        facts: Everything else that the span says.
        usage: Tokens of a model call.
        thread_id: The session.
        is_turn: Whether the call is a turn of its thread: the root of a run is.
        exception: Why it failed.
    """

    inputs: dict[str, Any]
    output: Any
    kind: str | None
    model: str | None
    provider: str | None
    system: str | None
    parameters: dict[str, Any]
    facts: dict[str, Any]
    usage: dict[str, int]
    thread_id: str | None
    is_turn: bool
    exception: str | None


def call_of(span: Span) -> WeaveCall:
    """Take a span apart; it is not changed."""
    contents = contents_of(span.attributes)
    rest = contents.rest
    usage = {
        name: rest.pop(key)
        for name, key in (("prompt_tokens", _PROMPT), ("completion_tokens", _COMPLETION), ("total_tokens", _TOTAL))
        if isinstance(rest.get(key), int)
    }
    session_id = rest.get(names.SESSION_ID)
    failed = span.status.code is SpanStatusCode.ERROR
    return WeaveCall(
        inputs=_inputs(contents),
        output=_output(contents),
        kind=_taken_text(rest, names.SPAN_KIND),
        model=_first_text(rest, _MODELS),
        provider=_taken_text(rest, names.LLM_PROVIDER),
        system=_taken_text(rest, names.LLM_SYSTEM),
        parameters=json_object(_first_text(rest, _PARAMETERS)),
        facts={key: json_value(value) if key in _JSON_ATTRIBUTES else value for key, value in rest.items()},
        usage=usage,
        thread_id=session_id if isinstance(session_id, str) else None,
        is_turn=span.context.parent_span_id is None,
        exception=(span.status.message or "error") if failed else None,
    )


def otlp_attributes(span: Span) -> dict[str, Any]:
    """The attributes from which Weave's OTLP endpoint makes that call.

    What it has no name for is one JSON text: among attributes, a key that is also the beginning of another, such as `a` beside
    `a.b`, would have the whole span refused.
    """
    call = call_of(span)
    found = {
        names.SPAN_KIND: call.kind,
        names.LLM_MODEL_NAME: call.model,
        names.LLM_PROVIDER: call.provider,
        names.LLM_SYSTEM: call.system,
        names.LLM_INVOCATION_PARAMETERS: json_text(call.parameters) if call.parameters else None,
        _PROMPT: call.usage.get("prompt_tokens"),
        _COMPLETION: call.usage.get("completion_tokens"),
        _TOTAL: call.usage.get("total_tokens"),
        "inputs": json_text(call.inputs) if call.inputs else None,
        "outputs": None if call.output is None else json_text(call.output),
        "wandb.display_name": span.name,
        "wandb.thread_id": call.thread_id,
        "wandb.is_turn": True if call.is_turn and call.thread_id else None,
        "wandb.attributes": json_text(call.facts) if call.facts else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _inputs(contents: Contents) -> dict[str, Any]:
    request = contents.request()
    if request is not None:
        return request
    value = json_value(contents.input) if contents.input_is_json else contents.input
    if isinstance(value, dict):
        return value
    return {} if value is None else {"input": value}


def _output(contents: Contents) -> Any:
    """Objects, lists and texts; of other values their text, as the OTLP endpoint reads them."""
    value: Any = contents.response()
    if value is None:
        value = json_value(contents.output) if contents.output_is_json else contents.output
    if isinstance(value, dict | list):
        return value or None
    return contents.output or None


def _first_text(rest: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    found = [text for key in keys if (text := _taken_text(rest, key))]
    return found[0] if found else None


def _taken_text(rest: dict[str, Any], key: str) -> str | None:
    value = rest.get(key)
    return str(rest.pop(key)) if isinstance(value, str) else None


def attributes_of(call: WeaveCall) -> Mapping[str, Any]:
    """The attributes of a call as Weave's OTLP endpoint makes them."""
    known = {
        "kind": call.kind,
        "model": call.model,
        "provider": call.provider,
        "system": call.system,
        "model_parameters": call.parameters or None,
    }
    return {**{key: value for key, value in known.items() if value is not None}, **call.facts}
