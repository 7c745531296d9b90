"""The fake backend reads OTLP in all its forms, and does what is planned."""

import asyncio
import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status as OtlpStatus

from nat.data_models.span import Span, SpanContext, SpanEvent, SpanStatus, SpanStatusCode
from nat.observability.processor.span_to_dict import span_to_dict
from nat.testing import FakeBackend, ReceivedEvent, ReceivedLink, ReceivedSpan, Scope, closed_url, faults
from nat.testing.faults import Fault
from nat.testing.tls import Authority
from tests.testing import otlp_client
from tests.testing.otlp_client import (
    PROTOBUF,
    Answer,
    export_over_grpc,
    message_of,
    post,
    post_json,
    post_protobuf,
)


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(grpc=True) as running:
        yield running


def whole_message() -> ExportTraceServiceRequest:
    """One span that has everything."""
    message = ExportTraceServiceRequest()
    resource_spans = message.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name, scope_spans.scope.version = "nat", "1.2"
    span = scope_spans.spans.add(
        trace_id=bytes(range(1, 17)),
        span_id=bytes(range(1, 9)),
        parent_span_id=bytes(range(2, 10)),
        name="châtelet",
        kind=OtlpSpan.SPAN_KIND_CLIENT,
        start_time_unix_nano=1_700_000_000_123_456_789,
        end_time_unix_nano=1_700_000_001_123_456_789,
    )
    span.attributes.add(key="text").value.string_value = "größer"
    span.attributes.add(key="yes").value.bool_value = True
    span.attributes.add(key="count").value.int_value = 2**62
    span.attributes.add(key="share").value.double_value = 0.25
    span.attributes.add(key="raw").value.bytes_value = b"\0\xff"
    span.attributes.add(key="nothing")
    tags = span.attributes.add(key="tags").value.array_value.values
    tags.add().string_value = "a"
    tags.add().string_value = "b"
    span.attributes.add(key="nested").value.kvlist_value.values.add(key="inner").value.int_value = 1
    event = span.events.add(name="exception", time_unix_nano=1_700_000_000_500_000_001)
    event.attributes.add(key="exception.type").value.string_value = "ValueError"
    link = span.links.add(trace_id=b"\2" * 16, span_id=b"\3" * 8)
    link.attributes.add(key="why").value.string_value = "retry"
    span.status.code, span.status.message = OtlpStatus.STATUS_CODE_ERROR, "it failed"
    return message


def assert_whole(span: ReceivedSpan) -> None:
    expected = ReceivedSpan(
        trace_id="0102030405060708090a0b0c0d0e0f10",
        span_id="0102030405060708",
        parent_id="0203040506070809",
        name="châtelet",
        kind="CLIENT",
        start_ns=1_700_000_000_123_456_789,
        end_ns=1_700_000_001_123_456_789,
        attributes={
            "text": "größer",
            "yes": True,
            "count": 2**62,
            "share": 0.25,
            "raw": b"\0\xff",
            "nothing": None,
            "tags": ["a", "b"],
            "nested": {"inner": 1},
        },
        events=(ReceivedEvent("exception", 1_700_000_000_500_000_001, {"exception.type": "ValueError"}),),
        links=(ReceivedLink("02" * 16, "03" * 8, {"why": "retry"}),),
        status="ERROR",
        status_message="it failed",
        resource={"service.name": "shop"},
        scope=Scope("nat", "1.2"),
        request=span.request,
    )
    assert span == expected


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_compressed", [False, True])
def test_protobuf_over_http_is_read(backend: FakeBackend, is_compressed: bool) -> None:
    answer = post_protobuf(
        backend.url, whole_message(), compress=is_compressed, headers={"Authorization": "Bearer key"}
    )

    (span,) = backend.spans
    assert_whole(span)
    assert (answer.status, answer.headers["content-type"]) == (200, PROTOBUF)
    assert ExportTraceServiceResponse.FromString(answer.body) == ExportTraceServiceResponse()
    assert span.request.protocol == "http/protobuf"
    assert (span.request.path, span.request.content_type) == ("/v1/traces", PROTOBUF)
    assert span.request.headers["authorization"] == "Bearer key"
    assert backend.requests == [span.request]


def test_json_over_http_is_read(backend: FakeBackend) -> None:
    """Ids are hexadecimal, integers are decimal text, and what is unknown is passed over."""
    document = otlp_client.as_json(whole_message())
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["newField"] = 1

    answer = post_json(backend.url, document)

    (span,) = backend.spans
    assert_whole(span)
    assert span.request.protocol == "http/json"
    assert (answer.status, json.loads(answer.body)) == (200, {})


