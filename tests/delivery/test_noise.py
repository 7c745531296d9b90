"""What is said while a backend fails: that it begins, once a minute that it goes on, and that it is over."""

import logging

import pytest

from nat.observability.delivery.errors import PermanentExportError, TransientExportError
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.retry import RetryPolicy
from nat.testing import virtual_time
from tests.support.lanes import Backend, answers, lane_to

PATIENT = DeliveryOptions(concurrency=1, retry=RetryPolicy(multiplier=1.0, max_elapsed_s=1000.0))


def test_a_long_outage_is_said_at_its_begin_each_minute_and_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "nat.observability")
    backend = Backend()

    async def scenario() -> None:
        async with lane_to(backend, PATIENT) as lane:
            backend.answer = lambda item: (
                TransientExportError("no one listens at db:1") if backend.times[-1] < 150.0 else None
            )
            for number in range(5):
                lane.submit(number)
            await virtual_time.sleep(200.0)

    virtual_time.run(scenario())

    cause = "TransientExportError: no one listens at db:1"
    assert caplog.messages == [
        f"backend: export failed ({cause}); 5 items wait and are sent again in 1.0 s",
        (
            f"backend: export still fails ({cause}), for 69 s now: 12 attempts, 5 items wait; "
            "the next attempt is in 30.0 s"
        ),
        (
            f"backend: export still fails ({cause}), for 129 s now: 14 attempts, 5 items wait; "
            "the next attempt is in 30.0 s"
        ),
        "backend: the backend answers again after 159.0 s and 14 failed attempts; up to 5 items waited",
    ]


def test_a_bug_in_the_exporter_is_no_answer_of_the_backend(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "nat.observability")
    backend = Backend(answers(TransientExportError("no one listens"), KeyError("a bug"), PermanentExportError("no")))

    async def scenario() -> None:
        async with lane_to(backend, PATIENT) as lane:
            for number in range(3):
                lane.submit(number)
            await lane.flush()

    virtual_time.run(scenario())

    assert caplog.messages == [
        "backend: export failed (TransientExportError: no one listens); 3 items wait and are sent again in 1.0 s",
        "backend: export failed (KeyError) after 2 attempt(s); 1 items are lost",
        "backend: the backend answers again after 1.0 s and 1 failed attempts; up to 3 items waited",
    ]


def test_hiccups_are_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "nat.observability")
    outcomes = [TransientExportError(), None] * 20
    backend = Backend(answers(*outcomes))

    async def scenario() -> None:
        async with lane_to(backend, PATIENT) as lane:
            for number in range(20):
                lane.submit(number)
            await lane.flush()

    virtual_time.run(scenario())

    assert caplog.messages == [
        "backend: export failed (TransientExportError); 20 items wait and are sent again in 1.0 s",
        "backend: the backend answers again after 1.0 s and 1 failed attempts; up to 20 items waited",
    ]
