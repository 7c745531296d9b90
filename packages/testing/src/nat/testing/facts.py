"""Facts: what is true of a recorded run, whatever backend shows it."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from nat.observability import StepKind
from nat.testing.runs import Failure, RecordedRun, RecordedStep

__all__ = ["DocumentFacts", "MessageFacts", "RunFacts", "SpanFacts", "Tokens", "Tree", "facts_of", "tree_of"]

Tree: TypeAlias = tuple[str, tuple["Tree", ...]]
"""Name of a span, and the trees below it, sorted."""

_SPAN_KINDS: Mapping[StepKind, str] = {
    "workflow": "CHAIN",
    "function": "CHAIN",
    "task": "CHAIN",
    "custom": "CHAIN",
    "agent": "AGENT",
    "llm": "LLM",
    "tool": "TOOL",
    "retriever": "RETRIEVER",
    "embedder": "EMBEDDING",
    "reranker": "RERANKER",
    "guardrail": "GUARDRAIL",
    "evaluator": "EVALUATOR",
}
_INCOMPLETE = "incomplete"
_NEVER_ENDED = "step never ended"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call, or of several added up. `prompt` includes cached ones, `completion` those for reasoning."""

    prompt: int = 0
    completion: int = 0
    total: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.total + other.total,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.reasoning + other.reasoning,
        )


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """A message of a model call: role, text, and the names of the tools that it calls."""

    role: str
    text: str | None
    tool_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentFacts:
    """A document that was found or ranked."""

    id: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class SpanFacts:
    """What is true of one span.

    Attributes:
        name: Of the span.
        kind: OpenInference's span kind.
        parent: Where its parent is among the spans of the run; `None` for the root.
        input, output: As recorded; a step that fails or never ends has no output.
        model, provider: Of a model call.
        tokens: Of a model call; `None` where they are not known.
        cumulative_tokens: Its own and those of all spans below it.
        input_messages, output_messages: Of a model call.
        tool_names: Tools that the model may call.
        documents: What a retriever found, or a reranker ranked.
        chunk_count: Parts in which the output streamed.
        error: Why it failed; of a span that never ended, or of a run that left one, the type is `incomplete`.
        is_incomplete: It never ended.
    """

    name: str
    kind: str
    parent: int | None
    input: Any
    output: Any
    model: str | None
    provider: str | None
    tokens: Tokens | None
    cumulative_tokens: Tokens
    input_messages: tuple[MessageFacts, ...]
    output_messages: tuple[MessageFacts, ...]
    tool_names: tuple[str, ...]
    documents: tuple[DocumentFacts, ...]
    chunk_count: int
    error: Failure | None
    is_incomplete: bool


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is true of one run.

    Attributes:
        spans: In the order in which they start; the root is the first.
        session_id, user_id: Of all its spans.
        tags, metadata: Of its root.
    """

    spans: tuple[SpanFacts, ...]
    session_id: str | None
    user_id: str | None
    tags: tuple[str, ...]
    metadata: Mapping[str, Any]

    @property
    def root(self) -> SpanFacts:
        """The span of the run itself."""
        return self.spans[0]

    @property
    def tokens(self) -> Tokens:
        """Of all model calls together."""
        return self.root.cumulative_tokens

    @property
    def kinds(self) -> Counter[str]:
        """How many spans there are of each kind."""
        return Counter(span.kind for span in self.spans)

    @property
    def models(self) -> set[str]:
        """The models that it calls."""
        return {span.model for span in self.spans if span.model is not None}

    @property
    def errors(self) -> dict[str, Failure]:
        """Why spans failed, by their names."""
        return {span.name: span.error for span in self.spans if span.error is not None}

    @property
    def tree(self) -> Tree:
        """Its spans as a tree; compare it with `tree_of`."""
        return _tree_below(0, [(number, span.parent, span.name) for number, span in enumerate(self.spans)])

    def span(self, name: str) -> SpanFacts:
        """The span of that name; `ValueError` if there is not just one."""
        (found,) = (span for span in self.spans if span.name == name)
        return found


class _Node(Protocol):
    """A span that knows its parent."""

    @property
    def span_id(self) -> str: ...

    @property
    def parent_id(self) -> str | None: ...

    @property
    def name(self) -> str: ...


def tree_of(spans: Iterable[_Node]) -> Tree:
    """The spans of one trace as a tree.

    Raises:
        ValueError: There is not just one root, or a parent is missing.
    """
    nodes = [(span.span_id, span.parent_id, span.name) for span in spans]
    known = {span_id for span_id, _, _ in nodes}
    orphans = [name for _, parent_id, name in nodes if parent_id is not None and parent_id not in known]
    roots = [span_id for span_id, parent_id, _ in nodes if parent_id is None]
    if len(roots) != 1 or orphans:
        raise ValueError(f"{len(nodes)} spans are no tree: {len(roots)} roots, spans without their parent: {orphans}")
    return _tree_below(roots[0], nodes)


def facts_of(run: RecordedRun) -> RunFacts:
    """What a backend should show of a recorded run."""
    root = RecordedStep(run.name, run.kind, run.input, run.output, error=run.error or _left_open(run), steps=run.steps)
    spans: list[SpanFacts] = []
    _add(spans, root, None)
    return RunFacts(tuple(spans), run.session_id, run.user_id, tuple(run.tags), run.metadata)


def _add(spans: list[SpanFacts], step: RecordedStep, parent: int | None) -> Tokens:
    """Append the span of a step and those below it; the tokens of them all."""
    number = len(spans)
    tokens = _tokens(step) if step.kind in ("llm", "embedder") else None
    spans.append(
        SpanFacts(
            name=step.name,
            kind=_SPAN_KINDS[step.kind],
            parent=parent,
            input=step.input,
            output=None if (step.error and parent is not None) or step.is_unfinished else step.output,
            model=step.model,
            provider=step.provider,
            tokens=tokens,
            cumulative_tokens=Tokens(),
            input_messages=_messages(step.input) if step.kind == "llm" else (),
            output_messages=_messages(step.output) if step.kind == "llm" else (),
            tool_names=tuple(tool["function"]["name"] for tool in step.tools or ()),
            documents=_documents(step.output) if step.kind in ("retriever", "reranker") else (),
            chunk_count=len(step.chunks),
            error=Failure(_INCOMPLETE, _NEVER_ENDED) if step.is_unfinished else step.error,
            is_incomplete=step.is_unfinished,
        )
    )
    below = [_add(spans, inner, number) for inner in step.steps]
    cumulative = sum(below, tokens or Tokens())
    spans[number] = replace(spans[number], cumulative_tokens=cumulative)
    return cumulative


def _left_open(run: RecordedRun) -> Failure | None:
    """A run that leaves steps open has failed."""
    names = [repr(step.name) for step in run.steps if step.is_unfinished]
    return Failure(_INCOMPLETE, f"{len(names)} step(s) never ended: {', '.join(names)}") if names else None


def _tokens(step: RecordedStep) -> Tokens | None:
    usage = {name: count for name, count in step.usage.items() if count is not None}
    if not usage:
        return None
    prompt, completion = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    return Tokens(
        prompt=prompt,
        completion=completion,
        total=usage.get("total_tokens", prompt + completion),
        cache_read=usage.get("cached_tokens", 0),
        cache_write=usage.get("cache_write_tokens", 0),
        reasoning=usage.get("reasoning_tokens", 0),
    )


def _messages(value: Any) -> tuple[MessageFacts, ...]:
    found = value if isinstance(value, list) else [value]
    return tuple(
        MessageFacts(
            message["role"],
            message.get("content"),
            tuple(call["function"]["name"] for call in message.get("tool_calls") or ()),
        )
        for message in found
        if isinstance(message, Mapping)
    )


def _documents(value: Any) -> tuple[DocumentFacts, ...]:
    return tuple(DocumentFacts(document["id"], document["content"], document["score"]) for document in value or ())


def _tree_below(root: Hashable, nodes: list[tuple[Any, Any, str]]) -> Tree:
    (name,) = (name for node, _, name in nodes if node == root)
    return name, tuple(sorted(_tree_below(node, nodes) for node, parent, _ in nodes if parent == root))
