"""A backend at the other end of a real socket: it keeps every request and answers as it is told."""

import asyncio
import json
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

__all__ = ["HttpBackend", "Request", "running_backend"]

_WAIT_S = 20.0


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
    """Answers 200 to everything, unless `answer()` named other statuses for the next requests.

    It runs in a thread and loop of its own, so that synchronous tests and any exporter's loop can use it. Thread-safe.
    """

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1/traces"
        self._requests: list[Request] = []
        self._statuses: deque[int] = deque()
        self._arrived = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._is_open: asyncio.Event | None = None
        self._stop: asyncio.Event | None = None

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
        assert self._is_open is not None
        self._loop.call_soon_threadsafe(self._is_open.clear)

    def release(self) -> None:
        assert self._is_open is not None
        self._loop.call_soon_threadsafe(self._is_open.set)

    def wait_for(self, count: int) -> list[Request]:
        """Block until `count` requests have arrived."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self._requests) >= count, _WAIT_S), (
                f"{len(self._requests)} of {count} requests arrived"
            )
            return list(self._requests)

    def run(self, is_ready: threading.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(is_ready))

    def stop(self) -> None:
        assert self._stop is not None
        self.release()
        self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self, is_ready: threading.Event) -> None:
        self._is_open, self._stop = asyncio.Event(), asyncio.Event()
        self._is_open.set()
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        is_ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        assert self._is_open is not None
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._arrived:
            self._requests.append(Request(request.method, request.path, headers, body))
            status = self._statuses.popleft() if self._statuses else 200
            self._arrived.notify_all()
        await self._is_open.wait()
        return web.json_response({"status": status}, status=status)


@contextmanager
def running_backend() -> Iterator[HttpBackend]:
    backend = HttpBackend()
    is_ready = threading.Event()
    thread = threading.Thread(target=backend.run, args=(is_ready,), name="http-backend")
    thread.start()
    try:
        assert is_ready.wait(_WAIT_S)
        yield backend
    finally:
        backend.stop()
        thread.join(_WAIT_S)
        assert not thread.is_alive()
