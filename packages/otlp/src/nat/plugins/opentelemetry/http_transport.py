"""OTLP over HTTP.

Sources: OTLP specification, section "OTLP/HTTP"; which status codes are tried again: its "Retryable Response Codes".
"""

import asyncio
import gzip
import logging
import ssl
import urllib.request
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from urllib.parse import urlsplit

import aiohttp

from nat.data_models.masking import hide
from nat.observability.delivery.errors import (
    ItemTooLargeError,
    PartialExportError,
    PermanentExportError,
    TransientExportError,
)
from nat.observability.noise import Noise
from nat.plugins.opentelemetry.answers import MalformedAnswerError, partial_success, words_of
from nat.plugins.opentelemetry.credentials import HeaderSource, UnreadableCredentialError, headers_from
from nat.plugins.opentelemetry.endpoints import HttpEndpoint
from nat.plugins.opentelemetry.transport import Compression, TlsFiles

__all__ = ["HttpTransport"]

_log = logging.getLogger("nat.observability.otlp")

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_RETRYABLE = frozenset({429, 502, 503, 504})
_UNAUTHORIZED = frozenset({401, 403})
_TOO_LARGE = 413
_MAX_ANSWER_BYTES = 64 * 1024
_INLINE_BYTES = 32 * 1024  # what is compressed at once takes half a millisecond; more goes to another thread
_GZIP_LEVEL = 3
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
        ssl.SSLError: A file for TLS does not hold what it should.
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
        self._ssl: ssl.SSLContext | bool = True if tls is None else _ssl_context(tls)
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
        headers = self._current_headers()
        answer = await self._post(body, headers)
        if answer.status in _UNAUTHORIZED:
            renewed = self._current_headers()
            if renewed != headers:
                headers = renewed
                answer = await self._post(body, headers)
        self._judge(answer, [value for value in headers.values() if len(value) > 3])

    async def close(self) -> None:
        """Close connections; idempotent."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    # -- request -------------------------------------------------------------------------------------------------------

    def _current_headers(self) -> dict[str, str]:
        try:
            headers = headers_from(self._headers)
        except UnreadableCredentialError as error:
            raise TransientExportError(str(error)) from error
        headers["Content-Type"] = self._content_type
        if self._is_gzip:
            headers["Content-Encoding"] = "gzip"
        return headers

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> "_Answer":
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._ssl, keepalive_timeout=_KEEP_ALIVE_S),
                timeout=aiohttp.ClientTimeout(total=None),  # the lane's
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.post(
                self._endpoint.url, data=body, headers=headers, allow_redirects=False, proxy=self._proxy
            ) as response:
                content = await response.content.read(_MAX_ANSWER_BYTES)
                while not response.content.at_eof():  # the rest, so that the connection can be used again
                    await response.content.read(_MAX_ANSWER_BYTES)
                return _Answer(response.status, response.headers, response.content_type, content)
        except aiohttp.InvalidURL as error:
            raise PermanentExportError(f"{self.shown_endpoint} is no URL") from error
        except aiohttp.ClientSSLError as error:
            raise TransientExportError(f"TLS with {self.shown_endpoint} failed: {_reason(error)}") from error
        except aiohttp.ClientConnectorError as error:
            raise TransientExportError(f"no connection to {self.shown_endpoint}: {_reason(error)}") from error
        except aiohttp.ServerDisconnectedError as error:
            raise TransientExportError(f"{self.shown_endpoint} closed the connection without an answer") from error
        except aiohttp.ClientHttpProxyError as error:
            raise TransientExportError(f"the proxy answers {error.status} for {self.shown_endpoint}") from error
        except aiohttp.ClientResponseError as error:
            words = "what it answers is no HTTP: another protocol speaks on this port, or TLS is expected there"
            raise TransientExportError(f"{self.shown_endpoint}: {words}") from error
        except aiohttp.ClientPayloadError as error:
            raise TransientExportError(f"{self.shown_endpoint}: the answer was cut short") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransientExportError(f"{self.shown_endpoint}: {type(error).__name__}") from error

    # -- answer --------------------------------------------------------------------------------------------------------

    def _judge(self, answer: "_Answer", secrets: list[str]) -> None:
        status, where = answer.status, self.shown_endpoint
        if 200 <= status < 300:
            self._judge_success(answer, secrets)
            return
        words = hide(words_of(answer.body, answer.content_type), secrets)
        said = f"HTTP {status} from {where}" + (f": {words}" if words else "")
        if 300 <= status < 400:
            location = answer.headers.get("Location", "")
            to = f" to {HttpEndpoint(location).shown}" if location else ""
            raise PermanentExportError(f"{said}: it redirects{to}; set endpoint to where it leads")
        if status in _RETRYABLE:
            raise TransientExportError(said, retry_after_s=_retry_after_s(answer.headers.get("Retry-After")))
        if status == _TOO_LARGE:
            raise ItemTooLargeError(said)
        raise PermanentExportError(said + _ADVICE.get(status, ""))

    def _judge_success(self, answer: "_Answer", secrets: list[str]) -> None:
        where, content_type = self.shown_endpoint, answer.content_type
        if not answer.body and content_type != "text/html":
            return
        if content_type not in (_PROTOBUF, _JSON):
            raise PermanentExportError(
                f"HTTP {answer.status} from {where} with {content_type}, where OTLP answers with {self._content_type}: "
                "this is no OTLP receiver (a log-in page, a proxy?); check the endpoint"
            )
        try:
            found = partial_success(answer.body, is_json=content_type == _JSON)
        except MalformedAnswerError as error:
            raise TransientExportError(f"{where}: its answer cannot be read ({error})") from error
        words = hide(found.message, secrets)
        if found.rejected_count > 0:
            raise PartialExportError(words or "no reason given", rejected_count=found.rejected_count)
        if words:
            self._noise.warn("warning", "%s: all spans were taken, with a warning: %s", where, words)


class _Answer:
    """One HTTP response, read."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], content_type: str, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content_type = content_type
        self.body = body


_ADVICE = {
    400: "; it cannot read what was sent",
    401: "; check the key",
    403: "; the key may not do that",
    404: "; check the path of the endpoint",
    405: "; check the path of the endpoint",
    415: "; it does not take this encoding: try protocol http/protobuf or http/json, or compression none",
}


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
    inner = getattr(error, "os_error", None) or error.__cause__
    if isinstance(inner, ssl.SSLError):
        return getattr(inner, "verify_message", None) or inner.reason or "handshake failed"
    return (inner.strerror if isinstance(inner, OSError) else None) or type(inner or error).__name__


def _ssl_context(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.certificate_file is not None:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    return context


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)
