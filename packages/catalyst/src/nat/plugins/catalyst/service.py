"""Catalyst's upload protocol, on one HTTP client.

Source: ragaai-catalyst 2.2.7 at a server that records requests (2026-11-23). A token; the dataset; for each document a
presigned URL, the upload to it, and the insertion; for agentic traces a hash of their code, of which there is none.
"""

import asyncio
import ipaddress
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from nat.observability.delivery.causes import Cause
from nat.observability.delivery.errors import PermanentExportError, TransientExportError
from nat.observability.noise import Noise
from nat.plugins.catalyst.document import NO_CODE_HASH
from nat.plugins.opentelemetry.answers import shown_words, words_of
from nat.plugins.opentelemetry.credentials import resolved
from nat.plugins.opentelemetry.endpoints import http_endpoint, shown_url
from nat.plugins.opentelemetry.http_client import HttpAnswer, HttpClient, raise_for_answer
from nat.plugins.opentelemetry.transport import TlsFiles

__all__ = ["CatalystService", "api_url"]

_log = logging.getLogger("nat.observability.catalyst")

_TOKEN_LIFE_S = 6 * 3600.0
_TOKEN_MARGIN_S = 20.0  # before its end it is replaced
_DATASET_LIFE_S = 600.0  # after which a dataset is made sure of again
_UNAUTHORIZED = 401
_WRONG_KEYS = 400  # what Catalyst says to keys that it does not know
_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
_JSON = "application/json"
_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
_MENDS = {
    400: "check project and dataset",
    401: "check access_key and secret_key",
    403: "the keys may not do that",
    404: "check endpoint and project",
}


