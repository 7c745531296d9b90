"""A backend that fails as it is told, at the other end of a real socket, and exporters for it as others would write them.

In a process of its own: `python -m tests.support.fault_backend hangs` prints its URL and serves until its input ends.
"""

import asyncio
import json
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Literal

import aiohttp
from aiohttp import web

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.observability.delivery.errors import PermanentExportError, TransientExportError
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.exporter.span_exporter import SpanExporter
from nat.testing.web_server import WebServer

__all__ = [
    "HANGS",
    "OK",
    "RESETS",
    "TRICKLES",
    "Answer",
    "Arrival",
    "FaultBackend",
    "PostLists",
    "PostSpans",
    "PostSteps",
    "answer",
    "closed_port",
    "retry_later",
    "running_fault_backend",
]

_PATH = "/v1/spans"
_WAIT_S = 20.0
_TRICKLE_S = 0.2  # between two bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What happens to one request after it has been read."""

    kind: Literal["status", "hangs", "resets", "trickles"] = "status"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


OK = Answer()
HANGS = Answer("hangs")
RESETS = Answer("resets")
TRICKLES = Answer("trickles")


def answer(status: int) -> Answer:
    return Answer(status=status)


def retry_later(status: int, after_s: int, *, as_date: bool = False) -> Answer:
    """An answer that names the time of the next attempt, in seconds or as an HTTP date."""
    value = formatdate(time.time() + after_s, usegmt=True) if as_date else str(after_s)
    return Answer(status=status, headers={"Retry-After": value})


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: when it had arrived (monotonic), the names and ids in it, and how it was answered."""

    time_s: float
    size_bytes: int
    names: list[str]
    span_ids: list[str]
    answer: Answer


class FaultBackend:
    """Answers as planned: first `plan(...)`, then whatever `from_now_on(...)` says; 413 above `limit_bytes`. Thread-safe."""

    def __init__(self) -> None:
        self.server = WebServer(_PATH, self._handle, is_held=True)
        self.url = self.server.url
        self.limit_bytes: int | None = None
        self._plan: deque[Answer] = deque()
        self._default = OK
        self._arrivals: list[Arrival] = []
        self._taken: Counter[str] = Counter()
        self._changed = threading.Condition()

    # -- what it is told -----------------------------------------------------------------------------------------------

    def plan(self, *answers: Answer) -> None:
        """Answer the next requests with these, in order."""
        with self._changed:
            self._plan.extend(answers)

    def from_now_on(self, fault: Answer) -> None:
        """Answer everything with this, unless something else is planned."""
        with self._changed:
            self._default = fault

    def recover(self) -> None:
        """Forget all faults; what hangs is answered with 200."""
        with self._changed:
            self._plan.clear()
            self._default = OK
        self.server.release()

    # -- what it has seen ----------------------------------------------------------------------------------------------

    @property
    def arrivals(self) -> list[Arrival]:
        with self._changed:
            return list(self._arrivals)

    @property
    def taken(self) -> Counter[str]:
        """Ids of the spans that were acknowledged, and how often."""
        with self._changed:
            return Counter(self._taken)

    @property
    def duplicates(self) -> list[str]:
        return [span_id for span_id, count in self.taken.items() if count > 1]

    def attempts(self) -> Counter[str]:
        """How often each span has arrived."""
        return Counter(span_id for arrival in self.arrivals for span_id in arrival.span_ids)

    def wait_for(self, count: int) -> None:
        """Block until that many requests have arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._arrivals) >= count, _WAIT_S), len(self._arrivals)

    def wait_for_names(self, names: Iterable[str]) -> None:
        """Block until spans of all these names have arrived."""
        missing, looked_at = set(names), 0

        def is_enough() -> bool:
            nonlocal looked_at
            missing.difference_update(*(arrival.names for arrival in self._arrivals[looked_at:]))
            looked_at = len(self._arrivals)
            return not missing

        with self._changed:
            assert self._changed.wait_for(is_enough, _WAIT_S), f"{len(missing)} did not come"

    # -- its answers ---------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        parsed = json.loads(body)
        spans = parsed if isinstance(parsed, list) else [parsed]
        ids = [span["span_id"] for span in spans]
        with self._changed:
            fate = self._plan.popleft() if self._plan else self._default
            if self.limit_bytes is not None and len(body) > self.limit_bytes:
                fate = answer(413)
            names = [span["name"] for span in spans]
            self._arrivals.append(Arrival(time.monotonic(), len(body), names, ids, fate))
            self._changed.notify_all()
        match fate.kind:
            case "hangs":
                await self.server.released()
            case "resets":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case "trickles":
                await self._trickle(request)
        if fate.status < 300:
            with self._changed:
                self._taken.update(ids)
        return web.json_response({}, status=fate.status, headers=fate.headers)

    async def _trickle(self, request: web.Request) -> None:
        """Bytes of an answer, one at a time, until somebody recovers us or hangs up."""
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionResetError):
            while not self.server.is_released:
                await response.write(b" ")
                await asyncio.sleep(_TRICKLE_S)


@contextmanager
def running_fault_backend() -> Iterator[FaultBackend]:
    backend = FaultBackend()
    with backend.server.running():
        yield backend


def closed_port() -> str:
    """A URL at which connections are refused."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    return f"http://127.0.0.1:{port}{_PATH}"


class PostSpans(SpanExporter[Span, dict[str, Any]]):
    """Posts each span; HTTP errors are aiohttp's own, as in most exporters out there."""

    def __init__(self, endpoint: str, *, timeout: float = 2.0, retries: int | None = None) -> None:
        super().__init__(timeout=timeout, retries=retries)
        self.endpoint = endpoint
        self.session = aiohttp.ClientSession()

    async def export_processed(self, item: Any) -> None:
        async with self.session.post(self.endpoint, json=item) as response:
            response.raise_for_status()
            await response.read()

    async def _cleanup(self) -> None:
        await self.session.close()
        await super()._cleanup()


class PostLists(PostSpans):
    """Posts lists of spans, and says itself what an error means."""

    @property
    def delivery_options(self) -> DeliveryOptions:
        return DeliveryOptions(takes_lists=True, batch_size=500, concurrency=2, timeout_s=2.0)

    async def export_processed(self, item: Any) -> None:
        async with self.session.post(self.endpoint, json=item) as response:
            if response.status in (429, 502, 503, 504):
                after = response.headers.get("Retry-After")
                raise TransientExportError(f"HTTP {response.status}", retry_after_s=float(after) if after else None)
            if response.status >= 300:
                raise PermanentExportError(f"HTTP {response.status}")
            await response.read()


class PostSteps(RawExporter[IntermediateStep, IntermediateStep]):
    """Posts each step, in order."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.session = aiohttp.ClientSession()

    async def export_processed(self, item: Any) -> None:
        document = {"name": f"{item.name} {item.event_type}", "span_id": f"{item.UUID} {item.event_type}"}
        async with self.session.post(self.endpoint, json=document) as response:
            response.raise_for_status()

    async def _cleanup(self) -> None:
        await self.session.close()
        await super()._cleanup()


def main() -> None:
    faults = {"healthy": OK, "hangs": HANGS, "resets": RESETS, "trickles": TRICKLES, "503": answer(503)}
    with running_fault_backend() as backend:
        backend.from_now_on(faults[sys.argv[1]])
        print(backend.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
