"""Describe: from what was captured of a step to the span that backends read.

The attributes follow OpenInference (openinference-semantic-conventions 0.1.42); what it has no name for is under `nat.`.
A value that is not known is left out, nothing is derived from a name. Of a step's metadata these keys are read, and then
do not appear under `metadata` again:

| kind of step | keys |
|---|---|
| LLM | `model` or `model_name`, `provider`, `system`, `parameters` or `invocation_parameters`, `finish_reason`, `tools_schema`; `chat_inputs` and `chat_responses` where input and output hold no messages |
| EMBEDDER | `model` or `model_name`, `provider`, `system`, `parameters` or `invocation_parameters` |
| RERANKER | `model` or `model_name`, `query`, `top_k`, `documents` |
| TOOL | `tool_call_id`, `tool_description` or `description`; `tool_inputs` where the input is no object |
| any | `evaluations` |

Status: OK for a step that ended, ERROR with message, `error.type` and an `exception` event for one that failed. A step that
never ended is an ERROR too: its `error.type` is `incomplete`, and `nat.span.incomplete` is set.
"""  # noqa: E501  (a table row is one line)

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from nat.data_models.intermediate_step import IntermediateStepCategory, IntermediateStepState
from nat.data_models.span import Span, SpanContext, SpanEvent, SpanStatus, SpanStatusCode
from nat.observability.events import CapturedError, CapturedStep, Run, Usage
from nat.observability.snapshot import Snapshot, clean, encode, restore, snapshot, text
from nat.observability.spans import conventions as names
from nat.observability.spans.capture import CapturedSpan
from nat.observability.spans.messages import AttributeValue, finish_reason_of, messages_of, put_messages
from nat.utils.records import Record, values_of

__all__ = ["Description", "describe", "description_of", "span_of"]

_Attributes = dict[str, AttributeValue]
_Fields = dict[str, Any]
ModelT = TypeVar("ModelT", bound=BaseModel)

_Category = IntermediateStepCategory
_LEAVES = {_Category.LLM, _Category.EMBEDDER}

# Metadata that has a name of its own: the attribute, and the type that the value must have.
_KNOWN_FIELDS: dict[IntermediateStepCategory, Mapping[str, tuple[str, type]]] = {
    _Category.LLM: {
        "model": (names.LLM_MODEL_NAME, str),
        "model_name": (names.LLM_MODEL_NAME, str),
        "provider": (names.LLM_PROVIDER, str),
        "system": (names.LLM_SYSTEM, str),
        "parameters": (names.LLM_INVOCATION_PARAMETERS, dict),
        "invocation_parameters": (names.LLM_INVOCATION_PARAMETERS, dict),
        "finish_reason": (names.LLM_FINISH_REASON, str),
    },
    _Category.EMBEDDER: {
        "model": (names.EMBEDDING_MODEL_NAME, str),
        "model_name": (names.EMBEDDING_MODEL_NAME, str),
        "provider": (names.LLM_PROVIDER, str),
        "system": (names.LLM_SYSTEM, str),
        "parameters": (names.EMBEDDING_INVOCATION_PARAMETERS, dict),
        "invocation_parameters": (names.EMBEDDING_INVOCATION_PARAMETERS, dict),
    },
    _Category.RERANKER: {
        "model": (names.RERANKER_MODEL_NAME, str),
        "model_name": (names.RERANKER_MODEL_NAME, str),
        "query": (names.RERANKER_QUERY, str),
        "top_k": (names.RERANKER_TOP_K, int),
    },
    _Category.TOOL: {
        "tool_call_id": (names.TOOL_ID, str),
        "tool_description": (names.TOOL_DESCRIPTION, str),
        "description": (names.TOOL_DESCRIPTION, str),
    },
}
_SMALL_BYTES = 512  # of metadata that is read only once
_NONE_KNOWN: Mapping[str, tuple[str, type]] = {}

_EVALUATION_TEXTS = (
    ("name", names.EVALUATION_NAME),
    ("label", names.EVALUATION_LABEL),
    ("explanation", names.EVALUATION_EXPLANATION),
    ("annotator_kind", names.EVALUATION_ANNOTATOR_KIND),
    ("identifier", names.EVALUATION_IDENTIFIER),
    ("metadata", names.EVALUATION_METADATA),
)


