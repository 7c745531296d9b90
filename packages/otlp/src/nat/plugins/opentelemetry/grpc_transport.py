"""OTLP over gRPC; needs grpcio, the extra `grpc`.

Sources: OTLP specification, section "OTLP/gRPC" with its table of retryable codes and "OTLP/gRPC Throttling";
opentelemetry-proto, `collector/trace/v1/trace_service.proto`. Bodies go through as they are: no generated code is needed.
"""

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from nat.observability.delivery.causes import Cause
from nat.observability.delivery.errors import ItemTooLargeError, PermanentExportError, TransientExportError
from nat.observability.noise import Noise
from nat.plugins.opentelemetry.answers import conclude, retry_delay_s, shown_words
from nat.plugins.opentelemetry.credentials import HeaderSource, current_headers, secrets_in
from nat.plugins.opentelemetry.endpoints import GrpcEndpoint
from nat.plugins.opentelemetry.settings import GRPC_IS_MISSING
from nat.plugins.opentelemetry.transport import Compression, TlsFiles, ssl_context, user_agent
from nat.utils.forking import new_lock

try:
    import grpc
except ModuleNotFoundError as error:
    if error.name != "grpc":
        raise
    raise ModuleNotFoundError(GRPC_IS_MISSING, name="grpc") from None

__all__ = ["GrpcTransport"]

_log = logging.getLogger("nat.observability.otlp")

_FORK_WAIT_S = 2.0

_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_STATUS_DETAILS = "grpc-status-details-bin"

_Code = grpc.StatusCode
_RETRYABLE = frozenset(
    {_Code.CANCELLED, _Code.DEADLINE_EXCEEDED, _Code.ABORTED, _Code.OUT_OF_RANGE, _Code.UNAVAILABLE, _Code.DATA_LOSS}
)
_MEANINGS = {  # of statuses that are final
    _Code.UNAUTHENTICATED: (Cause.UNAUTHENTICATED, "check the key, and the variable or file that it comes from"),
    _Code.PERMISSION_DENIED: (Cause.FORBIDDEN, "check the key: it is wrong, or may not do that"),
    _Code.UNIMPLEMENTED: (Cause.NO_RECEIVER, "no OTLP receiver for traces listens there"),
    _Code.NOT_FOUND: (Cause.PROJECT_MISSING, ""),
    _Code.INVALID_ARGUMENT: (Cause.REFUSED_REQUEST, ""),
    _Code.FAILED_PRECONDITION: (Cause.REFUSED_REQUEST, ""),
    _Code.INTERNAL: (Cause.BACKEND_FAILS, ""),
    _Code.RESOURCE_EXHAUSTED: (Cause.BUSY, ""),
}
_PASSING = {  # of those that may pass
    _Code.DEADLINE_EXCEEDED: Cause.TIMEOUT,
    _Code.RESOURCE_EXHAUSTED: Cause.BUSY,
    _Code.UNAVAILABLE: Cause.BACKEND_FAILS,
}
_TOO_LARGE = "larger than max"
_USE_HTTP = "HTTP is spoken on this port: use protocol: http, or the port for gRPC, usually 4317"
_SIGNS = {  # in what grpcio says of a connection that failed, and what they mean
    "http1.x server": (Cause.SPEAKS_HTTP, _USE_HTTP),
    "missing selected ALPN": (Cause.SPEAKS_HTTP, _USE_HTTP),
    "CERTIFICATE_VERIFY_FAILED: certificate has expired": (Cause.CERTIFICATE_EXPIRED, ""),
    "CERTIFICATE_VERIFY_FAILED": (Cause.UNKNOWN_AUTHORITY, "if its authority is your own, name it in tls.ca_file"),
    "Hostname Verification Check failed": (Cause.CERTIFICATE_HOST, ""),
    "WRONG_VERSION_NUMBER": (Cause.NO_TLS, "it speaks no TLS on this port: use http://"),
    "Tls handshake failed": (Cause.TLS, ""),
    "errors resolving": (Cause.UNKNOWN_HOST, ""),
    "DNS resolution failed": (Cause.UNKNOWN_HOST, ""),
    "HTTP proxy": (Cause.PROXY, ""),
    "Connection refused": (Cause.REFUSED, ""),
    "unreachable": (Cause.UNREACHABLE, ""),
    "No route to host": (Cause.UNREACHABLE, ""),
    "Socket closed": (Cause.CLOSED, "if it expects TLS, use https://"),
    "failed to connect": (Cause.CLOSED, ""),
}


