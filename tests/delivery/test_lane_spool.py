"""A lane that keeps what it has not sent: in memory, on disk, and from one life of the program to the next."""

import logging
import math
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.span import Span, SpanContext
from nat.observability.delivery import sender
from nat.observability.delivery.breaker import BreakerPolicy
from nat.observability.delivery.codec import encode, item_count, register_codec
from nat.observability.delivery.dead_letters import DeadLetters
from nat.observability.delivery.errors import ItemTooLargeError, PermanentExportError, TransientExportError
from nat.observability.delivery.options import DeadLettersOptions, DeliveryOptions, SpoolOptions
from nat.observability.delivery.retry import RetryPolicy
from nat.observability.delivery.spool import Spool, exporter_directory, survey
from nat.observability.delivery.worker import Lane
from nat.observability.ledger import Counts
from nat.testing import virtual_time
from tests.support.lanes import Backend, answers, lane_to

DOWN = TransientExportError("down")
ITEMS = [f"item {number:03}" for number in range(100)]


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has room for a few of the records of `ITEMS`; the rest is on disk only."""
    monkeypatch.setattr(sender, "_RESIDENT_BYTES", 1_000)
    monkeypatch.setattr(sender, "_LOAD_BYTES", 300)


def spooling(directory: Path, **options: Any) -> DeliveryOptions:
    return DeliveryOptions(**{"concurrency": 1, "spool": SpoolOptions(directory), **options})


def letters_in(directory: Path) -> DeadLetters:
    return DeadLetters(directory, max_bytes=2**30)


def a_life(
    backend: Backend, options: DeliveryOptions, *items: Any, then: Callable[[Lane], Awaitable[None]] = Lane.flush
) -> tuple[Counts, float]:
    """One life of a program that submits items, flushes unless told otherwise, and ends: its accounts, and how long it took."""

    async def scenario() -> tuple[Counts, float]:
        async with lane_to(backend, options) as lane:
            for item in items:
                lane.submit(item)
            await then(lane)
        return lane.ledger.counts(), virtual_time.now()

    return virtual_time.run(scenario())


async def written(lane: Lane) -> None:
    await lane.written()


def on_disk(directory: Path) -> int:
    return sum(owner.items for owner in survey(exporter_directory(directory, "backend")))


def left_behind(directory: Path, *records: bytes, clock: Callable[[], float] = time.time) -> Path:
    """What a process has left that is gone; its folder."""
    spool = Spool(exporter_directory(directory, "backend"), max_bytes=2**30, items_of=item_count, clock=clock)
    spool.append(records)
    spool.close()
    return exporter_directory(directory, "backend")


def record(value: Any, count: int = 1) -> bytes:
    return encode(value, exporter="backend", trace_id=None, accepted_at=time.time(), count=count)


def span(name: str, trace_id: int) -> Span:
    return Span(name=name, context=SpanContext(trace_id=trace_id, span_id=1))


# -- on disk and back ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("little_memory")
def test_order_is_kept_through_an_outage_in_which_most_items_are_on_disk_only(tmp_path: Path) -> None:
    """Also of those that come while it is over and the disk is being read; and each arrives once."""
    backend = Backend()

    async def scenario() -> Counts:
        backend.answer = lambda item: DOWN if virtual_time.now() < 100.0 else None
        backend.takes_s = 0.01
        async with lane_to(backend, spooling(tmp_path)) as lane:
            for item in ITEMS[:80]:
                lane.submit(item)
            await virtual_time.sleep(90.0)
            assert lane.ledger.counts() == Counts(accepted=80, spooled=80)
            await virtual_time.until(lambda: len(backend.taken) > 20)
            for item in ITEMS[80:]:
                lane.submit(item)
            await lane.flush()
        return lane.ledger.counts()

    counts = virtual_time.run(scenario())

    assert backend.taken == ITEMS
    assert counts == Counts(accepted=100, delivered=100)
    assert list(exporter_directory(tmp_path, "backend").iterdir()) == []


@pytest.mark.usefixtures("little_memory")
def test_a_flush_waits_for_what_is_on_disk_only(tmp_path: Path) -> None:
    backend = Backend(takes_s=1.0)
    left_behind(tmp_path, record("left"))

    async def flush(lane: Lane) -> None:
        await lane.flush()
        assert lane.ledger.counts() == Counts(accepted=100, recovered=1, delivered=101)

    _, took_s = a_life(backend, spooling(tmp_path), *ITEMS, then=flush)

    assert took_s == pytest.approx(101.0)
    assert sorted(backend.taken) == [*ITEMS, "left"]


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_flush_waits_for_what_is_being_read_back_too(tmp_path: Path, concurrency: int) -> None:
    """Whenever it begins, and wherever the last of its items are then."""
    backend = Backend(takes_s=1.0)
    begins_s = iter(range(40))

    async def flush(lane: Lane) -> None:
        await virtual_time.sleep(next(begins_s))
        await lane.flush()
        assert lane.ledger.counts().delivered == 40

    for _ in range(40):
        a_life(backend, spooling(tmp_path, concurrency=concurrency), *ITEMS[:40], then=flush)


@pytest.mark.usefixtures("little_memory")
def test_what_a_dead_backend_did_not_take_is_sent_by_the_next_life_once_and_in_order(tmp_path: Path) -> None:
    counts, took_s = a_life(Backend(lambda item: DOWN), spooling(tmp_path), *ITEMS, then=written)
    assert (counts, took_s) == (Counts(accepted=100, spooled=100), 0.0)
    backend = Backend()

    counts, _ = a_life(backend, spooling(tmp_path))

    assert backend.taken == ITEMS
    assert counts == Counts(recovered=100, delivered=100)
    assert on_disk(tmp_path) == 0


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("max_elapsed_s", [300.0, math.inf])
def test_an_outage_of_an_hour_costs_nothing(tmp_path: Path, concurrency: int, max_elapsed_s: float) -> None:
    backend = Backend(lambda item: TransientExportError("down") if backend.times[-1] < 3_600.0 else None)

    async def two_hours(lane: Lane) -> None:
        await virtual_time.sleep(7_200.0)

    retry = RetryPolicy(max_elapsed_s=max_elapsed_s)
    counts, _ = a_life(backend, spooling(tmp_path, concurrency=concurrency, retry=retry), *ITEMS, then=two_hours)

    assert counts == Counts(accepted=100, delivered=100)
    assert sorted(backend.taken) == ITEMS
    assert max_elapsed_s < math.inf or concurrency > 1 or backend.taken == ITEMS


def test_an_item_that_the_backend_cannot_digest_holds_up_no_other(tmp_path: Path) -> None:
    """It goes to the end after five minutes, again and again, until it is too old."""
    backend = Backend(lambda item: TransientExportError("HTTP 500") if item == 0 else None)

    async def long(lane: Lane) -> None:
        await virtual_time.sleep(600.0)
        assert lane.ledger.counts() == Counts(accepted=100, delivered=99, spooled=1)
        lane._sender._keeping._clock = lambda: time.time() + 3_600.0
        await virtual_time.sleep(600.0)

    counts, _ = a_life(
        backend, spooling(tmp_path, spool=SpoolOptions(tmp_path, max_age_s=3_000.0)), *range(100), then=long
    )

    assert backend.taken == list(range(1, 100))
    assert counts == Counts(accepted=100, delivered=99, dropped={"expired": 1})


def test_attempts_without_repetition_do_not_go_round_without_a_pause(tmp_path: Path) -> None:
    """`max_retries: 0`: the breaker is off, and a second lies between two attempts all the same."""
    backend = Backend(lambda item: TransientExportError("down"))

    async def minute(lane: Lane) -> None:
        await virtual_time.sleep(60.0)

    options = spooling(tmp_path, concurrency=1, retry=RetryPolicy(max_retries=0), breaker=BreakerPolicy(failures=0))
    counts, _ = a_life(backend, options, *ITEMS, then=minute)

    assert 50 <= len(backend.attempts) <= 63
    assert counts == Counts(accepted=100, spooled=100)


def test_another_process_that_dies_meanwhile_is_noticed_within_half_a_minute(tmp_path: Path) -> None:
    backend = Backend()

    async def later(lane: Lane) -> None:
        await virtual_time.sleep(10.0)
        left_behind(tmp_path, record("left"))
        await virtual_time.sleep(sender._LOOK_EVERY_S)

    a_life(backend, spooling(tmp_path), then=later)

    assert backend.times == [30.0]


# -- the shutdown ----------------------------------------------------------------------------------------------------------


def hanging(item: Any) -> None:
    """The attempt never ends; see `takes_s`."""


@pytest.mark.parametrize(
    ("backend", "expected_s"),
    [
        (Backend(lambda item: ConnectionRefusedError()), 0.0),
        (Backend(lambda item: TransientExportError("503")), 0.0),
        (Backend(lambda item: TransientExportError("429", retry_after_s=60.0)), 0.0),
        (Backend(hanging, takes_s=1e9), 10.0),
    ],
    ids=["refused", "503", "429", "hangs"],
)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_shutdown_leaves_on_disk_what_the_backend_does_not_take(
    tmp_path: Path, backend: Backend, expected_s: float, concurrency: int
) -> None:
    counts, took_s = a_life(backend, spooling(tmp_path, concurrency=concurrency), *ITEMS, then=written)

    assert counts == Counts(accepted=100, spooled=100)
    assert took_s == pytest.approx(expected_s, abs=0.5)
    assert on_disk(tmp_path) == 100


def test_a_time_that_the_backend_has_named_is_not_waited_for_at_the_end(tmp_path: Path) -> None:
    """It came before the shutdown began; no attempt is made any more."""
    backend = Backend(answers(TransientExportError("429", retry_after_s=60.0)))

    async def later(lane: Lane) -> None:
        await virtual_time.sleep(1.0)

    counts, took_s = a_life(backend, spooling(tmp_path), *ITEMS, then=later)

    assert (counts.spooled, counts.delivered, took_s) == (100, 0, 1.0)
    assert len(backend.attempts) == 1


def test_of_a_list_that_was_halved_and_half_taken_all_is_sent_again(tmp_path: Path) -> None:
    """A record is one list: it stays until all of it has met its fate."""
    backend = Backend(answers(ItemTooLargeError(), None, *[DOWN] * 9))
    lists = spooling(tmp_path, takes_lists=True)

    first, _ = a_life(backend, lists, *"abcd", then=written)
    again = Backend()
    second, _ = a_life(again, lists)

    assert (first, backend.taken) == (Counts(accepted=4, delivered=2, spooled=2), ["a", "b"])
    assert (second, again.taken) == (Counts(recovered=4, delivered=4), ["a", "b", "c", "d"])


# -- what was found on disk ------------------------------------------------------------------------------------------------


def test_a_record_that_nobody_here_can_read_stays_for_one_who_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = b'{"exporter": "backend", "trace_id": null, "accepted_at": 0, "count": 3}\n{"$": "FromAfar", "v": 1}\n'
    left_behind(tmp_path, record("a"), unknown, record("b"))
    backend = Backend()

    counts, _ = a_life(backend, spooling(tmp_path))

    assert backend.taken == ["a", "b"]
    assert counts == Counts(recovered=5, delivered=2, spooled=3)
    assert on_disk(tmp_path) == 3
    assert "holds a 'FromAfar', which nothing installed here can read" in caplog.text


def test_what_is_too_old_or_damaged_is_counted_in_items(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left_behind(tmp_path, record(["a", "b", "c"], count=3), clock=lambda: 1_000.0)
    folder = left_behind(tmp_path, record("whole"), record("damaged"), record("whole, too"))
    newest = max(folder.glob("*/*.seg"))
    newest.write_bytes(newest.read_bytes().replace(b"damaged", b"dAmaged"))
    backend = Backend()

    counts, _ = a_life(backend, spooling(tmp_path))

    assert backend.taken == ["whole", "whole, too"]
    assert counts == Counts(recovered=6, delivered=2, dropped={"expired": 3, "corrupt": 1})
    assert "backend: 3 items of the spool are lost: older than spool.max_age" in caplog.messages
    assert f"backend: 1 items of the spool are lost: damaged, and set aside in {folder}/corrupt" in caplog.messages


@dataclass(frozen=True)
class Ticket:
    """A type of somebody's own."""

    number: int


