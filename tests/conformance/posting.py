"""An exporter as an author of another project writes it: posts lists of spans as JSON, and reads what it is answered."""

from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from nat.plugin_api import (
    BatchConfigMixin,
    ItemTooLargeError,
    PartialExportError,
    PermanentExportError,
    Span,
    SpanExporter,
    TelemetryExporterBaseConfig,
    TransientExportError,
    register_telemetry_exporter,
)

if TYPE_CHECKING:
    import aiohttp

    from nat.builder.builder import Builder

__all__ = ["PostingConfig", "PostingExporter"]


class PostingConfig(BatchConfigMixin, TelemetryExporterBaseConfig, name="posting"):
    """Posts spans."""

    endpoint: str
    api_key: SecretStr = SecretStr("")


class PostingExporter(SpanExporter[Span, dict[str, Any]]):
    """Posts each span."""

    def __init__(self, endpoint: str, api_key: SecretStr) -> None:
        import aiohttp

        super().__init__()
        self.endpoint = endpoint
        self.api_key = api_key
        self.session = aiohttp.ClientSession()

    async def export_processed(self, item: Any) -> None:
        import aiohttp

        headers = {"x-api-key": self.api_key.get_secret_value()}
        try:
            async with self.session.post(self.endpoint, json=item, headers=headers, allow_redirects=False) as response:
                self.judge(response)
                self.judge_parts(await response.json())
        except aiohttp.ContentTypeError as exc:
            raise PermanentExportError("its answer is no JSON") from exc

    def judge(self, response: "aiohttp.ClientResponse") -> None:
        if response.status == 413:
            raise ItemTooLargeError("too large")
        if response.status == 429 or response.status >= 500:
            raise TransientExportError(f"HTTP {response.status}", retry_after_s=self.wish_of(response))
        if response.status != 200:
            raise PermanentExportError(f"HTTP {response.status}")

    def judge_parts(self, answer: dict[str, Any]) -> None:
        partial = answer.get("partialSuccess", {})
        if rejected := int(partial.get("rejectedSpans", 0)):
            raise PartialExportError(partial.get("errorMessage", ""), rejected_count=rejected)

    def wish_of(self, response: "aiohttp.ClientResponse") -> float | None:
        value = response.headers.get("Retry-After", "")
        try:
            return (
                float(value) if not value or value[0].isdigit() else parsedate_to_datetime(value).timestamp() - time()
            )
        except ValueError:
            return None

    async def _cleanup(self) -> None:
        await self.session.close()
        await super()._cleanup()


@register_telemetry_exporter(config_type=PostingConfig)
async def posting(config: PostingConfig, builder: "Builder") -> "AsyncIterator[PostingExporter]":
    yield PostingExporter(config.endpoint, config.api_key)
