"""`Retry-After`: honoured as seconds and as a date, whatever client raised it, and for the whole lane."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from nat.observability.delivery.errors import TransientExportError, classify
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.retry import RetryPolicy
from nat.observability.ledger import Counts
from nat.testing import virtual_time
from tests.support.lanes import Backend, answers, lane_to


class ConnectorLikeError(ConnectionError):
    def __init__(self, host: str, port: int) -> None:
        super().__init__("payload")
        self.host = host
        self.port = port


NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


class AiohttpLikeError(Exception):
    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__("payload")
        self.status = status
        self.headers = headers
        self.request_info = SimpleNamespace(url="https://user:pass@host:4318/v1/key-in-path?api_key=k")


class RequestsLikeError(Exception):
    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__("payload")
        self.response = SimpleNamespace(status_code=status, headers=headers, url="http://host/v1/traces")


@pytest.mark.parametrize("error", [AiohttpLikeError, RequestsLikeError])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:12:20 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_seconds_and_dates_are_read(error: type[Any], value: str, expected: float | None) -> None:
    failure = classify(error(429, {"Retry-After": value}), lambda: NOW)

    assert (failure.is_transient, failure.retry_after_s) == (True, expected)


def test_the_place_is_named_without_user_path_and_query() -> None:
    assert str(classify(AiohttpLikeError(503, {}))) == "AiohttpLikeError: HTTP 503 from https://host:4318"
    assert str(classify(RequestsLikeError(400, {}))) == "RequestsLikeError: HTTP 400 from http://host"
    assert str(classify(ConnectorLikeError("db", 4318))) == "ConnectorLikeError: from db:4318"


@pytest.mark.parametrize(
    "error", [AiohttpLikeError(429, {"retry-after": "3"}), TransientExportError(retry_after_s=3.0)]
)
def test_no_attempt_of_the_lane_comes_earlier(error: Exception) -> None:
    """Also not of items that come meanwhile, and not when the shutdown begins."""
    backend = Backend(answers(error))

    async def scenario() -> None:
        async with lane_to(backend, DeliveryOptions(concurrency=8)) as lane:
            lane.submit(0)
            await virtual_time.settle()
            for number in range(1, 10):
                lane.submit(number)

    virtual_time.run(scenario())

    assert backend.times == [0.0] + [3.0] * 10
    assert sorted(backend.taken) == list(range(10))


def test_an_item_is_given_up_if_that_is_too_late_for_it() -> None:
    """The next one is not sent earlier for that."""
    backend = Backend(answers(AiohttpLikeError(503, {"Retry-After": "100"})))

    async def scenario() -> Counts:
        options = DeliveryOptions(concurrency=1, retry=RetryPolicy(max_elapsed_s=60.0))
        async with lane_to(backend, options) as lane:
            lane.submit("first")
            lane.submit("second")
            await lane.flush()
            return lane.ledger.counts()

    counts = virtual_time.run(scenario())

    assert backend.attempts == [(0.0, "first"), (100.0, "second")]
    assert (counts.delivered, counts.dropped) == (1, {"retries_exhausted": 1})


def test_a_final_answer_is_one_attempt_and_one_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "nat.observability")
    backend = Backend(lambda item: AiohttpLikeError(400, {"Retry-After": "1"}))

    async def scenario() -> None:
        async with lane_to(backend) as lane:
            for number in range(20):
                lane.submit(number)

    virtual_time.run(scenario())

    assert len(backend.attempts) == 20
    assert caplog.messages == [
        "backend: export failed (AiohttpLikeError: HTTP 400 from https://host:4318) after 1 attempt(s); 1 items are lost"
    ]
