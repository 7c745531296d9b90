"""logfire, sending to an OTLP receiver of one's own through OpenTelemetry's `BatchSpanProcessor`."""

import asyncio

import logfire
import orjson
from measuring import Participant, main
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from workload import Node, end_attributes, start_attributes


class Logfire(Participant):
    def start(self, endpoints: list[str], *, is_lossless: bool) -> None:
        more = {"max_queue_size": 10_000_000} if is_lossless else {}
        processors = [BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces"), **more) for url in endpoints]
        logfire.configure(
            send_to_logfire=False,
            console=False,
            metrics=False,
            scrubbing=False,
            inspect_arguments=False,
            additional_span_processors=processors,
        )

    def play(self, run: Node) -> None:
        with logfire.span(run.name, **start_attributes(run, dumps)) as span:
            for node in run.children:
                self.play(node)
            span.set_attributes(end_attributes(run, dumps))

    async def play_async(self, run: Node) -> None:
        with logfire.span(run.name, **start_attributes(run, dumps)) as span:
            await asyncio.sleep(0)
            for node in run.children:
                await self.play_async(node)
            span.set_attributes(end_attributes(run, dumps))

    def flush(self) -> None:
        logfire.force_flush(300_000)


def dumps(value: object) -> str:
    return orjson.dumps(value).decode()


if __name__ == "__main__":
    main(Logfire())