def test_grpc_is_read(backend: FakeBackend) -> None:
    response = export_over_grpc(backend.grpc_endpoint, whole_message(), metadata=[("x-api-key", "key")])

    (span,) = backend.spans
    assert_whole(span)
    assert response == ExportTraceServiceResponse()
    assert span.request.protocol == "grpc"
    assert span.request.headers["x-api-key"] == "key"


def test_spans_as_plain_dicts_are_read(backend: FakeBackend) -> None:
    """What `SpanExporter[Span, dict]` gives its author to post, single or as a list."""
    context = SpanContext(trace_id=0xABC, span_id=0xDEF, parent_span_id=0x123)
    event = SpanEvent(name="exception", timestamp=7, attributes={"exception.type": "OSError"})
    status = SpanStatus(code=SpanStatusCode.ERROR, message="no")
    span = Span(name="s", context=context, start_time=5, end_time=9, status=status, events=[event], attributes={"a": 1})

    post_json(backend.url, span_to_dict(span))
    post_json(backend.url, [span_to_dict(span), span_to_dict(span)])

    first, *others = backend.spans
    assert (first.trace_id, first.span_id, first.parent_id) == (f"{0xABC:032x}", f"{0xDEF:016x}", f"{0x123:016x}")
    assert (first.name, first.start_ns, first.end_ns, first.attributes) == ("s", 5, 9, {"a": 1})
    assert (first.status, first.status_message) == ("ERROR", "no")
    assert first.events == (ReceivedEvent("exception", 7, {"exception.type": "OSError"}),)
    assert len(others) == len(backend.duplicates) == 2


def test_any_json_is_kept(backend: FakeBackend) -> None:
    answer = post_json(backend.url, {"batch": [1, 2]})

    (request,) = backend.requests
    assert answer.status == 200
    assert (request.protocol, request.json(), request.spans) == ("json", {"batch": [1, 2]}, [])
    assert backend.acknowledged == [request]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        (b"\xff\xff", PROTOBUF, 400, "no ExportTraceServiceRequest in binary protobuf"),
        (b'{"resourceSpans": 5}', "application/json", 400, "no ExportTraceServiceRequest in JSON"),
        (b"{", "application/json", 400, "no JSON"),
        (b"hello", "text/plain", 415, "content type 'text/plain' is not supported"),
        (message_of("a", trace_id=b"\0" * 16).SerializeToString(), PROTOBUF, 400, "16 bytes that are not all zero"),
        (message_of("a", trace_id=b"\1" * 15).SerializeToString(), PROTOBUF, 400, "16 bytes that are not all zero"),
    ],
)
def test_what_cannot_be_read_is_refused(
    backend: FakeBackend, body: bytes, content_type: str, status: int, message: str
) -> None:
    answer = post(backend.url, body, {"Content-Type": content_type})

    said = Status.FromString(answer.body).message if content_type == PROTOBUF else json.loads(answer.body)["message"]
    assert answer.status == status
    assert message in said
    assert backend.spans == []
    assert len(backend.requests) == 1


def test_another_path_is_not_served(backend: FakeBackend) -> None:
    assert post_protobuf(backend.url + "/v1/traces", message_of("a")).status == 404
    assert post(backend.url, b"", {}, method="GET").status == 405
    assert backend.spans == []


def test_its_path_can_be_another() -> None:
    with FakeBackend("/api/public/otel/v1/traces") as backend:
        assert post_protobuf(backend.base_url + "/api/public/otel/v1/traces", message_of("a")).status == 200
        assert post_protobuf(backend.base_url + "/v1/traces", message_of("b")).status == 404
        assert [span.name for span in backend.spans] == ["a"]


