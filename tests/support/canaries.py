"""Canaries: generated secrets and personal data, planted in every place where users put values."""

import base64
import json
import random
import string
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import re2

from nat.builder.context import Context
from nat.data_models.intermediate_step import (
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
    TraceMetadata,
)
from nat.observability import Telemetry, step

__all__ = ["PERSONAL", "SECRETS", "Canary", "canaries", "found_in", "plant"]

_ALNUM = string.ascii_letters + string.digits
_URL_SAFE = _ALNUM + "-_"
_HEX = "0123456789abcdef"
_UPPER = string.ascii_uppercase + string.digits
_BASE64 = _ALNUM + "+/"


class Canary(NamedTuple):
    """Something that must not leave: `text` is planted, and no part of what leaves may hold `core`."""

    kind: str
    text: str
    core: str


Make = Callable[[random.Random], str | tuple[str, str]]


def _of(prefix: str, length: int, letters: str = _ALNUM, suffix: str = "") -> Make:
    return lambda rng: prefix + "".join(rng.choices(letters, k=length)) + suffix


def _random(rng: random.Random, length: int, letters: str = _ALNUM) -> str:
    """Text with at least one digit and one letter, as what is random has."""
    return "".join(rng.choices(letters, k=length - 2)) + rng.choice("23456789") + rng.choice("bcdfgh")


def _jwt(rng: random.Random) -> str:
    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    signature = _random(rng, 43, _URL_SAFE)
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': _random(rng, 12)})}.{signature}"


def _private_key(kind: str, ending: str = "") -> Make:
    def make(rng: random.Random) -> tuple[str, str]:
        lines = ["".join(rng.choices(_BASE64, k=64)) for _ in range(4)]
        body = "\n".join(lines)
        return f"-----BEGIN {kind}PRIVATE KEY{ending}-----\n{body}\n-----END {kind}PRIVATE KEY{ending}-----", lines[2]

    return make


def _with_core(before: str, after: str = "", length: int = 20, letters: str = _ALNUM) -> Make:
    def make(rng: random.Random) -> tuple[str, str]:
        core = _random(rng, length, letters)
        return f"{before}{core}{after}", core

    return make


def _basic(rng: random.Random) -> tuple[str, str]:
    core = base64.b64encode(f"user{rng.randrange(100)}:{_random(rng, 12)}".encode()).decode()
    return f"Authorization: Basic {core}", core


SECRETS: dict[str, Make] = {
    "openai": _of("sk-", 48),
    "openai project": _of("sk-proj-", 80, _URL_SAFE),
    "anthropic": _of("sk-ant-api03-", 90, _URL_SAFE),
    "openrouter": _of("sk-or-v1-", 64, _HEX),
    "langfuse": _with_core("sk-lf-", length=32, letters=_HEX),
    "stripe": _of("sk_live_", 24),
    "stripe restricted": _of("rk_live_", 24),
    "github": _of("ghp_", 36),
    "github app": _of("ghs_", 36),
    "github fine-grained": _of("github_pat_", 70, _ALNUM + "_"),
    "gitlab": _of("glpat-", 20, _URL_SAFE),
    "slack": lambda rng: f"xoxb-{rng.randrange(10**11, 10**12)}-{rng.randrange(10**11, 10**12)}-{_random(rng, 24)}",
    "slack webhook": _with_core("https://hooks.slack.com/services/T0A1B2C3D/B0A1B2C3D/", length=24),
    "aws": _of("AKIA", 16, _UPPER),
    "aws temporary": _of("ASIA", 16, _UPPER),
    "aws secret": _with_core("AWS_SECRET_ACCESS_KEY=", length=40, letters=_BASE64),
    "google": _of("AIza", 35, _URL_SAFE),
    "google oauth": _of("ya29.", 60, _URL_SAFE),
    "azure storage": _with_core("AccountName=x;AccountKey=", "==;EndpointSuffix=core.windows.net", 86, _BASE64),
    "hugging face": _of("hf_", 34),
    "npm": _of("npm_", 36),
    "pypi": _of("pypi-AgEIcHlwaS5vcmc", 60, _URL_SAFE),
    "sendgrid": lambda rng: f"SG.{_random(rng, 22, _URL_SAFE)}.{_random(rng, 43, _URL_SAFE)}",
    "twilio": _of("SK", 32, _HEX),
    "digitalocean": _of("dop_v1_", 64, _HEX),
    "shopify": _of("shpat_", 32, _HEX),
    "linear": _of("lin_api_", 40),
    "notion": _of("ntn_", 46),
    "groq": _of("gsk_", 52),
    "xai": _of("xai-", 80),
    "replicate": _of("r8_", 37),
    "nvidia": _of("nvapi-", 64, _URL_SAFE),
    "tavily": _with_core("tvly-", length=32),
    "perplexity": _of("pplx-", 48),
    "langsmith": lambda rng: f"lsv2_pt_{''.join(rng.choices(_HEX, k=32))}_{''.join(rng.choices(_HEX, k=10))}",
    "databricks": _of("dapi", 32, _HEX),
    "vault": _of("hvs.", 90, _URL_SAFE),
    "figma": _of("figd_", 40, _URL_SAFE),
    "grafana": _of("glsa_", 41),
    "docker": _of("dckr_pat_", 27, _URL_SAFE),
    "telegram": lambda rng: f"{rng.randrange(10**9, 10**10)}:AA{''.join(rng.choices(_URL_SAFE, k=33))}",
    "jwt": _jwt,
    "bearer": _with_core("Authorization: Bearer ", length=40),
    "bearer alone": _with_core("bearer ", length=30, letters=_URL_SAFE),
    "basic": _basic,
    "api key header": _with_core("X-Api-Key: ", length=32),
    "cookie": _with_core("Cookie: session=", "; theme=dark", 32),
    "private key": _private_key(""),
    "rsa key": _private_key("RSA "),
    "ssh key": _private_key("OPENSSH "),
    "pgp key": _private_key("PGP ", " BLOCK"),
    "postgres": _with_core("postgresql://app:", "@db.internal:5432/main", 18),
    "mongodb": _with_core("mongodb+srv://app:", "@cluster0.example.net/?retryWrites=true", 18),
    "redis": _with_core("redis://:", "@cache:6379/0", 18),
    "amqp": _with_core("amqps://svc:", "@mq/vhost", 18),
    "odbc": _with_core("Server=db;Uid=sa;Pwd=", ";Encrypt=yes", 16),
    "url key": _with_core("https://api.example.com/v1?q=1&api_key=", "&n=2", 28),
    "signed url": _with_core("https://b.example.com/o?X-Amz-Signature=", length=64, letters=_HEX),
    "environment": _with_core("MY_SERVICE_PASSWORD=", length=14),
    "yaml": _with_core("client_secret: ", length=24),
    "python": _with_core("Client(api_key='", "', timeout=3)", 24),
    "repr": _with_core("{'db_password': '", "', 'port': 5432}", 14),
}
"""What the profile `secrets` is for, by kind."""


