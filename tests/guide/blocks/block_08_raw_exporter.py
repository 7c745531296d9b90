import aiohttp

from nat.data_models.intermediate_step import IntermediateStep
from nat.observability.exporter.raw_exporter import RawExporter


class CustomRawExporter(RawExporter[IntermediateStep, IntermediateStep]):
    def __init__(self, endpoint: str, api_key: str, project: str, **kwargs):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.api_key = api_key
        self.project = project
        self.session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {api_key}"})

    async def export_processed(self, item: IntermediateStep):
        await self._send_to_service(
            {
                "project": self.project,
                "event": item.event_type,
                "step": item.payload.name if item.payload else None,
                "at": item.event_timestamp,
            }
        )

    async def _send_to_service(self, payload: dict):
        async with self.session.post(self.endpoint, json=payload) as response:
            response.raise_for_status()

    async def _cleanup(self):
        await self.session.close()
        await super()._cleanup()
