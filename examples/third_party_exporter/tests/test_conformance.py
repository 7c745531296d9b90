"""The exporter passes what every exporter should: the tests of nat-telemetry-testing, inherited."""

import json
from typing import Any

import duckdb

from nat.testing import ReceivedSpan
from nat.testing.conformance import ExporterConformance
from nat.testing.plain_spans import plain_spans_of


class TestDuckdb(ExporterConformance):
    """What arrives is read back from the file."""

    exporter_type = "duckdb"
    is_remote = False

    def settings(self) -> dict[str, Any]:
        return {"path": str(self.folder / "traces.duckdb")}

    def received(self) -> list[ReceivedSpan]:
        spans = self._rows("SELECT *, epoch_ns(started) AS start_ns, epoch_ns(ended) AS end_ns FROM spans")
        events = self._rows("SELECT *, epoch_ns(happened) AS ns FROM events")
        return [
            received
            for span in spans
            for received in plain_spans_of(
                {
                    **{key: span[key] for key in ("trace_id", "span_id", "parent_span_id", "name")},
                    "start_time": span["start_ns"],
                    "end_time": span["end_ns"],
                    "status": {"code": span["status"], "message": span["status_message"]},
                    "attributes": json.loads(span["attributes"]),
                    "events": [
                        {"name": event["name"], "timestamp": event["ns"], "attributes": json.loads(event["attributes"])}
                        for event in events
                        if event["span_id"] == span["span_id"]
                    ],
                }
            )
        ]

    def written(self) -> bytes:
        return repr((self._rows("FROM spans"), self._rows("FROM events"))).encode()

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        file = self.folder / "traces.duckdb"
        if not file.exists():
            return []
        with duckdb.connect(file, read_only=True) as connection:
            answer = connection.execute(sql)
            names = [column[0] for column in answer.description or ()]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