def _card(rng: random.Random) -> str:
    prefix, length = rng.choice((("4", 16), ("51", 16), ("34", 15), ("6011", 16)))
    digits = [int(digit) for digit in prefix] + [rng.randrange(10) for _ in range(length - len(prefix) - 1)]
    total = sum(d if i % 2 else d * 2 - 9 * (d > 4) for i, d in enumerate(reversed(digits)))
    number = "".join(map(str, [*digits, -total % 10]))
    return number if rng.random() < 0.5 or length != 16 else " ".join(number[i : i + 4] for i in range(0, 16, 4))


def _iban(rng: random.Random) -> str:
    account = "".join(rng.choices(string.digits, k=18))
    check = 98 - int(account + "131400") % 97
    number = f"DE{check:02}{account}"
    return number if rng.random() < 0.5 else " ".join(number[i : i + 4] for i in range(0, 22, 4))


def _phone(rng: random.Random) -> str:
    area, first, last = rng.randrange(201, 990), rng.randrange(200, 1000), rng.randrange(10_000)
    form = rng.choice(
        ("+1 {0} {1} {2:04}", "+1{0}{1}{2:04}", "({0}) {1}-{2:04}", "{0}-{1}-{2:04}", "+49 {0} {1}{2:04}")
    )
    return form.format(area, first, last)


