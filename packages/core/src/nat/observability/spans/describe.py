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

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from pydantic import BaseModel

from nat.data_models.intermediate_step import IntermediateStepCategory, IntermediateStepState
from nat.data_models.span import (
    Span,
    SpanAttributes,
    SpanContext,
    SpanEvent,
    SpanStatus,
    SpanStatusCode,
)
from nat.observability.events import CapturedStep, Run, Usage
from nat.observability.snapshot import Json, Snapshot, clean, encode, restore, snapshot, text
from nat.observability.spans import conventions as names
from nat.observability.spans.messages import AttributeValue, finish_reason_of, messages_of, put_messages

if TYPE_CHECKING:
    from nat.observability.spans.capture import CapturedSpan

__all__ = ["Describable", "describe", "described_copy"]


class Describable(Protocol):
    """What `describe` needs of a captured span."""

    @property
    def start(self) -> CapturedStep:
        """Its first event."""
        ...

    @property
    def end(self) -> CapturedStep | None:
        """Its last event, `None` if that never came."""
        ...

    @property
    def run(self) -> Run:
        """The run it belongs to."""
        ...

    @property
    def trace_id(self) -> int:
        """Id of its trace."""
        ...

    @property
    def span_id(self) -> int:
        """Its own id."""
        ...

    @property
    def parent_span_id(self) -> int | None:
        """Id of the span it lies in."""
        ...

    @property
    def end_ns(self) -> int:
        """When it ended or was closed."""
        ...

    @property
    def first_chunk_ns(self) -> int | None:
        """When the first chunk came."""
        ...

    @property
    def chunk_count(self) -> int:
        """How many chunks came."""
        ...


_Attributes = dict[str, AttributeValue]
_Fields = dict[str, Any]
ModelT = TypeVar("ModelT", bound=BaseModel)

_LEAVES = {IntermediateStepCategory.LLM, IntermediateStepCategory.EMBEDDER}

_SPAN_KIND = SpanAttributes.SPAN_KIND.value
_EVENT_TYPE = SpanAttributes.NAT_EVENT_TYPE.value
_STEP_ID = SpanAttributes.NAT_STEP_ID.value
_WORKFLOW_NAME = SpanAttributes.NAT_WORKFLOW_NAME.value
_SESSION_ID = SpanAttributes.SESSION_ID.value
_USER_ID = SpanAttributes.USER_ID.value
_FRAMEWORK = SpanAttributes.NAT_FRAMEWORK.value
_FUNCTION_NAME = SpanAttributes.NAT_FUNCTION_NAME.value
_INPUT_VALUE = SpanAttributes.INPUT_VALUE.value
_INPUT_MIME_TYPE = SpanAttributes.INPUT_MIME_TYPE.value
_OUTPUT_VALUE = SpanAttributes.OUTPUT_VALUE.value
_OUTPUT_MIME_TYPE = SpanAttributes.OUTPUT_MIME_TYPE.value
_METADATA = SpanAttributes.METADATA.value
_TAGS = SpanAttributes.TAGS.value
_ERROR_TYPE = SpanAttributes.ERROR_TYPE.value


def describe(captured: Describable) -> Span:
    """The span of a captured step. Pure; no value in the step makes it raise. The caller may change the result."""
    start = captured.start
    end = captured.end
    start_ns = _start_ns(start)
    end_ns = max(captured.end_ns, start_ns)
    attributes: _Attributes = {}
    _put_identity(attributes, captured)
    _put_values(attributes, start, end)
    _put_metadata(attributes, captured)
    _put_usage(attributes, start, end)
    _put_chunks(attributes, captured, start_ns)
    status, events = _outcome(attributes, end, end_ns)
    for step in (start,) if end is None or end is start else (start, end):
        if step.attributes is not None:
            _put_own(attributes, step.attributes)
    context = _made(
        SpanContext,
        {"trace_id": captured.trace_id, "span_id": captured.span_id, "parent_span_id": captured.parent_span_id},
    )
    return _made(
        Span,
        {
            "name": _name(start, end),
            "context": context,
            "parent": None,
            "start_time": start_ns,
            "end_time": end_ns,
            "status": status,
            "attributes": attributes,
            "events": events,
            "links": [],
        },
    )


