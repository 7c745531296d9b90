"""A forward proxy on the loopback, for tunnels and for plain requests, and a relay that counts connections."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.waiting import PATIENCE_S, wait_for

__all__ = ["HttpProxy", "Passage", "Relay"]


@dataclass(frozen=True, slots=True)
class Passage:
    """One request to the proxy: what it was asked for, and with which headers (lower-case names)."""

    method: str
    target: str
    headers: dict[str, str]


class _Loopback:
    """A TCP server in a thread and loop of its own.

    Attributes:
        port: Where it listens.
        connection_count: Connections that were accepted.
        byte_count: Bytes that clients have sent through it.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = 0
        self.connection_count = 0
        self.byte_count = 0
        self._loop = asyncio.new_event_loop()
        self._is_ready = threading.Event()
        self._stop = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        thread.start()
        try:
            assert self._is_ready.wait(PATIENCE_S)
            yield
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, first: bytes = b""
    ) -> None:
        """Pass bytes on in both directions until one side ends."""
        far_reader, far_writer = await asyncio.open_connection(host, port)
        far_writer.write(first)
        copies = [
            asyncio.ensure_future(self._copy(reader, far_writer, is_counted=True)),
            asyncio.ensure_future(self._copy(far_reader, writer)),
        ]
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copy in copies:
                copy.cancel()
            far_writer.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_counted: bool = False
    ) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(65536):
                self.byte_count += len(chunk) if is_counted else 0
                writer.write(chunk)
                await writer.drain()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._accepted, self.host, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._is_ready.set()
        await self._stop.wait()
        server.close()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        self._writers.add(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.serve(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        """Close all connections; returns once they are."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(PATIENCE_S)

    def wait_until_closed(self) -> None:
        """Block until clients have closed all connections."""
        wait_for(lambda: not self._writers)

    async def _hang_up(self) -> None:
        for writer in list(self._writers):
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


class Relay(_Loopback):
    """Passes connections on to another port of this machine, and counts them."""

    def __init__(self, to_port: int, host: str = "127.0.0.1") -> None:
        super().__init__(host)
        self._to_port = to_port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.join(reader, writer, "127.0.0.1", self._to_port)


class HttpProxy(_Loopback):
    """Passes on what it is asked for.

    Args:
        credentials: What `Proxy-Authorization` must be; without it the answer is 407.
        status: What it answers to everything, instead.
    """

    def __init__(self, *, credentials: str | None = None, status: int | None = None) -> None:
        super().__init__()
        self.passages: list[Passage] = []
        self._credentials = credentials
        self._status = status

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        request_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = request_line.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.passages.append(Passage(method, target, headers))
        status = self._status
        if self._credentials is not None and headers.get("proxy-authorization") != self._credentials:
            status = 407
        if status is not None:
            writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            return
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        assert parts.hostname is not None
        assert parts.port is not None
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.drain()
            head = b""
        await self.join(reader, writer, parts.hostname, parts.port, head)
