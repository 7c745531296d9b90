"""The gRPC side of the fake backend; needs grpcio."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # comes without types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # comes without types

from nat.testing import otlp
from nat.testing.faults import OK, Fault, status
from nat.testing.received import Request

try:
    import grpc
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(
        "nat.testing: FakeBackend(grpc=True) needs grpcio; install it with: pip install 'nat-telemetry-testing[grpc]'"
    ) from exc

if TYPE_CHECKING:
    from nat.testing.tls import ServerTls

__all__ = ["GrpcFront"]

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_THREADS = 64  # one request each; what hangs keeps its own
_STOP_S = 0.5

_CODE_OF_STATUS = {  # what a gRPC server says where an HTTP server gives that status
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "UNIMPLEMENTED",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "UNAVAILABLE",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "UNAVAILABLE",
}


class GrpcFront:
    """Serves OTLP over gRPC on a free port, for as long as it runs.

    Args:
        arrive: Keeps a request and says how it is answered.
        conclude: Told of each request that was answered with success.
        tls: Speak TLS.
    """

    def __init__(
        self,
        arrive: "Callable[[Request, Fault | None], Request]",
        conclude: Callable[[Request], None],
        tls: "ServerTls | None",
    ) -> None:
        self._arrive = arrive
        self._conclude = conclude
        self._held: set[threading.Event] = set()
        self._lock = threading.Lock()
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="grpc backend"),
            options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
        )
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._export)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler}),))
        if tls is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            credentials = grpc.ssl_server_credentials(
                [(tls.key_pem, tls.certificate_pem)],
                tls.client_ca_pem,
                require_client_auth=tls.client_ca_pem is not None,
            )
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.endpoint = f"127.0.0.1:{port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve until the context is left; what is held is let pass then."""
        self._server.start()
        try:
            yield
        finally:
            stopped = self._server.stop(_STOP_S)
            self.let_pass()
            stopped.wait()

    def let_pass(self) -> None:
        """Answer what is held."""
        with self._lock:
            for gate in self._held:
                gate.set()

    def _export(self, body: bytes, context: Any) -> bytes:
        request = self._arrived(body, context)
        fault = request.fault
        match fault.kind:
            case "hang":
                if not self._hold(context):
                    return b""
                fault = OK
            case "silence" | "trickle":
                if not self._hold(context):
                    return b""
                context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset by peer")
            case "reset":
                context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset by peer")
            case "truncated":
                return b"\xff"
        if fault.is_success:
            self._conclude(replace(request, fault=fault))
            return otlp.answer(fault.rejected_count, fault.message).SerializeToString()
        context.abort_with_status(_status_of(fault))
        raise AssertionError("abort raises")

    def _arrived(self, body: bytes, context: Any) -> Request:
        metadata = {pair.key: pair.value for pair in context.invocation_metadata()}
        request = Request(
            time_s=time.monotonic(),
            protocol="grpc",
            method="POST",
            path=f"/{_SERVICE}/Export",
            query="",
            headers={
                key: value.decode("latin-1") if isinstance(value, bytes) else value for key, value in metadata.items()
            },
            content_type="application/grpc",
            body=body,
        )
        try:
            request.spans.extend(otlp.spans_of(otlp.decode(body), request))
        except otlp.UnreadableError as exc:
            return self._arrive(request, replace(status(400), message=str(exc)))
        return self._arrive(request, None)

    def _hold(self, context: Any) -> bool:
        """Wait until it is let pass; false if the client has gone by then."""
        gate = threading.Event()
        with self._lock:
            self._held.add(gate)
        if context.add_callback(gate.set):
            gate.wait()
        with self._lock:
            self._held.discard(gate)
        return bool(context.is_active())


class _RpcStatus(NamedTuple):
    code: Any
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def _status_of(fault: Fault) -> _RpcStatus:
    code = _code_of(fault)
    if fault.body is not None or 200 <= fault.status < 400:
        raise AssertionError(f"nat.testing: the fault {fault.name!r} exists over HTTP only")
    message = fault.message or fault.name
    rich = Status(code=code.value[0], message=message)
    if fault.retry_after_s is not None:
        packed = AnyMessage()
        info = RetryInfo()
        info.retry_delay.FromNanoseconds(round(fault.retry_after_s * 1e9))
        packed.Pack(info)
        rich.details.append(packed)
    return _RpcStatus(code, message, (("grpc-status-details-bin", rich.SerializeToString()),))


def _code_of(fault: Fault) -> Any:
    """The gRPC status of a fault; with a time to come back, 429 is an exhausted resource."""
    name = fault.grpc_code
    if name is None and fault.status == 429 and fault.retry_after_s is not None:
        name = "RESOURCE_EXHAUSTED"
    return getattr(grpc.StatusCode, name or _CODE_OF_STATUS.get(fault.status, "UNKNOWN"))