def described_copy(captured: "CapturedSpan") -> Span:
    """A copy of a captured span's description, with `attributes`, `events` and `links` of its own; described only once."""
    master = captured.described
    if master is None:
        master = captured.described = describe(captured)
    fields = dict(master.__dict__)
    fields["attributes"] = dict(master.attributes)
    fields["events"] = [
        _made(SpanEvent, {**event.__dict__, "attributes": dict(event.attributes)}) for event in master.events
    ]
    fields["links"] = list(master.links)
    return _made(Span, fields)


def _made(model: type[ModelT], values: dict[str, Any]) -> ModelT:
    """A model with all of its fields given, equal to a validated one.

    The same as `model_construct`, which is slower than validation: it looks at every field.
    """
    made = model.__new__(model)
    object.__setattr__(made, "__dict__", values)
    object.__setattr__(made, "__pydantic_fields_set__", set(values))
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    return made


def _start_ns(start: CapturedStep) -> int:
    if start.started_ns is not None and start.event_type.state is not IntermediateStepState.START:
        return min(start.started_ns, start.time_ns)  # an END without its START may still know when that was
    return start.time_ns


def _name(start: CapturedStep, end: CapturedStep | None) -> str:
    name = start.name or (end.name if end is not None else None)
    return _str(name) if name else start.event_type.category.value


def _put_identity(attributes: _Attributes, captured: Describable) -> None:
    start = captured.start
    run = captured.run
    category = start.event_type.category
    attributes[_SPAN_KIND] = names.KIND_OF_CATEGORY[category]
    attributes[_EVENT_TYPE] = start.event_type.value
    attributes[_STEP_ID] = _str(start.step_id)
    if run.name:
        attributes[_WORKFLOW_NAME] = _str(run.name)
    if run.session_id:
        attributes[_SESSION_ID] = _str(run.session_id)
    if run.user_id:
        attributes[_USER_ID] = _str(run.user_id)
    if start.framework:
        attributes[_FRAMEWORK] = _str(start.framework)
    if start.function is not None and start.function.name != "root":
        attributes[_FUNCTION_NAME] = _str(start.function.name)
    if start.name:
        if category is IntermediateStepCategory.AGENT:
            attributes[SpanAttributes.AGENT_NAME.value] = _str(start.name)
        elif category is IntermediateStepCategory.TOOL:
            attributes[SpanAttributes.TOOL_NAME.value] = _str(start.name)


def _put_values(attributes: _Attributes, start: CapturedStep, end: CapturedStep | None) -> None:
    given = _input(start, end)
    if given is not None:
        attributes[_INPUT_VALUE], mime_type = text(given)
        attributes[_INPUT_MIME_TYPE] = mime_type.value
    output = end.output if end is not None else None
    if output is not None:
        attributes[_OUTPUT_VALUE], mime_type = text(output)
        attributes[_OUTPUT_MIME_TYPE] = mime_type.value
    extra = _merged(start.extra, end.extra if end is not None else None)
    if extra:
        attributes[SpanAttributes.NAT_DATA.value] = _json(extra)


def _input(start: CapturedStep, end: CapturedStep | None) -> Snapshot:
    return end.input if start.input is None and end is not None else start.input