class Description(Record, gc=False):
    """What there is to say of a captured span; shared by all who read it, so nobody changes anything in it.

    Attributes:
        trace_id, span_id, parent_span_id: Ids; the parent is `None` for the root of a trace.
        name: Of the span.
        start_ns, end_ns: Nanoseconds since the epoch.
        is_failed: Whether its status is ERROR, else OK.
        message: Why it failed.
        attributes: In the order in which they are shown.
        exception: Attributes of the `exception` event of a failed one, which is as old as its end.
    """

    trace_id: int
    span_id: int
    parent_span_id: int | None
    name: str
    start_ns: int
    end_ns: int
    is_failed: bool
    message: str | None
    attributes: dict[str, AttributeValue]
    exception: dict[str, AttributeValue] | None


def description_of(captured: CapturedSpan) -> Description:
    """The description of a captured span, made once. No value in the step makes it raise.

    A step that is still open is described as one that never ended.
    """
    known = captured.described
    if known is None:
        known = captured.described = _describe(captured)
    return known


def describe(captured: CapturedSpan) -> Span:
    """The span of a captured step, with `attributes`, `events` and `links` of its own; the step is described only once."""
    known = description_of(captured)
    return span_of(known, dict(known.attributes))


def span_of(known: Description, attributes: dict[str, Any]) -> Span:
    """The span of a description, with these attributes."""
    code = SpanStatusCode.ERROR if known.is_failed else SpanStatusCode.OK
    events = []
    if known.exception is not None:
        values = {"name": names.EXCEPTION_EVENT, "timestamp": known.end_ns, "attributes": dict(known.exception)}
        events.append(_made(SpanEvent, values))
    ids = {"trace_id": known.trace_id, "span_id": known.span_id, "parent_span_id": known.parent_span_id}
    return _made(
        Span,
        {
            "name": known.name,
            "context": _made(SpanContext, ids),
            "parent": None,
            "start_time": known.start_ns,
            "end_time": known.end_ns,
            "status": _made(SpanStatus, {"code": code, "message": known.message}),
            "attributes": attributes,
            "events": events,
            "links": [],
        },
    )


def _describe(captured: CapturedSpan) -> Description:
    start, end, run = captured.start, captured.end, captured.run
    category = start.event_type.category
    start_ns = _start_ns(start)
    given, output = start.input, None
    usage, error = start.usage, None
    if end is not None:
        given = end.input if given is None else given
        output, error = end.output, end.error
        usage = usage if end.usage is None else end.usage
    attributes = _identity(start, run, category)
    if given is not None:
        _put_value(attributes, names.INPUT_VALUE, names.INPUT_MIME_TYPE, given)
    if output is not None:
        _put_value(attributes, names.OUTPUT_VALUE, names.OUTPUT_MIME_TYPE, output)
    _put_metadata(attributes, captured, category, given, output)
    if usage is not None:
        _put_usage(attributes, usage, category)
    if captured.chunk_count:
        _put_chunks(attributes, captured, start_ns)
    message, exception = None, None
    if error is not None or end is None:
        message, exception = _failure(attributes, error)
    _put_extra(attributes, start)
    if end is not None and end is not start:
        _put_extra(attributes, end, start)
    name = start.name or (end.name if end is not None else None)
    return Description(
        run.trace_id,
        captured.span_id,
        captured.parent_span_id,
        _str(name) if name else category.value,
        start_ns,
        max(captured.end_ns, start_ns),
        exception is not None,
        message,
        attributes,
        exception,
    )


_new = object.__new__
_set_values = BaseModel.__dict__["__dict__"].__set__
_set_fields_set = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private = BaseModel.__dict__["__pydantic_private__"].__set__


def _made(model: type[ModelT], values: dict[str, Any]) -> ModelT:
    """A model with all of its fields given, equal to a validated one.

    What `model_construct` does at its end; before that it looks at every field, and takes longer than validation.
    """
    made = _new(model)
    _set_values(made, values)
    _set_fields_set(made, set(values))
    _set_extra(made, None)
    _set_private(made, None)
    return made


def _start_ns(start: CapturedStep) -> int:
    if start.started_ns is not None and start.event_type.state is not IntermediateStepState.START:
        return min(start.started_ns, start.time_ns)  # an END without its START may still know when that was
    return start.time_ns


def _identity(start: CapturedStep, run: Run, category: IntermediateStepCategory) -> _Attributes:
    """What a span says of itself and of its run."""
    if run.attributes is None:
        run.attributes = _run_attributes(run)
    kind_and_type, step_id = names.KIND_AND_TYPE[start.event_type], _str(start.step_id)
    attributes: _Attributes = {**kind_and_type, names.NAT_STEP_ID: step_id, **run.attributes}
    if start.framework:
        attributes[names.NAT_FRAMEWORK] = _str(start.framework)
    if start.function is not None and start.function.name != "root":
        attributes[names.NAT_FUNCTION_NAME] = _str(start.function.name)
    if start.name:
        if category is _Category.TOOL:
            attributes[names.TOOL_NAME] = _str(start.name)
        elif category is _Category.AGENT:
            attributes[names.AGENT_NAME] = _str(start.name)
    return attributes


