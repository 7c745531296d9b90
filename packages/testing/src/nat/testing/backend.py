"""A backend for tests, at the other end of a real loopback socket: it reads what it is sent, and fails as planned."""

import asyncio
import json
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from aiohttp import web
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # comes without types

from nat.testing import otlp
from nat.testing.faults import OK, Fault, status
from nat.testing.plain_spans import plain_spans_of
from nat.testing.received import Protocol, ReceivedSpan, Request
from nat.testing.web_server import WebServer

if TYPE_CHECKING:
    from nat.testing.grpc_front import GrpcFront
    from nat.testing.tls import ServerTls

__all__ = ["FakeBackend", "closed_url"]

_WAIT_S = 20.0
_TRICKLE_S = 0.2  # between two bytes
_SHOWN_REQUESTS = 5  # in a message, the last ones
_LINGER_NOT = struct.pack("ii", 1, 0)  # closing resets the connection

Refuse = Callable[[Request], Fault | None]
Reply = Fault | Callable[[Request], Fault]


class FakeBackend:
    """Takes OTLP over HTTP, as protobuf and JSON, and over gRPC, and any other JSON; keeps it, and answers as planned.

    Use it with `with` or `async with`. It lives on threads of its own. Thread-safe; what waits blocks (`wait_for_spans`),
    but for coroutines (`await_spans`).

    A request is answered, in this order: 404 beside `path`, 405 if the method is another, 400 or 415 if it cannot be read, what
    `refuse` says, 413 above `limit_bytes`, the next of what is planned, and what `from_now_on` said.

    Args:
        path: Where it takes spans over HTTP.
        grpc: Serve OTLP over gRPC as well, on a port of its own; needs `nat-telemetry-testing[grpc]`.
        tls: Speak TLS, on both.
        refuse: Looks at each request that can be read; what it returns is the answer. For a backend that is stricter, about
            headers for instance.
        method: Of the requests that bring spans.
        read: Gives the spans of such a request, for a backend with a format of its own; raises `ValueError` if there are none.
        replies: Answers at further paths, as `reply_at` takes them: a log-in, for instance.

    Attributes:
        refuse: As given; may be changed.
        url: Where to send OTLP over HTTP.
        base_url: The same without the path.
        grpc_endpoint: Host and port for gRPC; empty without.
        limit_bytes: Larger bodies, decompressed, are refused; `None` takes all.
    """

    def __init__(
        self,
        path: str = "/v1/traces",
        *,
        grpc: bool = False,
        tls: "ServerTls | None" = None,
        refuse: Refuse | None = None,
        method: str = "POST",
        read: Callable[[Request], Iterable[ReceivedSpan]] | None = None,
        replies: Mapping[str, Reply] = MappingProxyType({}),
    ) -> None:
        self._server = WebServer(path, self._handle, is_held=True, tls=None if tls is None else tls.context())
        self.url = self._server.url
        self.base_url = self._server.base_url
        self.grpc_endpoint = ""
        self.limit_bytes: int | None = None
        self._path = path
        self._method = method
        self._read = read or _spans_of
        self.refuse = refuse
        self._replies: dict[str, Reply] = dict(replies)
        self._plan: deque[Fault] = deque()
        self._default = OK
        self._requests: list[Request] = []
        self._acknowledged: list[Request] = []
        self._spans: list[ReceivedSpan] = []
        self._counts: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._recoveries = 0
        self._running = ExitStack()
        self._grpc: GrpcFront | None = None
        if grpc:
            from nat.testing import grpc_front  # grpcio is an extra

            self._grpc = grpc_front.GrpcFront(self._arrive, self._conclude, tls)
            self.grpc_endpoint = self._grpc.endpoint

    # -- what it is told -----------------------------------------------------------------------------------------------

    def plan(self, *faults: Fault) -> None:
        """Answer the next requests with these, in order."""
        with self._changed:
            self._plan.extend(faults)

    def from_now_on(self, fault: Fault) -> None:
        """Answer every request with this, unless something else is planned."""
        with self._changed:
            self._default = fault

    def recover(self) -> None:
        """Forget what is planned, answer what hangs with success, and cut off what trickles."""
        with self._changed:
            self._plan.clear()
            self._default = OK
            self._recoveries += 1
        self._server.let_pass()
        if self._grpc is not None:
            self._grpc.let_pass()

    def reply_at(self, path: str, reply: Reply) -> None:
        """Serve another path, for any method: with a fixed answer, or with what a function of the request returns."""
        self._replies[path] = reply

    # -- what it has seen ----------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Request]:
        """All requests, in the order in which they came."""
        with self._changed:
            return list(self._requests)

    @property
    def acknowledged(self) -> list[Request]:
        """The requests that it has answered with success, in that order; the rest of a partial success is one, too."""
        with self._changed:
            return list(self._acknowledged)

    @property
    def deliveries(self) -> list[Request]:
        """The requests that were to bring spans: without those at paths of `reply_at`."""
        return [request for request in self.requests if request.path not in self._replies]

    @property
    def spans(self) -> list[ReceivedSpan]:
        """The spans that it has acknowledged, in their order; one that it was sent twice is there twice."""
        with self._changed:
            return list(self._spans)

    @property
    def duplicates(self) -> list[ReceivedSpan]:
        """The spans that it had acknowledged before."""
        seen: set[tuple[str, str]] = set()
        found = []
        for span in self.spans:
            if (key := (span.trace_id, span.span_id)) in seen:
                found.append(span)
            seen.add(key)
        return found

    @property
    def attempts(self) -> Counter[str]:
        """How often each span has arrived, acknowledged or not, by span id."""
        return Counter(span.span_id for request in self.requests for span in request.spans)

    def wait_for_spans(self, count: int, timeout_s: float = _WAIT_S) -> list[ReceivedSpan]:
        """Block until that many different spans were acknowledged, and return them all.

        Raises:
            AssertionError: They did not come in time; says what came instead.
        """
        self._wait_for("spans", lambda: len(self._counts), count, timeout_s)
        return self.spans

    def wait_for_requests(self, count: int, timeout_s: float = _WAIT_S) -> list[Request]:
        """Block until that many requests have arrived, whatever their answer, and return them all.

        Raises:
            AssertionError: They did not come in time; says what came instead.
        """
        self._wait_for("requests", lambda: len(self._requests), count, timeout_s)
        return self.requests

    async def await_spans(self, count: int, timeout_s: float = _WAIT_S) -> list[ReceivedSpan]:
        """Like `wait_for_spans`, without blocking the event loop."""
        return await asyncio.to_thread(self.wait_for_spans, count, timeout_s)

    async def await_requests(self, count: int, timeout_s: float = _WAIT_S) -> list[Request]:
        """Like `wait_for_requests`, without blocking the event loop."""
        return await asyncio.to_thread(self.wait_for_requests, count, timeout_s)

    def _wait_for(self, what: str, came: Callable[[], int], count: int, timeout_s: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: came() >= count, timeout_s):
                last = "".join(f"\n  {_shown(request)}" for request in self._requests[-_SHOWN_REQUESTS:])
                raise AssertionError(
                    f"{came()} of {count} {what} came within {timeout_s:g} s; "
                    f"the last of {len(self._requests)} requests:{last}"
                )

    # -- its life ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._running.enter_context(self._server.running())
        if self._grpc is not None:
            self._running.enter_context(self._grpc.running())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._running.close)

    # -- its answers ---------------------------------------------------------------------------------------------------

    def _arrive(self, request: Request, problem: Fault | None = None) -> Request:
        """Keep a request, and decide how it is answered."""
        if problem is None and self.refuse is not None:
            problem = self.refuse(request)
        if problem is None and self.limit_bytes is not None and len(request.body) > self.limit_bytes:
            problem = too_large(len(request.body), self.limit_bytes)
        with self._changed:
            if problem is None:
                problem = self._plan.popleft() if self._plan else self._default
            return self._keep(replace(request, fault=problem))

    def _keep(self, request: Request) -> Request:
        with self._changed:
            for index, span in enumerate(request.spans):
                request.spans[index] = replace(span, request=request)
            self._requests.append(request)
            self._changed.notify_all()
        return request

    def _conclude(self, request: Request) -> None:
        """The client has its success: take the spans."""
        taken = request.spans[: len(request.spans) - request.fault.rejected_count]
        with self._changed:
            self._acknowledged.append(request)
            self._spans.extend(taken)
            self._counts.update(f"{span.trace_id}{span.span_id}" for span in taken)
            self._changed.notify_all()

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        request = await _read(http)
        reply = self._replies.get(request.path)
        if reply is not None:
            fault = reply if isinstance(reply, Fault) else reply(request)
            return await self._respond(http, self._keep(replace(request, fault=fault)))
        return await self._respond(http, self._arrive(request, self._problem_with(request)))

    def _problem_with(self, request: Request) -> Fault | None:
        if request.path != self._path:
            return _refusal(404, f"no such path: {request.path}")
        if request.method != self._method:
            return _refusal(405, f"{request.method} is not allowed")
        if request.protocol == "other" and self._read is _spans_of:
            return _refusal(415, f"content type {request.content_type!r} is not supported")
        try:
            request.spans.extend(self._read(request))
        except ValueError as exc:
            return _refusal(400, str(exc))
        return None

    async def _respond(self, http: web.Request, request: Request) -> web.StreamResponse:
        match request.fault.kind:
            case "hang":
                await self._server.released()
                request = replace(request, fault=OK)
            case "silence":
                await self._server.released()
                _reset(http)
                return web.Response()
            case "reset":
                _reset(http)
                return web.Response()
            case "trickle":
                return await self._trickle(http)
            case "truncated":
                return await _cut_short(http)
        if request.fault.is_success:
            if http.transport is None:  # it has hung up while the request was held
                return web.Response()
            self._conclude(request)
        return _response(request)

    async def _trickle(self, http: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        recoveries = self._recoveries
        await response.prepare(http)
        with suppress(ConnectionError):
            while self._recoveries == recoveries and not self._server.is_released and http.transport is not None:
                await response.write(b" ")
                await asyncio.sleep(_TRICKLE_S)
        _reset(http)
        return response


def closed_url(path: str = "/v1/traces") -> str:
    """A URL at which connections are refused."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    return f"http://127.0.0.1:{port}{path}"


def too_large(size_bytes: int, limit_bytes: int) -> Fault:
    """What a backend says to a request above its limit, in the words of its protocol."""
    return replace(
        _refusal(413, f"received message larger than max ({size_bytes} vs. {limit_bytes})"),
        grpc_code="RESOURCE_EXHAUSTED",
    )


def _refusal(code: int, message: str) -> Fault:
    return replace(status(code), message=message)


async def _read(http: web.Request) -> Request:
    content_type = http.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    body = await http.read()
    return Request(
        time_s=time.monotonic(),
        protocol=_protocol(content_type, body),
        method=http.method,
        path=http.path,
        query=http.query_string,
        headers={name.lower(): value for name, value in http.headers.items()},
        content_type=content_type,
        body=body,
    )


def _protocol(content_type: str, body: bytes) -> Protocol:
    if content_type == otlp.PROTOBUF:
        return "http/protobuf"
    if content_type != otlp.JSON:
        return "other"
    if b'"resourceSpans"' in body:  # most other JSON need not be read for that
        with suppress(ValueError):
            document = json.loads(body)
            if isinstance(document, Mapping) and "resourceSpans" in document:
                return "http/json"
    return "json"


def _spans_of(request: Request) -> list[ReceivedSpan]:
    """The spans of a request over HTTP; `ValueError` says what is wrong with it."""
    if request.protocol == "http/protobuf":
        return list(otlp.spans_of(otlp.decode(request.body), request))
    try:
        document = request.json()
    except ValueError as exc:
        raise otlp.UnreadableError("the body is no JSON") from exc
    if request.protocol == "http/json":
        return list(otlp.spans_of(otlp.decode_json(document), request))
    return list(plain_spans_of(document, request))


def _response(request: Request) -> web.Response:
    fault = request.fault
    content_type = fault.content_type or (otlp.PROTOBUF if request.protocol == "http/protobuf" else otlp.JSON)
    body = fault.body if fault.body is not None else _standard_body(fault, content_type)
    return web.Response(status=fault.status, body=body, headers={**fault.http_headers(), "Content-Type": content_type})


def _standard_body(fault: Fault, content_type: str) -> bytes:
    if fault.status < 300:
        return otlp.encode_answer(otlp.answer(fault.rejected_count, fault.message), content_type)
    return otlp.encode_answer(Status(code=0, message=fault.message or fault.name), content_type)


def _reset(http: web.Request) -> None:
    transport = http.transport
    if transport is None:
        return
    connection: Any = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()


async def _cut_short(http: web.Request) -> web.StreamResponse:
    """Half of an answer that announces a whole one; then the connection is closed."""
    response = web.StreamResponse(headers={"Content-Length": "64", "Content-Type": "application/json"})
    await response.prepare(http)
    with suppress(ConnectionError):
        await response.write(b'{"partialSuccess": ')
    if http.transport is not None:
        http.transport.close()
    return response


def _shown(request: Request) -> str:
    where = urlsplit(request.path).path
    return f"{request.method} {where} ({request.protocol}, {len(request.spans)} spans): {request.fault.name}"
