"""From a captured step to its span: `nat.observability.spans.describe`, one whole span for each kind of step."""

import json
from typing import Any

import pytest
from openinference.semconv import trace as openinference

from nat.data_models.intermediate_step import (
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
    TraceMetadata,
    UsageInfo,
)
from nat.data_models.span import Span, SpanAttributes, SpanContext, SpanEvent, SpanStatus, SpanStatusCode
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability.events import CapturedError, CapturedStep, FunctionRef, Run, Usage
from nat.observability.snapshot import snapshot
from nat.observability.spans import conventions
from nat.observability.spans.capture import CapturedSpan
from nat.observability.spans.describe import describe, description_of
from nat.observability.step_models import capture_payload

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
STEP_ID = "00000000000000000000000000000002"
PARENT_ID = "00000000000000000000000000000001"
START_S, END_S = 1_700_000_000.0, 1_700_000_001.5
START_NS, END_NS = 1_700_000_000_000_000_000, 1_700_000_001_500_000_000

QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]


def captured(
    kind: str,
    name: str | None = None,
    *,
    start: dict[str, Any] | None = None,
    end: dict[str, Any] | None = None,
    run: Run | None = None,
    parent_id: str = PARENT_ID,
    function: FunctionRef | None = None,
) -> CapturedSpan:
    """What capture makes of a step's START and END payloads; without `end` the step never ended."""

    def step(state: str, time_s: float, fields: dict[str, Any]) -> CapturedStep:
        payload = IntermediateStepPayload(
            event_type=IntermediateStepType(f"{kind}_{state}"),
            UUID=STEP_ID,
            name=name,
            event_timestamp=time_s,
            **fields,
        )
        return capture_payload(payload, parent_id=parent_id, function=function, run=run)

    run = run or Run(trace_id=TRACE_ID)
    span = CapturedSpan(step("START", START_S, start or {}), run)
    if end is not None:
        span.end = step("END", END_S, end)
    span.end_ns = END_NS
    return span


def given(value: Any, **metadata: Any) -> dict[str, Any]:
    """Fields of a START with an input."""
    return {"data": StreamEventData(input=value), "metadata": metadata or None}


def got(value: Any, **metadata: Any) -> dict[str, Any]:
    """Fields of an END with an output."""
    return {"data": StreamEventData(output=value), "metadata": metadata or None}


def span(name: str, attributes: dict[str, Any], **fields: Any) -> Span:
    """The expected span, validated."""
    return Span(
        **{
            "name": name,
            "context": SpanContext(trace_id=TRACE_ID, span_id=2, parent_span_id=1),
            "start_time": START_NS,
            "end_time": END_NS,
            "status": SpanStatus(code=SpanStatusCode.OK),
            "attributes": {"nat.step.id": STEP_ID, **attributes},
            **fields,
        }
    )


def details(described: Span, *prefixes: str) -> dict[str, Any]:
    """The attributes that begin with one of `prefixes`."""
    return {key: value for key, value in described.attributes.items() if key.startswith(prefixes)}