def _run_attributes(run: Run) -> dict[str, str]:
    said = ((names.NAT_WORKFLOW_NAME, run.name), (names.SESSION_ID, run.session_id), (names.USER_ID, run.user_id))
    return {key: _str(value) for key, value in said if value}


def _put_value(attributes: _Attributes, key: str, mime_type_key: str, captured: Snapshot) -> None:
    if type(captured) is str:
        attributes[key] = captured if captured.isascii() else clean(captured)
        attributes[mime_type_key] = names.TEXT
    else:
        attributes[key] = captured.decode() if type(captured) is bytes else _json(captured)
        attributes[mime_type_key] = names.JSON


def _put_metadata(
    attributes: _Attributes,
    captured: CapturedSpan,
    category: IntermediateStepCategory,
    given: Snapshot,
    output: Snapshot,
) -> None:
    """The run's and the step's own metadata and tags; what has a name of its own is put under that."""
    start = captured.start
    end = captured.end if captured.end is not start else None
    run = captured.run
    is_root = start.step_id == run.root_id
    later = end.metadata if end is not None else None
    fields, known_count = _put_fields(attributes, category, start.metadata, later)
    put_details = _DETAILS.get(category)
    if put_details is not None:
        put_details(attributes, fields, given, output)
    if is_root and run.metadata is not None:
        attributes[names.METADATA] = _json({**_merged(run.metadata), **fields})
    elif fields:
        is_whole = later is None and len(fields) == known_count and type(start.metadata) is bytes
        attributes[names.METADATA] = text(start.metadata)[0] if is_whole else _json(fields)
    tags = (run.tags if is_root else ()) + start.tags + (end.tags if end is not None else ())
    if tags:
        attributes[names.TAGS] = list(dict.fromkeys(map(_str, tags)))


def _put_fields(
    attributes: _Attributes, category: IntermediateStepCategory, metadata: Snapshot, later: Snapshot
) -> tuple[_Fields, int]:
    """Put what has a name of its own under that; gives the other fields, and how many there were in all."""
    if metadata is None and later is None:
        return {}, 0
    if later is None and type(metadata) is bytes and len(metadata) <= _SMALL_BYTES:
        known, others = _known_fields(category, metadata)
        attributes.update(known)
        fields, count = dict(others), len(known) + len(others)
    else:
        fields = _merged(metadata, later)
        count = len(fields)
        _put_known(attributes, fields, _KNOWN_FIELDS.get(category, _NONE_KNOWN))
    if "evaluations" in fields:
        _put_evaluations(attributes, fields)
    return fields, count


@lru_cache(maxsize=256)
def _known_fields(category: IntermediateStepCategory, metadata: bytes) -> tuple[_Attributes, _Fields]:
    """The attributes that small metadata becomes, and its other fields; most steps of an agent say the same."""
    attributes: _Attributes = {}
    fields = _merged(metadata)
    _put_known(attributes, fields, _KNOWN_FIELDS.get(category, _NONE_KNOWN))
    return attributes, fields


def _put_known(attributes: _Attributes, fields: _Fields, known: Mapping[str, tuple[str, type]]) -> None:
    """Move fields to the attributes that `known` names; one whose value has another type, or is empty, stays."""
    for name in list(fields):
        if name in known:
            key, kind = known[name]
            value = fields[name]
            if type(value) is kind and value and key not in attributes:
                if kind is dict:
                    value = _json(value)
                attributes[key] = value
                del fields[name]


def _put_llm(attributes: _Attributes, fields: _Fields, given: Snapshot, output: Snapshot) -> None:
    tools = _take_list(fields, "tools_schema")
    if tools:
        _put_tools(attributes, tools)
    request = _content(given)
    sent = messages_of(request) or _messages_in(fields, "chat_inputs")
    if sent:
        put_messages(attributes, names.input_message_keys, sent)
        if type(request) is dict:
            _put_request(attributes, request, has_tools=bool(tools))
    if type(output) is not bytes and not fields:
        return
    response = _content(output)
    answered = messages_of(response) or _messages_in(fields, "chat_responses")
    if answered:
        put_messages(attributes, names.output_message_keys, answered)
        if type(response) is dict:
            _put_response(attributes, response)


def _content(captured: Snapshot) -> Any:
    """A list or mapping that was captured; text is not looked into."""
    return restore(captured) if type(captured) is bytes else None


