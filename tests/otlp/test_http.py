"""OTLP over HTTP: what is on the wire, and what each answer means for the spans."""

import asyncio
import gzip
import logging
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from nat.data_models.delivery import DeadLettersConfig, DeliveryConfig, RetryConfig, SpoolConfig
from nat.observability import Telemetry
from nat.observability.delivery.errors import (
    ItemTooLargeError,
    PartialExportError,
    PermanentExportError,
    TransientExportError,
)
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.plugins.opentelemetry.transport import user_agent
from nat.testing import FakeBackend, closed_url, faults
from tests.otlp.sending import QUICK, delivered, exporter_to, sent, span, spans
from tests.support.collecting import emit
from tests.support.http_proxy import HttpProxy, Relay
from tests.support.lanes import assert_balanced

RETRIED = (429, 502, 503, 504)
FINAL = (400, 401, 403, 404, 405, 408, 409, 415, 422, 425, 500, 501, 505)


# -- what is on the wire -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "content_type"),
    [
        ("http", "application/x-protobuf"),
        ("http/protobuf", "application/x-protobuf"),
        ("http/json", "application/json"),
    ],
)
async def test_both_encodings_arrive_as_the_same_spans(backend: FakeBackend, protocol: Any, content_type: str) -> None:
    work = span("wörk", text="a", number=3, list=["x", "y"], flag=True, share=0.25)

    await sent(backend.url, work, protocol=protocol, resource_attributes={"service.name": "shop", "replica": 7})

    [request] = backend.requests
    [received] = request.spans
    assert request.content_type == content_type
    assert request.headers["user-agent"] == user_agent()
    assert (received.name, received.attributes) == ("wörk", work.attributes)
    assert received.trace_id == f"{work.context.trace_id:032x}"
    assert (received.start_ns, received.end_ns) == (work.start_time, work.end_time)
    assert received.resource.items() >= {"service.name": "shop", "replica": 7}.items()


async def test_body_beyond_a_megabyte_is_sent_without_a_warning(backend: FakeBackend) -> None:
    """Where warnings are errors, aiohttp's warning of large bodies would lose the spans."""
    await sent(backend.url, span(text="x" * 3_000_000))

    [request] = backend.requests
    assert int(request.headers["content-length"]) == len(request.body)
    assert request.spans[0].attributes["text"] == "x" * 3_000_000