def test_it_can_be_stricter() -> None:
    """`refuse` sees each request that can be read, over HTTP and gRPC, and what it returns is the answer."""

    def without_key(request: Any) -> Fault | None:
        return None if request.headers.get("x-api-key") == "right" else faults.status(401, body={"error": "bad key"})

    def said_without_key(request: Any) -> Fault | None:
        return None if request.headers.get("x-api-key") == "right" else faults.status(401)

    with FakeBackend(refuse=without_key) as backend:
        refused = post_protobuf(backend.url, message_of("a"), {"x-api-key": "wrong"})
        assert (refused.status, json.loads(refused.body)) == (401, {"error": "bad key"})
        assert post_protobuf(backend.url, message_of("b"), {"x-api-key": "right"}).status == 200
        assert [span.name for span in backend.spans] == ["b"]
    with FakeBackend(grpc=True, refuse=said_without_key) as backend:
        with pytest.raises(grpc.RpcError) as raised:
            export_over_grpc(backend.grpc_endpoint, message_of("a"))
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_other_paths_can_be_served(backend: FakeBackend) -> None:
    backend.reply_at("/projects", faults.status(200, body=["one"]))
    backend.reply_at("/login", lambda request: faults.status(201, body={"sent": request.json()}))

    assert json.loads(post(f"{backend.base_url}/projects", b"", {}, method="GET").body) == ["one"]
    assert json.loads(post_json(f"{backend.base_url}/login", {"key": 1}).body) == {"sent": {"key": 1}}
    assert [request.path for request in backend.requests] == ["/projects", "/login"]
    assert backend.acknowledged == []


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_spans_can_be_waited_for(backend: FakeBackend) -> None:
    """Duplicates do not count."""
    sender = threading.Thread(
        target=lambda: [post_protobuf(backend.url, message_of(*names)) for names in ["a", "a", "ab"]]
    )
    sender.start()

    spans = backend.wait_for_spans(2)
    sender.join()

    assert [span.name for span in spans] == ["a", "a", "a", "b"]
    assert len(backend.duplicates) == 2
    assert backend.attempts == {f"{1:016x}": 3, f"{2:016x}": 1}


async def test_a_coroutine_can_wait_and_go_on() -> None:
    async with FakeBackend() as backend:
        waiting = asyncio.create_task(backend.await_spans(1))
        await asyncio.to_thread(post_protobuf, backend.url, message_of("a"))

        assert [span.name for span in await waiting] == ["a"]
        assert len(await backend.await_requests(1)) == 1


def test_what_did_not_come_is_told_with_what_did(backend: FakeBackend) -> None:
    backend.plan(faults.status(503))
    post_protobuf(backend.url, message_of("a"))
    post_protobuf(backend.url + "s", message_of("a"))

    with pytest.raises(AssertionError) as raised:
        backend.wait_for_spans(1, timeout_s=0.01)

    assert str(raised.value) == (
        "0 of 1 spans came within 0.01 s; the last of 2 requests:\n"
        "  POST /v1/traces (http/protobuf, 1 spans): status 503\n"
        "  POST /v1/tracess (http/protobuf, 0 spans): status 404"
    )


# -- faults over HTTP --------------------------------------------------------------------------------------------------


def test_faults_come_in_order_and_then_the_usual_answer(backend: FakeBackend) -> None:
    backend.plan(faults.status(500), faults.OK)
    backend.from_now_on(faults.status(429))

    statuses = [post_protobuf(backend.url, message_of(name)).status for name in "abcd"]
    backend.recover()
    statuses.append(post_protobuf(backend.url, message_of("e")).status)

    assert statuses == [500, 200, 429, 429, 200]
    assert [span.name for span in backend.spans] == ["b", "e"]
    assert [request.fault.name for request in backend.requests] == [
        "status 500",
        "ok",
        "status 429",
        "status 429",
        "ok",
    ]


def test_a_status_may_say_when_to_come_again(backend: FakeBackend) -> None:
    """In whole seconds, as RFC 9110 has it, or as a date."""
    backend.plan(faults.status(429, retry_after_s=1.5), faults.status(503, retry_after_s=60, as_date=True))

    in_seconds, as_date = (post_protobuf(backend.url, message_of("a")).headers["retry-after"] for _ in range(2))

    assert in_seconds == "2"
    assert 50 < parsedate_to_datetime(as_date).timestamp() - time.time() <= 60


def test_a_partial_success_keeps_what_is_not_refused(backend: FakeBackend) -> None:
    backend.plan(faults.partial_success(2, "no model"), faults.partial_success(0, "slow down"))

    refused = ExportTraceServiceResponse.FromString(post_protobuf(backend.url, message_of("a", "b", "c")).body)
    warned = json.loads(post_json(backend.url, otlp_client.as_json(message_of("d"))).body)

    assert (refused.partial_success.rejected_spans, refused.partial_success.error_message) == (2, "no model")
    assert warned == {"partialSuccess": {"errorMessage": "slow down"}}
    assert [span.name for span in backend.spans] == ["a", "d"]