def test_llm() -> None:
    """Messages, model, parameters, tools, reason and tokens have OpenInference's names; other metadata stays together."""
    tools = [{"type": "function", "function": {"name": "add"}}]
    answer = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}],
    }
    usage = UsageInfo(
        token_usage=TokenUsageBaseModel(
            prompt_tokens=20, completion_tokens=5, total_tokens=25, cached_tokens=8, reasoning_tokens=2
        ),
        num_llm_calls=1,
    )

    described = describe(
        captured(
            "LLM",
            "planner",
            start={
                "framework": "langchain",
                "tags": ["a", "b"],
                **given(
                    QUESTION,
                    model="gpt-4o",
                    provider="azure",
                    system="openai",
                    parameters={"temperature": 0.5},
                    tools_schema=tools,
                    attempt=2,
                ),
            },
            end={**got(answer, finish_reason="tool_calls"), "usage_info": usage, "tags": ["b", "c"]},
            run=Run(trace_id=TRACE_ID, name="qa", session_id="s1", user_id="u1", root_id=PARENT_ID, tags=("run",)),
            function=FunctionRef("f1", "plan", None, None),
        )
    )

    assert described == span(
        "planner",
        {
            "openinference.span.kind": "LLM",
            "nat.event_type": "LLM_START",
            "nat.workflow.name": "qa",
            "nat.framework": "langchain",
            "nat.function.name": "plan",
            "session.id": "s1",
            "user.id": "u1",
            "input.value": '[{"role":"system","content":"Be brief."},{"role":"user","content":"Why?"}]',
            "input.mime_type": "application/json",
            "output.value": json.dumps(answer, separators=(",", ":")),
            "output.mime_type": "application/json",
            "llm.model_name": "gpt-4o",
            "llm.provider": "azure",
            "llm.system": "openai",
            "llm.invocation_parameters": '{"temperature":0.5}',
            "llm.finish_reason": "tool_calls",
            "llm.tools.0.tool.json_schema": '{"type":"function","function":{"name":"add"}}',
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": "Be brief.",
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.content": "Why?",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "add",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"a":1}',
            "llm.token_count.prompt": 20,
            "llm.token_count.completion": 5,
            "llm.token_count.total": 25,
            "llm.token_count.prompt_details.cache_read": 8,
            "llm.token_count.completion_details.reasoning": 2,
            "nat.usage.llm_calls": 1,
            "metadata": '{"attempt":2}',
            "tag.tags": ["a", "b", "c"],
        },
    )


def test_tool() -> None:
    """A tool has its name, arguments, call id and description; its result is the output."""
    described = describe(
        captured(
            "TOOL",
            "add",
            start=given({"a": 1}, tool_call_id="c1", description="Adds."),
            end={**got("2"), "usage_info": UsageInfo(token_usage=TokenUsageBaseModel(prompt_tokens=1))},
        )
    )

    assert described == span(
        "add",
        {
            "openinference.span.kind": "TOOL",
            "nat.event_type": "TOOL_START",
            "input.value": '{"a":1}',
            "input.mime_type": "application/json",
            "output.value": "2",
            "output.mime_type": "text/plain",
            "tool.name": "add",
            "tool.parameters": '{"a":1}',
            "tool.id": "c1",
            "tool.description": "Adds.",
            "nat.usage.prompt_tokens": 1,
        },
    )


def test_retriever() -> None:
    """The query is the input; documents are flattened, in the forms that retrievers return."""
    described = describe(
        captured(
            "RETRIEVER",
            "docs",
            start=given("parrots"),
            end=got(
                [
                    {"id": "d1", "content": "Parrots talk.", "score": 1, "metadata": {"page": 3}},
                    {"id": 2, "page_content": "Some fly.", "metadata": {}},
                    ({"text": "None swim."}, 0.25),
                    "And text.",
                ]
            ),
        )
    )

    assert described == span(
        "docs",
        {
            "openinference.span.kind": "RETRIEVER",
            "nat.event_type": "RETRIEVER_START",
            "input.value": "parrots",
            "input.mime_type": "text/plain",
            "output.value": '[{"id":"d1","content":"Parrots talk.","score":1,"metadata":{"page":3}},'
            '{"id":2,"page_content":"Some fly.","metadata":{}},[{"text":"None swim."},0.25],"And text."]',
            "output.mime_type": "application/json",
            "retrieval.documents.0.document.id": "d1",
            "retrieval.documents.0.document.content": "Parrots talk.",
            "retrieval.documents.0.document.score": 1.0,
            "retrieval.documents.0.document.metadata": '{"page":3}',
            "retrieval.documents.1.document.id": 2,
            "retrieval.documents.1.document.content": "Some fly.",
            "retrieval.documents.2.document.content": "None swim.",
            "retrieval.documents.2.document.score": 0.25,
            "retrieval.documents.3.document.content": "And text.",
        },
    )


