"""Run in a process of its own: import rows 1 to 14 of the import contract, and say what else that asked for.

Prints one line per forbidden module that was looked for, found or not, with the module that wanted it first.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

FORBIDDEN = {
    *("opentelemetry", "grpc", "google"),
    *("aiohttp", "httpx", "httpcore", "requests", "urllib3", "http.client", "http.server"),
    *("fastapi", "flask", "starlette", "uvicorn", "django", "tornado"),
}


class Watch(MetaPathFinder):
    """Sees every import first, and finds nothing."""

    def __init__(self) -> None:
        self.wanted: list[str] = []

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname in FORBIDDEN:
            self.wanted.append(fullname)


watch = Watch()
sys.meta_path.insert(0, watch)

from nat.builder.builder import Builder  # noqa: E402
from nat.builder.context import Context, ContextState  # noqa: E402
from nat.cli.register_workflow import register_telemetry_exporter  # noqa: E402
from nat.data_models.intermediate_step import IntermediateStep  # noqa: E402
from nat.data_models.span import Span  # noqa: E402
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig  # noqa: E402
from nat.observability.exporter.base_exporter import IsolatedAttribute  # noqa: E402
from nat.observability.exporter.processing_exporter import ProcessingExporter  # noqa: E402
from nat.observability.exporter.raw_exporter import RawExporter  # noqa: E402
from nat.observability.exporter.span_exporter import SpanExporter  # noqa: E402
from nat.observability.processor.batching_processor import BatchingProcessor  # noqa: E402
from nat.observability.processor.intermediate_step_serializer import IntermediateStepSerializer  # noqa: E402
from nat.observability.processor.processor import Processor  # noqa: E402
from nat.plugins.file.file_exporter import FileExporter  # noqa: E402

CONTRACT = (
    *(Builder, Context, ContextState, register_telemetry_exporter, IntermediateStep, Span),
    *(TelemetryExporterBaseConfig, IsolatedAttribute, ProcessingExporter, RawExporter, SpanExporter),
    *(BatchingProcessor, IntermediateStepSerializer, Processor, FileExporter),
)

if __name__ == "__main__":
    for name in watch.wanted:
        print(name)
