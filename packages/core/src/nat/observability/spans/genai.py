"""GenAI: a span's attributes in OpenTelemetry's names for generative AI, in place of OpenInference's or beside them.

What `gen_ai` has a name for gets it, as `genai_names` has them. The rest stays as it is, so nothing is lost: OpenInference's
names for what `gen_ai` does not know (`input.value` of a function, `reranker.query`, the kind of a step that is no operation),
OpenTelemetry's own (`user.id`, `error.type`), ours (`nat.`). An attribute of `gen_ai` that the instrumenting code has set wins.
A value of another type than the convention has stays where it was.

Contents: messages are those of a model call; the texts that went into an agent or workflow and came out of it are a message of
the user's and one of the assistant's. A model call's `input.value` and `output.value`, which say the same again, are left out
where it has messages, and so is a token count that is the sum of the others.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple, TypeAlias

from nat.data_models.conventions import Conventions, chosen_conventions
from nat.data_models.span import Span, SpanEvent
from nat.data_models.span_names import SpanKind
from nat.observability.spans import conventions as names
from nat.observability.spans.genai_contents import SMALL_CHARS, definition, document, json_text, json_value, message
from nat.observability.spans.genai_names import EVALUATION_EVENT, OPERATION_NAME, TABLES, WORKFLOW, Form, GenAiTable

__all__ = ["GenAi", "Said", "genai_facts", "genai_of", "said_span"]

_Attributes: TypeAlias = dict[str, Any]
_Items: TypeAlias = dict[int, _Attributes]
_Convert: TypeAlias = Callable[[Any], Any]

_INPUT, _OUTPUT, _TOOLS, _DOCUMENTS = (
    "llm.input_messages",
    "llm.output_messages",
    names.LLM_TOOLS,
    names.RETRIEVAL_DOCUMENTS,
)
_LISTS = {
    ("llm", "input_messages"): (_INPUT, "message."),
    ("llm", "output_messages"): (_OUTPUT, "message."),
    ("llm", "tools"): (_TOOLS, "tool."),
    ("retrieval", "documents"): (_DOCUMENTS, "document."),
}
_EVALUATIONS = names.EVALUATIONS
_PROMPT, _COMPLETION, _TOTAL = names.LLM_USAGE_KEYS[:3]
_MIME_TYPES = {names.INPUT_VALUE: names.INPUT_MIME_TYPE, names.OUTPUT_VALUE: names.OUTPUT_MIME_TYPE}
_SPEAKERS = ((names.INPUT_VALUE, _INPUT, "user"), (names.OUTPUT_VALUE, _OUTPUT, "assistant"))
_TALKING = frozenset({SpanKind.LLM.value, SpanKind.AGENT.value, WORKFLOW})
_CONTENTS = frozenset({names.INPUT_VALUE, names.OUTPUT_VALUE, names.TOOL_PARAMETERS, names.METADATA})
_FACT_KINDS = frozenset({SpanKind.LLM.value, SpanKind.EMBEDDING.value, SpanKind.TOOL.value, SpanKind.AGENT.value})
_KEEP, _NAME, _POSTPONE, _OPEN, _COLLECT = range(5)  # what to do with an attribute
_MAX_RULES = 4_096  # keys that are known by kind of span; users make keys, too


class Said(NamedTuple):
    """A span in the convention.

    Attributes:
        attributes: Of the span.
        evaluations: Attributes of each event `gen_ai.evaluation.result` that it has.
    """

    attributes: _Attributes
    evaluations: list[_Attributes]


class _Parts(NamedTuple):
    """A span on its way.

    Attributes:
        attributes: As they are; never changed.
        found: What `gen_ai` has a name for.
        rest: What stays under the name that it has.
        lists: The items of flattened lists by number, each as its fields.
    """

    attributes: Mapping[str, Any]
    found: _Attributes
    rest: _Attributes
    lists: dict[str, _Items]


class _Plan(NamedTuple):
    """What becomes of the attributes of spans of one kind.

    Attributes:
        operation: Its `gen_ai.operation.name`.
        first: Name and conversion by OpenInference's name.
        second: The same, for what gives a value only if `first` has given none.
        objects: For attributes that hold a JSON object, what gives its attributes and what is left of it.
        whole: What is made of the keys of a whole request and a whole response.
        rules: All of these, and the keys that have come by, as what to do, with what, and how.
    """

    operation: str | None
    first: dict[str, tuple[str, _Convert]]
    second: dict[str, tuple[str, _Convert]]
    objects: dict[str, Callable[[Any], tuple[_Attributes, Any]]]
    whole: dict[str, dict[str, tuple[str, _Convert]]]
    rules: dict[str, tuple[int, Any, Any]]


@cache
def genai_of(choice: Conventions) -> "GenAi | None":
    """What says spans in the chosen conventions; `None` if they are to stay in OpenInference's."""
    chosen = chosen_conventions(choice)
    if chosen.gen_ai is None:
        return None
    return GenAi(TABLES[chosen.gen_ai], keeps_openinference=chosen.keeps_openinference)