def test_embedder() -> None:
    """An embedder's texts, model and tokens; its vectors are in the output only."""
    described = describe(
        captured(
            "EMBEDDER",
            "embed",
            start=given(["a", "b"], model_name="e5", invocation_parameters={"dimensions": 2}),
            end={
                **got([[0.5, 1.0]]),
                "usage_info": UsageInfo(token_usage=TokenUsageBaseModel(prompt_tokens=2)),
            },
        )
    )

    assert described == span(
        "embed",
        {
            "openinference.span.kind": "EMBEDDING",
            "nat.event_type": "EMBEDDER_START",
            "input.value": '["a","b"]',
            "input.mime_type": "application/json",
            "output.value": "[[0.5,1.0]]",
            "output.mime_type": "application/json",
            "embedding.model_name": "e5",
            "embedding.invocation_parameters": '{"dimensions":2}',
            "embedding.embeddings.0.embedding.text": "a",
            "embedding.embeddings.1.embedding.text": "b",
            "llm.token_count.prompt": 2,
        },
    )


def test_reranker() -> None:
    """Query, model, number wanted, documents before and after."""
    described = describe(
        captured(
            "RERANKER",
            "rerank",
            start=given({"query": "parrots", "documents": ["a", "b"], "top_k": 1}, model="colbert"),
            end=got([{"content": "b", "score": 0.9}]),
        )
    )

    assert described == span(
        "rerank",
        {
            "openinference.span.kind": "RERANKER",
            "nat.event_type": "RERANKER_START",
            "input.value": '{"query":"parrots","documents":["a","b"],"top_k":1}',
            "input.mime_type": "application/json",
            "output.value": '[{"content":"b","score":0.9}]',
            "output.mime_type": "application/json",
            "reranker.query": "parrots",
            "reranker.model_name": "colbert",
            "reranker.top_k": 1,
            "reranker.input_documents.0.document.content": "a",
            "reranker.input_documents.1.document.content": "b",
            "reranker.output_documents.0.document.content": "b",
            "reranker.output_documents.0.document.score": 0.9,
        },
    )


def test_agent() -> None:
    """An agent has its name; sums of tokens are not under the names that backends add up."""
    usage = UsageInfo(token_usage=TokenUsageBaseModel(prompt_tokens=20, completion_tokens=5), num_llm_calls=3)

    described = describe(captured("AGENT", "react", start=given("Why?"), end={**got("Because."), "usage_info": usage}))

    assert described == span(
        "react",
        {
            "openinference.span.kind": "AGENT",
            "nat.event_type": "AGENT_START",
            "input.value": "Why?",
            "input.mime_type": "text/plain",
            "output.value": "Because.",
            "output.mime_type": "text/plain",
            "agent.name": "react",
            "nat.usage.prompt_tokens": 20,
            "nat.usage.completion_tokens": 5,
            "nat.usage.llm_calls": 3,
        },
    )


def test_workflow_root() -> None:
    """The root of a run carries the run's tags and metadata."""
    run = Run(
        trace_id=TRACE_ID,
        name="qa",
        root_id=STEP_ID,
        session_id="s1",
        user_id="u1",
        tags=("prod",),
        metadata=snapshot({"build": 7, "attempt": 1}),
    )

    described = describe(
        captured(
            "WORKFLOW",
            "qa",
            start={**given("Why?", attempt=2), "tags": ["own"]},
            end=got("Because."),
            run=run,
            parent_id="root",
        )
    )

    assert described == span(
        "qa",
        {
            "openinference.span.kind": "CHAIN",
            "nat.event_type": "WORKFLOW_START",
            "nat.workflow.name": "qa",
            "session.id": "s1",
            "user.id": "u1",
            "input.value": "Why?",
            "input.mime_type": "text/plain",
            "output.value": "Because.",
            "output.mime_type": "text/plain",
            "metadata": '{"build":7,"attempt":2}',
            "tag.tags": ["prod", "own"],
        },
        context=SpanContext(trace_id=TRACE_ID, span_id=2),
    )


def test_evaluator() -> None:
    """Scores are flattened, of whatever kind the step is that reports them."""
    evaluations = [
        {"name": "correct", "score": 1, "label": "yes", "explanation": "It is.", "annotator_kind": "LLM"},
        {"name": "short", "score": 0.5, "metadata": {"words": 3}, "identifier": "v2"},
    ]

    described = describe(
        captured("EVALUATOR", "judge", start=given({"answer": "x"}), end=got(None, evaluations=evaluations, batch=1))
    )

    assert described == span(
        "judge",
        {
            "openinference.span.kind": "EVALUATOR",
            "nat.event_type": "EVALUATOR_START",
            "input.value": '{"answer":"x"}',
            "input.mime_type": "application/json",
            "evaluations.0.evaluation.name": "correct",
            "evaluations.0.evaluation.score": 1.0,
            "evaluations.0.evaluation.label": "yes",
            "evaluations.0.evaluation.explanation": "It is.",
            "evaluations.0.evaluation.annotator_kind": "LLM",
            "evaluations.1.evaluation.name": "short",
            "evaluations.1.evaluation.score": 0.5,
            "evaluations.1.evaluation.metadata": '{"words":3}',
            "evaluations.1.evaluation.identifier": "v2",
            "metadata": '{"batch":1}',
        },
    )


