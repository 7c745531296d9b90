"""What the redactor takes out of values, what it puts there, and what it leaves alone."""

import json
import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span, SpanContext, SpanEvent, SpanLink, SpanStatus, SpanStatusCode
from nat.observability.redaction.redactor import Redactor
from nat.observability.redaction.rules import Rules, rules_of
from nat.observability.redaction.settings import FieldRule, RedactConfig
from tests.support.canaries import PERSONAL, SECRETS, canaries
from tests.support.collecting import step

KEY = "sk-proj-Abcdefghijklmnop1234567890"
SECRETS_ONLY = Redactor(Rules())
WITH_PII = Redactor(Rules(profile="pii"))


def redactor(**settings: Any) -> Redactor:
    return Redactor(rules_of(RedactConfig(**settings)))


@pytest.mark.parametrize("kind", [*SECRETS, *PERSONAL])
def test_each_kind_is_found_wherever_it_stands(kind: str) -> None:
    """Alone, in sentences, on a line, in JSON and in JSON in JSON; what is around it stays."""
    redact = SECRETS_ONLY if kind in SECRETS else WITH_PII
    for canary in canaries({kind: {**SECRETS, **PERSONAL}[kind]}, 25):
        for text in (
            canary.text,
            f"before {canary.text} after",
            f"before\n{canary.text}\nafter",
            json.dumps({"before": 1, "a": canary.text, "after": "after"}),
            json.dumps(["before", json.dumps({"x": json.dumps({"y": canary.text})}), "after"]),
        ):
            redacted = redact.text(text)
            assert canary.core not in redacted
            assert ("before" in redacted) == ("before" in text)
            assert ("after" in redacted) == ("after" in text)
            assert redact.text(redacted) == redacted
            assert not redact.is_clean(orjson.dumps({"value": [text]}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "risk-assessment-of-the-whole-portfolio and task-management-for-everyone",
        "sk-learn-pipeline-with-a-rather-long-name",
        "use basic authentication, or bearer authentication-by-certificate",
        "The password: must have at least eight characters.",
        "Set the api_key in the settings; secrets are stored elsewhere.",
        "max_tokens=4096, prompt_tokens: 120, token_count=5",
        'secretary: "Alice"; bypass: "no"; tokens = "many"',
        "password=${DB_PASSWORD} api_key=<your key> secret=**** token={token}",
        "see https://example.com:8443/a/b?q=1&page=2#key and mailto:x",
        "std::vector<int>, Face::Add, 12:30:45, a::b",
        "version 1.2.3.4.5, 2024-05-15 15:00:00, order 1234567890123456, 3.14159265358979",
        "127.0.0.1 and 0.0.0.0 and ::1",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b, uuid 0b9c2f0e-7a54-4f0e-9c55-0e6d2f7d3a11",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "[REDACTED:api_key] and password=[REDACTED:secret] and Bearer [REDACTED:bearer]",
    ],
)
def test_what_looks_alike_stays(text: str) -> None:
    """The same object: nothing was copied."""
    assert WITH_PII.text(text) is text
    assert SECRETS_ONLY.text(text) is text


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111112",
        "1234567890123456",
        "4111 1111 1111",
        "0000000000000000",
        "DE90370400440532013000",
        "DE8937040044053201300",
    ],
)
def test_numbers_whose_check_digits_are_wrong_stay(number: str) -> None:
    assert WITH_PII.text(f"no {number}.") == f"no {number}."


def test_a_card_is_found_among_other_numbers() -> None:
    assert WITH_PII.text("order 12345 4111 1111 1111 1111 99") == "order 12345 [REDACTED:credit_card] 99"
    assert WITH_PII.value({"card": 4111111111111111, "at": 1717171717171717171, "n": 10**400}) == {
        "card": "[REDACTED:credit_card]",
        "at": 1717171717171717171,
        "n": 10**400,
    }


