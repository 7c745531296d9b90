"""OTLP over HTTP.

Sources: OTLP specification, section "OTLP/HTTP"; which status codes are tried again: its "Retryable Response Codes".
"""

import asyncio
import gzip
import io
import logging
import ssl
import urllib.request
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import NoReturn
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict

from nat.observability.delivery.errors import ItemTooLargeError, PermanentExportError, TransientExportError
from nat.observability.noise import Noise
from nat.plugins.opentelemetry.answers import conclude, shown_words, words_of
from nat.plugins.opentelemetry.credentials import (
    HeaderSource,
    UnreadableCredentialError,
    current_headers,
    secrets_in,
    without_secrets,
)
from nat.plugins.opentelemetry.endpoints import HttpEndpoint, shown_url
from nat.plugins.opentelemetry.transport import Compression, TlsFiles, ssl_context, user_agent

__all__ = ["HttpTransport"]

_log = logging.getLogger("nat.observability.otlp")

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_RETRYABLE = frozenset({429, 502, 503, 504})
_UNAUTHORIZED = frozenset({401, 403})
_TOO_LARGE = 413
_MAX_ANSWER_BYTES = 1024 * 1024
_INLINE_BYTES = 32 * 1024  # what is compressed at once takes half a millisecond; more goes to another thread
_GZIP_LEVEL = 3
_WHOLE_BYTES = 2**20
_KEEP_ALIVE_S = 60.0


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
        self._user_agent = user_agent()
        self._ssl: ssl.SSLContext | bool = True if tls is None else ssl_context(tls)
        self._proxy = proxy or _proxy_for(endpoint.url)
        self._session: aiohttp.ClientSession | None = None
        self._noise = Noise(_log)

    @property
    def shown_endpoint(self) -> str:
        """Where to, without anything secret."""
        return self._endpoint.shown

    async def send(self, body: bytes) -> None:
        """Post one encoded request; see `Transport.send`."""
        if self._is_gzip:
            body = await _compressed(body)
        headers = await self._current_headers()
        answer = await self._post(body, headers)
        if answer.status in _UNAUTHORIZED:
            renewed = await self._current_headers()
            if renewed != headers:
                headers = renewed
                answer = await self._post(body, headers)
        self._judge(answer, secrets_in(headers, (self._endpoint.url, self._proxy)))

    async def close(self) -> None:
        """Close connections; idempotent."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    # -- request -------------------------------------------------------------------------------------------------------

    async def _current_headers(self) -> dict[str, str]:
        try:
            return await current_headers(self._headers)
        except UnreadableCredentialError as error:
            raise TransientExportError(str(error)) from None

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> "_Answer":
        all_headers = CIMultiDict({"User-Agent": self._user_agent})
        all_headers.update(headers)
        all_headers["Content-Type"] = self._content_type
        if self._is_gzip:
            all_headers["Content-Encoding"] = "gzip"
        try:
            async with self._client().post(
                self._endpoint.url,
                data=_sent_in_parts(body),
                headers=all_headers,
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                return await _read(response)
        except (aiohttp.ClientError, OSError) as error:
            self._raise_for(error)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._ssl, keepalive_timeout=_KEEP_ALIVE_S),
                timeout=aiohttp.ClientTimeout(total=None),  # the lane's
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _raise_for(self, error: aiohttp.ClientError | OSError) -> NoReturn:
        """Say why there is no answer; not `from` the error, which may quote the URL with all that is in it."""
        where = self.shown_endpoint
        match error:
            case aiohttp.InvalidURL():
                raise PermanentExportError(f"{where} is no URL") from None
            case aiohttp.ClientHttpProxyError():
                self._raise_for_proxy(error.status)
            case aiohttp.ClientProxyConnectionError():
                said = f"no connection to the proxy {shown_url(self._proxy or '')}: {_reason(error)}"
            case aiohttp.ClientSSLError():
                said = f"TLS with {where} failed: {_reason(error)}{_tls_advice(error)}"
            case aiohttp.ClientConnectorError():
                said = f"no connection to {where}: {_reason(error)}"
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
                said = f"{where} closed the connection without an answer{self._scheme_advice()}"
            case aiohttp.ClientResponseError():
                said = (
                    f"{where}: what it answers is no HTTP; perhaps gRPC is spoken on this port (use protocol: grpc, or "
                    f"the port for HTTP, usually 4318){self._scheme_advice()}"
                )
            case _:
                said = f"{where}: {type(error).__name__}"
        raise TransientExportError(said) from None

    def _raise_for_proxy(self, status: int) -> NoReturn:
        said = f"the proxy {shown_url(self._proxy or '')} answers {status} for {self.shown_endpoint}"
        if status in _RETRYABLE:
            raise TransientExportError(said) from None
        raise PermanentExportError(said + _PROXY_ADVICE.get(status, "")) from None

    def _scheme_advice(self) -> str:
        return "; if it expects TLS, use https://" if urlsplit(self._endpoint.url).scheme == "http" else ""

    # -- answer --------------------------------------------------------------------------------------------------------

    def _judge(self, answer: "_Answer", secrets: list[str]) -> None:
        status, where = answer.status, self.shown_endpoint
        if 200 <= status < 300:
            self._judge_success(answer, secrets)
            return
        words = shown_words(words_of(answer.body, answer.content_type), secrets)
        said = f"HTTP {status} from {where}" + (f": {words}" if words else "")
        if 300 <= status < 400:
            location = without_secrets(shown_url(answer.headers.get("Location", "")), secrets)
            to = f" to {location}" if location else ""
            raise PermanentExportError(f"{said}: it redirects{to}; set endpoint to where it leads")
        if status in _RETRYABLE:
            raise TransientExportError(said, retry_after_s=_retry_after_s(answer.headers.get("Retry-After")))
        if status == _TOO_LARGE:
            raise ItemTooLargeError(said)
        raise PermanentExportError(said + _ADVICE.get(status, "") + _PROXY_ADVICE.get(status, ""))

    def _judge_success(self, answer: "_Answer", secrets: list[str]) -> None:
        where, content_type = self.shown_endpoint, answer.content_type
        if not answer.is_whole:
            raise TransientExportError(f"{where}: the answer was cut short")
        if not answer.body and content_type != "text/html":
            return
        if content_type not in (_PROTOBUF, _JSON):
            raise PermanentExportError(
                f"HTTP {answer.status} from {where} with {content_type}, where OTLP answers with {self._content_type}: "
                "this is no OTLP receiver (a log-in page, a proxy?); check the endpoint"
            )
        conclude(answer.body, is_json=content_type == _JSON, where=where, secrets=secrets, noise=self._noise)


class _Answer:
    """One HTTP response, read.

    Attributes:
        is_whole: Whether the body came to its end.
    """

    __slots__ = ("body", "content_type", "headers", "is_whole", "status")

    def __init__(self, response: aiohttp.ClientResponse, body: bytes, *, is_whole: bool) -> None:
        self.status = response.status
        self.headers = response.headers
        self.content_type = response.content_type
        self.body = body
        self.is_whole = is_whole


_ADVICE = {
    400: "; it cannot read what was sent",
    401: "; check the key",
    403: "; the key may not do that",
    404: "; check the path of the endpoint",
    405: "; check the path of the endpoint",
    415: "; it does not take this encoding: try protocol http/protobuf or http/json, or compression none",
}
_PROXY_ADVICE = {407: "; put user and password into the proxy's URL: http://user:password@host:port"}


async def _read(response: aiohttp.ClientResponse) -> _Answer:
    """The answer with its body; the connection of one that is far too long is given up."""
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                response.close()
                return _Answer(response, bytes(body), is_whole=False)
    except aiohttp.ClientPayloadError:
        return _Answer(response, bytes(body), is_whole=False)
    return _Answer(response, bytes(body), is_whole=True)


def _sent_in_parts(body: bytes) -> bytes | io.BytesIO:
    """A large body in the form that aiohttp writes piece by piece; as bytes, it would warn of a blocked loop."""
    return body if len(body) <= _WHOLE_BYTES else io.BytesIO(body)


async def _compressed(body: bytes) -> bytes:
    if len(body) <= _INLINE_BYTES:
        return gzip.compress(body, _GZIP_LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL, mtime=0)


def _retry_after_s(value: str | None) -> float | None:
    """Seconds that a `Retry-After` asks to wait: a number, or a date (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(value).timestamp() - time(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return None


def _reason(error: aiohttp.ClientConnectorError | aiohttp.ClientSSLError) -> str:
    inner = _inner(error)
    if isinstance(inner, ssl.SSLError):
        return getattr(inner, "verify_message", None) or inner.reason or "handshake failed"
    return (inner.strerror if isinstance(inner, OSError) else None) or type(inner or error).__name__


def _tls_advice(error: aiohttp.ClientSSLError) -> str:
    inner = _inner(error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return "; if its authority is your own, name it in tls.ca_file"
    reason = getattr(inner, "reason", None) or ""
    if reason in _NO_TLS:
        return "; it speaks no TLS on this port: use http://"
    return "; it asks for a client certificate: set tls.certificate_file" if "CERTIFICATE_REQUIRED" in reason else ""


def _inner(error: BaseException) -> BaseException | None:
    certificate_error: BaseException | None = getattr(error, "certificate_error", None)
    return certificate_error or getattr(error, "os_error", None) or error.__cause__


_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_EOF_WHILE_READING")


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)