def _put_tools(attributes: _Attributes, tools: list[Any]) -> None:
    for index, tool in enumerate(tools):
        attributes[f"{names.LLM_TOOLS}.{index}.{names.TOOL_JSON_SCHEMA}"] = tool if type(tool) is str else _json(tool)


def _put_request(attributes: _Attributes, request: _Fields, *, has_tools: bool) -> None:
    """What a whole request says beside its messages."""
    model = request.get("model")
    if type(model) is str:
        attributes.setdefault(names.LLM_MODEL_NAME, model)
    tools = request.get("tools")
    if type(tools) is list and not has_tools:
        _put_tools(attributes, tools)


def _put_response(attributes: _Attributes, response: _Fields) -> None:
    """What a whole response says beside its messages."""
    model = response.get("model")
    if type(model) is str:
        attributes[names.LLM_RESPONSE_MODEL_NAME] = model
        attributes.setdefault(names.LLM_MODEL_NAME, model)
    reason = finish_reason_of(response)
    if reason:
        attributes.setdefault(names.LLM_FINISH_REASON, reason)


def _messages_in(fields: _Fields, name: str) -> list[dict[str, Any]] | None:
    found = messages_of(fields.get(name))
    if found:
        del fields[name]
    return found


def _put_tool(attributes: _Attributes, fields: _Fields, given: Snapshot, _: Snapshot) -> None:
    if _is_object(given):
        attributes[names.TOOL_PARAMETERS] = text(given)[0]
    elif type(fields.get("tool_inputs")) is dict:
        attributes[names.TOOL_PARAMETERS] = _json(fields.pop("tool_inputs"))


def _is_object(captured: Snapshot) -> bool:
    """Whether a snapshot is a JSON object, as mapping or as the text that a model wrote."""
    if type(captured) is bytes:
        return captured.startswith(b"{")
    if type(captured) is not str or not captured.startswith("{"):
        return False
    try:
        return type(restore(clean(captured).encode())) is dict
    except ValueError:
        return False


def _put_retrieval(attributes: _Attributes, _: _Fields, __: Snapshot, output: Snapshot) -> None:
    _put_documents(attributes, names.RETRIEVAL_DOCUMENTS, _content(output))


def _put_embedding(attributes: _Attributes, _: _Fields, given: Snapshot, __: Snapshot) -> None:
    value = restore(given)
    texts = value if type(value) is list else [value]
    if all(type(item) is str for item in texts):
        for index, item in enumerate(texts):
            attributes[f"{names.EMBEDDING_EMBEDDINGS}.{index}.{names.EMBEDDING_TEXT}"] = clean(item)


def _put_reranking(attributes: _Attributes, fields: _Fields, given: Snapshot, output: Snapshot) -> None:
    request = _content(given)
    asked = request if type(request) is dict else {}
    if type(asked.get("query")) is str:
        attributes.setdefault(names.RERANKER_QUERY, asked["query"])
    if type(asked.get("top_k")) is int:
        attributes.setdefault(names.RERANKER_TOP_K, asked["top_k"])
    documents = _take_list(fields, "documents") or request
    _put_documents(attributes, names.RERANKER_INPUT_DOCUMENTS, documents)
    _put_documents(attributes, names.RERANKER_OUTPUT_DOCUMENTS, _content(output))


_DETAILS: dict[IntermediateStepCategory, Callable[[_Attributes, _Fields, Snapshot, Snapshot], None]] = {
    _Category.LLM: _put_llm,
    _Category.TOOL: _put_tool,
    _Category.RETRIEVER: _put_retrieval,
    _Category.EMBEDDER: _put_embedding,
    _Category.RERANKER: _put_reranking,
}


def _put_documents(attributes: _Attributes, prefix: str, value: Any) -> None:
    """Documents: texts, objects that hold one, or pairs of one of these and its score; all of them or none."""
    documents = value.get("documents") if type(value) is dict else value
    if type(documents) is not list:
        return
    found = [_document(item) for item in documents]
    if None in found:
        return
    for index, document in enumerate(cast("list[_Fields]", found)):
        keys = names.document_keys(f"{prefix}.{index}")
        content = document.get("content", document.get("page_content", document.get("text")))
        if content is not None:
            attributes[keys.content] = content if type(content) is str else _json(content)
        identity = document.get("id")
        if identity is not None:
            attributes[keys.id] = identity if type(identity) in (str, int) else _json(identity)
        score = document.get("score")
        if type(score) in (float, int):
            attributes[keys.score] = float(cast("float", score))
        metadata = document.get("metadata")
        if type(metadata) is dict and metadata:
            attributes[keys.metadata] = _json(metadata)


