"""A stand-in for RagaAI Catalyst: it takes uploads as the service does, and is as strict where that is known.

What it asks of a client is what Catalyst's own SDK (2.2.7) does; a test of the products tier lets that SDK upload here. It
also runs as a program, `python -m tests.support.catalyst PORT FOLDER`, which can be killed: documents are files in the folder.
"""

import asyncio
import json
import sys
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aiohttp import web

from nat.testing.tls import ServerTls
from nat.testing.web_server import WebServer
from tests.support.waiting import PATIENCE_S

__all__ = ["CatalystStandIn", "StandInRequest", "Step", "catalyst_stand_in"]

Step = Literal["token", "dataset", "presigned", "put", "insert", "code hashes", "put code", "code"]

ACCESS_KEY, SECRET_KEY = "access-key-1", "secret-key-1"
_STORAGE = "storage.example.com"  # clients put the API's own host in its place


@dataclass(frozen=True, slots=True)
class StandInRequest:
    """One request: which step of the protocol it is, its headers by lower-case name, its body, and the answer's status."""

    step: Step | None
    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int


class CatalystStandIn:
    """Documents that were uploaded and inserted are in `documents`, in their order. Thread-safe.

    Args:
        folder: Keeps documents as files, also for one that is started later; `None`: in memory.
        scheme: Of presigned URLs.

    Attributes:
        documents: What was uploaded and inserted.
        requests: Everything that came.
    """

    def __init__(self, folder: Path | None = None, scheme: str = "http") -> None:
        self.documents: list[dict[str, Any]] = []
        self.requests: list[StandInRequest] = []
        self.code_hashes: list[str] = []
        self._folder = folder
        self._storage = f"{scheme}://{_STORAGE}"
        if folder is not None:
            self.documents = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
        self._tokens: set[str] = set()
        self._token_count = 0
        self._uploads: dict[str, bytes] = {}
        self._upload_count = 0
        self._plans: dict[Step, deque[int]] = defaultdict(deque)
        self._changed = threading.Condition()

    # -- for tests -----------------------------------------------------------------------------------------------------

    def plan(self, step: Step, *statuses: int) -> None:
        """Answer the next requests of a step with these statuses; 0 resets the connection."""
        self._plans[step].extend(statuses)

    def expire_tokens(self) -> None:
        """Every token that was given is refused from now on."""
        self._tokens.clear()

    def wait_for_documents(self, count: int, timeout_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        """Block until so many were inserted."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.documents) >= count, timeout_s), self.requests[-8:]
            return list(self.documents)

    @property
    def steps(self) -> list[Step | None]:
        """The steps of all requests, in their order."""
        return [request.step for request in self.requests]

    @property
    def counts(self) -> Counter[Step | None]:
        """How often each step was asked for."""
        return Counter(self.steps)

    # -- answers -------------------------------------------------------------------------------------------------------

    async def handle(self, http: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await http.read()
        step = _step(http)
        plan = self._plans[step] if step is not None else ()
        status = plan.popleft() if plan else None
        if status == 0:
            self._keep(step, http, body, 0)
            transport = http.transport
            if transport is not None:
                transport.abort()
            return web.Response()
        answer = self._answer(step, http, body) if status is None else _refusal(status)
        self._keep(step, http, body, answer.status)
        return answer

    def _keep(self, step: Step | None, http: web.Request, body: bytes, status: int) -> None:
        headers = {name.lower(): value for name, value in http.headers.items()}
        with self._changed:
            self.requests.append(StandInRequest(step, http.method, http.path, headers, body, status))
            self._changed.notify_all()

    def _answer(self, step: Step | None, http: web.Request, body: bytes) -> web.Response:
        if step is None:
            return _refusal(404)
        if step == "token":
            return self._give_token(json.loads(body))
        if step in ("put", "put code"):
            return self._take_upload(step, http, body)
        token = http.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self._tokens or not http.headers.get("X-Project-Name"):
            return _refusal(401)
        if body and http.content_type != "application/json":
            return _refusal(415)
        match step:
            case "presigned":
                return self._presign(json.loads(body))
            case "insert":
                return self._insert(json.loads(body))
            case "code hashes":
                return _success({"codeHashes": self.code_hashes})
            case "code":
                self.code_hashes.append(json.loads(body)["codeHash"])
        return _success({})

    def _give_token(self, keys: dict[str, str]) -> web.Response:
        if keys != {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}:
            return web.json_response({"success": False, "message": "Please enter valid credentials"}, status=400)
        self._token_count += 1
        token = f"token-{self._token_count}"
        self._tokens.add(token)
        return _success({"token": token})

    def _presign(self, request: dict[str, Any]) -> web.Response:
        assert request["numFiles"] == 1
        self._upload_count += 1
        kind = "code" if request.get("contentType") == "application/zip" else "trace"
        return _success({"presignedUrls": [f"{self._storage}/bucket/{kind}-{self._upload_count}?sig=abc"]})

    def _take_upload(self, step: Step, http: web.Request, body: bytes) -> web.Response:
        if "Authorization" in http.headers or http.query.get("sig") != "abc":
            return _refusal(403)
        if step == "put" and (http.content_type != "application/json" or b"\n" in body):
            return _refusal(400)
        self._uploads[http.path] = body
        return web.Response(status=200)

    def _insert(self, request: dict[str, Any]) -> web.Response:
        path = f"/{request['presignedUrl'].partition('//')[2].partition('/')[2].partition('?')[0]}"
        document = json.loads(self._uploads[path])
        known = [
            (span["context"]["span_id"], span["name"], span["hash_id"], span["attributes"]["openinference.span.kind"])
            for span in document["data"][0]["spans"]
        ]
        told = [
            (span["spanId"], span["spanName"], span["spanHash"], span["spanType"]) for span in request["datasetSpans"]
        ]
        if not request["datasetName"] or told != known:
            return _refusal(400)
        with self._changed:
            if self._folder is not None:
                (self._folder / f"{len(self.documents):06}.json").write_text(json.dumps(document))
            self.documents.append(document)
            self._changed.notify_all()
        return web.json_response({"success": True, "message": "Trace inserted"}, status=201)


def _step(http: web.Request) -> Step | None:
    by_path: dict[tuple[str, str], Step] = {
        ("POST", "/api/token"): "token",
        ("POST", "/api/v1/llm/dataset/logs"): "dataset",
        ("POST", "/api/v1/llm/presigned-url"): "presigned",
        ("GET", "/api/v1/llm/presigned-url"): "presigned",
        ("POST", "/api/v1/llm/insert/trace"): "insert",
        ("GET", "/api/v2/llm/dataset/code"): "code hashes",
        ("POST", "/api/v2/llm/dataset/code"): "code",
    }
    if http.method == "PUT" and http.path.startswith("/bucket/"):
        return "put code" if "/code-" in http.path else "put"
    return by_path.get((http.method, http.path))


def _success(data: dict[str, Any]) -> web.Response:
    return web.json_response({"success": True, "data": data})


def _refusal(status: int) -> web.Response:
    return web.json_response({"success": False, "message": f"refused with {status}"}, status=status)


@contextmanager
def catalyst_stand_in(tls: ServerTls | None = None) -> Iterator[tuple[CatalystStandIn, str]]:
    """A stand-in, and the URL of its API."""
    stand_in = CatalystStandIn(scheme="http" if tls is None else "https")
    server = WebServer("/api", stand_in.handle, tls=None if tls is None else tls.context())
    with server.running():
        yield stand_in, server.url


async def _serve(port: int, folder: Path) -> None:
    app = web.Application(client_max_size=2**28)
    app.router.add_route("*", "/{path:.*}", CatalystStandIn(folder).handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
