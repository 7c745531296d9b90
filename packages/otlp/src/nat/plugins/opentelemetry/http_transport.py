"""OTLP over HTTP.

Sources: OTLP specification, section "OTLP/HTTP"; which status codes are tried again: its "Retryable Response Codes".
"""

import asyncio
import gzip
import logging
from collections.abc import Mapping

from multidict import CIMultiDict

from nat.observability.delivery.causes import Cause
from nat.observability.delivery.errors import PermanentExportError, TransientExportError
from nat.observability.noise import Noise
from nat.plugins.opentelemetry.answers import conclude
from nat.plugins.opentelemetry.credentials import HeaderSource, current_headers, secrets_in
from nat.plugins.opentelemetry.endpoints import HttpEndpoint
from nat.plugins.opentelemetry.http_client import HttpAnswer, HttpClient, raise_for_answer
from nat.plugins.opentelemetry.transport import Compression, TlsFiles, user_agent

__all__ = ["HttpTransport"]

_log = logging.getLogger("nat.observability.otlp")

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_UNAUTHORIZED = frozenset({401, 403})
_INLINE_BYTES = 32 * 1024  # what is compressed at once takes half a millisecond; more goes to another thread
_GZIP_LEVEL = 3
_NO_HTTP_MEND = "perhaps gRPC is spoken on this port (use protocol: grpc, or the port for HTTP, usually 4318)"
_MENDS = {
    400: "it cannot read what was sent",
    401: "check the key, and the variable or file that it comes from",
    403: "check the key: it is wrong, or may not do that",
    404: "check the path of the endpoint",
    405: "check the path of the endpoint",
    415: "it does not take this encoding: try protocol http/protobuf or http/json, or compression none",
}


class HttpTransport:
    """Posts requests through one pooled client, which is made in the loop that first sends.

    Args:
        endpoint: Where to.
        headers: Of each request, beside those that OTLP demands.
        is_json: Bodies are OTLP/JSON, not protobuf.
        compression: Of bodies.
        tls: Files for TLS.
        proxy: URL of a proxy; `None`: as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say.

    Raises:
        OSError: A file for TLS cannot be read.
        ValueError: A file for TLS does not hold what it should.
    """

    def __init__(
        self,
        endpoint: HttpEndpoint,
        headers: HeaderSource | None = None,
        *,
        is_json: bool = False,
        compression: Compression = "none",
        tls: TlsFiles | None = None,
        proxy: str | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._headers = headers
        self._content_type = _JSON if is_json else _PROTOBUF
        self._is_gzip = compression == "gzip"
        self._client = HttpClient(user_agent(), tls=tls, proxy=proxy, no_http_mend=_NO_HTTP_MEND)
        self._noise = Noise(_log)

    @property
    def shown_endpoint(self) -> str:
        """Where to, without anything secret."""
        return self._endpoint.shown

    async def send(self, body: bytes) -> None:
        """Post one encoded request; see `Transport.send`."""
        if self._is_gzip:
            body = await _compressed(body)
        headers, url = await current_headers(self._headers), self._endpoint.url
        answer = await self._post(body, headers)
        if answer.status in _UNAUTHORIZED:
            renewed = await current_headers(self._headers)
            if renewed != headers:
                headers = renewed
                answer = await self._post(body, headers)
        self._judge(answer, secrets_in(headers, (url, self._client.proxy_for(url))))

    async def close(self) -> None:
        """Close connections; idempotent."""
        await self._client.close()

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        all_headers = CIMultiDict(headers)
        all_headers["Content-Type"] = self._content_type
        if self._is_gzip:
            all_headers["Content-Encoding"] = "gzip"
        return await self._client.request("POST", self._endpoint.url, headers=all_headers, body=body)

    def _judge(self, answer: HttpAnswer, secrets: list[str]) -> None:
        where, content_type = self.shown_endpoint, answer.content_type
        if not answer.is_success:
            raise_for_answer(answer, where, secrets, mends=_MENDS)
        if not answer.is_whole:
            raise TransientExportError(f"{where}: the answer was cut short", cause=Cause.CLOSED)
        if not answer.body and content_type != "text/html":
            return
        if content_type not in (_PROTOBUF, _JSON):
            raise PermanentExportError(
                f"HTTP {answer.status} from {where} with {content_type}, where OTLP answers with {self._content_type}: "
                "this is no OTLP receiver (a log-in page, a proxy?)",
                cause=Cause.NO_RECEIVER,
                mend="check the endpoint",
            )
        conclude(answer.body, is_json=content_type == _JSON, where=where, secrets=secrets, noise=self._noise)


async def _compressed(body: bytes) -> bytes:
    if len(body) <= _INLINE_BYTES:
        return gzip.compress(body, _GZIP_LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL, mtime=0)