def _put_metadata(attributes: _Attributes, captured: Describable) -> None:
    """The run's and the step's own metadata and tags; what has a name of its own is put under that."""
    start = captured.start
    end = captured.end if captured.end is not start else None
    run = captured.run
    is_root = start.step_id == run.root_id
    run_metadata = run.metadata if is_root else None
    end_metadata = end.metadata if end is not None else None
    fields = _merged(start.metadata, end_metadata)
    known_count = len(fields)
    _put_details(attributes, fields, start.event_type.category, _input(start, captured.end), captured.end)
    if fields.get("evaluations"):
        _put_evaluations(attributes, fields)
    if run_metadata is not None:
        attributes[_METADATA] = _json({**_merged(run_metadata), **fields})
    elif fields:
        is_whole = end_metadata is None and len(fields) == known_count and type(start.metadata) is Json
        attributes[_METADATA] = text(start.metadata)[0] if is_whole else _json(fields)
    tags = [*run.tags, *start.tags] if is_root else list(start.tags)
    if end is not None and end.tags:
        tags += end.tags
    if tags:
        attributes[_TAGS] = list(dict.fromkeys(map(_str, tags)))


def _put_details(
    attributes: _Attributes,
    fields: _Fields,
    category: IntermediateStepCategory,
    given: Snapshot,
    end: CapturedStep | None,
) -> None:
    output = end.output if end is not None else None
    match category:
        case IntermediateStepCategory.LLM:
            _put_llm(attributes, fields, _content(given), _content(output))
        case IntermediateStepCategory.TOOL:
            _put_tool(attributes, fields, given)
        case IntermediateStepCategory.RETRIEVER:
            _put_documents(attributes, SpanAttributes.RETRIEVAL_DOCUMENTS.value, _content(output))
        case IntermediateStepCategory.EMBEDDER:
            _put_embedding(attributes, fields, restore(given))
        case IntermediateStepCategory.RERANKER:
            _put_reranker(attributes, fields, _content(given), _content(output))
        case _:
            pass


def _content(captured: Snapshot) -> Any:
    """A list or mapping that was captured; text is not looked into."""
    return restore(captured) if type(captured) is Json else None


def _put_llm(attributes: _Attributes, fields: _Fields, request: Any, response: Any) -> None:
    if fields:
        _put_model_call(
            attributes,
            fields,
            SpanAttributes.LLM_MODEL_NAME.value,
            SpanAttributes.LLM_INVOCATION_PARAMETERS.value,
        )
        reason = _take(fields, str, "finish_reason")
        if reason:
            attributes[SpanAttributes.LLM_FINISH_REASON.value] = reason
        tools = _take(fields, list, "tools_schema")
        if tools:
            _put_tools(attributes, tools)
    sent = messages_of(request) or _messages_in(fields, "chat_inputs")
    if sent:
        put_messages(attributes, names.input_message_keys, sent)
        if type(request) is dict:
            _put_request(attributes, request)
    answered = messages_of(response) or _messages_in(fields, "chat_responses")
    if answered:
        put_messages(attributes, names.output_message_keys, answered)
        if type(response) is dict:
            _put_response(attributes, response)


def _put_model_call(attributes: _Attributes, fields: _Fields, model_key: str, parameters_key: str) -> None:
    model = _take(fields, str, "model", "model_name")
    if model:
        attributes[model_key] = model
    provider = _take(fields, str, "provider")
    if provider:
        attributes[SpanAttributes.LLM_PROVIDER.value] = provider
    system = _take(fields, str, "system")
    if system:
        attributes[SpanAttributes.LLM_SYSTEM.value] = system
    parameters = _take(fields, dict, "parameters", "invocation_parameters")
    if parameters:
        attributes[parameters_key] = _json(parameters)


def _put_tools(attributes: _Attributes, tools: list[Any]) -> None:
    for index, tool in enumerate(tools):
        key = f"{SpanAttributes.LLM_TOOLS.value}.{index}.{names.TOOL_JSON_SCHEMA}"
        attributes[key] = tool if type(tool) is str else _json(tool)


def _put_request(attributes: _Attributes, request: _Fields) -> None:
    """What a whole request says beside its messages."""
    model = request.get("model")
    if type(model) is str:
        attributes.setdefault(SpanAttributes.LLM_MODEL_NAME.value, model)
    tools = request.get("tools")
    if type(tools) is list and f"{SpanAttributes.LLM_TOOLS.value}.0.{names.TOOL_JSON_SCHEMA}" not in attributes:
        _put_tools(attributes, tools)


