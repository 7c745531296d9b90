"""Run in the environment `oracle-catalyst`: let Catalyst's own SDK upload spans that the exporter `file` has written."""

import json
import os
import sys
import time
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from ragaai_catalyst import RagaAICatalyst  # type: ignore[import-not-found]  # of that environment
from ragaai_catalyst.tracers.agentic_tracing.upload import trace_uploader  # type: ignore[import-not-found]
from ragaai_catalyst.tracers.exporters import DynamicTraceExporter  # type: ignore[import-not-found]

url, access_key, secret_key, file = sys.argv[1:]


def context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def readable(line: dict[str, Any]) -> ReadableSpan:
    parent_id, status = line["parent_span_id"], line["status"]
    return ReadableSpan(
        name=line["name"],
        context=context(line["trace_id"], line["span_id"]),
        parent=None if parent_id is None else context(line["trace_id"], parent_id),
        resource=Resource.create(),
        attributes=line["attributes"],
        events=[Event(event["name"], event["attributes"], event["timestamp"]) for event in line["events"]],
        kind=SpanKind.INTERNAL,
        status=Status(StatusCode[status["code"]], status["message"]),
        start_time=line["start_time"],
        end_time=line["end_time"],
    )


RagaAICatalyst(access_key=access_key, secret_key=secret_key, base_url=url)
exporter = DynamicTraceExporter("weather", "may", RagaAICatalyst.BASE_URL, "agentic/nemo-framework")
by_trace: dict[str, list[ReadableSpan]] = {}
with open(file, encoding="utf-8") as lines:  # noqa: PTH123  (a script)
    for line in sorted(map(json.loads, lines), key=lambda line: (line["end_time"], line["parent_span_id"] is None)):
        by_trace.setdefault(line["trace_id"], []).append(readable(line))
for spans in by_trace.values():
    exporter.export(spans)
    deadline = time.monotonic() + 60
    while trace_uploader.get_task_status(exporter._exporter.upload_task_id).get("status") != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.1)
sys.stdout.flush()
os._exit(0)  # its threads do not end
