"""OTLP over gRPC; needs grpcio, the extra `grpc`.

Sources: OTLP specification, section "OTLP/gRPC" with its table of retryable codes and "OTLP/gRPC Throttling";
opentelemetry-proto, `collector/trace/v1/trace_service.proto`. Bodies go through as they are: no generated code is needed.
"""

from pathlib import Path
from typing import Any

from nat.data_models.masking import hide
from nat.observability.delivery.errors import (
    ItemTooLargeError,
    PartialExportError,
    PermanentExportError,
    TransientExportError,
)
from nat.plugins.opentelemetry.answers import MalformedAnswerError, partial_success, retry_delay_s
from nat.plugins.opentelemetry.credentials import HeaderSource, UnreadableCredentialError, headers_from
from nat.plugins.opentelemetry.endpoints import GrpcEndpoint
from nat.plugins.opentelemetry.transport import Compression, TlsFiles

try:
    import grpc
    import grpc.aio
except ModuleNotFoundError as error:
    if error.name != "grpc":
        raise
    raise ModuleNotFoundError(
        'OTLP over gRPC needs grpcio; install it: pip install "nat-telemetry-otlp[grpc]", or use protocol: http',
        name="grpc",
    ) from None

__all__ = ["GrpcTransport"]

_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_STATUS_DETAILS = "grpc-status-details-bin"

_Code = grpc.StatusCode
_RETRYABLE = frozenset(
    {_Code.CANCELLED, _Code.DEADLINE_EXCEEDED, _Code.ABORTED, _Code.OUT_OF_RANGE, _Code.UNAVAILABLE, _Code.DATA_LOSS}
)
_ADVICE = {
    _Code.UNAUTHENTICATED: "; check the key",
    _Code.PERMISSION_DENIED: "; the key may not do that",
    _Code.UNIMPLEMENTED: "; no OTLP receiver for traces listens there",
}


class GrpcTransport:
    """Calls the trace service through one channel, which is made in the loop that first sends.

    Args:
        endpoint: Where to.
        headers: Metadata of each call; names are sent in lower case.
        compression: Of messages.
        tls: Files for TLS.

    Raises:
        OSError: A file for TLS cannot be read.
    """

    def __init__(
        self,
        endpoint: GrpcEndpoint,
        headers: HeaderSource | None = None,
        *,
        compression: Compression = "none",
        tls: TlsFiles | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._headers = headers
        self._compression = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
        self._credentials = _credentials(tls or TlsFiles()) if endpoint.is_secure else None
        self._channel: Any = None
        self._export: Any = None

    @property
    def shown_endpoint(self) -> str:
        """Where to, without anything secret."""
        return self._endpoint.shown

    async def send(self, body: bytes) -> None:
        """Make one call with an encoded request; see `Transport.send`."""
        metadata = self._metadata()
        try:
            answer = await self._call(body, metadata)
        except grpc.aio.AioRpcError as error:
            renewed = self._metadata()
            if error.code() is not _Code.UNAUTHENTICATED or renewed == metadata:
                self._raise_for(error, metadata)
            metadata = renewed
            try:
                answer = await self._call(body, metadata)
            except grpc.aio.AioRpcError as second:
                self._raise_for(second, metadata)
        try:
            found = partial_success(answer, is_json=False)
        except MalformedAnswerError as error:
            raise TransientExportError(f"{self.shown_endpoint}: its answer cannot be read ({error})") from error
        if found.rejected_count > 0:
            words = hide(found.message, _secrets(metadata))
            raise PartialExportError(words or "no reason given", rejected_count=found.rejected_count)

    async def close(self) -> None:
        """Close the channel; idempotent."""
        if self._channel is not None:
            channel, self._channel, self._export = self._channel, None, None
            await channel.close()

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        try:
            headers = headers_from(self._headers)
        except UnreadableCredentialError as error:
            raise TransientExportError(str(error)) from error
        return tuple((name.lower(), value) for name, value in headers.items())

    async def _call(self, body: bytes, metadata: tuple[tuple[str, str], ...]) -> bytes:
        if self._export is None:
            target, options = self._endpoint.target, [("grpc.max_send_message_length", -1)]
            if self._credentials is None:
                self._channel = grpc.aio.insecure_channel(target, options=options, compression=self._compression)
            else:
                self._channel = grpc.aio.secure_channel(
                    target, self._credentials, options=options, compression=self._compression
                )
            self._export = self._channel.unary_unary(_METHOD)
        answer: bytes = await self._export(body, metadata=metadata)
        return answer

    def _raise_for(self, error: "grpc.aio.AioRpcError", metadata: tuple[tuple[str, str], ...]) -> None:
        code = error.code()
        words = hide(error.details() or "", _secrets(metadata))
        said = f"gRPC {code.name} from {self.shown_endpoint}" + (f": {words}" if words else "")
        details = dict(error.trailing_metadata() or ()).get(_STATUS_DETAILS)
        delay_s = retry_delay_s(details) if isinstance(details, bytes) else None
        if code in _RETRYABLE or (code is _Code.RESOURCE_EXHAUSTED and delay_s is not None):
            raise TransientExportError(said, retry_after_s=delay_s) from error
        if code is _Code.RESOURCE_EXHAUSTED and "larger than max" in words:
            raise ItemTooLargeError(said) from error
        raise PermanentExportError(said + _ADVICE.get(code, "")) from error


def _secrets(metadata: tuple[tuple[str, str], ...]) -> list[str]:
    return [value for _, value in metadata if len(value) > 3]


def _credentials(tls: TlsFiles) -> "grpc.ChannelCredentials":
    def content(path: str | None) -> bytes | None:
        return None if path is None else Path(path).read_bytes()

    certificate = content(tls.certificate_file)
    key = content(tls.key_file) if tls.key_file is not None else certificate
    return grpc.ssl_channel_credentials(content(tls.ca_file), key, certificate)