def _ip(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return ".".join(str(rng.randrange(128, 224)) for _ in range(4))
    return "2001:db8:" + ":".join(f"{rng.randrange(1, 2**16):x}" for _ in range(6))


def _email(rng: random.Random) -> str:
    name = "".join(rng.choices(string.ascii_lowercase, k=8))
    return f"{name}.{rng.randrange(1000)}@mail-{rng.randrange(100)}.example.{rng.choice(('com', 'org', 'co.uk'))}"


PERSONAL: dict[str, Make] = {
    "email": _email,
    "phone": _phone,
    "credit card": _card,
    "iban": _iban,
    "ip": _ip,
}
"""What the profile `pii` is for besides, by kind."""


def canaries(kinds: dict[str, Make], count: int, seed: int = 7) -> list[Canary]:
    """So many of every kind, all different."""
    rng = random.Random(seed)
    made = {}
    for kind, make in kinds.items():
        for _ in range(count):
            given = make(rng)
            text, core = given if isinstance(given, tuple) else (given, given)
            made[core] = Canary(kind, text, core)
    return list(made.values())


def found_in(data: bytes, planted: Sequence[Canary]) -> list[Canary]:
    """Those that are somewhere in these bytes, as they are or as JSON escapes them."""
    by_core = {canary.core.encode(): canary for canary in planted}
    options = re2.Options()
    options.max_mem = 256 * 2**20
    options.encoding = re2.Options.Encoding.LATIN1
    any_of_them = re2.compile(b"|".join(re2.escape(core) for core in by_core), options)
    return [by_core[core] for core in set(any_of_them.findall(data.replace(b"\\/", b"/")))]


def _dressed(text: str, rng: random.Random) -> str:
    """The text as it stands in other texts: in sentences, in JSON, in JSON in JSON, in a Python literal."""
    match rng.randrange(8):
        case 0:
            return f"Please use {text} for it, thanks."
        case 1:
            return f"first line\n{text}\nlast line"
        case 2:
            return json.dumps({"note": text, "n": 1})
        case 3:
            return json.dumps({"outer": json.dumps({"inner": json.dumps([text])})}, indent=2)
        case 4:
            return f"log: {json.dumps({'message': text})[:-1]} … cut"
        case 5:
            return repr({"value": text})
        case 6:
            return f"({text})"
        case _:
            return text


def plant(telemetry: Telemetry, planted: Sequence[Canary], seed: int = 11) -> None:
    """Runs that hold every canary, each in one of many places."""
    rng = random.Random(seed)
    texts = iter([_dressed(canary.text, rng) for canary in planted])
    raw = iter([canary.text for canary in planted])
    while True:
        try:
            _run(telemetry, texts)
            _run(telemetry, raw)
        except (StopIteration, RuntimeError):
            break
    for text in (*texts, *raw):
        with telemetry.run("rest", input=text):
            pass


def _run(telemetry: Telemetry, texts: Iterator[str]) -> None:
    """One run, with a text in each place."""
    more = texts.__next__
    with telemetry.run(
        f"agent {more()}",
        input={"question": more(), "history": [{"deep": [more(), {more(): 1}]}]},
        session_id=more(),
        user_id=more(),
        tags=[more(), "plain"],
        metadata={more(): more(), "headers": {"X-Trace": more()}, "bytes": more().encode(), "set": {more()}},
    ) as run:
        with step(
            f"llm {more()}",
            kind="llm",
            input=_messages(more),
            model=more(),
            provider=more(),
            parameters={"stop": [more()]},
            tools=[{"description": more()}],
            tags=[more()],
            metadata={"headers": {"X-Trace": more()}},
        ) as call:
            call.chunk(more())
            call.set_attribute(f"own.{more()}", more())
            call.set_attribute("listed", [more(), more()])
            call.update(finish_reason=more(), note=more(), documents=[{"content": more()}])
            call.output = {"choices": [{"message": {"role": "assistant", "content": more()}}]}
        with step(
            more(), kind="tool", input=json.dumps({"q": more(), "url": more()}), metadata={"tool_call_id": more()}
        ) as tool:
            tool.output = [more(), (more(), {"rows": more()})]
        with step("find", kind="retriever", input=more()) as found:
            found.output = [{"content": more(), "metadata": {"source": more()}}, {"page_content": more(), "id": more()}]
        with step("embed", kind="embedder", input=[more()]) as embedded:
            embedded.output = [0.5]
        with suppress(ValueError), step("fails", input=more()):
            try:
                raise KeyError(more())
            except KeyError as cause:
                raise ValueError(f"could not call {more()}") from cause
        with (
            suppress(ValueError),
            step("judge", kind="evaluator", metadata={"evaluations": [{"name": more(), "explanation": more()}]}),
        ):
            raise ValueError({"detail": more()})
        _push(more)
        run.output = {"answer": more()}


def _messages(more: Callable[[], str]) -> list[dict[str, Any]]:
    call = {"id": more(), "type": "function", "function": {"name": "f", "arguments": json.dumps({"k": more()})}}
    return [
        {"role": "system", "content": more()},
        {
            "role": "user",
            "content": [{"type": "text", "text": more()}, {"type": "image_url", "image_url": {"url": more()}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": more()},
    ]


def _push(more: Callable[[], str]) -> None:
    """A step as frameworks report it."""
    manager = Context.get().intermediate_step_manager
    start = IntermediateStepPayload(
        event_type=IntermediateStepType.TOOL_START,
        framework=more(),
        name=more(),
        tags=[more()],
        metadata=TraceMetadata(tool_inputs={"a": more()}, provided_metadata={more(): more()}),
        data=StreamEventData(input=more(), extra_field=more()),
        UUID=f"id {more()}",
    )
    manager.push_intermediate_step(start)
    manager.push_intermediate_step(
        start.model_copy(
            update={
                "event_type": IntermediateStepType.TOOL_END,
                "data": StreamEventData(input=more(), output={"result": more()}),
                "metadata": {"result": more()},
            }
        )
    )