def test_fields_are_redacted_by_their_names() -> None:
    """At any depth, whatever they hold, in the shape that it has; names that only look like that hold what they say."""
    given = {
        "password": "correct horse",
        "db": {"DB_PASSWORD": "x", "host": "db", "apiKey": 12345, "pwd": None, "has_secret": True},
        "headers": {"Authorization": "anything", "Set-Cookie": ["a", "b"], "Accept": "*/*"},
        "credentials": {"user": "me", "nested": ["one", {"two": "three"}]},
        "token": "short",
        "access_token": "abc",
        "jwt": "Zk3kd93kfDk2kd93kkdk",
        "secretary": "Alice",
        "max_tokens": 5,
        "passwordless": "yes",
    }

    assert SECRETS_ONLY.value(given) == {
        "password": "[REDACTED:secret]",
        "db": {
            "DB_PASSWORD": "[REDACTED:secret]",
            "host": "db",
            "apiKey": "[REDACTED:secret]",
            "pwd": None,
            "has_secret": True,
        },
        "headers": {
            "Authorization": "[REDACTED:secret]",
            "Set-Cookie": ["[REDACTED:secret]", "[REDACTED:secret]"],
            "Accept": "*/*",
        },
        "credentials": {"user": "[REDACTED:secret]", "nested": ["[REDACTED:secret]", {"two": "[REDACTED:secret]"}]},
        "token": "short",
        "access_token": "[REDACTED:secret]",
        "jwt": "[REDACTED:secret]",
        "secretary": "Alice",
        "max_tokens": 5,
        "passwordless": "yes",
    }
    assert WITH_PII.value({"dob": "1990-01-02", "iphone": "15"}) == {"dob": "[REDACTED:personal]", "iphone": "15"}


def test_json_in_texts_stays_json() -> None:
    """Also in JSON in JSON; blanks stay as they are."""
    inner = json.dumps({"api_key": "open sesame", "n": [1, 2.5, None]})
    text = json.dumps({"arguments": inner, "other": "ü"}, ensure_ascii=False)

    redacted = json.loads(SECRETS_ONLY.text(text))

    assert json.loads(redacted["arguments"]) == {"api_key": "[REDACTED:secret]", "n": [1, 2.5, None]}
    assert SECRETS_ONLY.text('{"a":1,"password":"x"}') == '{"a":1,"password":"[REDACTED:secret]"}'
    assert SECRETS_ONLY.text('{"a": 1, "password": "x"}') == '{"a": 1, "password": "[REDACTED:secret]"}'


def test_escapes_hide_nothing() -> None:
    """ASCII characters written as escapes, in JSON and in pieces of JSON."""
    escaped = KEY.replace("s", "\\u0073")

    assert json.loads(SECRETS_ONLY.text(f'{{"k": "{escaped}"}}')) == {"k": "[REDACTED:api_key]"}
    assert SECRETS_ONLY.text(f'cut {{"k": "{escaped}') == 'cut {"k": "[REDACTED:api_key]'
    assert SECRETS_ONLY.text(r"fine \u0041\u00e9") == r"fine \u0041\u00e9"


@pytest.mark.parametrize(
    ("text", "is_clean"),
    [
        (b'{"a": "Basic economy fares, basic features; the bearer instrument of the basic\n"standard""}', True),
        (b'{"a": "a basic dXNlcjpwYXNz"}', False),
        (b'{"a": "basic economy, then basic dXNlcjpwYXNz"}', False),
        (b'{"a": "basic dXNlcjpw\\/YXNz"}', False),  # goes on behind the escape
        (b'{"a": "basic economy", "password": "x1"}', False),
    ],
)
def test_words_that_headers_begin_with_are_words_of_prose_too(text: bytes, is_clean: bool) -> None:
    """Only what follows them says whether a text has to be taken apart."""
    assert SECRETS_ONLY.is_clean(text) is is_clean


def test_keys_of_mappings_are_texts_too() -> None:
    """Two that become the same stay two."""
    other = KEY.replace("A", "B")

    assert SECRETS_ONLY.value({KEY: 1, other: 2, "x": 3}) == {
        "[REDACTED:api_key]": 1,
        "[REDACTED:api_key] 2": 2,
        "x": 3,
    }


