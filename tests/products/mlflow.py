"""MLflow: the tracking server, on a store of its own, and its query API."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.products.rest import call
from tests.products.servers import Server, free_port, is_answering, program, running_server

__all__ = ["Mlflow", "hex_id", "running_mlflow"]


@dataclass(frozen=True, slots=True)
class Mlflow:
    """A tracking server that runs; `url` is the base of OTLP over HTTP and of the query API."""

    server: Server
    url: str

    def create_experiment(self, name: str) -> str:
        """A new experiment; its id, which requests with spans must name."""
        experiment_id: str = call(f"{self.url}/api/2.0/mlflow/experiments/create", {"name": name})["experiment_id"]
        return experiment_id

    def trace(self, trace_id: str) -> dict[str, Any]:
        """One trace with its spans, which are as in OTLP/JSON but for their ids."""
        answer = call(f"{self.url}/api/3.0/mlflow/traces/get", query={"trace_id": f"tr-{trace_id}"})
        trace: dict[str, Any] = answer["trace"]
        return trace

    def trace_ids(self, experiment_id: str) -> list[str]:
        """Ids of all traces of an experiment."""
        found: list[str] = []
        place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
        request: dict[str, Any] = {"locations": [place], "max_results": 100}
        while True:
            page = call(f"{self.url}/api/3.0/mlflow/traces/search", request)
            found += [trace["trace_id"].removeprefix("tr-") for trace in page.get("traces", [])]
            if not page.get("next_page_token"):
                return found
            request["page_token"] = page["next_page_token"]


def hex_id(encoded: str) -> str:
    """An id as everybody else writes it."""
    return base64.b64decode(encoded).hex()


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
        environment={"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"},
    ) as server:
        yield Mlflow(server, url)
