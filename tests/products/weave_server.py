"""Run in the environment `weave`: the trace server that Weave's wheel carries, behind an HTTP front.

What a request means is decided by Weave's own code: models of requests, conversion of spans and ids, storage, queries. The
front has the addresses, the check of the key, and what `weave.init` asks W&B itself.

    python weave_server.py PORT DATABASE KEY
"""

import base64
import email.parser
import email.policy
import gzip
import json
import re
import sqlite3
import sys
import threading
import zlib
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from pydantic import BaseModel, ValidationError
from weave.trace_server import trace_server_interface as tsi  # type: ignore[import-not-found]  # of that environment
from weave.trace_server.external_to_internal_trace_server_adapter import (  # type: ignore[import-not-found]
    ExternalTraceServer,
    IdConverter,
)
from weave.trace_server.sqlite_trace_server import (  # type: ignore[import-not-found]
    SqliteTraceServer,
    get_conn_cursor,
)

_USER = "tester"
_METHODS = {
    "/call/start": ("call_start", tsi.CallStartReq),
    "/call/end": ("call_end", tsi.CallEndReq),
    "/call/read": ("call_read", tsi.CallReadReq),
    "/call/update": ("call_update", tsi.CallUpdateReq),
    "/calls/query_stats": ("calls_query_stats", tsi.CallsQueryStatsReq),
    "/calls/usage": ("calls_usage", tsi.CallsUsageReq),
    "/trace/usage": ("trace_usage", tsi.TraceUsageReq),
    "/obj/create": ("obj_create", tsi.ObjCreateReq),
    "/obj/read": ("obj_read", tsi.ObjReadReq),
    "/objs/query": ("objs_query", tsi.ObjQueryReq),
    "/table/create": ("table_create", tsi.TableCreateReq),
    "/table/create_from_digests": ("table_create_from_digests", tsi.TableCreateFromDigestsReq),
    "/table/query": ("table_query", tsi.TableQueryReq),
    "/refs/read_batch": ("refs_read_batch", tsi.RefsReadBatchReq),
    "/cost/query": ("cost_query", tsi.CostQueryReq),
    "calls/complete": ("calls_complete", tsi.CallsUpsertCompleteReq),
    "call/start": ("call_start_v2", tsi.CallStartV2Req),
    "call/end": ("call_end_v2", tsi.CallEndV2Req),
}
_PROJECT_PATH = re.compile(r"/v2/[^/]+/[^/]+/(.+)")
_JSON, _JSON_LINES, _PROTOBUF, _BYTES = (
    f"application/{name}" for name in ("json", "jsonl", "x-protobuf", "octet-stream")
)


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Ids(IdConverter):  # type: ignore[misc]  # untyped here
    """Names of projects, `entity/project`, and ids without a slash, as the store wants them."""

    def ext_to_int_project_id(self, project_id: str) -> str:
        return base64.urlsafe_b64encode(project_id.encode()).decode()

    def int_to_ext_project_id(self, project_id: str) -> str:
        return base64.urlsafe_b64decode(project_id.encode()).decode()

    def ext_to_int_run_id(self, run_id: str) -> str:
        project_id, _, run = run_id.rpartition("/")
        return f"{self.ext_to_int_project_id(project_id)}:{run}"

    def int_to_ext_run_id(self, run_id: str) -> str:
        project_id, _, run = run_id.rpartition(":")
        return f"{self.int_to_ext_project_id(project_id)}/{run}"

    def ext_to_int_user_id(self, user_id: str) -> str:
        return user_id

    def int_to_ext_user_id(self, user_id: str) -> str:
        return user_id


class Store(SqliteTraceServer):  # type: ignore[misc]  # untyped here
    """A call that comes again, since nobody has heard that it was taken, is taken: the store of W&B replaces the first.

    (ReplacingMergeTree in `trace_server/migrations`; SQLite's refuses it, and leaves the database locked.)
    """

    def call_start(self, request: tsi.CallStartReq) -> tsi.CallStartRes:
        try:
            return super().call_start(request)
        except sqlite3.IntegrityError:
            get_conn_cursor(self.db_path)[0].rollback()
            return tsi.CallStartRes(id=request.start.id, trace_id=request.start.trace_id)