@pytest.mark.parametrize(
    ("fault", "content_type", "begins"),
    [
        (faults.LOGIN_PAGE, "text/html; charset=utf-8", b"<!doctype html>"),
        (faults.WRONG_CONTENT_TYPE, "text/plain", b"accepted"),
    ],
)
def test_a_success_that_is_none_takes_nothing(
    backend: FakeBackend, fault: Fault, content_type: str, begins: bytes
) -> None:
    backend.plan(fault)

    answer = post_protobuf(backend.url, message_of("a"))

    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    assert answer.body.startswith(begins)
    assert backend.spans == []


def test_a_redirect_leads_elsewhere(backend: FakeBackend) -> None:
    backend.plan(faults.redirect(f"{backend.base_url}/login", 307))

    answer = post_protobuf(backend.url, message_of("a"))

    assert (answer.status, answer.headers["location"]) == (307, f"{backend.base_url}/login")
    assert backend.spans == []


def test_a_body_is_cut_short(backend: FakeBackend) -> None:
    backend.plan(faults.TRUNCATED)

    with pytest.raises(http.client.IncompleteRead):
        post_protobuf(backend.url, message_of("a"))

    assert backend.spans == []


def test_a_connection_is_reset(backend: FakeBackend) -> None:
    backend.plan(faults.RESET)

    with pytest.raises(ConnectionResetError):
        post_protobuf(backend.url, message_of("a"))

    assert backend.spans == []


def test_what_is_too_large_is_refused(backend: FakeBackend) -> None:
    """The limit counts what was compressed."""
    backend.limit_bytes = 100

    refused = post_protobuf(backend.url, message_of("a" * 200), compress=True)
    taken = post_protobuf(backend.url, message_of("b"))

    assert (refused.status, taken.status) == (413, 200)
    assert [span.name for span in backend.spans] == ["b"]


@pytest.mark.parametrize("fault", [faults.HANG, faults.SILENCE, faults.TRICKLE])
def test_what_hangs_is_not_taken_before_it_recovers(backend: FakeBackend, fault: Fault) -> None:
    backend.plan(fault)
    connection = http.client.HTTPConnection("127.0.0.1", int(backend.base_url.rpartition(":")[2]), timeout=180)
    connection.request("POST", "/v1/traces", message_of("a").SerializeToString(), {"Content-Type": PROTOBUF})
    backend.wait_for_requests(1)

    assert post_protobuf(backend.url, message_of("b")).status == 200
    assert [span.name for span in backend.spans] == ["b"]
    connection.close()


def test_what_hangs_is_answered_when_it_recovers(backend: FakeBackend) -> None:
    answers: list[Answer] = []
    backend.from_now_on(faults.HANG)
    sender = threading.Thread(target=lambda: answers.append(post_protobuf(backend.url, message_of("a"))))
    sender.start()
    backend.wait_for_requests(1)
    assert backend.spans == []

    backend.recover()
    sender.join()

    assert [answer.status for answer in answers] == [200]
    assert [span.name for span in backend.spans] == ["a"]


def test_silence_ends_with_a_reset(backend: FakeBackend) -> None:
    """Nothing is taken when the backend recovers, whether or not the client is still there."""
    backend.plan(faults.SILENCE)
    connection = http.client.HTTPConnection("127.0.0.1", int(backend.base_url.rpartition(":")[2]), timeout=20)
    connection.request("POST", "/v1/traces", message_of("a").SerializeToString(), {"Content-Type": PROTOBUF})
    backend.wait_for_requests(1)

    backend.recover()

    with pytest.raises(ConnectionError):
        connection.getresponse()
    assert backend.spans == []
    connection.close()


def test_a_trickle_has_no_end(backend: FakeBackend) -> None:
    """It is cut off when the backend recovers, and what it answered is not taken."""
    backend.plan(faults.TRICKLE)
    connection = http.client.HTTPConnection("127.0.0.1", int(backend.base_url.rpartition(":")[2]), timeout=180)
    connection.request("POST", "/v1/traces", message_of("a").SerializeToString(), {"Content-Type": PROTOBUF})

    response = connection.getresponse()

    assert (response.status, response.read(2)) == (200, b"  ")
    backend.recover()
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        response.read()
    connection.close()
    assert backend.spans == []


def test_nobody_is_at_a_closed_url() -> None:
    with pytest.raises(ConnectionRefusedError):
        post_protobuf(closed_url(), message_of("a"))


