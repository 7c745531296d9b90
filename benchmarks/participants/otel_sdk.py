"""opentelemetry-sdk with a `BatchSpanProcessor` and OTLP over HTTP, protobuf."""

import asyncio

import orjson
from measuring import Participant, main
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from workload import Node, end_attributes, start_attributes


class OpenTelemetrySdk(Participant):
    def start(self, endpoints: list[str], *, is_lossless: bool) -> None:
        self.provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=100_000))  # 128 would drop messages
        for endpoint in endpoints:
            self.provider.add_span_processor(processor(endpoint, is_lossless=is_lossless))
        self.tracer = self.provider.get_tracer("benchmarks")

    def play(self, run: Node) -> None:
        with self.tracer.start_as_current_span(run.name, attributes=start_attributes(run, dumps)) as span:
            for node in run.children:
                self.play(node)
            span.set_attributes(end_attributes(run, dumps))

    async def play_async(self, run: Node) -> None:
        with self.tracer.start_as_current_span(run.name, attributes=start_attributes(run, dumps)) as span:
            await asyncio.sleep(0)
            for node in run.children:
                await self.play_async(node)
            span.set_attributes(end_attributes(run, dumps))

    def flush(self) -> None:
        self.provider.force_flush(300_000)


def processor(endpoint: str, *, is_lossless: bool) -> BatchSpanProcessor:
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
    return BatchSpanProcessor(exporter, max_queue_size=10_000_000) if is_lossless else BatchSpanProcessor(exporter)


def dumps(value: object) -> str:
    return orjson.dumps(value).decode()


if __name__ == "__main__":
    main(OpenTelemetrySdk())