def test_failure() -> None:
    """A failed step is an ERROR with its message, its type and an exception event."""
    failing = captured("FUNCTION", "fetch", end={})
    assert failing.end is not None
    failing.end.error = CapturedError("TimeoutError", "too late \ud800", "Traceback …")

    described = describe(failing)

    assert described == span(
        "fetch",
        {
            "openinference.span.kind": "CHAIN",
            "nat.event_type": "FUNCTION_START",
            "error.type": "TimeoutError",
        },
        status=SpanStatus(code=SpanStatusCode.ERROR, message="too late \ufffd"),
        events=[
            SpanEvent(
                name="exception",
                timestamp=END_NS,
                attributes={
                    "exception.type": "TimeoutError",
                    "exception.message": "too late \ufffd",
                    "exception.stacktrace": "Traceback …",
                },
            )
        ],
    )


def test_incomplete() -> None:
    """A step that never ended is an ERROR that says so."""
    described = describe(captured("TOOL", "add", start=given("not an object")))

    assert described == span(
        "add",
        {
            "openinference.span.kind": "TOOL",
            "nat.event_type": "TOOL_START",
            "input.value": "not an object",
            "input.mime_type": "text/plain",
            "tool.name": "add",
            "nat.span.incomplete": True,
            "error.type": "incomplete",
        },
        status=SpanStatus(code=SpanStatusCode.ERROR, message="step never ended"),
        events=[
            SpanEvent(
                name="exception",
                timestamp=END_NS,
                attributes={"exception.type": "incomplete", "exception.message": "step never ended"},
            )
        ],
    )


def test_an_end_without_its_start() -> None:
    """It starts when the END says that the step did, and has the END's input."""
    lone = captured("TASK", None, start={})
    end = captured("TASK", None, end={"span_event_timestamp": START_S, **given("x")}).end
    assert end is not None
    lone = CapturedSpan(end, Run(trace_id=TRACE_ID))
    lone.end = end
    lone.end_ns = END_NS

    described = describe(lone)

    assert described == span(
        "TASK",
        {
            "openinference.span.kind": "CHAIN",
            "nat.event_type": "TASK_END",
            "input.value": "x",
            "input.mime_type": "text/plain",
        },
    )


def test_chunks_are_counted() -> None:
    """Streaming gives a count and the time to the first chunk."""
    streaming = captured("LLM", "m", end={})
    streaming.chunk_count = 12
    streaming.first_chunk_ns = START_NS + 250_000_000

    assert details(describe(streaming), "nat.stream") == {
        "nat.stream.chunk_count": 12,
        "nat.stream.time_to_first_chunk_s": 0.25,
    }


def test_attributes_of_the_instrumenting_code_win() -> None:
    """They come last, END's after START's; what is no attribute value becomes JSON text, what is not known is left out."""
    both = captured("LLM", "m", start=given("x", model="a"), end={})
    assert both.end is not None
    both.start.attributes = snapshot(
        {
            "llm.model_name": "b",
            "text": ["a"],
            "bools": [True],
            "ints": [1, 2],
            "numbers": [1, 2.5],
            "mixed": [1, "a"],
            "huge": 2**63,
            "huge list": [2**63],
            "map": {"a": None},
            "none": None,
            "empty": [],
            "nan": float("nan"),
            "": 1,
        }
    )
    both.end.attributes = snapshot({"late": 1, "text": "b"})

    attributes = describe(both).attributes

    assert {
        key: attributes[key] for key in attributes if not key.startswith(("nat.", "openinference", "input", "output"))
    } == {
        "llm.model_name": "b",
        "text": "b",
        "bools": [True],
        "ints": [1, 2],
        "numbers": [1.0, 2.5],
        "mixed": '[1,"a"]',
        "huge": str(2**63),
        "huge list": f"[{2**63}]",
        "map": '{"a":null}',
        "empty": "[]",
        "nan": "NaN",
        "late": 1,
    }