def said_span(span: Span, said: Said) -> Span:
    """A copy of a span, said in a convention."""
    if not said.evaluations:
        return span.model_copy(update={"attributes": said.attributes})
    time_ns = span.end_time or span.start_time
    results = [SpanEvent(name=EVALUATION_EVENT, timestamp=time_ns, attributes=one) for one in said.evaluations]
    return span.model_copy(update={"attributes": said.attributes, "events": [*span.events, *results]})


class GenAi:
    """Says attributes in one version of the convention. Thread-safe; no value makes it raise.

    Args:
        table: The version.
        keeps_openinference: Whether they are said in OpenInference's names as well.
    """

    def __init__(self, table: GenAiTable, *, keeps_openinference: bool) -> None:
        self._table = table
        self._keeps_openinference = keeps_openinference
        self._plans = {kind: _plan(table, kind) for kind in table.operations}
        self._other = _plan(table, None)
        self._names = {source: table.name_of(source) for source in (_INPUT, _OUTPUT, _TOOLS, _DOCUMENTS)}

    def say(self, attributes: Mapping[str, Any]) -> Said:
        """The same attributes in the convention; the given ones are not changed."""
        kind = _kind_of(attributes)
        plan = self._plans.get(kind) or self._other
        found: _Attributes = {} if plan.operation is None else {OPERATION_NAME: plan.operation}
        parts = _Parts(attributes, found, {}, {})
        _sort(parts, plan)
        evaluations = self._put_lists(parts) if parts.lists else []
        if kind in _TALKING:
            self._put_talk(parts, kind, plan)
        if self._keeps_openinference:
            return Said({**found, **attributes}, evaluations)
        _tidy(parts)
        return Said({**found, **parts.rest}, evaluations)

    def _put_lists(self, parts: _Parts) -> list[_Attributes]:
        """Messages, tools and documents, each list as one JSON text; gives the evaluations."""
        found, rest, lists, name_of = parts.found, parts.rest, parts.lists, self._names
        if _INPUT in lists:
            found[name_of[_INPUT]] = json_text([message(fields) for fields in _in_order(lists[_INPUT])])
        if _OUTPUT in lists:
            ending = self._ending(parts)
            found[name_of[_OUTPUT]] = json_text([{**message(fields), **ending} for fields in _in_order(lists[_OUTPUT])])
        if _TOOLS in lists:
            schemas = (fields.get("json_schema") for fields in _in_order(lists[_TOOLS]))
            found[name_of[_TOOLS]] = f"[{','.join(map(definition, schemas))}]"
        if _DOCUMENTS in lists:
            documents = [document(fields) for fields in _in_order(lists[_DOCUMENTS])]
            if None in documents:
                _put_back(parts, f"{_DOCUMENTS}.")
            else:
                found[name_of[_DOCUMENTS]] = json_text(documents)
                rest.pop(names.OUTPUT_VALUE, None)
        if _EVALUATIONS not in lists:
            return []
        said = [self._evaluation(parts, number) for number in sorted(lists[_EVALUATIONS])]
        return [one for one in said if one]

    def _ending(self, parts: _Parts) -> dict[str, str]:
        """What ends a message that a model answers: 1.41 demands a reason of each, so one that is not known is empty."""
        if not self._table.messages_say_why_they_end:
            return {}
        reason = parts.attributes.get(names.LLM_FINISH_REASON)
        return {"finish_reason": reason if type(reason) is str else ""}

    def _evaluation(self, parts: _Parts, number: int) -> _Attributes:
        """The attributes of an evaluation's event; fields without a name there stay on the span, as all do without a name."""
        prefix, known = f"{_EVALUATIONS}.{number}.", self._table.evaluation
        fields = parts.lists[_EVALUATIONS][number]
        if type(fields.get(names.EVALUATION_NAME)) is not str:
            _put_back(parts, prefix)
            return {}
        said: _Attributes = {}
        for field, value in fields.items():
            name, form = known.get(field, ("", Form.STRING))
            converted = _CONVERSIONS[form](value) if name else None
            if converted is None:
                parts.rest[prefix + field] = value
            else:
                said[name] = converted
        return said

    def _put_talk(self, parts: _Parts, kind: str, plan: _Plan) -> None:
        """What went in and came out as messages, where it is a text and there are none.

        Of a model call that has messages, what a whole request or response says beside them.
        """
        found, rest = parts.found, parts.rest
        for key, messages, role in _SPEAKERS:
            if messages in parts.lists:
                if kind == SpanKind.LLM:
                    _put_whole(rest.pop(key, None), plan.whole[key], found)
            elif rest.get(_MIME_TYPES[key]) == names.TEXT and isinstance(rest.get(key), str):
                ending = self._ending(parts) if messages == _OUTPUT else {}
                said = {"role": role, "parts": [{"type": "text", "content": rest.pop(key)}], **ending}
                found[self._names[messages]] = json_text([said])