def test_values_of_other_kinds_are_looked_into() -> None:
    """Models, data classes, tuples, sets, bytes, enumerations; objects of which nothing is known stay."""

    class Model(BaseModel):
        note: str
        password: str
        inner: list[str]

    @dataclass(frozen=True)
    class Data:
        note: str
        api_key: str

    class Choice(StrEnum):
        BAD = KEY
        GOOD = "good"

    model = SECRETS_ONLY.value(Model(note=KEY, password="x", inner=["a", KEY]))
    mark = "[REDACTED:api_key]"
    unknown = object()

    assert model == Model(note=mark, password="[REDACTED:secret]", inner=["a", mark])
    assert SECRETS_ONLY.value(Data(note=KEY, api_key="x")) == Data(note=mark, api_key="[REDACTED:secret]")
    assert SECRETS_ONLY.value((1, KEY, {KEY})) == (1, mark, {mark})
    assert SECRETS_ONLY.value(f"a {KEY}".encode()) == b"a [REDACTED:api_key]"
    assert SECRETS_ONLY.value(Choice.BAD) == mark
    assert SECRETS_ONLY.value(Choice.GOOD) is Choice.GOOD
    assert SECRETS_ONLY.value(unknown) is unknown
    with pytest.raises(ValueError, match="utf-8"):
        SECRETS_ONLY.value(b"\xff" + KEY.encode())


def test_a_span_is_redacted_everywhere_and_its_ids_stay() -> None:
    context = SpanContext(trace_id=4111111111111111, span_id=4111111111111111)
    span = Span(
        name=f"call {KEY}",
        context=context,
        start_time=4111111111111111,
        status=SpanStatus(code=SpanStatusCode.ERROR, message=KEY),
        attributes={"a": KEY, KEY: [KEY, "b"], "n": 1, "password": "x"},
        events=[SpanEvent(name=KEY, timestamp=1, attributes={"exception.stacktrace": f"line\n{KEY}"})],
        links=[SpanLink(context=context, attributes={"from": KEY})],
    )
    mark = "[REDACTED:api_key]"

    redacted = WITH_PII.span(span)

    assert redacted == Span(
        name=f"call {mark}",
        context=context,
        start_time=4111111111111111,
        status=SpanStatus(code=SpanStatusCode.ERROR, message=mark),
        attributes={"a": mark, mark: [mark, "b"], "n": 1, "password": "[REDACTED:secret]"},
        events=[SpanEvent(name=mark, timestamp=1, attributes={"exception.stacktrace": f"line\n{mark}"})],
        links=[SpanLink(context=context, attributes={"from": mark})],
    )
    assert span.attributes["a"] == KEY


def test_times_are_no_numbers_that_are_looked_for() -> None:
    """A pattern of one's own that is for digits leaves an event its time."""
    event = SpanEvent(name="call 4711", timestamp=1_795_703_263_133_642_323, attributes={"n": "4711", "at": 4711})
    span = Span(name="s", context=SpanContext(trace_id=1, span_id=1), events=[event])

    (redacted,) = Redactor(Rules(profile="none", patterns=(("number", r"\d{4}"),))).span(span).events

    assert redacted.timestamp == event.timestamp
    assert (redacted.name, redacted.attributes["n"]) == ("call [REDACTED:number]", "[REDACTED:number]")


def test_a_clean_item_is_passed_on_itself() -> None:
    """So that copies, descriptions and encodings can be shared."""
    span = Span(name="call", context=SpanContext(trace_id=1, span_id=2), attributes={"input.value": "hello"})
    item = step(name="work")
    values: dict[str, Any] = {"a": [1, {"b": "c"}]}

    assert SECRETS_ONLY.span(span) is span
    assert SECRETS_ONLY.look(span) is span
    assert SECRETS_ONLY.look(item) is item
    assert SECRETS_ONLY.value(values) is values


def test_ids_of_steps_still_say_what_belongs_together() -> None:
    first = step(name="a", UUID=KEY)
    second = IntermediateStep(parent_id=KEY, payload=step(name="b", UUID="plain").payload)

    redacted = [SECRETS_ONLY.look(item) for item in (first, second)]

    assert redacted[0].UUID == redacted[1].parent_id != KEY
    assert redacted[1].UUID == "plain"


