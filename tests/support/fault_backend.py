"""A backend that fails as it is told, at the other end of a real socket, and exporters for it as others would write them.

In a process of its own: `python -m tests.support.fault_backend hangs` prints its URL and serves until its input ends.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.observability.delivery.errors import PermanentExportError, TransientExportError
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.exporter.span_exporter import SpanExporter
from nat.testing import FakeBackend, Request, closed_url, faults
from nat.testing.faults import Fault
from tests.support.waiting import PATIENCE_S

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
    "fault_backend_process",
    "retry_later",
    "running_fault_backend",
]

_PATH = "/v1/spans"
_ROOT = Path(__file__).parents[2]

Answer = Fault
OK = faults.OK
HANGS = faults.HANG
RESETS = faults.RESET
TRICKLES = faults.TRICKLE


def answer(status: int) -> Answer:
    return faults.status(status)


def retry_later(status: int, after_s: int, *, as_date: bool = False) -> Answer:
    """An answer that names the time of the next attempt, in seconds or as an HTTP date."""
    return faults.status(status, retry_after_s=after_s, as_date=as_date)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: when it had arrived (monotonic), the names and ids in it, and how it was answered."""

    time_s: float
    size_bytes: int
    names: list[str]
    span_ids: list[str]
    answer: Answer


class FaultBackend:
    """The fake backend of `nat.testing`, which is asked for names and ids of spans, or of steps. Thread-safe."""

    def __init__(self) -> None:
        self._backend = FakeBackend(_PATH)
        self.url = self._backend.url
        self.plan = self._backend.plan
        self.from_now_on = self._backend.from_now_on
        self.recover = self._backend.recover

    def __enter__(self) -> Self:
        self._backend.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._backend.__exit__(*exc)

    @property
    def limit_bytes(self) -> int | None:
        return self._backend.limit_bytes

    @limit_bytes.setter
    def limit_bytes(self, limit: int | None) -> None:
        self._backend.limit_bytes = limit

    @property
    def arrivals(self) -> list[Arrival]:
        return [_arrival(request) for request in self._backend.requests]

    @property
    def taken(self) -> Counter[str]:
        """Ids of the spans that were acknowledged, and how often."""
        return Counter(span_id for request in self._backend.acknowledged for span_id in _arrival(request).span_ids)

    @property
    def duplicates(self) -> list[str]:
        return [span_id for span_id, count in self.taken.items() if count > 1]

    def attempts(self) -> Counter[str]:
        """How often each span has arrived."""
        return Counter(span_id for arrival in self.arrivals for span_id in arrival.span_ids)

    def wait_for(self, count: int) -> None:
        """Block until that many requests have arrived."""
        self._backend.wait_for_requests(count)

    def wait_for_names(self, names: Iterable[str]) -> None:
        """Block until spans of all these names have arrived."""
        missing, looked_at = set(names), 0
        while missing:
            requests = self._backend.wait_for_requests(looked_at + 1)
            missing.difference_update(*(_arrival(request).names for request in requests[looked_at:]))
            looked_at = len(requests)


def _arrival(request: Request) -> Arrival:
    parsed = request.json()
    items = parsed if isinstance(parsed, list) else [parsed]
    return Arrival(
        time_s=request.time_s,
        size_bytes=len(request.body),
        names=[item["name"] for item in items],
        span_ids=[item["span_id"] for item in items],
        answer=request.fault,
    )


@contextmanager
def running_fault_backend() -> Iterator[FaultBackend]:
    with FaultBackend() as backend:
        yield backend


@contextmanager
def fault_backend_process(fault: str) -> Iterator[str]:
    """The URL of a backend in a process of its own, whose memory and time are not those of the test."""
    command = [sys.executable, "-m", __name__, fault]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def closed_port() -> str:
    """A URL at which connections are refused."""
    return closed_url(_PATH)


class PostSpans(SpanExporter[Span, dict[str, Any]]):
    """Posts each span; HTTP errors are aiohttp's own, as in most exporters out there."""

    def __init__(self, endpoint: str, *, timeout: float = PATIENCE_S, retries: int | None = None) -> None:
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
        return DeliveryOptions(takes_lists=True, batch_size=500, concurrency=2, timeout_s=PATIENCE_S)

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
    named = {"healthy": OK, "hangs": HANGS, "resets": RESETS, "trickles": TRICKLES, "503": answer(503)}
    with running_fault_backend() as backend:
        backend.from_now_on(named[sys.argv[1]])
        print(backend.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