def genai_facts(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What `gen_ai` 1.41 calls the facts of a step, without its contents: for backends that want them beside their own words.

    The operation is that of model calls, embeddings, tools and agents only.
    """
    kind = str(attributes.get(names.SPAN_KIND))
    operation, rules, objects = _facts_of(kind if kind in _FACT_KINDS else None)
    found: _Attributes = {} if operation is None else {OPERATION_NAME: operation}
    for key, name, convert in rules:
        if key in attributes and name not in found:
            value = convert(attributes[key])
            if value is not None:
                found[name] = value
    for key, opened in objects:
        if key in attributes:
            found.update(opened(attributes[key])[0])
    return found


@cache
def _facts_of(
    kind: str | None,
) -> tuple[str | None, list[tuple[str, str, _Convert]], list[tuple[str, Callable[[Any], tuple[_Attributes, Any]]]]]:
    """The operation of spans of a kind, and what is made of their attributes, those aside that hold contents."""
    plan = _plan(TABLES["1.41"], kind)
    rules = [(key, *rule) for rule_set in (plan.first, plan.second) for key, rule in rule_set.items()]
    return (
        plan.operation,
        [rule for rule in rules if rule[0] not in _CONTENTS],
        [(key, opened) for key, opened in plan.objects.items() if key not in _CONTENTS],
    )


# -- what is looked up -------------------------------------------------------------------------------------------------


def _plan(table: GenAiTable, kind: str | None) -> _Plan:
    first: dict[str, tuple[str, _Convert]] = {}
    second: dict[str, tuple[str, _Convert]] = {}
    keys: dict[str, dict[str, tuple[str, _Convert]]] = {}
    whole: dict[str, dict[str, tuple[str, _Convert]]] = {names.INPUT_VALUE: {}, names.OUTPUT_VALUE: {}}
    given: set[str] = set()
    for row in table.rows:
        if row.kind not in (None, kind) or (row.source in _MIME_TYPES and kind in _TALKING):
            continue
        rule = (row.name, _providers(table) if row.name == "gen_ai.provider.name" else _CONVERSIONS[row.form])
        source, bracket, key = row.source.partition("[")
        if bracket and source in _MIME_TYPES:
            whole[source][key.removesuffix("]")] = rule
        elif bracket:
            keys.setdefault(source, {})[key.removesuffix("]")] = rule
        elif row.name in given:
            second[source] = rule
        else:
            first[source] = rule
            given.add(row.name)
    whole[names.INPUT_VALUE] |= keys[names.LLM_INVOCATION_PARAMETERS]
    objects = {source: _opening(rules) for source, rules in keys.items()}
    rules: dict[str, tuple[int, Any, Any]] = {
        **{source: (_NAME, name, convert) for source, (name, convert) in first.items()},
        **dict.fromkeys(second, (_POSTPONE, None, None)),
        **{source: (_OPEN, opened, None) for source, opened in objects.items()},
    }
    return _Plan(None if kind is None else table.operations[kind], first, second, objects, whole, rules)


def _providers(table: GenAiTable) -> _Convert:
    return lambda value: table.providers.get(value, value) if type(value) is str else None


def _string(value: Any) -> str | None:
    return value if type(value) is str else None


def _int(value: Any) -> int | None:
    return value if type(value) is int else None


def _double(value: Any) -> float | None:
    if type(value) is int and -(2**63) <= value < 2**63:
        return float(value)
    return value if type(value) is float else None


def _boolean(value: Any) -> bool | None:
    return value if type(value) is bool else None


def _strings(value: Any) -> list[str] | None:
    if type(value) is str:
        return [value]
    return value if type(value) is list and value and all(type(item) is str for item in value) else None


_CONVERSIONS: dict[Form, _Convert] = {
    Form.STRING: _string,
    Form.INT: _int,
    Form.DOUBLE: _double,
    Form.BOOLEAN: _boolean,
    Form.STRINGS: _strings,
    Form.JSON: _string,
}


def _place_of(key: str) -> tuple[str, int, str] | None:
    """The list, number and field that a flattened name stands for; `None` for other names."""
    path = key.split(".", 3)
    if len(path) == 4 and (path[0], path[1]) in _LISTS and path[2].isdecimal():
        owner, prefix = _LISTS[path[0], path[1]]
        return (owner, int(path[2]), path[3].removeprefix(prefix)) if path[3].startswith(prefix) else None
    if path[0] == _EVALUATIONS and len(path) > 2 and path[1].isdecimal():
        return _EVALUATIONS, int(path[1]), key.split(".", 2)[2]
    return None


# -- from attributes to attributes -------------------------------------------------------------------------------------


def _kind_of(attributes: Mapping[str, Any]) -> str:
    kind = attributes.get(names.SPAN_KIND)
    if kind == SpanKind.CHAIN and str(attributes.get(names.NAT_EVENT_TYPE)).startswith(WORKFLOW):
        return WORKFLOW
    return str(kind)


def _sort(parts: _Parts, plan: _Plan) -> None:
    """Give each attribute its name, and put those of lists together."""
    _, found, rest, lists = parts
    rules = plan.rules
    later: list[tuple[str, Any]] = []
    for key, value in parts.attributes.items():
        rule = rules.get(key) or _learn(rules, key)
        action = rule[0]
        if action == _KEEP:
            rest[key] = value
        elif action == _NAME:
            converted = rule[2](value)
            if converted is not None:
                found[rule[1]] = converted
            if converted is None or key.startswith("nat."):
                rest[key] = value
        elif action == _COLLECT:
            owner, number, field = rule[1]
            items = lists.get(owner)
            if items is None:
                items = lists[owner] = {}
            fields = items.get(number)
            if fields is None:
                fields = items[number] = {}
            fields[field] = value
        elif action == _POSTPONE:
            later.append((key, value))
        else:
            said, left = rule[1](value)
            found.update(said)
            if left is not None:
                rest[key] = left
    for key, value in later:
        _put_second(parts, plan.second[key], key, value)


def _learn(rules: dict[str, tuple[int, Any, Any]], key: str) -> tuple[int, Any, Any]:
    place = _place_of(key)
    rule = (_KEEP, None, None) if place is None else (_COLLECT, place, None)
    if len(rules) < _MAX_RULES:
        rules[key] = rule
    return rule


def _put_second(parts: _Parts, rule: tuple[str, _Convert], key: str, value: Any) -> None:
    name, convert = rule
    converted = convert(value)
    if converted is None or parts.found.setdefault(name, converted) != converted or key.startswith("nat."):
        parts.rest[key] = value


def _put_back(parts: _Parts, prefix: str) -> None:
    """Leave the items of a list where they were."""
    parts.rest.update({key: value for key, value in parts.attributes.items() if key.startswith(prefix)})


def _opening(rules: Mapping[str, tuple[str, _Convert]]) -> Callable[[Any], tuple[_Attributes, Any]]:
    """Makes attributes of a JSON object's keys, and gives what is left of it; the same small ones come again and again."""
    known = lru_cache(maxsize=256)(partial(_taken_apart, rules))

    def opened(value: Any) -> tuple[_Attributes, Any]:
        if type(value) is not str:
            return {}, value
        return known(value) if len(value) <= SMALL_CHARS else _taken_apart(rules, value)

    return opened


def _taken_apart(rules: Mapping[str, tuple[str, _Convert]], text: str) -> tuple[_Attributes, str | None]:
    """The attributes that a JSON object's keys are, and what is left of it; `None` if nothing is."""
    value = json_value(text)
    if not isinstance(value, dict):
        return {}, text
    found: _Attributes = {}
    for key, (name, convert) in rules.items():
        converted = convert(value[key]) if key in value else None
        if converted is not None and name not in found:
            found[name] = converted
            del value[key]
    return found, (json_text(value) if value else None) if found else text


def _put_whole(text: Any, rules: Mapping[str, tuple[str, _Convert]], found: _Attributes) -> None:
    """What a model's API was asked or has answered, if the text is that as an object and nothing else has said it."""
    value = json_value(text) if type(text) is str and text.startswith("{") else None
    if isinstance(value, dict):
        for key, (name, convert) in rules.items():
            converted = convert(value[key]) if key in value and name not in found else None
            if converted is not None:
                found[name] = converted


def _tidy(parts: _Parts) -> None:
    """Take out of the rest what is said elsewhere."""
    attributes, found, rest, _ = parts
    if OPERATION_NAME in found:
        rest.pop(names.SPAN_KIND, None)
    for value_key, mime_type_key in _MIME_TYPES.items():
        if value_key not in rest:
            rest.pop(mime_type_key, None)
    total = rest.get(_TOTAL)
    if total is not None and total == _sum(attributes.get(_PROMPT), attributes.get(_COMPLETION)):
        del rest[_TOTAL]


def _sum(*counts: Any) -> int | None:
    known = [count for count in counts if type(count) is int]
    return sum(known) if known else None


def _in_order(items: _Items) -> Iterable[_Attributes]:
    return [items[number] for number in sorted(items)]
