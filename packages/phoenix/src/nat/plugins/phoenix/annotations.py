"""Annotations: a span's evaluations as Phoenix shows them, which it does only if they come through its annotation API.

Source: Phoenix 20.26, `POST /v1/span_annotations`; read 2026-11-26. Without `sync` it takes annotations also of spans that it
has not stored yet. One with the name and identifier of another on the same span replaces it.
"""

import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import orjson

from nat.observability.delivery.errors import PermanentExportError
from nat.observability.noise import Noise
from nat.observability.spans import conventions as names
from nat.plugins.opentelemetry.contents import json_object
from nat.plugins.opentelemetry.credentials import (
    HeaderSource,
    current_headers,
    secrets_in,
)
from nat.plugins.opentelemetry.endpoints import shown_url
from nat.plugins.opentelemetry.http_client import HttpClient, raise_for_answer
from nat.plugins.opentelemetry.transport import TlsFiles

__all__ = ["Annotator", "annotations_of"]

_log = logging.getLogger("nat.observability.phoenix")

_PATH = "/v1/span_annotations"
_KINDS = ("LLM", "CODE", "HUMAN")
_RESERVED = "note"  # a name that Phoenix keeps for itself
_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
_MENDS = {
    401: "check the key",
    403: "the key may not annotate",
    404: "this Phoenix is too old, or web_url is not its own",
}


class Annotator:
    """Posts annotations to a Phoenix.

    Args:
        web_url: Of Phoenix's web server.
        headers: Of each request.
        tls: Files for TLS.
        proxy: URL of an HTTP proxy; `None`: as the environment says.
    """

    def __init__(
        self, web_url: str, headers: HeaderSource, *, tls: TlsFiles | None = None, proxy: str | None = None
    ) -> None:
        self._url = f"{web_url}{_PATH}"
        self._headers = headers
        self._client = HttpClient(f"nat-telemetry-phoenix/{version('nat-telemetry-phoenix')}", tls=tls, proxy=proxy)
        self._noise = Noise(_log)

    async def annotate(self, annotations: list[dict[str, Any]]) -> None:
        """Post them; what Phoenix refuses for good is said, since the spans themselves are there.

        Raises:
            TransientExportError: Phoenix may take them later.
        """
        try:
            await self._post(orjson.dumps({"data": annotations}))
        except PermanentExportError as error:
            self._noise.warn(
                "annotations", "%s: %d evaluations are attributes of their spans only: %s", shown_url(self._url),
                len(annotations), error,
            )  # fmt: skip

    async def close(self) -> None:
        """Close connections; idempotent."""
        await self._client.close()

    async def _post(self, body: bytes) -> None:
        headers = await current_headers(self._headers)
        given = {**headers, "Content-Type": "application/json"}
        answer = await self._client.request("POST", self._url, headers=given, body=body)
        if not answer.is_success:
            secrets = secrets_in(headers, (self._url,))
            raise_for_answer(answer, shown_url(self._url), secrets, mends=_MENDS, retryable=_RETRYABLE)


def annotations_of(span_id: int, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The evaluations in a span's attributes; one without a name is none."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in attributes.items():
        if key.startswith(f"{names.EVALUATIONS}."):
            number, _, field = key.removeprefix(f"{names.EVALUATIONS}.").partition(".")
            found.setdefault(number, {})[field] = value
    return [_annotation(span_id, found[number]) for number in sorted(found) if _has_name(found[number])]


def _has_name(evaluation: Mapping[str, Any]) -> bool:
    name = evaluation.get(names.EVALUATION_NAME)
    return isinstance(name, str) and bool(name) and name != _RESERVED


def _annotation(span_id: int, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    fields = {
        "score": evaluation.get(names.EVALUATION_SCORE),
        "label": evaluation.get(names.EVALUATION_LABEL),
        "explanation": evaluation.get(names.EVALUATION_EXPLANATION),
    }
    kind = evaluation.get(names.EVALUATION_ANNOTATOR_KIND)
    metadata = json_object(evaluation.get(names.EVALUATION_METADATA))
    return {
        "span_id": f"{span_id:016x}",
        "name": evaluation[names.EVALUATION_NAME],
        "annotator_kind": kind if kind in _KINDS else "CODE",
        "result": {name: value for name, value in fields.items() if value is not None},
        "identifier": str(evaluation.get(names.EVALUATION_IDENTIFIER) or ""),
        **({"metadata": metadata} if metadata else {}),
    }