class CatalystService:
    """Uploads documents to one dataset. Lives on the event loop that first uploads; any number of uploads at the same time.

    A token is got with the first request, replaced before its end, and got anew once whenever Catalyst answers 401.

    Args:
        endpoint: Catalyst's API.
        access_key, secret_key: As texts, or as `file:PATH`.
        project, dataset: Where to.
        columns: Keys of the documents' metadata that are columns of the dataset.
        has_code: Whether the dataset is told of code.
        tls: Files for TLS.
        proxy: URL of an HTTP proxy; `None`: as the environment says.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        endpoint: str,
        access_key: str,
        secret_key: str,
        *,
        project: str,
        dataset: str,
        columns: Sequence[str] = (),
        has_code: bool = True,
        tls: TlsFiles | None = None,
        proxy: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = api_url(endpoint)
        self._keys = (access_key, secret_key)
        self._project = project
        self._dataset = dataset
        self._columns = columns
        self._needs_code = has_code
        self._client = HttpClient(f"nat-telemetry-catalyst/{version('nat-telemetry-catalyst')}", tls=tls, proxy=proxy)
        self._clock = clock
        self._token = ""
        self._token_until_s = 0.0
        self._dataset_until_s = 0.0
        self._getting_token = asyncio.Lock()
        self._secrets: list[str] = []
        self._noise = Noise(_log)

    async def upload(self, document: bytes, spans: Sequence[Mapping[str, Any]]) -> None:
        """Upload one document, and have it inserted with these spans.

        Raises:
            TransientExportError: Catalyst, or the storage behind it, may take it later.
            ItemTooLargeError: The storage takes nothing of that size.
            PermanentExportError: It will never be taken.
        """
        await self._make_dataset()
        url = await self._put(document)
        inserted = {"datasetName": self._dataset, "presignedUrl": url, "datasetSpans": spans}
        await self._asked("POST", "/v1/llm/insert/trace", inserted)
        if self._needs_code:
            await self._declare_code()

    async def close(self) -> None:
        """Close connections; idempotent."""
        await self._client.close()

    # -- steps ---------------------------------------------------------------------------------------------------------

    async def _make_dataset(self) -> None:
        """Have the dataset made; a refusal is said, and what is uploaded shows whether it is there."""
        if self._clock() < self._dataset_until_s:
            return
        request: dict[str, Any] = {"datasetName": self._dataset, "traceFolderUrl": None}
        if self._columns:
            request["schemaMapping"] = {column: {"columnType": "metadata"} for column in self._columns}
        answer = await self._ask("POST", "/v1/llm/dataset/logs", request)
        if answer.is_success:
            self._dataset_until_s = self._clock() + _DATASET_LIFE_S
        elif answer.status == _UNAUTHORIZED:
            self._raise_for(answer, "/v1/llm/dataset/logs")
        else:
            self._noise.warn(
                "dataset", "%s: the dataset %r could not be made: HTTP %d", self._base, self._dataset, answer.status
            )

    async def _put(self, document: bytes) -> str:
        """Upload to a presigned URL, and to a new one if that is refused; the URL that has it."""
        url = await self._presigned_url()
        answer = await self._put_at(url, document)
        if not answer.is_success and answer.status not in _RETRYABLE:
            url = await self._presigned_url()
            answer = await self._put_at(url, document)
        if not answer.is_success:
            raise_for_answer(answer, shown_url(url), self._secrets, mends={}, retryable=_RETRYABLE)
        return url

    async def _put_at(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> HttpAnswer:
        given = {"Content-Type": _JSON, **(headers or {})}
        if (urlsplit(url).hostname or "").endswith(".blob.core.windows.net"):
            given["x-ms-blob-type"] = "BlockBlob"
        return await self._client.request("PUT", url, headers=given, body=body)

    async def _presigned_url(self, **more: str) -> str:
        path = "/v1/llm/presigned-url"
        request = {"datasetName": self._dataset, "numFiles": 1, **more}
        answer = await self._ask("POST", path, request)
        if answer.status not in (200, _UNAUTHORIZED):
            other = await self._ask("GET", path, request)
            if other.status == 200 or other.status in _RETRYABLE:
                answer = other
        if answer.status != 200:
            self._raise_for(answer, path)
        try:
            return self._reachable(str(_parsed(answer)["data"]["presignedUrls"][0]))
        except (ValueError, LookupError, TypeError):
            raise TransientExportError(f"{self._base}{path}: no presigned URL is in the answer") from None

    def _reachable(self, url: str) -> str:
        """A presigned URL, at the API's host if that is this machine or a mere address: names behind it are unknown."""
        base = urlsplit(self._base)
        if base.hostname != "localhost" and not _is_ipv4(base.hostname or ""):
            return url
        return urlunsplit(urlsplit(url)._replace(netloc=base.netloc.rpartition("@")[2]))

    async def _declare_code(self) -> None:
        """Tell the dataset that there is no code. The document is inserted by now: what fails is said, and tried next time."""
        try:
            path = "/v2/llm/dataset/code"
            found = await self._asked("GET", f"{path}?datasetName={quote(self._dataset)}")
            if NO_CODE_HASH not in (_parsed(found).get("data") or {}).get("codeHashes", ()):
                url = await self._presigned_url(contentType="application/zip")
                project = {"X-Project-Name": self._project, "Content-Type": "application/zip"}
                answer = await self._put_at(url, _EMPTY_ZIP, project)
                if not answer.is_success:
                    raise_for_answer(answer, shown_url(url), self._secrets, mends={}, retryable=_RETRYABLE)
                code = {"datasetName": self._dataset, "codeHash": NO_CODE_HASH, "presignedUrl": url}
                await self._asked("POST", path, code)
            self._needs_code = False
        except (TransientExportError, PermanentExportError, ValueError, AttributeError, TypeError) as error:
            self._noise.warn(
                "code", "%s: the dataset %r knows no code hash: %s", shown_url(self._base), self._dataset, error
            )

    # -- requests ------------------------------------------------------------------------------------------------------

    async def _asked(self, method: str, path: str, request: Mapping[str, Any] | None = None) -> HttpAnswer:
        """Ask with the token; an answer that is a success."""
        answer = await self._ask(method, path, request)
        if not answer.is_success:
            self._raise_for(answer, path)
        if not answer.is_whole:
            raise TransientExportError(f"{self._shown(path)}: the answer was cut short")
        if answer.content_type != _JSON:
            said = f"HTTP {answer.status} from {self._shown(path)} with {answer.content_type}, not with {_JSON}"
            raise PermanentExportError(said, cause=Cause.NO_RECEIVER, mend="check the endpoint")
        return answer

    async def _ask(self, method: str, path: str, request: Mapping[str, Any] | None = None) -> HttpAnswer:
        """Ask with the token, and once more with a new one if that is refused."""
        token = await self._current_token()
        answer = await self._ask_with(token, method, path, request)
        if answer.status != _UNAUTHORIZED:
            return answer
        return await self._ask_with(await self._current_token(refused=token), method, path, request)

    async def _ask_with(self, token: str, method: str, path: str, request: Mapping[str, Any] | None) -> HttpAnswer:
        headers = {"Authorization": f"Bearer {token}", "X-Project-Name": self._project}
        if request is not None:
            headers["Content-Type"] = _JSON
        body = None if request is None else json.dumps(request).encode()
        return await self._client.request(method, f"{self._base}{path}", headers=headers, body=body)

    async def _current_token(self, *, refused: str | None = None) -> str:
        """The token; a new one if it ends soon, or is the one that was refused. Only one is got at a time."""
        async with self._getting_token:
            if not self._token or self._token == refused or self._clock() >= self._token_until_s:
                self._token = await self._new_token()
                self._token_until_s = self._clock() + _TOKEN_LIFE_S - _TOKEN_MARGIN_S
            return self._token

    async def _new_token(self) -> str:
        path = "/token"
        access_key, secret_key = [await asyncio.to_thread(resolved, key) for key in self._keys]
        self._secrets = [access_key, secret_key]
        body = json.dumps({"accessKey": access_key, "secretKey": secret_key}).encode()
        answer = await self._client.request("POST", f"{self._base}{path}", headers={"Content-Type": _JSON}, body=body)
        if answer.status == _WRONG_KEYS:
            said = f"HTTP {answer.status} from {self._shown(path)}: {words_of(answer.body, answer.content_type)}"
            mend = "check access_key and secret_key"
            raise PermanentExportError(shown_words(said, self._secrets), cause=Cause.UNAUTHENTICATED, mend=mend)
        if not answer.is_success:
            self._raise_for(answer, path)
        try:
            token = _parsed(answer)["data"]["token"]
        except (ValueError, LookupError, TypeError):
            token = None
        if not isinstance(token, str) or not token:
            raise TransientExportError(f"{shown_url(self._base)}{path}: no token is in the answer")
        self._secrets = [access_key, secret_key, token]
        return token

    def _shown(self, path: str) -> str:
        return f"{shown_url(self._base)}{path.partition('?')[0]}"

    def _raise_for(self, answer: HttpAnswer, path: str) -> None:
        raise_for_answer(answer, self._shown(path), self._secrets, mends=_MENDS, retryable=_RETRYABLE)


def api_url(given: str) -> str:
    """The base of Catalyst's API: what is given, with `/api` at its end.

    Raises:
        ValueError: It is no URL.
    """
    parts = urlsplit(http_endpoint(given, appends_path=False).url)
    path = "/".join(part for part in parts.path.split("/") if part)
    path = path if path == "api" or path.endswith("/api") else f"{path}/api"
    return urlunsplit(parts._replace(path=f"/{path.strip('/')}", query=""))


def _parsed(answer: HttpAnswer) -> Any:
    return json.loads(answer.body)


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