@pytest.mark.parametrize(
    ("action", "text", "value"),
    [
        ("replace", "key [REDACTED:api_key]!", {"password": "[REDACTED:secret]"}),
        ("remove", "key !", {}),
        ("mask", "key ********!", {"password": "********"}),
        ("partial", "key ****7890!", {"password": "****"}),
        ("hash", "key hmac:37f3ae9b2b3a4b6c!", {"password": "hmac:"}),
    ],
)
def test_actions(action: str, text: str, value: dict[str, str]) -> None:
    """What stands in the place of what was found, and is found no second time."""
    redact = redactor(action=action, hash_key="0123456789abcdef")

    done = redact.text(f"key {KEY}!")
    fields = redact.value({"password": "hunter2"})

    if action == "hash":
        assert done[:9] == text[:9]
        assert len(done) == len(text)
        assert fields["password"].startswith("hmac:")
        assert redactor(action=action, hash_key="another key, as long").text(f"key {KEY}!") != done
    else:
        assert (done, fields) == (text, value)
    assert redact.text(done) == done
    assert redact.value(fields) == fields


def test_a_replacement_of_ones_own() -> None:
    redact = redactor(replacement="<{name} removed>")

    assert redact.text(f"a {KEY}") == "a <api_key removed>"


def test_fields_of_ones_own() -> None:
    """By name at any depth, with globs; by path from an attribute on, into lists and JSON; each with an action of its own."""
    redact = redactor(
        profile="none",
        fields=[
            "diagnosis",
            "*_code",
            FieldRule(path="input.value.customers.*.name", action="mask"),
            FieldRule(path="llm.**.content", action="remove"),
            "output.value.rows[*].id",
        ],
    )
    span = Span(
        name="x",
        context=SpanContext(trace_id=1, span_id=2),
        attributes={
            "input.value": json.dumps({"customers": [{"name": "Ann", "age": 5}, {"name": "Bo"}], "name": "stays"}),
            "output.value": {"rows": [{"id": 1, "v": "a"}]},
            "llm.input_messages.0.message.content": "gone",
            "llm.input_messages.0.message.role": "user",
            "metadata": '{"diagnosis":"flu","zip_code":"12345","code":"stays"}',
        },
    )

    attributes = redact.look(span).attributes

    assert json.loads(attributes.pop("input.value")) == {
        "customers": [{"name": "********", "age": 5}, {"name": "********"}],
        "name": "stays",
    }
    assert attributes == {
        "output.value": {"rows": [{"id": "[REDACTED:field]", "v": "a"}]},
        "llm.input_messages.0.message.role": "user",
        "metadata": '{"diagnosis":"[REDACTED:field]","zip_code":"[REDACTED:field]","code":"stays"}',
    }


def test_paths_lead_into_steps_too() -> None:
    """They begin as in a span: `input.value`, `output.value`, `metadata`."""
    redact = redactor(profile="none", fields=["input.value.name", FieldRule(path="metadata.plan", action="remove")])
    item = step(
        data={"input": {"name": "Ann", "n": 1}, "output": {"name": "stays"}}, metadata={"plan": "gold", "x": "y"}
    )

    redacted = redact.look(item)

    assert redacted.data.input == {"name": "[REDACTED:field]", "n": 1}
    assert redacted.data.output == {"name": "stays"}
    assert redacted.metadata == {"x": "y"}
    assert item.metadata == {"plan": "gold", "x": "y"}


def test_roles_of_messages() -> None:
    """In lists of messages, in JSON, and as attributes of a span."""
    redact = redactor(profile="none", roles=["system"])
    messages = [{"role": "system", "content": "be nice"}, {"role": "user", "content": "hello"}]
    span = Span(
        name="x",
        context=SpanContext(trace_id=1, span_id=2),
        attributes={
            "input.value": json.dumps({"messages": messages}),
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": "be nice",
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.content": "hello",
        },
    )

    attributes = redact.look(span).attributes

    assert redact.value(messages)[0] == {"role": "system", "content": "[REDACTED:role]"}
    assert "be nice" not in str(attributes)
    assert attributes["llm.input_messages.1.message.content"] == "hello"
    assert attributes["llm.input_messages.0.message.role"] == "system"


