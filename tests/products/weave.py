"""W&B Weave: its own trace server, the last version that anybody can run, on a store of its own, and its query API."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.products.rest import call
from tests.products.servers import Server, free_port, is_answering, program, running_server

__all__ = ["Weave", "running_weave"]

_KEY = "k" * 40


@dataclass(frozen=True, slots=True)
class Weave:
    """A trace server that runs; `url` is the base of OTLP (`/otel/v1/traces`) and of its own API, `key` the one it lets in."""

    server: Server
    url: str
    key: str = field(default=_KEY, repr=False)

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that point Weave's client at it."""
        return {"WF_TRACE_SERVER_URL": self.url, "WANDB_BASE_URL": self.url, "WANDB_API_KEY": self.key}

    def calls(self, project: str) -> list[dict[str, Any]]:
        """All calls of a project, `entity/project`, in the order in which they start."""
        authorization = base64.b64encode(f"api:{self.key}".encode()).decode()
        lines = call(
            f"{self.url}/calls/stream_query",
            {"project_id": project},
            headers={"Authorization": f"Basic {authorization}"},
            is_text=True,
        )
        return [json.loads(line) for line in lines.split("\n") if line]


@contextmanager
def running_weave() -> Iterator[Weave]:
    """A trace server for the duration of the context."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server_file = str(Path(__file__).with_name("weave_server.py"))
    with running_server(
        "weave",
        [program("weave", "bin/python"), "-P", server_file, str(port), "calls.db", _KEY],
        lambda: is_answering(f"{url}/health"),
    ) as server:
        yield Weave(server, url)
