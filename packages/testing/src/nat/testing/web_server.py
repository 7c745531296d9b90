"""A web server in a thread and loop of its own, so that synchronous tests and any exporter's loop can use it."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

__all__ = ["WebServer"]

_WAIT_S = 20.0
_MAX_REQUEST_BYTES = 256 * 2**20


class WebServer:
    """Gives every request to one handler, which may wait at a gate. Thread-safe.

    Args:
        path: Of the URL that it tells; any other is served, too.
        handle: Called in the server's loop.
        is_held: The gate is closed at first.
        tls: Speak HTTPS.
    """

    def __init__(
        self,
        path: str,
        handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
        *,
        is_held: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        scheme = "http" if tls is None else "https"
        self.base_url = f"{scheme}://127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = f"{self.base_url}{path}"
        self._handle = handle
        self._loop = asyncio.new_event_loop()
        self._gate = asyncio.Event()
        if not is_held:
            self._gate.set()
        self._stop = asyncio.Event()
        self._is_ready = threading.Event()

    def hold(self) -> None:
        """Close the gate."""
        self._loop.call_soon_threadsafe(self._gate.clear)

    def release(self) -> None:
        """Open the gate for what waits there and for what comes."""
        self._loop.call_soon_threadsafe(self._gate.set)

    def let_pass(self) -> None:
        """Open the gate for what waits there, and close it again."""
        self._loop.call_soon_threadsafe(self._gate.set)
        self._loop.call_soon_threadsafe(self._gate.clear)

    @property
    def is_released(self) -> bool:
        """Whether the gate is open."""
        return self._gate.is_set()

    async def released(self) -> None:
        """Return when the gate is open."""
        await self._gate.wait()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve until the context is left; the gate is opened then."""
        thread = threading.Thread(target=self._run, name="web server", daemon=True)
        thread.start()
        try:
            assert self._is_ready.wait(_WAIT_S), "the web server did not start"
            yield
        finally:
            self.release()
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(_WAIT_S)
            assert not thread.is_alive(), "the web server did not stop"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.SockSite(runner, self._socket, ssl_context=self._tls).start()
        self._is_ready.set()
        await self._stop.wait()
        await runner.cleanup()
