"""Arize Phoenix: the product, on a store of its own, and its query APIs."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from tests.products.rest import call
from tests.products.servers import Server, free_port, is_answering, program, running_server
from tests.products.shown import ShownEvent, ShownSpan
from tests.support.waiting import wait_for

__all__ = ["Phoenix", "as_kept", "running_phoenix"]

_PAGE = 1000
_STORED_WITHIN_S = 100.0  # it stores some 50 spans of long chats in a second
_OPENED = ("metadata", "tool.parameters", "document.metadata")  # attributes whose JSON becomes attributes of its own
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_COUNT = "query ($name: String!) { getProjectByName(name: $name) { recordCount } }"
_PROJECT = """
query ($name: String!) {
  getProjectByName(name: $name) {
    traceCount
    tokenCountTotal
    sessions(first: 1000) {
      edges {
        node {
          sessionId
          userId
          numTraces
          numTracesWithError
          firstInput { value }
          lastOutput { value }
          tokenUsage { prompt completion }
        }
      }
    }
  }
}
"""
_PAGES = """
query ($name: String!) {
  getProjectByName(name: $name) {
    spans(first: 1000) {
      edges {
        node {
          spanId
          parentId
          name
          spanKind
          statusCode
          statusMessage
          tokenCountPrompt
          tokenCountCompletion
          tokenCountTotal
          tokenPromptDetails { cacheRead cacheWrite }
          cumulativeTokenCountPrompt
          cumulativeTokenCountCompletion
          numDocuments
          userId
          metadata
          input { value mimeType }
          output { value mimeType }
          events { name message }
          trace { traceId session { sessionId } }
        }
      }
    }
  }
}
"""


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

    def wait_for_spans(self, project: str, count: int) -> list[ShownSpan]:
        """The spans of a project, as soon as there are so many: they are stored a while after they were taken."""
        wait_for(lambda: self.span_count(project) >= count, _STORED_WITHIN_S)
        return self.spans(project)

    def span_count(self, project: str) -> int:
        """How many spans a project has; 0 if there is no such project."""
        found = self._graphql(_COUNT, name=project)["getProjectByName"]
        count: int = found["recordCount"] if found else 0
        return count

    def spans(self, project: str) -> list[ShownSpan]:
        """All spans of a project, from its REST API. Their span kind is among the attributes, as `span_kind`."""
        url = f"{self.url}/v1/projects/{quote(project)}/spans"
        page = call(url, query={"limit": _PAGE}, headers=self.headers)
        assert page["next_cursor"] is None
        return [_span(span) for span in page["data"]]

    def span_pages(self, project: str) -> dict[str, dict[str, Any]]:
        """What the pages of all spans of a project show, by span id."""
        edges = self._graphql(_PAGES, name=project)["getProjectByName"]["spans"]["edges"]
        return {edge["node"]["spanId"]: edge["node"] for edge in edges}

    def project(self, name: str) -> dict[str, Any]:
        """What the page of a project shows; its sessions by id."""
        page: dict[str, Any] = self._graphql(_PROJECT, name=name)["getProjectByName"]
        return {**page, "sessions": {edge["node"]["sessionId"]: edge["node"] for edge in page["sessions"]["edges"]}}

    def _graphql(self, query: str, **variables: Any) -> Any:
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


def as_kept(span: ShownSpan) -> ShownSpan:
    """A span as Phoenix keeps it: to the microsecond, its kind beside the attributes, and JSON opened in some of them."""
    attributes: dict[str, Any] = {}
    for key, value in span.attributes.items():
        if key == "openinference.span.kind":
            attributes["span_kind"] = value
        elif key.endswith(_OPENED):
            attributes |= _opened(key, json.loads(value))
        else:
            attributes[key] = value
    return replace(
        span,
        start_ns=_kept_ns(span.start_ns),
        end_ns=_kept_ns(span.end_ns),
        attributes=attributes,
        events=tuple(replace(event, time_ns=_kept_ns(event.time_ns)) for event in span.events),
    )


def _opened(key: str, value: Any) -> dict[str, Any]:
    """What a value that is a mapping, or a list of them, says, under keys with dots; what is empty says nothing."""
    inner: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        inner = enumerate(value)
    else:
        return {} if value is None else {key: value}
    return {path: leaf for name, item in inner for path, leaf in _opened(f"{key}.{name}", item).items()}


def _kept_ns(time_ns: int) -> int:
    """Rounded to the microsecond, by way of seconds as a float."""
    return _ns(datetime.fromtimestamp(time_ns / 1e9, UTC))


def _span(span: Mapping[str, Any]) -> ShownSpan:
    return ShownSpan(
        trace_id=span["context"]["trace_id"],
        span_id=span["context"]["span_id"],
        parent_id=span["parent_id"],
        name=span["name"],
        start_ns=_read_ns(span["start_time"]),
        end_ns=_read_ns(span["end_time"]),
        status=span["status_code"],
        status_message=span["status_message"],
        attributes={**span["attributes"], "span_kind": span["span_kind"]},
        events=tuple(
            ShownEvent(event["name"], _read_ns(event["timestamp"]), event["attributes"]) for event in span["events"]
        ),
    )


def _read_ns(time: str) -> int:
    return _ns(datetime.fromisoformat(time))


def _ns(time: datetime) -> int:
    since = time - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
