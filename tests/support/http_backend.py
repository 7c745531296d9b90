"""A backend at the other end of a real socket: it keeps every request and answers as it is told."""

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from nat.testing.web_server import WebServer
from tests.support.waiting import PATIENCE_S

__all__ = ["HttpBackend", "Request", "running_backend"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class HttpBackend:
    """Answers 200 to everything, unless `answer()` named other statuses for the next requests. Thread-safe."""

    def __init__(self) -> None:
        self.server = WebServer("/v1/traces", self._handle)
        self.url = self.server.url
        self._requests: list[Request] = []
        self._statuses: deque[int] = deque()
        self._arrived = threading.Condition()

    @property
    def requests(self) -> list[Request]:
        with self._arrived:
            return list(self._requests)

    @property
    def bodies(self) -> list[Any]:
        return [request.json() for request in self.requests]

    def answer(self, *statuses: int) -> None:
        """Answer the next requests with these, in order."""
        with self._arrived:
            self._statuses.extend(statuses)

    def hold(self) -> None:
        """Let requests arrive but answer none of them until `release()`."""
        self.server.hold()

    def release(self) -> None:
        self.server.release()

    def wait_for(self, count: int) -> list[Request]:
        """Block until `count` requests have arrived."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self._requests) >= count, PATIENCE_S), (
                f"{len(self._requests)} of {count} requests arrived"
            )
            return list(self._requests)

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._arrived:
            self._requests.append(Request(request.method, request.path, headers, body))
            status = self._statuses.popleft() if self._statuses else 200
            self._arrived.notify_all()
        await self.server.released()
        return web.json_response({"status": status}, status=status)


@contextmanager
def running_backend() -> Iterator[HttpBackend]:
    backend = HttpBackend()
    with backend.server.running():
        yield backend