def _put_response(attributes: _Attributes, response: _Fields) -> None:
    """What a whole response says beside its messages."""
    model = response.get("model")
    if type(model) is str:
        attributes[SpanAttributes.LLM_RESPONSE_MODEL_NAME.value] = model
        attributes.setdefault(SpanAttributes.LLM_MODEL_NAME.value, model)
    reason = finish_reason_of(response)
    if reason:
        attributes.setdefault(SpanAttributes.LLM_FINISH_REASON.value, reason)


def _messages_in(fields: _Fields, name: str) -> list[dict[str, Any]] | None:
    found = messages_of(fields.get(name))
    if found:
        del fields[name]
    return found


def _put_tool(attributes: _Attributes, fields: _Fields, given: Snapshot) -> None:
    if _is_object(given):
        attributes[SpanAttributes.TOOL_PARAMETERS.value] = text(given)[0]
    elif parameters := _take(fields, dict, "tool_inputs"):
        attributes[SpanAttributes.TOOL_PARAMETERS.value] = _json(parameters)
    call_id = _take(fields, str, "tool_call_id")
    if call_id:
        attributes[SpanAttributes.TOOL_ID.value] = call_id
    description = _take(fields, str, "tool_description", "description")
    if description:
        attributes[SpanAttributes.TOOL_DESCRIPTION.value] = description


def _is_object(captured: Snapshot) -> bool:
    """Whether a snapshot is a JSON object, as mapping or as the text that a model wrote."""
    if type(captured) is Json:
        return captured.data.startswith(b"{")
    if type(captured) is not str or not captured.startswith("{"):
        return False
    try:
        return type(restore(Json(clean(captured).encode()))) is dict
    except ValueError:
        return False


def _put_embedding(attributes: _Attributes, fields: _Fields, given: Any) -> None:
    _put_model_call(
        attributes,
        fields,
        SpanAttributes.EMBEDDING_MODEL_NAME.value,
        SpanAttributes.EMBEDDING_INVOCATION_PARAMETERS.value,
    )
    texts = given if type(given) is list else [given]
    if all(type(item) is str for item in texts):
        for index, item in enumerate(texts):
            key = f"{SpanAttributes.EMBEDDING_EMBEDDINGS.value}.{index}.{names.EMBEDDING_TEXT}"
            attributes[key] = clean(item)


def _put_reranker(attributes: _Attributes, fields: _Fields, request: Any, output: Any) -> None:
    asked = request if type(request) is dict else {}
    model = _take(fields, str, "model", "model_name")
    if model:
        attributes[SpanAttributes.RERANKER_MODEL_NAME.value] = model
    query = _take(fields, str, "query") or asked.get("query")
    if type(query) is str:
        attributes[SpanAttributes.RERANKER_QUERY.value] = query
    top_k = _take(fields, int, "top_k") or asked.get("top_k")
    if type(top_k) is int:
        attributes[SpanAttributes.RERANKER_TOP_K.value] = top_k
    documents = _take(fields, list, "documents") or asked.get("documents") or request
    _put_documents(attributes, SpanAttributes.RERANKER_INPUT_DOCUMENTS.value, documents)
    _put_documents(attributes, SpanAttributes.RERANKER_OUTPUT_DOCUMENTS.value, output)


def _put_documents(attributes: _Attributes, prefix: str, value: Any) -> None:
    """Documents: texts, objects that hold one, or pairs of such an object and its score; all of them or none."""
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
        prefix = f"{SpanAttributes.EVALUATIONS.value}.{index}."
        for name, key in _EVALUATION_TEXTS:
            value = evaluation.get(name)
            if value is not None:
                attributes[prefix + key] = value if type(value) is str else _json(value)
        score = evaluation.get("score")
        if type(score) in (float, int, bool):
            attributes[prefix + names.EVALUATION_SCORE] = float(score)


