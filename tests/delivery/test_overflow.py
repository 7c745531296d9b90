"""`max_queue_size` and `drop_on_overflow`: what waits to be sent is bounded."""

from nat.observability.delivery.options import DeliveryOptions
from nat.observability.ledger import Counts
from nat.observability.processor.batching_processor import BatchingProcessor
from nat.testing import virtual_time
from tests.support.lanes import Backend, lane_to


def test_items_beyond_the_bound_are_dropped_and_counted() -> None:
    """One is on its way, three wait, the rest is lost."""
    backend = Backend(takes_s=10.0)

    async def scenario() -> Counts:
        options = DeliveryOptions(batch_size=1, max_queue_size=3, drop_on_overflow=True)
        async with lane_to(backend, options) as lane:
            for number in range(10):
                lane.submit(number)
            await lane.flush()
            return lane.ledger.counts()

    counts = virtual_time.run(scenario())

    assert backend.taken == [0, 1, 2, 3]
    assert (counts.delivered, counts.dropped) == (4, {"queue_full": 6})


def test_without_dropping_what_waits_is_sent_at_once() -> None:
    """The list is not kept for `flush_interval` when there is no more room."""
    backend = Backend()

    async def scenario() -> list[float]:
        options = DeliveryOptions(takes_lists=True, batch_size=100, max_queue_size=3, flush_interval_s=60.0)
        async with lane_to(backend, options) as lane:
            for number in range(7):
                lane.submit(number)
            await lane.flush()
            return backend.times

    times = virtual_time.run(scenario())

    assert [item for _, item in backend.attempts] == [[0, 1, 2], [3, 4, 5], [6]]
    assert times == [0.0, 0.0, 0.0]


def test_a_batching_processor_keeps_the_bound_itself() -> None:
    backend = Backend(takes_s=10.0)

    async def scenario() -> Counts:
        options = DeliveryOptions(max_queue_size=2, drop_on_overflow=True)
        batching = BatchingProcessor[int](batch_size=2, flush_interval=60.0)
        async with lane_to(backend, options, [batching]) as lane:
            for number in range(8):
                lane.submit(number)
            await lane.flush()
            return lane.ledger.counts()

    counts = virtual_time.run(scenario())

    assert (counts.delivered, counts.dropped) == (8, {})
