"""Circuit breaker: a backend that fails again and again is left alone, then asked once."""

import math

import pytest

from nat.observability.delivery.breaker import Breaker, BreakerPolicy
from nat.observability.delivery.errors import PermanentExportError, TransientExportError
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.retry import RetryPolicy
from nat.testing import virtual_time
from tests.support.lanes import Backend, lane_to

POLICY = BreakerPolicy(failures=3, open_for_s=10.0)


def test_it_opens_after_failures_in_a_row_and_closes_with_the_probe() -> None:
    breaker = Breaker(POLICY).failed(0.0).failed(1.0).succeeded()
    assert (breaker.state, breaker.wait_s(1.0)) == ("closed", 0.0)

    breaker = breaker.failed(2.0).failed(3.0).failed(4.0)
    assert (breaker.state, breaker.wait_s(4.0), breaker.wait_s(14.0)) == ("open", 10.0, 0.0)

    breaker = breaker.failed(5.0)  # an attempt that began before
    assert (breaker.state, breaker.wait_s(5.0)) == ("open", 9.0)

    breaker = breaker.began()
    assert (breaker.state, breaker.wait_s(14.0)) == ("half-open", math.inf)
    assert breaker.failed(15.0).wait_s(15.0) == 10.0
    assert breaker.succeeded() == Breaker(POLICY)
    assert breaker.failed(15.0).wait_s(15.0, at_most_s=1.0) == 1.0
    assert breaker.failed(15.0).wait_s(17.0, at_most_s=1.0) == 0.0


def test_zero_failures_switch_it_off() -> None:
    breaker = Breaker(BreakerPolicy(failures=0))
    for second in range(100):
        breaker = breaker.failed(float(second))

    assert breaker.state == "closed"


@pytest.mark.parametrize("wrong", [{"failures": -1}, {"open_for_s": 0.0}])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"breaker\."):
        BreakerPolicy(**wrong)  # type: ignore[arg-type]  # that is the point


def test_a_lane_stops_asking_and_probes_once_until_the_backend_is_back() -> None:
    """Down until second 25: three failures, then a probe every 10 s, then everything; nothing is lost."""
    backend = Backend()

    async def scenario() -> None:
        options = DeliveryOptions(
            concurrency=3, breaker=POLICY, retry=RetryPolicy(initial_interval_s=1.0, multiplier=1.0)
        )
        async with lane_to(backend, options) as lane:
            backend.answer = lambda item: TransientExportError() if backend.times[-1] < 25.0 else None
            for number in range(50):
                lane.submit(number)
            await virtual_time.sleep(60.0)

    virtual_time.run(scenario())

    assert backend.times == [0.0] * 3 + [10.0, 20.0] + [30.0] * 50
    assert sorted(backend.taken) == list(range(50))


def test_an_answer_however_bad_closes_it() -> None:
    """A backend that says no is there."""
    backend = Backend()
    refusals = iter([TransientExportError(), TransientExportError(), PermanentExportError()] * 4)

    async def scenario() -> None:
        options = DeliveryOptions(breaker=POLICY, retry=RetryPolicy(initial_interval_s=1.0, multiplier=1.0))
        async with lane_to(backend, options) as lane:
            backend.answer = lambda item: next(refusals)
            for number in range(4):
                lane.submit(number)
            await lane.flush()

    virtual_time.run(scenario())

    assert backend.times == [0.0, 1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0, 6.0, 6.0, 7.0, 8.0]


def test_a_flush_does_not_wait_for_it() -> None:
    """It makes the probe, and one each second; when that works, everything is sent."""
    backend = Backend()

    async def scenario() -> float:
        options = DeliveryOptions(breaker=BreakerPolicy(failures=1, open_for_s=1000.0))
        async with lane_to(backend, options) as lane:
            backend.answer = lambda item: TransientExportError()
            for number in range(5):
                lane.submit(number)
            await virtual_time.sleep(100.0)
            assert len(backend.attempts) == 1
            backend.answer = lambda item: TransientExportError() if virtual_time.now() < 103.0 else None
            await lane.flush()
            return virtual_time.now()

    assert virtual_time.run(scenario()) < 107.0
    assert backend.taken == [0, 1, 2, 3, 4]


def test_the_shutdown_does_not_wait_for_it() -> None:
    """The last chance is taken: the backend is back, though the breaker is open for long."""
    backend = Backend()

    async def scenario() -> float:
        options = DeliveryOptions(breaker=BreakerPolicy(failures=1, open_for_s=1000.0))
        async with lane_to(backend, options) as lane:
            backend.answer = lambda item: TransientExportError()
            lane.submit(1)
            lane.submit(2)
            await virtual_time.settle()
            backend.answer = lambda item: None
            await lane.close(5.0)
        return virtual_time.now()

    assert virtual_time.run(scenario()) < 1.0
    assert backend.taken == [1, 2]