@pytest.mark.parametrize("size", [10, 200_000], ids=["at once", "on another thread"])
@pytest.mark.parametrize("protocol", ["http", "http/json"])
async def test_gzip(backend: FakeBackend, protocol: Any, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large body is compressed beside the event loop."""
    threads = []
    compress = gzip.compress

    def watched(*args: Any, **kwargs: Any) -> bytes:
        threads.append(threading.current_thread())
        return compress(*args, **kwargs)

    monkeypatch.setattr("nat.plugins.opentelemetry.http_transport.gzip.compress", watched)

    await sent(backend.url, span(text="x" * size), compression="gzip", protocol=protocol)

    [request] = backend.requests
    assert request.headers["content-encoding"] == "gzip"
    assert int(request.headers["content-length"]) < len(request.body)
    assert request.spans[0].attributes["text"] == "x" * size
    assert [thread is threading.current_thread() for thread in threads] == [size == 10]


@pytest.mark.contract("S159")
def test_all_requests_of_a_lane_share_few_connections(backend: FakeBackend) -> None:
    """200 requests, four at a time at most: no more than four connections, though every seventh answer is a failure."""
    relay = Relay(urlsplit(backend.url).port or 0)
    for number in range(40):
        backend.plan(faults.status(503) if number % 7 == 0 else faults.OK)
    with relay.running():
        status = delivered(f"http://127.0.0.1:{relay.port}", steps=199, batch_size=1, flush_interval=0.01)

    assert (status.delivered, status.lost) == (200, 0)
    assert len(backend.requests) == 206
    assert 1 <= relay.connection_count <= 4


async def test_a_connection_is_used_again_after_every_kind_of_answer(backend: FakeBackend) -> None:
    relay = Relay(urlsplit(backend.url).port or 0)
    large = faults.status(400, body="x" * 50_000, content_type="text/html")
    backend.plan(faults.OK, faults.status(503), large, faults.LOGIN_PAGE, faults.partial_success(1, "no"))
    with relay.running():
        async with exporter_to(f"http://127.0.0.1:{relay.port}") as exporter:
            for _ in range(6):
                try:
                    await exporter.export_processed([span()])
                except (TransientExportError, PermanentExportError):
                    continue

    assert len(backend.requests) == 6
    assert relay.connection_count == 1


async def test_an_idle_connection_that_was_closed_meanwhile_costs_nothing(backend: FakeBackend) -> None:
    relay = Relay(urlsplit(backend.url).port or 0)
    with relay.running():
        async with exporter_to(f"http://127.0.0.1:{relay.port}") as exporter:
            await exporter.export_processed([span()])
            relay.hang_up()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await exporter.export_processed([span()])

    assert len(backend.spans) == 2
    assert relay.connection_count == 2


@pytest.mark.contract("S15", "S36", "S48")
async def test_headers_are_on_the_wire_and_those_of_the_protocol_stay(backend: FakeBackend) -> None:
    await sent(backend.url, headers={"X-Tenant": "a", "Authorization": "Bearer k", "user-agent": "mine"})

    [request] = backend.requests
    assert request.headers["x-tenant"] == "a"
    assert request.headers["authorization"] == "Bearer k"
    assert request.headers["user-agent"] == "mine"


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"content-type": "text/plain"}, "the header 'content-type' is set by the protocol"),
        ({"X Tenant": "a"}, "'X Tenant' cannot be the name of a header"),
        ({"x-key": "sesame\r\nx-other: 1"}, "the value of the header 'x-key' holds a line break"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused_without_their_values(headers: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        OtelCollectorConfig(endpoint="http://localhost:4318", headers=headers)

    assert "sesame" not in str(caught.value)


# -- what an answer means ----------------------------------------------------------------------------------------------


@pytest.mark.contract("D16", "S160")
@pytest.mark.parametrize("code", RETRIED)
def test_these_statuses_are_tried_again(backend: FakeBackend, code: int) -> None:
    backend.plan(faults.status(code), faults.status(code))

    status = delivered(backend.url)

    assert (status.delivered, status.lost) == (2, 0)
    assert set(backend.attempts.values()) == {3}
    assert backend.duplicates == []


@pytest.mark.parametrize("code", FINAL)
def test_all_others_are_final(backend: FakeBackend, code: int) -> None:
    backend.from_now_on(faults.status(code))

    status = delivered(backend.url)

    assert (status.delivered, status.rejected) == (0, 2)
    assert set(backend.attempts.values()) == {1}


@pytest.mark.parametrize(("after_s", "as_date"), [(1, False), (2, True)])
def test_retry_after_is_kept(backend: FakeBackend, after_s: int, as_date: bool) -> None:
    """Seconds, or a date, which knows whole seconds only; without it, the next attempt would come after 20 ms."""
    backend.plan(faults.status(429, retry_after_s=after_s, as_date=as_date))

    status = delivered(backend.url)

    first, second = (request.time_s for request in backend.requests)
    assert status.delivered == 2
    assert after_s - (1.0 if as_date else 0.0) - 0.05 <= second - first < after_s + 10


@pytest.mark.parametrize("value", ["soon", "nan", "inf", "-5", "Mon, 99 Foo 2026 00:00:00 GMT"])
def test_a_retry_after_that_says_nothing_is_passed_over(backend: FakeBackend, value: str) -> None:
    backend.plan(faults.status(503, headers={"Retry-After": value}))

    assert delivered(backend.url).delivered == 2


@pytest.mark.parametrize(
    "fault",
    [
        faults.redirect("http://127.0.0.1:9/elsewhere"),
        faults.redirect("/v1/traces/", 307),
        faults.redirect("http://[", 308),
        faults.LOGIN_PAGE,
        faults.WRONG_CONTENT_TYPE,
        faults.status(200, body=b"", content_type="text/html"),
        faults.status(202, body=b"{}", content_type="application/octet-stream"),
    ],
    ids=["redirect", "redirect back", "redirect nowhere", "log-in page", "wrong content type", "empty HTML", "bytes"],
)
def test_what_is_no_answer_of_a_receiver_is_not_counted_as_delivered(backend: FakeBackend, fault: faults.Fault) -> None:
    backend.from_now_on(fault)

    status = delivered(backend.url)

    assert (status.delivered, status.rejected) == (0, 2)
    assert set(backend.attempts.values()) == {1}


@pytest.mark.parametrize(
    "fault",
    [
        faults.TRUNCATED,
        faults.RESET,
        faults.status(200, body=b"\x0a\x05\x08", content_type="application/x-protobuf"),
        faults.status(200, body=b"not protobuf at all", content_type="application/x-protobuf"),
        faults.status(200, body=b'{"partialSuccess":', content_type="application/json"),
        faults.status(200, body=b"[]", content_type="application/json"),
        faults.status(200, body=b'{"partialSuccess": {"rejectedSpans": "many"}}', content_type="application/json"),
        faults.status(200, body=b"{" + b" " * 2_000_000 + b"}", content_type="application/json"),
    ],
    ids=["short", "reset", "short protobuf", "garbage", "short JSON", "a list", "no number", "endless"],
)
def test_an_answer_that_cannot_be_read_is_not_counted_as_delivered(backend: FakeBackend, fault: faults.Fault) -> None:
    """It is tried again: the next one may be whole."""
    backend.plan(fault, fault)

    status = delivered(backend.url)

    assert (status.delivered, status.lost) == (2, 0)
    assert set(backend.attempts.values()) == {3}


@pytest.mark.parametrize(
    "answer",
    [
        faults.status(200, body=b"", content_type="application/x-protobuf"),
        faults.status(200, body=b"", content_type="text/plain"),
        faults.status(200, body=b"\x0a\x00", content_type="application/x-protobuf"),
        faults.status(200, body=b"{}", content_type="application/json; charset=utf-8"),
        faults.status(202, body={"partialSuccess": {}}),
        faults.status(200, body={"partialSuccess": {"rejectedSpans": "0"}}),
    ],
)
async def test_what_receivers_say_when_all_is_well(backend: FakeBackend, answer: faults.Fault) -> None:
    """JSON also in answer to protobuf, as some do."""
    backend.plan(answer)

    await sent(backend.url)

    assert len(backend.requests) == 1


@pytest.mark.parametrize("protocol", ["http", "http/json"])
@pytest.mark.parametrize("has_spool", [False, True], ids=["memory", "spool"])
def test_partial_success_counts_what_was_rejected(
    backend: FakeBackend, protocol: Any, has_spool: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The rest counts as delivered, nothing is sent again, the server's words are said, and the accounts balance."""
    backend.plan(faults.partial_success(3, "attributes too large"))
    storage = SpoolConfig(enabled=has_spool, directory=str(tmp_path))
    delivery = DeliveryConfig(retry=QUICK.retry, spool=storage)

    status = delivered(backend.url, steps=9, delivery=delivery, protocol=protocol)

    assert (status.accepted, status.delivered, status.rejected, status.spooled) == (10, 7, 3, 0)
    assert_balanced(status)
    assert len(backend.requests) == 1
    [record] = [record for record in caplog.records if "rejected" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert "attributes too large" in record.getMessage()


@pytest.mark.parametrize("count", [0, 5, 2**40, 2**64 - 1])
async def test_odd_counts_of_rejected_spans(backend: FakeBackend, count: int) -> None:
    """More than were sent are all of them; fewer than none, none."""
    body = {"partialSuccess": {"rejectedSpans": str(count if count < 2**63 else count - 2**64)}}
    backend.plan(faults.status(200, body=body))

    status = delivered(backend.url)

    assert (status.delivered, status.rejected) == ((0, 2) if 0 < count < 2**63 else (2, 0))


def test_a_warning_beside_full_success_is_said_once(backend: FakeBackend, caplog: pytest.LogCaptureFixture) -> None:
    backend.from_now_on(faults.partial_success(0, "this endpoint is going away"))

    status = delivered(backend.url, steps=9, batch_size=1)

    assert (status.delivered, status.rejected) == (10, 0)
    [record] = [record for record in caplog.records if "going away" in record.getMessage()]
    assert record.levelno == logging.WARNING


def test_what_is_too_large_is_halved(backend: FakeBackend) -> None:
    backend.limit_bytes = 4_000

    status = delivered(backend.url, steps=40)

    assert (status.delivered, status.lost) == (41, 0)
    assert len({received.span_id for received in backend.spans}) == 41
    assert backend.duplicates == []


async def test_413_says_so(backend: FakeBackend) -> None:
    backend.plan(faults.status(413))

    with pytest.raises(ItemTooLargeError, match=f"HTTP 413 from {backend.url}"):
        await sent(backend.url)


@pytest.mark.parametrize("fault", [faults.HANG, faults.TRICKLE], ids=["hangs", "trickles"])
def test_a_request_without_an_answer_ends_at_the_timeout(backend: FakeBackend, fault: faults.Fault) -> None:
    backend.plan(fault)

    status = delivered(backend.url, timeout=0.3)

    assert (status.delivered, status.lost) == (2, 0)
    assert len(backend.requests) >= 2


def test_dead_letters_keep_what_was_refused(backend: FakeBackend, tmp_path: Path) -> None:
    backend.from_now_on(faults.status(401, body={"message": "no such key"}))
    delivery = DeliveryConfig(dead_letters=DeadLettersConfig(enabled=True, directory=str(tmp_path)))

    status = delivered(backend.url, delivery=delivery, headers={"x-api-key": "open-sesame"})

    assert (status.dead_lettered, status.delivered, status.lost) == (2, 0, 0)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"no such key" in kept
    assert b"open-sesame" not in kept


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (
            faults.status(400, body={"error": {"message": "bad span id"}}),
            PermanentExportError,
            ": bad span id; it cannot",
        ),
        (faults.status(401), PermanentExportError, "; check the key, and the variable or file that it comes from"),
        (faults.status(403, body="not yours"), PermanentExportError, ": not yours; check the key: it is wrong"),
        (
            faults.status(404, body="<html>no</html>", content_type="text/html"),
            PermanentExportError,
            "; check the path",
        ),
        (faults.status(415), PermanentExportError, "try protocol http/protobuf or http/json"),
        (faults.status(503, body={"detail": [{"message": "busy"}]}), TransientExportError, ": busy"),
        (
            faults.status(422, body={"detail": [{"loc": ["header", "x-experiment"], "msg": "Field required"}]}),
            PermanentExportError,
            ": header x-experiment: Field required",
        ),
        (
            faults.status(422, body={"message": "no"}, content_type="application/problem+json"),
            PermanentExportError,
            ": no",
        ),
        (faults.status(429, body=b"\xff\xfe"), TransientExportError, "HTTP 429 from"),
        (
            faults.redirect("https://login.example.com/start?token=abc"),
            PermanentExportError,
            "https://login.example.com/",
        ),
        (faults.partial_success(1), PartialExportError, "no reason given"),
    ],
)
async def test_what_is_said(backend: FakeBackend, fault: faults.Fault, error: type[Exception], words: str) -> None:
    backend.plan(fault)

    with pytest.raises(error) as caught:
        await sent(backend.url)

    assert words in str(caught.value)
    assert "token=abc" not in str(caught.value)
    assert "<html>" not in str(caught.value)


