"""Import lines, and what they must not load."""

import subprocess
import sys

import pytest

IMPORT_LINES = """\
from nat.builder.builder import Builder
from nat.builder.context import ContextState
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.observability.exporter.base_exporter import IsolatedAttribute
from nat.observability.exporter.processing_exporter import ProcessingExporter
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.exporter.span_exporter import SpanExporter
from nat.plugins.file.file_exporter import FileExporter
from nat.observability.processor.processor import Processor
from nat.observability.processor.intermediate_step_serializer import IntermediateStepSerializer
from nat.observability.processor.batching_processor import BatchingProcessor
"""

OPENTELEMETRY_LINES = [
    "from nat.plugins.opentelemetry.otel_span import OtelSpan",
    "from nat.plugins.opentelemetry.otel_span_exporter import OtelSpanExporter",
    "from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter",
]

MORE_NAMES = """\
from nat.builder.context import Context
from nat.builder.framework_enum import LLMFrameworkEnum
from nat.builder.intermediate_step_manager import IntermediateStepManager
from nat.data_models.intermediate_step import (
    IntermediateStepPayload, IntermediateStepType, IntermediateStepState, IntermediateStepCategory,
    StreamEventData, UsageInfo, TraceMetadata,
)
from nat.data_models.invocation_node import InvocationNode
from nat.data_models.span import (
    SpanContext, SpanEvent, SpanLink, SpanStatus, SpanStatusCode, SpanKind, SpanAttributes, MimeTypes,
)
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability.exporter.base_exporter import BaseExporter
from nat.observability.processor.callback_processor import CallbackProcessor
from nat.utils.reactive.subject import Subject
"""

OPTIONAL = ("aiohttp", "httpx", "requests", "urllib3", "opentelemetry", "google", "grpc", "fastapi", "starlette")


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.contract("S18", "S192", "D28")
def test_import_lines_work_where_no_optional_package_can_be_loaded() -> None:
    """Lines 1 to 14, each in the order of the contract, with every optional package blocked."""
    block = f"import sys\nfor name in {OPTIONAL!r}: sys.modules[name] = None\n"

    result = _run(block + IMPORT_LINES + MORE_NAMES)

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.contract("S71", "S90", "S192", "D28")
def test_import_lines_load_no_http_client_and_no_backend() -> None:
    result = _run(IMPORT_LINES + f"import sys\nprint(sorted(set({OPTIONAL!r}) & set(sys.modules)))")

    assert (result.stdout, result.stderr) == ("[]\n", "")


@pytest.mark.contract("S71")
def test_defining_a_config_class_loads_no_exporter() -> None:
    result = _run(
        "from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig\n"
        "class Config(TelemetryExporterBaseConfig, name='light'):\n"
        "    endpoint: str\n"
        "import sys\n"
        "heavy = ('nat.observability.exporter', 'nat.plugins', 'rich', 'asyncio', 'aiohttp')\n"
        "print(sorted(name for name in sys.modules if name.startswith(heavy)))\n"
    )

    assert (result.stdout, result.stderr) == ("[]\n", "")


@pytest.mark.contract("S46", "D1")
@pytest.mark.parametrize("line", OPENTELEMETRY_LINES)
def test_opentelemetry_lines_raise_pythons_own_error_without_their_package(line: str) -> None:
    result = _run(f"import sys; sys.modules['nat.plugins.opentelemetry'] = None\n{line}")

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("ModuleNotFoundError: ")


@pytest.mark.contract("S2")
def test_nat_and_nat_plugins_are_namespace_packages() -> None:
    result = _run("import nat, nat.plugins; print(nat.__file__, nat.plugins.__file__)")

    assert (result.stdout, result.stderr) == ("None None\n", "")


def test_the_front_door_for_exporter_authors_re_exports_the_contract() -> None:
    import nat.plugin_api as plugin_api
    from nat.cli.register_workflow import register_telemetry_exporter
    from nat.observability.exporter.base_exporter import IsolatedAttribute
    from nat.observability.exporter.span_exporter import SpanExporter

    assert plugin_api.SpanExporter is SpanExporter
    assert plugin_api.IsolatedAttribute is IsolatedAttribute
    assert plugin_api.register_telemetry_exporter is register_telemetry_exporter
    assert {"Builder", "RawExporter", "Processor", "BatchingProcessor", "Span", "TelemetryExporterBaseConfig"} <= set(
        plugin_api.__all__
    )
    for name in plugin_api.__all__:
        assert getattr(plugin_api, name) is not None
