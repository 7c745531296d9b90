"""Secrets stay secret: those of every exporter over OTLP, at backends that refuse them and repeat them in their answer.

They are looked for in all that the commands print, with every log of the process at its finest level, and in every file that is
left: status files, spools, dead letters.
"""

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from nat.observability.registry import OWN_TYPES
from nat.testing import FakeBackend, faults
from nat.testing.faults import Fault
from nat.testing.received import Request
from nat.testing.web_server import WebServer
from tests.cli.sending import Workplace, workplace

_AGENT = """\
import logging

from nat.observability import step

logging.basicConfig(level=logging.DEBUG)

def answer(question):
    with step("think", kind="llm", input=question):
        return "known"
"""
_ELSEWHERE = {"console", "file", "catalyst"}  # types that do not send OTLP, or have no key


class Backends:
    """An HTTP and a gRPC server that say 401 to everything, and repeat all of the request but its body."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.http = WebServer("/", self._refuse)
        self.grpc = FakeBackend(grpc=True, refuse=self._refuse_call)

    async def _refuse(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.json_response({"message": self._repeat(str(request.rel_url), dict(request.headers))}, status=401)

    def _refuse_call(self, request: Request) -> Fault:
        return faults.grpc_status("UNAUTHENTICATED", message=self._repeat("", request.headers))

    def _repeat(self, url: str, headers: dict[str, str]) -> str:
        said = [url]
        for value in headers.values():
            said.append(value)
            if value.startswith("Basic "):
                said.append(base64.b64decode(value.removeprefix("Basic ")).decode())
        self.heard += said
        return "no: " + " ".join(said)


@pytest.fixture
def backends() -> Iterator[Backends]:
    backends = Backends()
    with backends.http.running(), backends.grpc:
        yield backends


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "PHOENIX_", "LANG", "GALILEO_", "PATRONUS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANG", "C.UTF-8")
    with workplace(tmp_path) as place:
        (tmp_path / "agent.py").write_text(_AGENT, encoding="utf-8")
        yield place


def canary(entry: str, role: str) -> str:
    return f"{entry.replace('_', '-')}-{role}-Canary4711"


def entries_at(place: Workplace, backends: Backends) -> dict[str, dict[str, Any]]:
    """One entry for every type that sends OTLP, and way to send it; each with canaries of its own."""
    http, grpc = backends.http.base_url, f"http://{backends.grpc.grpc_endpoint}"

    def of(name: str, role: str) -> str:
        return canary(name, role)

    def in_file(name: str) -> str:
        path = place.folder / f"{name}.key"
        path.write_text(of(name, "file"), encoding="utf-8")
        return f"file:{path}"

    def headers(name: str) -> dict[str, str]:
        return {"x-first-key": f"Bearer {of(name, 'key')}", "x-second-key": in_file(name)}

    def open_to(name: str) -> str:
        return http.replace("//", f"//user:{of(name, 'user')}@") + f"/v1/traces?token={of(name, 'query')}"

    return {
        "collector": {"_type": "otelcollector", "endpoint": open_to("collector"), "headers": headers("collector")},
        "collector_json": {
            "_type": "otelcollector", "endpoint": http, "protocol": "http/json", "headers": headers("collector_json"),
        },
        "collector_grpc": {
            "_type": "otelcollector", "endpoint": grpc, "protocol": "grpc", "headers": headers("collector_grpc"),
        },
        "langfuse": {
            "_type": "langfuse", "endpoint": http, "public_key": of("langfuse", "key"), "secret_key": in_file("langfuse"),
        },
        "langsmith": {"_type": "langsmith", "endpoint": http, "api_key": of("langsmith", "key")},
        "patronus": {"_type": "patronus", "endpoint": grpc, "api_key": of("patronus", "key")},
        "patronus_http": {
            "_type": "patronus", "endpoint": http, "protocol": "http", "api_key": in_file("patronus_http"),
        },
        "galileo": {"_type": "galileo", "endpoint": http, "api_key": of("galileo", "key")},
        "weave": {
            "_type": "weave", "endpoint": http, "entity": "e", "project": "p", "api_key": of("weave", "key"),
        },
        "phoenix": {
            "_type": "phoenix", "endpoint": http, "api_key": of("phoenix", "key"),
            "headers": {"x-second-key": in_file("phoenix")},
        },
        "phoenix_grpc": {"_type": "phoenix", "endpoint": grpc, "protocol": "grpc", "api_key": of("phoenix_grpc", "key")},
    }  # fmt: skip


def canaries_in(text: str) -> set[str]:
    """All that is found there, as it is or as part of a Basic credential."""
    credentials = (
        f"{canary('langfuse', 'key')}:{canary('langfuse', 'file')}",
        f"user:{canary('collector', 'user')}",
    )
    basic = (base64.b64encode(credential.encode()).decode() for credential in credentials)
    return {*re.findall(r"[\w-]+-Canary4711", text), *(token for token in basic if token in text)}


def test_no_secret_leaves_by_another_way_than_to_its_backend(place: Workplace, backends: Backends) -> None:
    entries = entries_at(place, backends)
    keeps = {"dead_letters": True, "spool": {"wait": "run"}, "retry": {"max_retries": 0}}
    place.write(entries, keeps, plugins=())
    document = json.loads(place.file.read_text(encoding="utf-8"))
    document["general"]["telemetry"]["status_directory"] = "status"
    place.file.write_text(json.dumps(document), encoding="utf-8")
    given = canaries_in(place.file.read_text(encoding="utf-8"))
    given |= {found for key in place.folder.glob("*.key") for found in canaries_in(key.read_text(encoding="utf-8"))}
    file = ("--config_file", "workflow.yaml")

    printed = {
        "run": _all_of(place, "--debug", "run", *file, "--input", "why?"),
        "doctor": _all_of(place, "--debug", "doctor", *file),
        "doctor as JSON": _all_of(place, "doctor", *file, "--json"),
        "validate": _all_of(place, "--debug", "validate", *file),
        "a wrong file": _all_of(
            place, "validate", *file, "--override", "general.telemetry.tracing.galileo.apikey", "x"
        ),
        "info": _all_of(place, "info", "components", "--json"),
        "letters": _all_of(place, "dead-letters", "list", *file, "--json"),
        "spool": _all_of(place, "spool", "status", *file, "--json"),
        "status": _all_of(place, "status", *file, "--json"),
    }
    for letter in _json_in(printed["letters"]):
        printed[letter["id"]] = _all_of(place, "dead-letters", "show", letter["id"], "--content")

    assert canaries_in(" ".join(backends.heard)) >= given  # they were all sent
    assert {name: found for name, text in printed.items() if (found := canaries_in(text))} == {}
    assert {path.name: found for path in _left(place) if (found := canaries_in(_text(path)))} == {}
    assert printed["run"].count("**********") >= len(entries)  # and the answers that repeat them were shown
    causes = {found["exporter"]: found["cause"] for found in _json_in(printed["doctor as JSON"])["exporters"]}
    assert causes == dict.fromkeys(entries, "unauthenticated")
    assert {path.suffix for path in _left(place)} >= {".letter", ".json"}


def test_every_exporter_over_otlp_is_among_them(place: Workplace, backends: Backends) -> None:
    types = {entry["_type"] for entry in entries_at(place, backends).values()}

    assert types == set(OWN_TYPES) - _ELSEWHERE


def _all_of(place: Workplace, *arguments: str) -> str:
    """What a command prints to both streams, whatever its exit code."""
    stdout, stderr = place.start(*arguments).communicate(timeout=180)
    return stdout + stderr


def _json_in(text: str) -> Any:
    """What a command has printed to stdout, which comes first."""
    return json.JSONDecoder().raw_decode(text)[0]


def _left(place: Workplace) -> list[Path]:
    given = {place.file, *place.folder.glob("*.key")}
    return [path for path in place.folder.rglob("*") if path.is_file() and path not in given]


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")
