"""The exporter `acme`."""

from typing import Any

import aiohttp
from nat.plugin_api import PermanentExportError, Span, SpanExporter


class AcmeExporter(SpanExporter[Span, dict[str, Any]]):
    """Posts each span as JSON.

    Args:
        endpoint: Where to.
        api_key: Sent as a bearer token, unless it is empty.
    """

    def __init__(self, endpoint: str, api_key: str = "") -> None:
        super().__init__()
        self._endpoint = endpoint
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._session = aiohttp.ClientSession(headers=headers)

    async def export_processed(self, item: dict[str, Any]) -> None:
        """Send one span: return when the service has it, raise when it has not.

        What is raised says whether it is sent again; do not catch, wait or retry here.
        """
        url = self._endpoint
        async with self._session.post(url, json=item, allow_redirects=False) as response:
            response.raise_for_status()
            if response.status >= 300:
                raise PermanentExportError(f"HTTP {response.status}, expected 2xx")
            await response.json()  # a log-in page, or half an answer, is no success

    async def _cleanup(self) -> None:
        await self._session.close()
        await super()._cleanup()
