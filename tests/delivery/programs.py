"""Programs that send spans to a backend over a real socket, through an exporter as a third party would write it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.runs.scripts import unmeasured
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
    source: str, folder: Path, *arguments: str, timeout_s: float = 180.0, is_measured: bool = True
) -> "subprocess.CompletedProcess[str]":
    """Run a program next to `sender.py` to its end, and kill what it leaves behind.

    One that forks while other threads run must not have its lines measured: coverage has a lock of its own, which another
    thread may hold at that moment, and the child waits for it for ever (seen once in 150 runs).
    """
    _write(source, folder)
    process = subprocess.Popen(
        [sys.executable, "program.py", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**(dict(os.environ) if is_measured else unmeasured()), "PYTHONFAULTHANDLER": "1"},
    )
    try:
        out, err = process.communicate(timeout=timeout_s)
    finally:
        end_group(process)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def start_program(command: Sequence[str], folder: Path, *, is_measured: bool = True) -> "subprocess.Popen[str]":
    """Start a command next to `sender.py`, at the head of a process group of its own."""
    _write("", folder)
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**(dict(os.environ) if is_measured else unmeasured()), "PYTHONPATH": str(folder)},
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
