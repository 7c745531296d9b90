"""Programs that send spans to a backend over a real socket, through an exporter as a third party would write it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.http_backend import HttpBackend

__all__ = ["EXPORTER", "read_spans", "run_program", "start_program"]

EXPORTER = """\
import os
import aiohttp
from nat.data_models.span import Span
from nat.observability.exporter.span_exporter import SpanExporter
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig

class Sender(SpanExporter[Span, Span]):
    def __init__(self, url):
        super().__init__()
        self.url = url
        self.session = aiohttp.ClientSession()

    async def export_processed(self, span):
        body = {
            "pid": os.getpid(),
            "name": span.name,
            "trace_id": span.context.trace_id,
            "span_id": span.context.span_id,
            "parent_id": span.context.parent_span_id,
        }
        async with self.session.post(self.url, json=body) as answer:
            answer.raise_for_status()

    async def _cleanup(self):
        await self.session.close()
        await super()._cleanup()

class SenderConfig(TelemetryExporterBaseConfig, name="test_sender"):
    url: str

@register_telemetry_exporter(config_type=SenderConfig)
async def sender(config, builder):
    yield Sender(config.url)
"""


def run_program(
    source: str, folder: Path, *arguments: str, timeout_s: float = 60.0
) -> "subprocess.CompletedProcess[str]":
    """Run a program next to `sender.py` to its end."""
    _write(source, folder)
    return subprocess.run(
        [sys.executable, "program.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
    )


def start_program(command: Sequence[str], folder: Path) -> "subprocess.Popen[str]":
    """Start a command next to `sender.py`, at the head of a process group of its own."""
    _write("", folder)
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )


def end_group(process: "subprocess.Popen[str]") -> None:
    """Kill what is left of it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.communicate()


def read_spans(backend: HttpBackend) -> list[dict[str, Any]]:
    """What has arrived, in order."""
    return [json.loads(request.body) for request in backend.requests]


def _write(source: str, folder: Path) -> None:
    (folder / "sender.py").write_text(EXPORTER, encoding="utf-8")
    (folder / "program.py").write_text(source, encoding="utf-8")