class GrpcTransport:
    """Calls the trace service through one channel, which is made in the loop that first sends.

    Through grpcio's own thread, not `grpc.aio`: that never hears an answer in a process that was forked while its parent
    used it.

    Args:
        endpoint: Where to.
        headers: Metadata of each call; names are sent in lower case.
        compression: Of messages.
        tls: Files for TLS.
        proxy: URL of an HTTP proxy; `None`: as grpcio finds it in the environment.

    Raises:
        OSError: A file for TLS cannot be read.
        ValueError: A file for TLS does not hold what it should.
    """

    def __init__(
        self,
        endpoint: GrpcEndpoint,
        headers: HeaderSource | None = None,
        *,
        compression: Compression = "none",
        tls: TlsFiles | None = None,
        proxy: str | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._headers = headers
        self._compression = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
        self._credentials = _credentials(tls) if endpoint.is_secure else None
        self._proxy = proxy
        self._noise = Noise(_log)
        self._channel: Any = None
        self._export: Any = None

    @property
    def shown_endpoint(self) -> str:
        """Where to, without anything secret."""
        return self._endpoint.shown

    async def send(self, body: bytes) -> None:
        """Make one call with an encoded request; see `Transport.send`."""
        headers = await current_headers(self._headers)
        try:
            answer = await self._call(body, headers)
        except grpc.RpcError as error:
            renewed = await current_headers(self._headers)
            if error.code() is not _Code.UNAUTHENTICATED or renewed == headers:
                self._raise_for(error, headers)
            headers = renewed
            try:
                answer = await self._call(body, headers)
            except grpc.RpcError as second:
                self._raise_for(second, headers)
        secrets = secrets_in(headers, (self._proxy,))
        conclude(answer, is_json=False, where=self.shown_endpoint, secrets=secrets, noise=self._noise)

    async def close(self) -> None:
        """Close the channel; idempotent."""
        if self._channel is not None:
            channel, self._channel, self._export = self._channel, None, None
            with _inside_grpcio:
                channel.close()

    async def _call(self, body: bytes, headers: dict[str, str]) -> bytes:
        metadata = _metadata(headers)
        with _inside_grpcio:
            if self._export is None:
                self._channel = self._open_channel()
                self._export = self._channel.unary_unary(_METHOD)
            call = self._export.future(body, metadata=metadata)
            ended = _end_of(call)
        try:
            await ended.wait()
        finally:
            with _inside_grpcio:
                call.cancel()  # unless it has ended
        answer: bytes = call.result()
        return answer

    def _open_channel(self) -> Any:
        options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", -1),
            ("grpc.primary_user_agent", user_agent()),
        ]
        if self._proxy is not None:
            options.append(("grpc.http_proxy", self._proxy))
        if self._credentials is None:
            return grpc.insecure_channel(self._endpoint.target, options=options, compression=self._compression)
        return grpc.secure_channel(
            self._endpoint.target, self._credentials, options=options, compression=self._compression
        )

    def _raise_for(self, error: Any, headers: dict[str, str]) -> NoReturn:
        """Say what the failure of a call means; not `from` the error, which may quote a key that the server repeats."""
        code, text = error.code(), error.details() or ""
        words = shown_words(text, secrets_in(headers, (self._proxy,)))
        said = f"gRPC {code.name} from {self.shown_endpoint}" + (f": {words}" if words else "")
        details = dict(error.trailing_metadata() or ()).get(_STATUS_DETAILS)
        delay_s = retry_delay_s(details) if isinstance(details, bytes) else None
        if code in _RETRYABLE or (code is _Code.RESOURCE_EXHAUSTED and delay_s is not None):
            cause, mend = next(
                (meaning for sign, meaning in _SIGNS.items() if sign in text),
                (_PASSING.get(code, Cause.UNKNOWN), ""),
            )
            raise TransientExportError(said, retry_after_s=delay_s, cause=cause, mend=mend) from None
        if code is _Code.RESOURCE_EXHAUSTED and _TOO_LARGE in text:
            raise ItemTooLargeError(said, cause=Cause.TOO_LARGE) from None
        cause, mend = _MEANINGS.get(code, (Cause.UNKNOWN, ""))
        raise PermanentExportError(said, cause=cause, mend=mend) from None


def _end_of(call: Any) -> asyncio.Event:
    """Set when a call has ended, of which grpcio tells on a thread of its own."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def tell(_: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(ended.set)

    call.add_done_callback(tell)
    return ended


def _metadata(headers: dict[str, str]) -> tuple[tuple[str, str | bytes], ...]:
    """Headers as gRPC takes them: in lower case, in ASCII; the values of names that end in `-bin` are bytes."""
    pairs: list[tuple[str, str | bytes]] = []
    for name, value in headers.items():
        if not value.isascii():
            raise PermanentExportError(
                f"the header {name!r} holds a letter that gRPC does not take; only ASCII is sent",
                cause=Cause.MISCONFIGURED,
            )
        pairs.append((name.lower(), value.encode() if name.lower().endswith("-bin") else value))
    return tuple(pairs)


def _credentials(tls: TlsFiles | None) -> "grpc.ChannelCredentials":
    def content(path: str | None) -> bytes | None:
        return None if path is None else Path(path).read_bytes()

    if tls is None:
        return grpc.ssl_channel_credentials()
    ssl_context(tls)  # says what is wrong with a file, where grpcio would only fail to connect
    certificate = content(tls.certificate_file)
    key = content(tls.key_file) if tls.key_file is not None else certificate
    return grpc.ssl_channel_credentials(content(tls.ca_file), key, certificate)


# -- fork --------------------------------------------------------------------------------------------------------------

# grpcio has handlers of its own for a fork, which make it work in the child. In there they wait for ever for a lock that
# another thread of the parent has held at that moment, inside grpcio. So none of ours is inside when a fork begins.

_inside_grpcio = new_lock()  # free in a child
_is_fork_covered = False


def _before_fork() -> None:
    global _is_fork_covered
    _is_fork_covered = _inside_grpcio.acquire(timeout=_FORK_WAIT_S)


def _after_fork() -> None:
    if _is_fork_covered:
        _inside_grpcio.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)  # before grpcio's, which was imported earlier