def test_further_data_fields_are_kept() -> None:
    """What a step's data holds beside input, output and chunk is under a name of ours."""
    start = {"data": StreamEventData(input="x", plan=["a"])}
    end = {"data": StreamEventData(output="y", verdict=1)}

    described = describe(captured("CUSTOM", "c", start=start, end=end))

    assert described.attributes["nat.data"] == '{"plan":["a"],"verdict":1}'


def test_trace_metadata() -> None:
    """Frameworks' metadata: conversation and tools are moved to their own names, empty fields are left out."""
    metadata = TraceMetadata(
        chat_inputs=[{"type": "human", "content": "Why?"}],
        tools_schema=["{}", {"name": "add"}],
        provided_metadata={"k": "v"},
    )
    responses = TraceMetadata(chat_responses=[{"text": "Because.", "message": {"type": "ai", "content": "Because."}}])

    described = describe(
        captured(
            "LLM",
            "gpt-4o",
            start={"data": StreamEventData(input="Why?"), "metadata": metadata},
            end={"data": StreamEventData(output="Because."), "metadata": responses},
        )
    )

    assert details(described, "llm.", "metadata") == {
        "llm.tools.0.tool.json_schema": "{}",
        "llm.tools.1.tool.json_schema": '{"name":"add"}',
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "Why?",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "Because.",
        "metadata": '{"provided_metadata":{"k":"v"}}',
    }


def test_metadata_of_another_type_stays_metadata() -> None:
    """A known key with a value that it cannot have is not forced into an attribute, and not lost."""
    metadata = {"model": 5, "provider": "", "parameters": "hot", "evaluations": "good", "tools_schema": {}}

    described = describe(captured("LLM", None, start=given("x", **metadata), end={}))

    assert details(described, "llm", "evaluations") == {}
    assert json.loads(described.attributes["metadata"]) == metadata
    assert described.name == "LLM"


def test_tool_arguments_as_text() -> None:
    """The arguments that a model wrote are the tool's parameters if they are a JSON object; so are `tool_inputs`."""

    def parameters(value: Any, **metadata: Any) -> Any:
        return describe(captured("TOOL", "t", start=given(value, **metadata), end={})).attributes.get("tool.parameters")

    assert parameters('{"a": 1}') == '{"a": 1}'
    assert parameters("{not json") is None
    assert parameters([1]) is None
    assert parameters("x", tool_inputs={"a": 1}) == '{"a":1}'


@pytest.mark.parametrize(
    ("documents", "count"),
    [
        ({"documents": ["a", "b"]}, 2),
        ([{"title": "no text"}], 0),
        (["a", 5], 0),
        ("text", 0),
        ([{"id": {"a": 1}, "content": {"b": 2}}], 1),
        ([], 0),
    ],
)
def test_documents_are_recognised_or_left_alone(documents: Any, count: int) -> None:
    """A list in which something is no document is not flattened in part; it is in the output."""
    attributes = describe(captured("RETRIEVER", "r", end=got(documents))).attributes

    assert len([key for key in attributes if key.endswith(".document.content")]) == count
    assert "output.value" in attributes


def test_a_description_is_made_once_and_copied() -> None:
    """Every exporter has containers of its own."""
    span_ = captured("TOOL", "t", start=given({"a": 1}))

    first = describe(span_)
    first.attributes["x"] = 1
    first.events[0].attributes.clear()
    first.events.clear()
    first.links.append(None)  # type: ignore[arg-type]
    second = describe(span_)

    assert second == describe(span_)
    assert first != second
    assert description_of(span_) is description_of(span_)


def test_spans_can_be_changed_copied_and_dumped() -> None:
    """What describe makes behaves as a validated model does."""
    described = describe(captured("TOOL", "t", start=given({"a": 1})))

    described.set_attribute("x", 1)
    described.add_event("seen")
    copy = described.model_copy(update={"name": "other"}, deep=True)

    assert Span.model_validate(described.model_dump()) == described
    assert (copy.name, copy.attributes) == ("other", described.attributes)
    assert described.duration == 1_500_000_000
    assert described.model_fields_set == set(Span.model_fields)