# -- no answer at all --------------------------------------------------------------------------------------------------


@pytest.mark.contract("S174")
async def test_a_closed_port(backend: FakeBackend) -> None:
    url = closed_url()

    with pytest.raises(TransientExportError, match=f"no connection to {url}: Connection refused"):
        await sent(url)


@pytest.mark.contract("S174", "S161")
def test_the_log_names_the_endpoint_without_credentials(caplog: pytest.LogCaptureFixture) -> None:
    url = closed_url()
    delivery = DeliveryConfig(retry=RetryConfig(initial_interval=0.01, max_retries=1))

    delivered(f"{url.replace('//', '//user:sesame@')}?key=sesame", delivery=delivery)

    assert f"no connection to {url}" in caplog.text
    assert "sesame" not in caplog.text


async def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(TransientExportError, match=r"no connection to http://nowhere\.invalid:4318/v1/traces: "):
        await sent("http://nowhere.invalid:4318")


async def test_something_else_on_the_port() -> None:
    """A server of another protocol speaks first."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        with pytest.raises(TransientExportError, match="what it answers is no HTTP"):
            await sent(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


# -- proxies -----------------------------------------------------------------------------------------------------------


async def test_plain_requests_go_through_a_proxy(backend: FakeBackend) -> None:
    proxy = HttpProxy(credentials="Basic dXNlcjpvcGVu")
    with proxy.running():
        await sent(backend.url, proxy=proxy.url.replace("//", "//user:open@"))

    [passage] = proxy.passages
    assert (passage.method, passage.target) == ("POST", backend.url)
    assert len(backend.spans) == 1


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
async def test_the_environment_names_the_proxy(
    backend: FakeBackend, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = HttpProxy()
    with proxy.running():
        monkeypatch.setenv(name, proxy.url)
        await sent(backend.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        await sent(backend.url)

    assert len(proxy.passages) == 1
    assert len(backend.spans) == 2


async def test_a_proxy_that_wants_a_password(backend: FakeBackend) -> None:
    proxy = HttpProxy(credentials="Basic dXNlcjpvcGVu")
    with proxy.running():
        with pytest.raises(PermanentExportError, match=r"407.*user and password into the proxy's URL"):
            await sent(backend.url, proxy=proxy.url)


async def test_a_proxy_that_is_not_there(backend: FakeBackend) -> None:
    proxy = closed_url("").replace("//", "//user:sesame@")

    with pytest.raises(TransientExportError, match=r"no connection to the proxy http://127") as caught:
        await sent(backend.url, proxy=proxy)

    assert "sesame" not in str(caught.value)


# -- its life ----------------------------------------------------------------------------------------------------------


@pytest.mark.contract("S165")
def test_the_client_is_made_on_the_telemetry_loop_and_closed_with_it(backend: FakeBackend) -> None:
    """No connection stays open; warnings are errors, and a session left open would be one."""
    relay = Relay(urlsplit(backend.url).port or 0)
    with relay.running():
        for _ in range(2):
            with Telemetry({"collector": OtelCollectorConfig(endpoint=f"http://127.0.0.1:{relay.port}")}) as telemetry:
                with telemetry.run("run"):
                    emit("work")
            relay.wait_until_closed()

    assert len(backend.spans) == 4
    assert relay.connection_count == 2


async def test_user_and_password_in_the_url(backend: FakeBackend) -> None:
    """They are sent as Basic credentials, unless a header says who sends as well: that is refused, without their values."""
    url = backend.url.replace("//", "//user:sesame@")

    await sent(url)
    with pytest.raises(PermanentExportError) as caught:
        await sent(url, headers={"authorization": "Bearer open"})

    [request] = backend.requests
    assert request.headers["authorization"] == "Basic dXNlcjpzZXNhbWU="
    assert str(caught.value) == (
        f"{backend.url}: both the URL and the header Authorization say who sends; leave one of them out"
    )


async def test_closing_twice_and_before_anything_was_sent(backend: FakeBackend) -> None:
    async with exporter_to(backend.url) as exporter:
        await exporter.stop()
        await exporter.stop()


async def test_the_endpoint_is_shown_without_what_is_secret(backend: FakeBackend) -> None:
    url = backend.url.replace("//", "//user:sesame@")
    async with exporter_to(f"{url}?key=sesame") as exporter:
        assert exporter.endpoint == backend.url
        await exporter.export_processed(spans(2))

    [request] = backend.requests
    assert request.headers["authorization"].startswith("Basic ")
    assert request.query == "key=sesame"


def test_nothing_is_tried_more_often_than_configured(backend: FakeBackend) -> None:
    backend.from_now_on(faults.status(503))
    delivery = DeliveryConfig(retry=RetryConfig(initial_interval=0.01, max_interval=0.01))

    status = delivered(backend.url, delivery=delivery, retries=2)

    assert dict(status.dropped) == {"retries_exhausted": 2}
    assert set(backend.attempts.values()) == {3}