class Front:
    """Passes requests on to the trace server."""

    def __init__(self, database: str, key: str) -> None:
        store = Store(database)
        store.setup_tables()
        self._server = ExternalTraceServer(store, Ids())
        self._key = key
        self._lock = threading.Lock()
        self._started: set[str] = set()
        self._early_ends: dict[str, Any] = {}

    def lets_in(self, headers: Message) -> bool:
        """Whether a request carries the key, in either of the ways that W&B takes."""
        basic = base64.b64encode(f"api:{self._key}".encode()).decode()
        return headers.get("wandb-api-key") == self._key or headers.get("authorization") == f"Basic {basic}"

    def answer(self, path: str, headers: Message, body: bytes) -> tuple[str, bytes]:
        """Content type and body of what a POST is answered.

        Raises:
            RefusedError: It is refused.
            ValidationError: It is not what Weave expects.
        """
        path = path.partition("?")[0].removeprefix("/traces")
        if path == "/graphql":
            return _JSON, json.dumps({"data": _account(json.loads(body))}).encode()
        if path == "/otel/v1/traces":
            return _PROTOBUF, self._take_spans(headers, body)
        if path == "/calls/stream_query":
            calls = self._server.calls_query_stream(_parsed(tsi.CallsQueryReq, body))
            return _JSON_LINES, b"".join(call.model_dump_json().encode() + b"\n" for call in calls)
        if path == "/call/upsert_batch":
            return _JSON, json.dumps({"res": list(self._take_batch(body))}).encode()
        if path in ("/file/create", "/files/create"):
            return _JSON, self._take_file(headers, body)
        if path in ("/file/content", "/files/content"):
            return _BYTES, self._server.file_content_read(_parsed(tsi.FileContentReadReq, body)).content
        of_project = _PROJECT_PATH.fullmatch(path)
        place = of_project[1] if of_project else path
        if place not in _METHODS:
            raise RefusedError(404, "Not Found")
        name, model = _METHODS[place]
        return _JSON, getattr(self._server, name)(_parsed(model, body)).model_dump_json().encode()

    def _take_spans(self, headers: Message, body: bytes) -> bytes:
        if headers.get("content-type") != _PROTOBUF:
            raise RefusedError(415, f"content-type must be {_PROTOBUF}")
        answer = ExportTraceServiceResponse()
        for spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            entity, project = _project_of(spans, headers)
            processed = tsi.ProcessedResourceSpans(entity=entity, project=project, run_id=None, resource_spans=spans)
            taken = self._server.otel_export(
                tsi.OTelExportReq(processed_spans=[processed], project_id=f"{entity}/{project}", wb_user_id=_USER)
            )
            if taken.partial_success:
                answer.partial_success.rejected_spans += taken.partial_success.rejected_spans
                answer.partial_success.error_message += taken.partial_success.error_message
        return answer.SerializeToString()

    def _take_batch(self, body: bytes) -> Iterator[dict[str, Any]]:
        """Starts and ends of calls; an end may come before its start, which this store, unlike W&B's, does not bear."""
        requests = [item.req for item in _parsed(tsi.CallCreateBatchReq, body).batch]
        with self._lock:
            for request in requests:
                if hasattr(request, "start"):
                    self._started.add(request.start.id)
                    yield self._server.call_start(request).model_dump(mode="json")
                else:
                    self._early_ends[request.end.id] = request
            for call_id in self._early_ends.keys() & self._started:
                yield self._server.call_end(self._early_ends.pop(call_id)).model_dump(mode="json")

    def _take_file(self, headers: Message, body: bytes) -> bytes:
        head = f"content-type: {headers['content-type']}\r\n\r\n".encode()
        form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        request = tsi.FileCreateReq(
            project_id=_content(parts["project_id"]).decode(),
            name=parts["file"].get_filename(),
            content=_content(parts["file"]),
        )
        answer: BaseModel = self._server.file_create(request)
        return answer.model_dump_json().encode()


class Handler(BaseHTTPRequestHandler):
    """HTTP, and nothing else."""

    protocol_version = "HTTP/1.1"
    front: Front

    def do_GET(self) -> None:
        known = {
            "/health": {"status": "ok"},
            "/server_info": {"min_required_weave_python_version": "0.0.1", "trace_server_version": "0.1.0"},
        }
        found = known.get(self.path)
        self._send(200 if found else 404, _JSON, json.dumps(found or {"detail": "Not Found"}).encode())

    def do_POST(self) -> None:
        body = self._body()
        if not self.front.lets_in(self.headers):
            self._refuse(401, "Unauthorized")
            return
        try:
            content_type, answer = self.front.answer(self.path, self.headers, body)
        except RefusedError as refusal:
            self._refuse(refusal.status, str(refusal))
        except ValueError as error:  # of pydantic, too
            self._refuse(422, str(error))
        except Exception as error:
            self._refuse(404 if "NotFound" in type(error).__name__ else 500, f"{type(error).__name__}: {error}")
        else:
            self._send(200, content_type, answer)

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        match self.headers.get("content-encoding"):
            case "gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
            case _:
                return body

    def _refuse(self, status: int, detail: str) -> None:
        print(f"{status} {self.path}: {detail}", flush=True)
        self._send(status, _JSON, json.dumps({"detail": detail}).encode())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        print(f"{self.command} {self.path} {args[1] if len(args) > 1 else ''}", flush=True)


def _parsed(model: type[BaseModel], body: bytes) -> Any:
    """A request; fields that this version of Weave does not know, and a newer client sends, are left out."""
    document = json.loads(body)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        unknown = [problem["loc"] for problem in error.errors() if problem["type"] == "extra_forbidden"]
        if not unknown:
            raise
    for *path, name in unknown:
        holder = document
        for step in path:
            holder = holder[step]
        holder.pop(name, None)
    return model.model_validate(document)


def _content(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def _project_of(spans: Any, headers: Message) -> tuple[str, str]:
    """Entity and project: of the resource, else of the header `project_id`."""
    resource = {attribute.key: attribute.value.string_value for attribute in spans.resource.attributes}
    entity, project = resource.get("wandb.entity"), resource.get("wandb.project")
    if not (entity and project):
        entity, _, project = headers.get("project_id", "").partition("/")
    if not (entity and project):
        raise RefusedError(
            400, "no project: neither wandb.entity and wandb.project in the resource, nor a header project_id"
        )
    return entity, project


def _account(question: dict[str, Any]) -> dict[str, Any]:
    """What W&B answers `weave.init` about whose key it is, and about the project."""
    name = (question.get("variables") or {}).get("name")
    if "viewer" in question["query"]:
        return {"viewer": {"id": "1", "username": _USER, "entity": _USER, "defaultEntity": {"name": _USER}}}
    if "upsertModel" in question["query"]:
        return {"upsertModel": {"model": {"name": name, "description": ""}}}
    return {"project": {"name": name}}


if __name__ == "__main__":
    port, database, key = sys.argv[1:]
    Handler.front = Front(database, key)
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