def test_lone_surrogates_are_cleaned_everywhere() -> None:
    """No text of a span holds what UTF-8 cannot."""
    bad = "x\ud800"
    run = Run(trace_id=TRACE_ID, name=bad, root_id=STEP_ID, session_id=bad, user_id=bad, tags=(bad,))
    fields = {"data": StreamEventData(input=bad), "tags": [bad], "framework": bad, "metadata": {bad: bad, "model": bad}}
    odd = captured("AGENT", bad, start=fields, end=got(bad), run=run, function=FunctionRef(bad, bad, None, None))
    assert odd.end is not None
    odd.end.error = CapturedError(bad, bad, bad)
    odd.end.attributes = snapshot({bad: [bad]})

    described = describe(odd)

    described.model_dump_json().encode()
    assert "\ud800" not in repr(described)
    assert described.name == "x\ufffd"


def test_kinds_of_all_categories() -> None:
    """Every kind of step has one of OpenInference's span kinds."""
    kinds = {
        event_type.value.removesuffix("_START"): describe(
            captured(event_type.value.removesuffix("_START"), end={})
        ).attributes["openinference.span.kind"]
        for event_type in IntermediateStepType
        if event_type.value.endswith("_START")
    }

    assert kinds == {
        "LLM": "LLM",
        "TOOL": "TOOL",
        "WORKFLOW": "CHAIN",
        "TASK": "CHAIN",
        "FUNCTION": "CHAIN",
        "CUSTOM": "CHAIN",
        "SPAN": "CHAIN",
        "TTC": "CHAIN",
        "AGENT": "AGENT",
        "RETRIEVER": "RETRIEVER",
        "EMBEDDER": "EMBEDDING",
        "RERANKER": "RERANKER",
        "GUARDRAIL": "GUARDRAIL",
        "EVALUATOR": "EVALUATOR",
    }
    assert set(kinds.values()) <= {kind.value for kind in openinference.OpenInferenceSpanKindValues}


def test_names_are_openinference_s_own() -> None:
    """Every name in use that is not ours or OpenTelemetry's is a constant of openinference-semantic-conventions."""
    classes = [value for name, value in vars(openinference).items() if name.endswith("Attributes")]
    published = {value for cls in classes for key, value in vars(cls).items() if key.isupper()}

    def is_published(name: str) -> bool:
        """Whether a name is a constant, or two or more of them in a row: `message_content.image` and `image.url`."""
        return name in published or any(
            name.startswith(f"{head}.") and is_published(name.removeprefix(f"{head}.")) for head in published
        )

    keys = {attribute.value for attribute in SpanAttributes}
    parts = {
        value
        for name, value in vars(conventions).items()
        if name.startswith(("MESSAGE_", "TOOL_", "EMBEDDING_", "EVALUATION_")) and type(value) is str
    }
    prefix = "llm.input_messages.0."
    messages = {key.removeprefix(prefix) for key in conventions.input_message_keys(0) if key.startswith(prefix)}
    documents = {key.removeprefix("x.") for key in conventions.document_keys("x")}
    foreign = {key for key in keys if key.startswith(("nat.", "error.", "exception."))}

    unknown = {name for name in (keys - foreign) | parts | messages | documents if not is_published(name)}

    assert unknown == set()
    assert len(messages) == 8


def test_long_conversations_keep_every_message() -> None:
    """There is no limit to the number of messages."""
    messages = [{"role": "user", "content": str(index)} for index in range(300)]

    attributes = describe(captured("LLM", "m", start=given(messages), end={})).attributes

    assert [attributes[f"llm.input_messages.{index}.message.content"] for index in range(300)] == [
        str(index) for index in range(300)
    ]


def test_usage_that_is_not_known_is_left_out() -> None:
    """A count of zero is a count; one that nobody gave is none."""
    both = captured("LLM", "m", end={})
    both.start.usage = Usage(prompt_tokens=0)

    assert details(describe(both), "llm.", "nat.usage") == {"llm.token_count.prompt": 0}
