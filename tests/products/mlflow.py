"""MLflow: the tracking server, on a store of its own, and its query API."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from tests.products.rest import call
from tests.products.servers import Server, free_port, is_answering, program, running_server
from tests.products.shown import ShownEvent, ShownSpan

__all__ = ["Mlflow", "as_kept", "opened", "own_attributes", "running_mlflow", "without_own_attributes"]

_OWN = "mlflow."  # what it adds begins so
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven more processes
    "MLFLOW_MODEL_CATALOG_URI": "",  # else, while it takes spans, it asks the internet for prices
}


@dataclass(frozen=True, slots=True)
class Mlflow:
    """A tracking server that runs; `url` is the base of OTLP over HTTP and of the query API."""

    server: Server
    url: str

    def create_experiment(self, name: str) -> str:
        """A new experiment; its id, which requests with spans must name."""
        experiment_id: str = call(f"{self.url}/api/2.0/mlflow/experiments/create", {"name": name})["experiment_id"]
        return experiment_id

    def trace_ids(self, experiment_id: str) -> list[str]:
        """Ids of all traces of an experiment."""
        place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
        page = call(f"{self.url}/api/3.0/mlflow/traces/search", {"locations": [place], "max_results": 100})
        assert not page.get("next_page_token")
        return [trace["trace_id"].removeprefix("tr-") for trace in page["traces"]]

    def trace(self, trace_id: str) -> tuple[dict[str, Any], list[ShownSpan]]:
        """What it says of a trace, and its spans, their attributes with what MLflow has added."""
        answer = call(f"{self.url}/api/3.0/mlflow/traces/get", query={"trace_id": f"tr-{trace_id}"})
        return answer["trace"]["trace_info"], [_span(span) for span in answer["trace"]["spans"]]


def as_kept(span: ShownSpan) -> ShownSpan:
    """A span as MLflow keeps it: JSON objects and arrays in texts are opened."""
    return replace(span, attributes={key: opened(value) for key, value in span.attributes.items()})


def opened(value: Any) -> Any:
    """A text that is a JSON object or array as what it is."""
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def own_attributes(span: ShownSpan) -> dict[str, Any]:
    """What MLflow has made of a span's attributes, for its own pages."""
    return {key.removeprefix(_OWN): value for key, value in span.attributes.items() if key.startswith(_OWN)}


def without_own_attributes(span: ShownSpan) -> ShownSpan:
    """A span without what MLflow has added to its attributes."""
    return replace(span, attributes={key: value for key, value in span.attributes.items() if not key.startswith(_OWN)})


@contextmanager
def running_mlflow() -> Iterator[Mlflow]:
    """A tracking server for the duration of the context."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running_server(
        "mlflow",
        [
            *(program("mlflow", "bin/mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", "sqlite:///store.db", "--artifacts-destination", "artifacts"),
        ],
        lambda: is_answering(f"{url}/health"),
        environment=_ENVIRONMENT,
    ) as server:
        yield Mlflow(server, url)


def _span(span: Mapping[str, Any]) -> ShownSpan:
    status = span["status"]
    return ShownSpan(
        trace_id=_hex(span["trace_id"]),
        span_id=_hex(span["span_id"]),
        parent_id=_hex(span["parent_span_id"]) if "parent_span_id" in span else None,
        name=span["name"],
        start_ns=span["start_time_unix_nano"],
        end_ns=span["end_time_unix_nano"],
        status=status["code"].removeprefix("STATUS_CODE_"),
        status_message=status.get("message", ""),
        attributes=_attributes(span["attributes"]),
        events=tuple(
            ShownEvent(event["name"], event["time_unix_nano"], _attributes(event["attributes"]))
            for event in span.get("events", ())
        ),
    )


def _hex(encoded: str) -> str:
    return base64.b64decode(encoded).hex()


def _attributes(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {attribute.get("key", ""): _value(attribute.get("value") or {}) for attribute in attributes}


def _value(value: Mapping[str, Any]) -> Any:
    if "array_value" in value:
        return [_value(item) for item in value["array_value"].get("values", ())]
    if "kvlist_value" in value:
        return _attributes(value["kvlist_value"].get("values", []))
    return next(iter(value.values()), None)