def test_types_that_were_registered_outlive_the_process(tmp_path: Path) -> None:
    register_codec(Ticket, "tests.Ticket", lambda ticket: ticket.number, Ticket)
    a_life(Backend(lambda item: DOWN), spooling(tmp_path), Ticket(7), then=written)
    backend = Backend()

    a_life(backend, spooling(tmp_path))

    assert backend.taken == [Ticket(7)]


def test_what_cannot_be_written_is_delivered_from_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    backend = Backend()
    value = object()

    counts, _ = a_life(backend, spooling(tmp_path), "a", value, "b")

    assert backend.taken == ["a", value, "b"]
    assert counts == Counts(accepted=3, delivered=3)
    assert "values of type builtins.object cannot be written to disk" in caplog.text


# -- a disk that fails -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("little_memory")
def test_order_is_kept_when_the_spool_is_full(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What did not fit waits in memory, behind what is on disk."""
    backend = Backend()
    items = [f"{number:03}" + "x" * 500 for number in range(60)]

    async def scenario() -> Counts:
        backend.answer = lambda item: DOWN if virtual_time.now() < 100.0 else None
        options = spooling(tmp_path, spool=SpoolOptions(tmp_path, max_bytes=20_000))
        async with lane_to(backend, options) as lane:
            for item in items:
                lane.submit(item)
                await virtual_time.settle()
            counts = lane.ledger.counts()
            assert counts.spooled < 40
            assert counts.spooled + counts.pending == 60
            assert lane.metrics.unkept["spool_full"] > 0
            await virtual_time.sleep(101.0)
            await lane.flush()
        return lane.ledger.counts()

    counts = virtual_time.run(scenario())

    assert counts == Counts(accepted=60, delivered=60)
    assert backend.taken == items
    assert sum("cannot be written to the spool" in message for message in caplog.messages) == 1


def test_a_spool_that_was_removed_is_noticed_before_the_end_relies_on_it(tmp_path: Path) -> None:
    """Its items are in memory still: they are written anew."""
    spool = tmp_path / "spool"

    async def remove(lane: Lane) -> None:
        await lane.written()
        shutil.rmtree(spool)

    counts, _ = a_life(Backend(lambda item: DOWN), spooling(spool), *ITEMS, then=remove)

    assert counts == Counts(accepted=100, spooled=100)
    assert on_disk(spool) == 100


@pytest.mark.usefixtures("little_memory")
def test_what_was_on_disk_only_and_was_removed_is_lost_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = tmp_path / "spool"

    async def remove(lane: Lane) -> None:
        await lane.written()
        shutil.rmtree(spool)

    counts, _ = a_life(Backend(lambda item: DOWN), spooling(spool), *ITEMS, then=remove)

    lost = counts.dropped["spool_lost"]
    assert 0 < lost < 100
    assert counts == Counts(accepted=100, spooled=100 - lost, dropped={"spool_lost": lost})
    assert on_disk(spool) == 100 - lost
    assert f"backend: {lost} items of the spool are lost: their records were removed" in caplog.messages


def test_an_acknowledgement_for_a_removed_spool_hides_its_loss_from_nobody(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    backend = Backend(answers(None, *[DOWN] * 1_000), takes_s=1.0)

    async def remove(lane: Lane) -> None:
        await lane.written()
        shutil.rmtree(spool)
        await virtual_time.until(lambda: len(backend.attempts) > 1)

    counts, _ = a_life(backend, spooling(spool), *ITEMS, then=remove)

    assert counts == Counts(accepted=100, delivered=1, spooled=99)
    assert on_disk(spool) == 99


def test_a_disk_that_is_back_is_used_again_also_if_nothing_new_comes(tmp_path: Path) -> None:
    """What waited in memory is on disk, too, then: the backend is dead throughout."""
    obstacle = tmp_path / "spool"
    obstacle.touch()

    async def scenario() -> Counts:
        async with lane_to(Backend(lambda item: DOWN), spooling(obstacle)) as lane:
            for item in ITEMS:
                lane.submit(item)
            await lane.written()
            assert lane.ledger.counts() == Counts(accepted=100, pending=100)
            obstacle.unlink()
            await virtual_time.sleep(10.0)
            assert lane.ledger.counts() == Counts(accepted=100, spooled=100)
        return lane.ledger.counts()

    assert virtual_time.run(scenario()) == Counts(accepted=100, spooled=100)
    assert on_disk(obstacle) == 100


# -- dead letters ----------------------------------------------------------------------------------------------------------


def test_a_list_that_mixes_runs_becomes_one_dead_letter_for_each(tmp_path: Path) -> None:
    backend = Backend(lambda item: PermanentExportError("HTTP 400"))
    lists = spooling(tmp_path / "spool", takes_lists=True, dead_letters=DeadLettersOptions(tmp_path / "letters"))

    counts, _ = a_life(backend, lists, span("a", 1), span("b", 2), span("c", 1))

    found = list(letters_in(tmp_path / "letters").entries())
    assert {letter.trace_id: letter.count for letter in found} == {1: 2, 2: 1}
    assert {letter.answer for letter in found} == {"HTTP 400"}
    assert counts == Counts(accepted=3, dead_lettered=3)
    assert on_disk(tmp_path / "spool") == 0


@pytest.mark.parametrize("has_spool", [False, True])
def test_what_is_too_large_and_what_was_tried_too_often_is_kept(tmp_path: Path, has_spool: bool) -> None:
    backend = Backend(lambda item: ItemTooLargeError() if item.startswith("big") else DOWN)
    options = spooling(
        tmp_path / "spool",
        spool=SpoolOptions(tmp_path / "spool") if has_spool else None,
        retry=RetryPolicy(max_retries=1),
        dead_letters=DeadLettersOptions(tmp_path / "letters"),
    )

    counts, _ = a_life(backend, options, "big" * 1_000, "small")

    reasons = sorted(letter.reason for letter in letters_in(tmp_path / "letters").entries())
    too_large, too_often = (
        "an item is too large, also with its texts cut",
        "export failed (TransientExportError: down) after 2 attempt(s)",
    )
    if has_spool:
        assert (reasons, counts) == ([too_large], Counts(accepted=2, dead_lettered=1, spooled=1))
    else:
        assert (reasons, counts) == ([too_large, too_often], Counts(accepted=2, dead_lettered=2))


@pytest.mark.parametrize(
    ("letters", "reason"),
    [
        (lambda place: DeadLettersOptions(place / "letters", max_bytes=100), "dead_letters_full"),
        (lambda place: DeadLettersOptions(place / "a file"), "dead_letters_error"),
    ],
)
def test_what_cannot_be_kept_as_dead_letters_is_lost_and_counted(
    tmp_path: Path, letters: Callable[[Path], DeadLettersOptions], reason: str
) -> None:
    (tmp_path / "a file").touch()
    backend = Backend(lambda item: PermanentExportError("HTTP 400"))
    options = spooling(tmp_path / "spool", dead_letters=letters(tmp_path))
    unkept: dict[str, int] = {}

    async def flush(lane: Lane) -> None:
        await lane.flush()
        unkept.update(lane.metrics.unkept)

    counts, _ = a_life(backend, options, *ITEMS[:3], then=flush)

    assert counts == Counts(accepted=3, rejected=3)
    assert unkept == {reason: 3}
    assert on_disk(tmp_path / "spool") == 0


def test_a_dead_letter_that_is_sent_again_goes_when_it_has_arrived(tmp_path: Path) -> None:
    options = spooling(tmp_path / "spool", dead_letters=DeadLettersOptions(tmp_path / "letters"))
    letters = letters_in(tmp_path / "letters")
    a_life(Backend(lambda item: PermanentExportError()), options, "a", "b")
    backend = Backend(answers(None, PermanentExportError()))

    async def again(lane: Lane) -> None:
        assert await lane.send_again([letter.id for letter in letters.entries()]) == 2
        await lane.flush()

    counts, _ = a_life(backend, options, then=again)

    assert counts == Counts(recovered=2, delivered=1, dead_lettered=1)
    assert len(list(letters.entries())) == 1


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "nat.observability")
