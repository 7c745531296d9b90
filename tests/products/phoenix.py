"""Arize Phoenix: the product, on a store of its own, and its query APIs."""

import urllib.error
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.products.rest import call
from tests.products.servers import Server, free_port, is_answering, program, running_server
from tests.support.waiting import wait_for

__all__ = ["Phoenix", "running_phoenix"]

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Phoenix:
    """A Phoenix that runs.

    Attributes:
        url: Of the web server: base of OTLP over HTTP and of the query APIs.
        grpc_url: Of OTLP over gRPC.
        headers: What a request must carry to be let in.
    """

    server: Server
    url: str
    grpc_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def wait_for_spans(self, project: str, count: int) -> list[dict[str, Any]]:
        """The spans of a project, as soon as there are so many: they are stored a moment after they were taken."""
        wait_for(lambda: self.span_count(project) >= count, 60.0)
        return self.spans(project)

    def span_count(self, project: str) -> int:
        """How many spans a project has; quick, also where they are big."""
        projects = self.graphql("{ projects { edges { node { name recordCount } } } }")["projects"]["edges"]
        return sum(edge["node"]["recordCount"] for edge in projects if edge["node"]["name"] == project)

    def spans(self, project: str) -> list[dict[str, Any]]:
        """All spans of a project, as its REST API shows them; none if there is no such project."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            try:
                page = call(
                    f"{self.url}/v1/projects/{project}/spans", query={"limit": _PAGE, **cursor}, headers=self.headers
                )
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
                return []
            found += page["data"]
            if not page["next_cursor"]:
                return found
            cursor = {"cursor": page["next_cursor"]}

    def graphql(self, query: str, **variables: Any) -> Any:
        """The `data` of an answer of its GraphQL API."""
        answer = call(f"{self.url}/graphql", {"query": query, "variables": variables}, headers=self.headers)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]


@contextmanager
def running_phoenix(*, admin_secret: str | None = None) -> Iterator[Phoenix]:
    """A Phoenix for the duration of the context; with an admin secret, only who knows that is let in."""
    port, grpc_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PHOENIX_WORKING_DIR": ".",
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
    }
    headers = {}
    if admin_secret is not None:
        environment |= {
            "PHOENIX_ENABLE_AUTH": "true",
            "PHOENIX_SECRET": "signs1sessions2" * 3,
            "PHOENIX_ADMIN_SECRET": admin_secret,
        }
        headers = {"Authorization": f"Bearer {admin_secret}"}
    with running_server(
        "phoenix",
        [program("phoenix", "bin/phoenix"), "serve"],
        lambda: is_answering(f"{url}/readyz"),
        environment=environment,
    ) as server:
        yield Phoenix(server, url, f"http://127.0.0.1:{grpc_port}", headers)