def test_patterns_of_ones_own() -> None:
    redact = redactor(patterns={"employee": r"E-\d{6}", "größe": "groß+"})

    assert redact.text("E-123456 is größer, or groß") == "[REDACTED:employee] is größer, or [REDACTED:größe]"
    assert redact.value({"deep": ["E-000001"]}) == {"deep": ["[REDACTED:employee]"]}


def test_what_is_allowed_stays() -> None:
    """By the text, and by the kind of what is found."""
    redact = redactor(profile="pii", allow=["*@example.com", "dummy"], without=["ip"])

    assert redact.text("a@example.com b@example.org 10.1.2.3") == "a@example.com [REDACTED:email] 10.1.2.3"
    assert redact.value({"password": "dummy", "secret": "x"}) == {"password": "dummy", "secret": "[REDACTED:secret]"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patterns": {"bad": "(a"}}, "'bad' is no regular expression of RE2: missing ): (a"),
        ({"patterns": {"back": r"(a)\1"}}, r"'back' is no regular expression of RE2: invalid escape sequence: \1"),
        ({"without": ["emial"]}, "'emial' is not looked for; did you mean 'email'?"),
        ({"action": "hash"}, "hash needs a hash_key of 16 characters or more"),
        ({"fields": [{"path": "a", "action": "hash"}], "hash_key": "short"}, "hash needs a hash_key of 16"),
        ({"profil": "pii"}, "unknown key 'profil'; did you mean 'profile'?"),
    ],
)
def test_settings_that_are_wrong(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RedactConfig(**settings)

    assert message in str(caught.value)
    assert "short" not in str(caught.value)


@pytest.mark.parametrize(
    "unit",
    ["eyJ", "sk-", "eyJaaaaaaaa.", "a@a.", "1 ", "1.1.1.", "://a:", '{"a":', "password=", "-----BEGIN PRIVATE KEY-----",
     "bearer ", "\\u0073", '"', "DE89 3704 0044 ", "+1 234 ", "password: x, ", "::", "sk-a1a1a1a1a1a1a1a1a1 ", '{"password":"', "http://a@b/"],
)  # fmt: skip
def test_long_and_nasty_texts_end(unit: str) -> None:
    """A megabyte of what is nearly something, or again and again something; nothing but linear time would end here."""
    text = unit * (1_000_000 // len(unit))

    redacted = WITH_PII.text(text)

    assert type(redacted) is str
    assert len(redacted) <= 2 * len(text)


def test_more_than_can_be_taken_out_is_taken_out_as_a_whole() -> None:
    assert SECRETS_ONLY.text(f"{KEY} " * 30_000) == "[REDACTED:too_much]"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)


@given(value=_VALUES, seed=st.integers(0, 1000))
def test_a_canary_anywhere_in_any_value_is_found(value: Any, seed: int) -> None:
    """And what is found once leaves nothing to find."""
    rng = random.Random(seed)
    canary = rng.choice(_SOME)
    planted = _with(value, canary.text, rng)

    redacted = WITH_PII.value(planted)

    assert canary.core not in json.dumps(redacted, default=str)
    assert WITH_PII.look(redacted) == redacted


_SOME = [*canaries(SECRETS, 1), *canaries(PERSONAL, 2)]


def _with(value: Any, text: str, rng: random.Random) -> Any:
    """The value with a text put somewhere into it."""
    if isinstance(value, list) and value and rng.random() < 0.8:
        index = rng.randrange(len(value))
        return [*value[:index], _with(value[index], text, rng), *value[index + 1 :]]
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(sorted(value))
        return {**value, key: _with(value[key], text, rng)}
    return rng.choice((text, [text], {"x": text}, json.dumps({"x": [text]}), {text: 1}))