_EVALUATION_TEXTS = (
    ("name", names.EVALUATION_NAME),
    ("label", names.EVALUATION_LABEL),
    ("explanation", names.EVALUATION_EXPLANATION),
    ("annotator_kind", names.EVALUATION_ANNOTATOR_KIND),
    ("identifier", names.EVALUATION_IDENTIFIER),
    ("metadata", names.EVALUATION_METADATA),
)


def _put_usage(attributes: _Attributes, start: CapturedStep, end: CapturedStep | None) -> None:
    usage: Usage | None = (end.usage if end is not None else None) or start.usage
    if usage is None:
        return
    keys = names.LLM_USAGE_KEYS if start.event_type.category in _LEAVES else names.ROLL_UP_USAGE_KEYS
    for key, count in zip(keys, usage, strict=False):
        counted = _attribute_value(count)
        if counted is not None:
            attributes[key] = counted
    if usage.llm_calls is not None:
        attributes[SpanAttributes.NAT_LLM_CALLS.value] = usage.llm_calls


def _put_chunks(attributes: _Attributes, captured: Describable, start_ns: int) -> None:
    if captured.chunk_count:
        attributes[SpanAttributes.NAT_CHUNK_COUNT.value] = captured.chunk_count
    if captured.first_chunk_ns is not None:
        waited_ns = max(captured.first_chunk_ns - start_ns, 0)
        attributes[SpanAttributes.NAT_TIME_TO_FIRST_CHUNK_S.value] = waited_ns / 1e9


def _outcome(attributes: _Attributes, end: CapturedStep | None, end_ns: int) -> tuple[SpanStatus, list[SpanEvent]]:
    if end is None:
        attributes[SpanAttributes.NAT_INCOMPLETE.value] = True
        return _failed(attributes, names.INCOMPLETE_TYPE, names.INCOMPLETE_MESSAGE, None, end_ns)
    error = end.error
    if error is None:
        return _made(SpanStatus, {"code": SpanStatusCode.OK, "message": None}), []
    stacktrace = _str(error.stacktrace) if error.stacktrace else None
    return _failed(attributes, _str(error.type), _str(error.message), stacktrace, end_ns)


def _failed(
    attributes: _Attributes, kind: str, message: str, stacktrace: str | None, end_ns: int
) -> tuple[SpanStatus, list[SpanEvent]]:
    attributes[_ERROR_TYPE] = kind
    details = {SpanAttributes.EXCEPTION_TYPE.value: kind, SpanAttributes.EXCEPTION_MESSAGE.value: message}
    if stacktrace is not None:
        details[SpanAttributes.EXCEPTION_STACKTRACE.value] = stacktrace
    event = _made(SpanEvent, {"name": names.EXCEPTION_EVENT, "timestamp": end_ns, "attributes": details})
    return _made(SpanStatus, {"code": SpanStatusCode.ERROR, "message": message or kind}), [event]


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
        return cast("int", value) if -(2**63) <= value < 2**63 else str(value)
    if kind is list:
        kinds = set(map(type, value))
        if len(kinds) == 1 and kinds <= {str, bool, float}:
            return cast("AttributeValue", value)
        if kinds == {int} and all(-(2**63) <= item < 2**63 for item in value):
            return cast("AttributeValue", value)
        if kinds == {int, float}:
            return [float(item) for item in value]
    return _json(value)


def _merged(*captured: Snapshot) -> _Fields:
    """Mappings as one, the later ones winning; a value that is no mapping is kept under `value`."""
    fields: _Fields = {}
    for item in captured:
        if item is None:
            continue
        value = restore(item)
        fields.update(value if type(value) is dict else {"value": value})
    return fields


def _take(fields: _Fields, kind: type, *keys: str) -> Any:
    """Take the first of several keys out of `fields` if its value has the type it should; else it stays there."""
    for key in keys:
        if type(fields.get(key)) is kind:
            return fields.pop(key)
    return None


def _str(value: Any) -> str:
    return clean(value) if type(value) is str else text(snapshot(value))[0]


def _json(value: Any) -> str:
    return encode(value).decode()
