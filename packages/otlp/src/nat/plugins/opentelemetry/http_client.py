"""An HTTP client for exporters: one request at a time in, its answer or an error that delivery understands out."""

import io
import os
import socket
import ssl
import urllib.request
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import NoReturn
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict

from nat.observability.delivery.causes import Cause, cause_of, cause_of_status
from nat.observability.delivery.errors import ItemTooLargeError, PermanentExportError, TransientExportError
from nat.plugins.opentelemetry.answers import shown_words, words_of
from nat.plugins.opentelemetry.credentials import without_secrets
from nat.plugins.opentelemetry.endpoints import shown_url
from nat.plugins.opentelemetry.transport import TlsFiles, ssl_context

__all__ = ["HttpAnswer", "HttpClient", "raise_for_answer"]

_MAX_ANSWER_BYTES = 1024 * 1024
_WHOLE_BYTES = 2**20
_KEEP_ALIVE_S = 60.0
_TOO_LARGE = 413
_RETRYABLE = frozenset({429, 502, 503, 504})


class HttpAnswer:
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

    @property
    def is_success(self) -> bool:
        """Whether its status is of the 200s."""
        return 200 <= self.status < 300


class HttpClient:
    """One pooled client, made in the loop that first asks. It follows no redirect, keeps no cookie, and sets no time limit.

    Args:
        user_agent: Who asks.
        tls: Files for TLS.
        proxy: URL of a proxy; `None`: as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say.
        no_http_mend: What to say where what answers is no HTTP.

    Raises:
        OSError: A file for TLS cannot be read.
        ValueError: A file for TLS does not hold what it should.
    """

    def __init__(
        self, user_agent: str, *, tls: TlsFiles | None = None, proxy: str | None = None, no_http_mend: str = ""
    ) -> None:
        self._user_agent = user_agent
        self._ssl: ssl.SSLContext | bool = True if tls is None else ssl_context(tls)
        self._proxy = proxy
        self._proxies: dict[tuple[str, str], str | None] = {}
        self._no_http_mend = no_http_mend
        self._session: aiohttp.ClientSession | None = None

    def proxy_for(self, url: str) -> str | None:
        """The proxy that a URL is asked through."""
        parts = urlsplit(url)
        server = (parts.scheme, parts.netloc)
        if server not in self._proxies:
            self._proxies[server] = self._proxy or _proxy_for(url)
        return self._proxies[server]

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> HttpAnswer:
        """Ask, and read the answer, whatever its status.

        Raises:
            TransientExportError: There is none; says why, without what a URL may hold of keys.
            PermanentExportError: There will be none.
        """
        all_headers = CIMultiDict({"User-Agent": self._user_agent})
        all_headers.update(headers or {})
        if "Authorization" in all_headers and urlsplit(url).username is not None:
            raise PermanentExportError(
                f"{shown_url(url)}: both the URL and the header Authorization say who sends",
                cause=Cause.MISCONFIGURED,
                mend="leave one of them out",
            )
        proxy = self.proxy_for(url)
        try:
            async with self._client().request(
                method, url, data=_sent_in_parts(body), headers=all_headers, allow_redirects=False, proxy=proxy
            ) as response:
                return await _read(response)
        except (aiohttp.ClientError, OSError) as error:
            self._raise_for(error, url, proxy)

    async def close(self) -> None:
        """Close connections; idempotent."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._ssl, keepalive_timeout=_KEEP_ALIVE_S),
                timeout=aiohttp.ClientTimeout(total=None),  # the lane's
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _raise_for(self, error: aiohttp.ClientError | OSError, url: str, proxy: str | None) -> NoReturn:
        """Say why there is no answer; not `from` the error, which may quote the URL with all that is in it."""
        where, cause, mends = shown_url(url), cause_of(error), [""]
        match error:
            case aiohttp.InvalidURL():
                raise PermanentExportError(f"{where} is no URL", cause=Cause.MISCONFIGURED) from None
            case aiohttp.ClientHttpProxyError():
                _raise_for_proxy(error.status, where, proxy)
            case aiohttp.ClientProxyConnectionError():
                said = f"no connection to the proxy {shown_url(proxy or '')}: {_reason(error)}"
            case aiohttp.ClientSSLError():
                said, mends = f"TLS with {where} failed: {_reason(error)}", [_TLS_MENDS.get(cause, "")]
            case aiohttp.ClientConnectorError():
                said = f"no connection to {where}: {_reason(error)}"
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
                said, cause = f"{where} closed the connection without an answer", Cause.CLOSED
                mends = [_scheme_mend(url)]
            case aiohttp.ClientResponseError():
                said, cause = f"{where}: what it answers is no HTTP", Cause.NO_HTTP
                mends = [self._no_http_mend, _scheme_mend(url)]
            case _:
                said = f"{where}: {type(error).__name__}"
        raise TransientExportError(said, cause=cause, mend="; ".join(filter(None, mends))) from None


def raise_for_answer(
    answer: HttpAnswer,
    where: str,
    secrets: list[str],
    *,
    mends: Mapping[int, str],
    retryable: frozenset[int] = _RETRYABLE,
) -> NoReturn:
    """Raise what an answer means that is no success.

    Args:
        answer: It.
        where: Who says so.
        secrets: What no message may contain.
        mends: What to do, by status.
        retryable: Statuses that may pass.

    Raises:
        TransientExportError, ItemTooLargeError, PermanentExportError: That is what it means.
    """
    status = answer.status
    words = shown_words(words_of(answer.body, answer.content_type), secrets)
    said = f"HTTP {status} from {where}" + (f": {words}" if words else "")
    if 300 <= status < 400:
        location = without_secrets(shown_url(answer.headers.get("Location", "")), secrets)
        to = f" to {location}" if location else ""
        mend = "set endpoint to where it leads"
        raise PermanentExportError(f"{said}: it redirects{to}", cause=Cause.REDIRECT, mend=mend)
    cause = _cause_of_answer(status, words, where)
    if status in retryable:
        delay_s = _retry_after_s(answer.headers.get("Retry-After"))
        raise TransientExportError(said, retry_after_s=delay_s, cause=cause)
    if status == _TOO_LARGE:
        raise ItemTooLargeError(said)
    mend = "" if cause is Cause.PROJECT_MISSING else {**_PROXY_MENDS, **mends}.get(status, "")
    raise PermanentExportError(said, cause=cause, mend=mend)


_PROXY_MENDS = {407: "put user and password into the proxy's URL: http://user:password@host:port"}
_TLS_MENDS = {
    Cause.UNKNOWN_AUTHORITY: "if its authority is your own, name it in tls.ca_file",
    Cause.NO_TLS: "it speaks no TLS on this port: use http://",
    Cause.CLIENT_CERTIFICATE: "it asks for a client certificate: set tls.certificate_file",
}
_MAY_BE_PROJECT = frozenset({400, 404, 422})
_PROJECT_WORDS = ("project", "experiment", "workspace", "log stream", "logstream")  # what vendors call it


def _cause_of_answer(status: int, words: str, where: str) -> Cause:
    """Why a backend refuses; whether it is a project that is missing stands in its words only."""
    if status not in _MAY_BE_PROJECT or urlsplit(where).path in words:
        return cause_of_status(status)
    is_project = any(word in words.lower() for word in _PROJECT_WORDS)
    return Cause.PROJECT_MISSING if is_project else cause_of_status(status)


def _raise_for_proxy(status: int, where: str, proxy: str | None) -> NoReturn:
    said = f"the proxy {shown_url(proxy or '')} answers {status} for {where}"
    if status in _RETRYABLE:
        raise TransientExportError(said, cause=Cause.PROXY) from None
    raise PermanentExportError(said, cause=Cause.PROXY, mend=_PROXY_MENDS.get(status, "")) from None


def _scheme_mend(url: str) -> str:
    return "if it expects TLS, use https://" if urlsplit(url).scheme == "http" else ""


async def _read(response: aiohttp.ClientResponse) -> HttpAnswer:
    """The answer with its body; the connection of one that is far too long is given up."""
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                response.close()
                return HttpAnswer(response, bytes(body), is_whole=False)
    except aiohttp.ClientPayloadError:
        return HttpAnswer(response, bytes(body), is_whole=False)
    return HttpAnswer(response, bytes(body), is_whole=True)


def _sent_in_parts(body: bytes | None) -> bytes | io.BytesIO | None:
    """A large body in the form that aiohttp writes piece by piece; as bytes, it would warn of a blocked loop."""
    return body if body is None or len(body) <= _WHOLE_BYTES else io.BytesIO(body)


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
    if isinstance(inner, OSError) and (inner.errno or 0) > 0 and not isinstance(inner, socket.gaierror):
        return os.strerror(inner.errno or 0)
    return (inner.strerror if isinstance(inner, OSError) else None) or type(inner or error).__name__


def _inner(error: BaseException) -> BaseException | None:
    certificate_error: BaseException | None = getattr(error, "certificate_error", None)
    return certificate_error or getattr(error, "os_error", None) or error.__cause__


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)