# -- faults over gRPC --------------------------------------------------------------------------------------------------


def failed_export(backend: FakeBackend, fault: Fault, **options: Any) -> Any:
    backend.plan(fault)
    with pytest.raises(grpc.RpcError) as raised:
        export_over_grpc(backend.grpc_endpoint, message_of("a"), **options)
    assert backend.spans == []
    return raised.value


def retry_delay_s(error: Any) -> float:
    (packed,) = (value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin")
    info = RetryInfo()
    (detail,) = Status.FromString(packed).details
    assert detail.Unpack(info)
    return float(info.retry_delay.ToNanoseconds() / 1e9)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (faults.status(400), "INVALID_ARGUMENT"),
        (faults.status(401), "UNAUTHENTICATED"),
        (faults.status(403), "PERMISSION_DENIED"),
        (faults.status(429), "UNAVAILABLE"),
        (faults.status(429, retry_after_s=1), "RESOURCE_EXHAUSTED"),
        (faults.status(503), "UNAVAILABLE"),
        (faults.status(413), "RESOURCE_EXHAUSTED"),
        (faults.status(418), "UNKNOWN"),
        (faults.grpc_status("DATA_LOSS"), "DATA_LOSS"),
        (faults.RESET, "UNAVAILABLE"),
        (faults.TRUNCATED, "INTERNAL"),
    ],
)
def test_a_fault_has_its_grpc_status(backend: FakeBackend, fault: Fault, code: str) -> None:
    assert failed_export(backend, fault).code().name == code


def test_a_grpc_status_may_say_when_to_come_again(backend: FakeBackend) -> None:
    error = failed_export(backend, faults.grpc_status("UNAVAILABLE", message="busy", retry_after_s=2.5))

    assert (error.details(), retry_delay_s(error)) == ("busy", 2.5)


def test_grpc_refuses_what_is_too_large(backend: FakeBackend) -> None:
    backend.limit_bytes = 10

    error = failed_export(backend, faults.OK)

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "received message larger than max" in error.details()


def test_grpc_tells_a_partial_success(backend: FakeBackend) -> None:
    backend.plan(faults.partial_success(1, "no model"))

    response = export_over_grpc(backend.grpc_endpoint, message_of("a", "b"))

    assert (response.partial_success.rejected_spans, response.partial_success.error_message) == (1, "no model")
    assert [span.name for span in backend.spans] == ["a"]


def test_grpc_hangs_until_the_client_gives_up(backend: FakeBackend) -> None:
    error = failed_export(backend, faults.HANG, timeout_s=0.2)

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_grpc_refuses_what_cannot_be_read(backend: FakeBackend) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        export_over_grpc(backend.grpc_endpoint, message_of("a", trace_id=b"\0" * 16))

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


# -- TLS ---------------------------------------------------------------------------------------------------------------


def test_tls_needs_its_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    with FakeBackend(tls=authority.server()) as backend:
        trusting = ssl.create_default_context(cafile=authority.ca_file)
        body, headers = message_of("a").SerializeToString(), {"Content-Type": PROTOBUF}
        with pytest.raises(ssl.SSLCertVerificationError):
            post(backend.url, body, headers, tls=ssl.create_default_context())
        assert post(backend.url, body, headers, tls=trusting).status == 200
        assert backend.url.startswith("https://")


def test_tls_may_demand_a_client_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.client_files()
    known, unknown = (ssl.create_default_context(cafile=authority.ca_file) for _ in range(2))
    known.load_cert_chain(certificate, key)
    body, headers = message_of("a").SerializeToString(), {"Content-Type": PROTOBUF}

    with FakeBackend(tls=authority.server(demands_client_certificate=True)) as backend:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            post(backend.url, body, headers, tls=unknown)
        assert post(backend.url, body, headers, tls=known).status == 200


def test_grpc_speaks_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.client_files()

    with FakeBackend(grpc=True, tls=authority.server(demands_client_certificate=True)) as backend:
        known = grpc.ssl_channel_credentials(authority.ca_file.read_bytes(), key.read_bytes(), certificate.read_bytes())
        export_over_grpc(backend.grpc_endpoint, message_of("a"), credentials=known)
        unknown = grpc.ssl_channel_credentials(authority.ca_file.read_bytes())
        with pytest.raises(grpc.RpcError):
            export_over_grpc(backend.grpc_endpoint, message_of("b"), credentials=unknown)
        assert [span.name for span in backend.spans] == ["a"]