def _document(item: Any) -> _Fields | None:
    if type(item) is str:
        return {"content": item}
    if type(item) is dict:
        return item if not item.keys().isdisjoint(("content", "page_content", "text", "id")) else None
    if type(item) is list and len(item) == 2 and type(item[1]) in (float, int):
        document = _document(item[0])
        return None if document is None else {**document, "score": item[1]}
    return None


def _put_evaluations(attributes: _Attributes, fields: _Fields) -> None:
    evaluations = fields["evaluations"]
    if type(evaluations) is not list or not all(type(item) is dict for item in evaluations):
        return
    del fields["evaluations"]
    for index, evaluation in enumerate(evaluations):
        prefix = f"{names.EVALUATIONS}.{index}."
        for name, key in _EVALUATION_TEXTS:
            value = evaluation.get(name)
            if value is not None:
                attributes[prefix + key] = value if type(value) is str else _json(value)
        score = evaluation.get("score")
        if type(score) in (float, int, bool):
            attributes[prefix + names.EVALUATION_SCORE] = float(score)


def _put_usage(attributes: _Attributes, usage: Usage, category: IntermediateStepCategory) -> None:
    keys = names.LLM_USAGE_KEYS if category in _LEAVES else names.ROLL_UP_USAGE_KEYS
    for key, count in zip(keys, values_of(usage), strict=True):
        if count is not None:
            attributes[key] = count


def _put_chunks(attributes: _Attributes, captured: CapturedSpan, start_ns: int) -> None:
    attributes[names.NAT_CHUNK_COUNT] = captured.chunk_count
    if captured.first_chunk_ns is not None:
        attributes[names.NAT_TIME_TO_FIRST_CHUNK_S] = max(captured.first_chunk_ns - start_ns, 0) / 1e9


def _failure(attributes: _Attributes, error: CapturedError | None) -> tuple[str, _Attributes]:
    """Message and exception of a step that failed, or never ended if there is no error."""
    if error is None:
        attributes[names.NAT_INCOMPLETE] = True
        kind, message, stacktrace = names.INCOMPLETE_TYPE, names.INCOMPLETE_MESSAGE, None
    else:
        kind, message, stacktrace = _str(error.type), _str(error.message), error.stacktrace
    attributes[names.ERROR_TYPE] = kind
    exception: _Attributes = {names.EXCEPTION_TYPE: kind, names.EXCEPTION_MESSAGE: message}
    if stacktrace:
        exception[names.EXCEPTION_STACKTRACE] = _str(stacktrace)
    return message or kind, exception


def _put_extra(attributes: _Attributes, step: CapturedStep, before: CapturedStep | None = None) -> None:
    """Further fields of the data, and what the instrumenting code has set."""
    if step.extra is not None:
        attributes[names.NAT_DATA] = _json(_merged(None if before is None else before.extra, step.extra))
    if step.attributes is not None:
        _put_own(attributes, step.attributes)


def _put_own(attributes: _Attributes, captured: Snapshot) -> None:
    """Attributes that the instrumenting code has set; they win."""
    for key, value in _merged(captured).items():
        converted = _attribute_value(value)
        if key and converted is not None:
            attributes[key] = converted


def _attribute_value(value: Any) -> AttributeValue | None:
    """A value in attribute terms: text, bool, number or a list of one of them; everything else as JSON text."""
    kind = type(value)
    if kind is str or kind is bool or kind is float or value is None:
        return cast("AttributeValue | None", value)
    if kind is int:
        return cast("int", value) if _fits(value) else str(value)
    if kind is list:
        kinds = set(map(type, value))
        if (len(kinds) == 1 and kinds <= {str, bool, float}) or (kinds == {int} and all(map(_fits, value))):
            return cast("AttributeValue", value)
        if kinds == {int, float}:
            return [float(item) for item in value]
    return _json(value)


def _fits(value: int) -> bool:
    return -(2**63) <= value < 2**63


def _merged(*captured: Snapshot) -> _Fields:
    """Mappings as one, the later ones winning; a value that is no mapping is kept under `value`."""
    fields: _Fields = {}
    for item in captured:
        if item is not None:
            value = restore(item)
            fields.update(value if type(value) is dict else {"value": value})
    return fields


def _take_list(fields: _Fields, name: str) -> list[Any]:
    if type(fields.get(name)) is not list:
        return []
    found: list[Any] = fields.pop(name)
    return found


def _str(value: Any) -> str:
    if type(value) is not str:
        return text(snapshot(value))[0]
    return value if value.isascii() else clean(value)


def _json(value: Any) -> str:
    return encode(value).decode()
