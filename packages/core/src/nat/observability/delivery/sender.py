"""The sending half of a lane: from what has left the pipeline to what the backend has acknowledged."""

import asyncio
import contextvars
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Protocol

from nat.observability.delivery.breaker import Breaker
from nat.observability.delivery.errors import ExportFailure, classified
from nat.observability.delivery.keeping import Keeping
from nat.observability.delivery.metrics import LaneMetrics
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.sizes import UNKNOWN_LIMIT_BYTES, size_of, truncated
from nat.observability.events import Run
from nat.observability.ledger import Ledger
from nat.observability.noise import Noise, Outage, is_ours, raised
from nat.observability.pipeline import Envelope, describe_captured, halves_of

__all__ = ["Exporter", "Host", "Sender"]

_log = logging.getLogger("nat.observability.delivery")

_OPEN_WHILE_FLUSHING_S = 1.0  # that the breaker may be open while somebody waits for a flush
_RESIDENT_BYTES = 4 * 1024 * 1024  # of records whose items are held in memory too; what comes beyond is on disk only
_LOAD_BYTES = 256 * 1024  # of records that are read back in one go
_LOOK_EVERY_S = 30.0  # for what processes have left that died meanwhile
_TRY_DISK_EVERY_S = 1.0  # while it takes nothing


class Exporter(Protocol):
    """What sends."""

    async def send(self, item: Any) -> None:
        """Send one item, or a list."""
        ...


class Host(Protocol):
    """What a sender needs of its lane."""

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for a flush."""
        ...

    def exporter_for(self, run: Run | None) -> tuple[Exporter, contextvars.Context]:
        """What sends a run's items, and in which context; without a run, the exporter itself."""
        ...

    def began(self, run: Run | None) -> None:
        """One more of the run's envelopes is on its way."""
        ...

    def ended(self, run: Run | None) -> None:
        """One of them is not on its way any more."""
        ...

    def ready(self) -> None:
        """There is room for more to send."""
        ...


class Sender:
    """Sends envelopes, again while that makes sense, until each has met its fate; keeps them on disk if it is to.

    Lives on the loop that `open` is called in. `export_processed` runs with bounded concurrency; with 1, order is kept.

    Args:
        name: Of the exporter, for messages.
        options: How it is delivered to.
        ledger: Is told of every fate.
        metrics: Are told of every attempt.
        noise: For what is lost.
        host: The lane.
        clock: Monotonic seconds.
        jitter: Gives numbers from 0 to 1.
        shown: Makes what may be shown of an error's message.

    Attributes:
        last_failure: How the latest attempt that failed did, if one has.
    """

    def __init__(
        self,
        name: str,
        options: DeliveryOptions,
        ledger: Ledger,
        metrics: LaneMetrics,
        noise: Noise,
        host: Host,
        *,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        shown: Callable[[str], str],
    ) -> None:
        self.has_room = asyncio.Event()
        self.last_failure: ExportFailure | None = None
        self._name = name
        self._options = options
        self._ledger = ledger
        self._metrics = metrics
        self._noise = noise
        self._host = host
        self._clock = clock
        self._jitter = jitter
        self._shown = shown
        self._outage = Outage(_log, name, clock)
        self._keeping = Keeping(name, ledger, noise, options.spool, options.dead_letters, metrics.unkept)
        self._breaker = Breaker(options.breaker)
        self._not_before_s = -math.inf
        self._nudge = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = contextvars.copy_context()
        self._send_queue: deque[Envelope] = deque()
        self._senders: dict[asyncio.Task[None], deque[Envelope]] = {}
        self._sequence = 0
        self._unsent: dict[int, int] = {}  # parts on their way, by sequence
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._arrivals: deque[Envelope] = deque()
        self._resident_bytes = 0
        self._partly_left: set[int] = set()
        self._keep_soon: asyncio.Handle | None = None
        self._settle_soon: asyncio.Handle | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self._disk_timer: asyncio.TimerHandle | None = None
        self._is_closing = False
        self._is_leaving = False
        self._is_aborted = False
        self._is_over = False

    # -- life ----------------------------------------------------------------------------------------------------------

    def open(self, context: contextvars.Context) -> None:
        """Begin; what belongs to no run is sent in this context."""
        self._loop = asyncio.get_running_loop()
        self._context = context

    def recover(self) -> None:
        """Begin to send what other processes have left in the spool, and go on looking for more now and then."""
        assert self._loop is not None
        if not self._keeping.is_spooling or self._is_closing:
            return
        self._check_spool()
        self._keeping.look_for_left()
        self._pump()
        self._look_timer = self._loop.call_later(_LOOK_EVERY_S, self.recover, context=self._context)

    async def send_again(self, letter_ids: Iterable[str]) -> int:
        """Put dead letters on their way again, as memory has room for them; how many items those stand for.

        A letter is deleted once all of it was delivered. The shutdown leaves the rest where they are.
        """
        count = 0
        for letter_id in letter_ids:
            while self._resident_bytes >= _RESIDENT_BYTES and not self._is_closing:
                self.has_room.clear()
                await self.has_room.wait()
            if self._is_closing:
                break
            envelope = self._keeping.letter(letter_id)
            if envelope is not None:
                count += envelope.count
                self._register(envelope)
                self._enqueue(envelope)
                self._pump()
            await asyncio.sleep(0)  # reading blocks the loop: let others have it in between
        return count

    @property
    def letter_fates(self) -> dict[str, str | None]:
        """What became of letters that were sent again, by id: why they stay, `None` for those delivered. From any thread."""
        return self._keeping.letter_fates

    def begin_closing(self) -> None:
        """The last chance: nothing waits for another attempt any more, and what is on disk may be left there."""
        self._is_closing = True
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._check_spool()
        self.wake_pauses()

    def hasten(self) -> None:
        """Somebody waits for a flush: the breaker is open for a second at most."""
        if self._breaker.state == "open":
            self.wake_pauses()

    def abort(self) -> list[asyncio.Task[None]]:
        """Start nothing more; the tasks that have not ended."""
        self._is_aborted = True
        return list(self._senders)

    def give_up(self) -> None:
        """Nothing counts any more. Any thread."""
        self._is_over = self._is_aborted = True

    def write_rest(self) -> None:
        """Take to disk what is on its way."""
        if self._arrivals:
            self.keep_arrivals()
        elif self._keeping.is_spooling and not self._keeping.is_durable:
            self._keep_again()
        for handle in (self._keep_soon, self._settle_soon, self._look_timer, self._disk_timer):
            if handle is not None:
                handle.cancel()

    def discard(self) -> int:
        """Forget everything that is on its way, and let go of the spool; how many accepted items are lost."""
        envelopes = list(chain(self._keeping.give_held(), self._send_queue, *self._senders.values()))
        for envelope in envelopes:
            self._leave_letter(envelope)
        self._keeping.close()
        self._send_queue.clear()
        self._senders.clear()
        self._unsent.clear()
        return sum(envelope.count for envelope in envelopes if envelope.kept is None)

    # -- what waits ----------------------------------------------------------------------------------------------------

    @property
    def sequence(self) -> int:
        """Number of the latest envelope."""
        return self._sequence

    @property
    def waiting_count(self) -> int:
        """Accepted items that wait for an attempt."""
        return sum(envelope.count for envelope in chain(self._arrivals, self._send_queue, self._keeping.held))

    @property
    def is_durable(self) -> bool:
        """Whether what comes goes to disk first."""
        return self._keeping.is_durable

    def is_ready(self) -> bool:
        """Whether sending keeps up, or the disk takes what waits."""
        return self._keeping.is_durable or len(self._send_queue) < self._options.concurrency

    async def all_sent(self) -> None:
        """Return when everything has met its fate that was queued before, or found on disk."""
        mark = self._keeping.mark
        is_all_loaded = self._keeping.is_through(mark)
        await self._wait_for(self._sequence)
        while self._waits_on_disk(mark):
            await self._wait_for(self._sequence)
        if not is_all_loaded:  # what was loaded last
            await self._wait_for(self._sequence)

    def _waits_on_disk(self, mark: int) -> bool:
        """Whether something is to be sent that is on disk only, and has been loaded now as far as there is room."""
        if self._is_leaving or self._is_over or self._keeping.is_through(mark):
            return False
        self._pump()
        return bool(self._unsent)

    async def _wait_for(self, sequence: int) -> None:
        """Return when everything that was queued up to `sequence` has met its fate."""
        assert self._loop is not None
        if self.oldest_unsent() <= sequence:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append((sequence, waiter))
            await waiter

    def oldest_unsent(self) -> float:
        """Number of the oldest envelope on its way; infinite if there is none."""
        return next(iter(self._unsent), float("inf"))

    def wake_waiters(self) -> None:
        """See who has waited long enough."""
        self.has_room.set()
        if not self._waiters:
            return
        oldest = self.oldest_unsent()
        for sequence, waiter in self._waiters:
            if sequence < oldest and not waiter.done():
                waiter.set_result(None)
        self._waiters = [(sequence, waiter) for sequence, waiter in self._waiters if not waiter.done()]

    # -- to disk and back -----------------------------------------------------------------------------------------------

    def queue(self, envelope: Envelope) -> None:
        """Take what is ready to be sent; with a spool, it goes to disk first, together with what else comes in this turn."""
        assert self._loop is not None
        self._register(envelope)
        if not self._keeping.is_spooling:
            self._send_queue.append(envelope)
            self._pump()
            return
        self._arrivals.append(envelope)
        if self._keep_soon is None:
            self._keep_soon = self._loop.call_soon(self.keep_arrivals, context=self._context)

    def _register(self, envelope: Envelope) -> None:
        """Note that an envelope is on its way."""
        self._sequence += 1
        envelope.sequence = self._sequence
        self._unsent[envelope.sequence] = 1
        self._host.began(envelope.run)

    def keep_arrivals(self) -> None:
        """Write to disk what has come, now."""
        if self._keep_soon is not None:
            self._keep_soon.cancel()
            self._keep_soon = None
        if not self._arrivals:
            return
        arrivals = list(self._arrivals)
        self._arrivals.clear()
        was_durable = self._keeping.is_durable
        self._keeping.keep(arrivals)
        is_durable = self._keeping.is_durable
        if not is_durable:
            self._miss_removed()
        for envelope in arrivals:
            if self._must_wait(envelope):
                self._keeping.put_off(envelope)
                if envelope.kept is not None:
                    self._take_off(envelope)
            else:
                self._enqueue(envelope)
        if not (was_durable and is_durable):
            self._keep_again()
        self._pump()
        self.wake_waiters()

    def _must_wait(self, envelope: Envelope) -> bool:
        """Whether what came before it has found no room in memory, or it is on disk and finds none itself."""
        if self._is_leaving:
            return envelope.kept is not None
        is_too_much = self._resident_bytes + envelope.record_bytes > _RESIDENT_BYTES
        return self._keeping.has_put_off or (envelope.kept is not None and is_too_much)

    def _check_spool(self) -> None:
        """Notice that somebody has removed what is on disk, before anybody relies on it."""
        if self._keeping.is_removed():
            self._miss_removed()
            self._keep_again()

    def _miss_removed(self) -> None:
        """What somebody has removed from the disk, and is in memory still, is only there; the rest of it is lost."""
        for envelope in chain(self._send_queue, *self._senders.values(), self._keeping.held):
            if self._keeping.is_lost(envelope):
                self._ledger.unspool(envelope.count)
                envelope.kept = None
        self._keeping.lose_removed()

    def _keep_again(self) -> None:
        """Write to disk what is in memory only since the disk has failed; again soon, until it works."""
        assert self._loop is not None
        if self._disk_timer is not None:
            self._disk_timer.cancel()
            self._disk_timer = None
        unkept = self._unkept()
        resident = set(chain(*self._senders.values(), self._send_queue))
        for envelopes in (unkept[:1], unkept[1:]):  # one shows whether the disk works
            self._resident_bytes -= sum(envelope.record_bytes for envelope in envelopes if envelope in resident)
            self._keeping.keep(envelopes, is_again=True)
            self._resident_bytes += sum(envelope.record_bytes for envelope in envelopes if envelope in resident)
            if not self._keeping.is_durable:
                self._disk_timer = self._loop.call_later(_TRY_DISK_EVERY_S, self._keep_again, context=self._context)
                return
        self.has_room.set()

    def _unkept(self) -> list[Envelope]:
        """What is ready to be sent, in order, and might be on disk and is not; parts of one record are not told apart there."""
        ready = chain(*self._senders.values(), self._send_queue, self._keeping.held)
        return [
            envelope
            for envelope in ready
            if envelope.kept is None and envelope.is_keepable and self._unsent.get(envelope.sequence) == 1
        ]

    def _enqueue(self, envelope: Envelope) -> None:
        self._resident_bytes += envelope.record_bytes
        self._send_queue.append(envelope)

    def _refill(self) -> None:
        """Load what is on disk only, if memory has room for it."""
        while self._keeping.has_more and self._resident_bytes < _RESIDENT_BYTES // 2 and not self._is_leaving:
            loaded = self._keeping.load(_LOAD_BYTES)
            for envelope in loaded:
                if not envelope.sequence:
                    self._register(envelope)
                self._enqueue(envelope)
            if loaded:
                return

    # -- send ----------------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Start as many senders as there is work and room for."""
        assert self._loop is not None
        if self._is_aborted:
            return
        self._refill()
        while self._send_queue and len(self._senders) < self._options.concurrency:
            share = len(self._send_queue) // self._options.concurrency
            limit = max(1, min(self._options.batch_size, share))
            first = self._send_queue.popleft()
            chunk = deque([first])
            while len(chunk) < limit and self._send_queue and self._send_queue[0].run is first.run:
                chunk.append(self._send_queue.popleft())
            exporter, context = self._host.exporter_for(first.run)
            task = self._loop.create_task(self._send(exporter, chunk), context=context)
            self._senders[task] = chunk
            task.add_done_callback(self._sender_done)

    def _sender_done(self, task: asyncio.Task[None]) -> None:
        if self._is_aborted:
            return
        chunk = self._senders.pop(task)
        if chunk:  # it has failed in a way that nobody thought of: what it was about is lost, the rest is not
            if not task.cancelled():
                _log.debug("%s: a sender failed: %s", self._name, task.exception())
            envelope = chunk.popleft()
            self._send_queue.extendleft(reversed(chunk))
            self._give_up(envelope, ExportFailure(False, "an unexpected error"), 1)
            self._done_with(envelope)
        self._pump()
        if self.is_ready():
            self._host.ready()

    async def _send(self, exporter: Exporter, chunk: deque[Envelope]) -> None:
        while chunk:
            if self._may_leave(chunk[0]):
                self._begin_leaving()
                self._leave(chunk.popleft())
            else:
                await self._deliver(exporter, chunk)

    def _may_leave(self, envelope: Envelope) -> bool:
        """Whether an envelope is left to the next start: it is on disk, and the backend takes nothing before the shutdown."""
        if envelope.kept is None or not self._is_closing:
            return False
        return self._is_leaving or asyncio.get_running_loop().time() < self._not_before_s

    def _begin_leaving(self) -> None:
        """From now on nothing is read back from the disk; what is in memory only has its last chance."""
        if not self._is_leaving:
            self._is_leaving = True
            for envelope in self._keeping.give_held():
                self._enqueue(envelope)

    async def _deliver(self, exporter: Exporter, chunk: deque[Envelope]) -> None:
        """Take the first of the chunk to its fate."""
        count = chunk[0].count
        self._metrics.in_flight += count
        try:
            await self._deliver_first(exporter, chunk)
        finally:
            self._metrics.in_flight -= count

    async def _deliver_first(self, exporter: Exporter, chunk: deque[Envelope]) -> None:
        """Send the first of the chunk, again while its failure is transient, until it has met its fate."""
        envelope = chunk[0]
        attempts, started = 0, 0.0
        while True:
            await self._wait_for_admission(envelope)
            if self._may_leave(envelope):
                self._begin_leaving()
                chunk.popleft()
                self._leave(envelope)
                return
            started = started if attempts else self._clock()
            attempts += 1
            failure = await self._attempt(exporter, envelope)
            if self._is_over:
                chunk.clear()  # too late: it has been counted as lost
                return
            self._learn(failure)
            if failure is None:
                chunk.popleft()
                self._ledger.deliver(envelope.count, is_spooled=envelope.kept is not None)
                break
            if failure.rejected_count is not None:
                chunk.popleft()
                self._take_in_part(envelope, failure, failure.rejected_count)
                break
            if failure.is_too_large:
                parts = self._smaller(envelope, failure)
                chunk.popleft()
                chunk.extendleft(reversed(parts))
                if not parts:
                    break
                return
            wait_s = None
            if failure.is_transient and self._is_closing and envelope.kept is not None:
                self._begin_leaving()
                chunk.popleft()
                self._leave(envelope)
                self._pump()
                return
            if failure.is_transient:
                elapsed_s = self._clock() - started
                wait_s = self._options.retry.wait_s(attempts, elapsed_s, self._jitter, failure.retry_after_s)
            if wait_s is None:
                chunk.popleft()
                if failure.is_transient and _is_whole_on_disk(envelope):
                    self._postpone(envelope, failure, attempts)
                    self._give_back(chunk, 0)
                    await self._pause(self._options.retry.initial_interval_s)
                    return
                self._give_up(envelope, failure, attempts)
                break
            next_s = max(wait_s, self._breaker.wait_s(asyncio.get_running_loop().time()))
            self._outage.failed(failure, self._ledger.waiting, next_s)
            if self._options.concurrency > 1:
                self._give_back(chunk, 1)
            await self._pause(wait_s)
        self._done_with(envelope)

    async def _wait_for_admission(self, envelope: Envelope) -> None:
        """Return when the backend may be asked: not before it wants to be, and not while the breaker is open.

        The beginning of the shutdown opens the way past the breaker, since nobody knows whether there is a later, and ends the
        wait for an envelope that may be left on disk.
        """
        loop = asyncio.get_running_loop()
        while not self._may_leave(envelope):
            now = loop.time()
            if now < self._not_before_s:
                await self._pause(self._not_before_s - now)
                continue
            at_most_s = _OPEN_WHILE_FLUSHING_S if self._host.is_awaited else math.inf
            wait_s = 0.0 if self._is_closing else self._breaker.wait_s(now, at_most_s)
            if wait_s == 0:
                self._breaker = self._breaker.began()
                return
            await self._pause(wait_s)

    def _learn(self, failure: ExportFailure | None) -> None:
        """Draw from one answer what holds for all attempts of the lane."""
        now = asyncio.get_running_loop().time()
        if failure is not None and failure.retry_after_s is not None and failure.is_transient:
            self._not_before_s = max(self._not_before_s, now + failure.retry_after_s)
        if failure is not None and failure.is_transient:
            was_probing = self._breaker.is_probing
            self._breaker = self._breaker.failed(now)
            if was_probing:
                self.wake_pauses()
            return
        was_closed = self._breaker.state == "closed"
        self._breaker = self._breaker.succeeded()
        if failure is None or failure.is_answer:
            self._outage.ended()
        if not was_closed:
            self.wake_pauses()

    async def _pause(self, wait_s: float) -> None:
        """Wait; `_wake_pauses` cuts it short."""
        nudge = self._nudge
        try:
            async with asyncio.timeout(None if wait_s == math.inf else wait_s):
                await nudge.wait()
        except TimeoutError:
            return

    def wake_pauses(self) -> None:
        """End all pauses that have begun: the breaker has changed, or the shutdown begins."""
        self._nudge.set()
        self._nudge = asyncio.Event()

    def _smaller(self, envelope: Envelope, failure: ExportFailure) -> list[Envelope]:
        """What to send instead of what is too large: halves of a list, an item with its texts cut; nothing if it is lost."""
        value = envelope.value
        if isinstance(value, list) and len(value) > 1:
            self._noise.warn(
                "halved", "%s: %s: %d items at once are too large and are sent in halves; lower delivery.batch.size, or "
                "set delivery.batch.bytes", self._name, failure, len(value),
            )  # fmt: skip
            self._unsent[envelope.sequence] += 1
            self._host.began(envelope.run)
            return list(halves_of(envelope))
        describe_captured(envelope)
        item = envelope.value[0] if isinstance(value, list) else value
        size = size_of(item)
        limit = min(UNKNOWN_LIMIT_BYTES, size // 2)
        cut = None if envelope.was_cut else truncated(item, limit)
        if cut is None:
            self.refuse(envelope, "too_large", "an item is too large, also with its texts cut")
            return []
        self._noise.warn("cut", "%s: %s: an item of %d bytes is too large; its biggest texts are cut and it is sent again",
                         self._name, failure, size)  # fmt: skip
        envelope.value, envelope.was_cut = [cut] if isinstance(value, list) else cut, True
        return [envelope]

    async def _attempt(self, exporter: Exporter, envelope: Envelope) -> ExportFailure | None:
        metrics, began = self._metrics, self._clock()
        if envelope.ready_at_s is not None:
            metrics.queue_time.record(began - envelope.ready_at_s)
            envelope.ready_at_s = None
        metrics.batch_size.record(len(envelope.value) if isinstance(envelope.value, list) else 1)
        try:
            return await self._call(exporter, envelope)
        finally:
            metrics.send_time.record(self._clock() - began)

    async def _call(self, exporter: Exporter, envelope: Envelope) -> ExportFailure | None:
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await exporter.send(envelope.value)
        except BaseException as exc:
            if is_ours(exc):
                raise
            _log.debug("%s: export failed: %s", self._name, raised(exc))
            self.last_failure = failure = classified(exc).shown(self._shown)
            return failure
        return None

    def _take_in_part(self, envelope: Envelope, failure: ExportFailure, rejected_count: int) -> None:
        """The backend has taken a list but for some items. It does not say which, so that none can be a dead letter."""
        items = len(envelope.value) if isinstance(envelope.value, list) else 1
        rejected = -(-envelope.count * min(max(rejected_count, 0), items) // items)
        is_spooled = envelope.kept is not None
        self._ledger.deliver(envelope.count - rejected, is_spooled=is_spooled)
        self._ledger.reject(rejected, is_spooled=is_spooled)
        self._noise.warn("partial", "%s: %d of %d items were rejected (%s) and are lost",
                         self._name, rejected, envelope.count, failure)  # fmt: skip

    def _give_up(self, envelope: Envelope, failure: ExportFailure, attempts: int) -> None:
        reason = "retries_exhausted" if failure.is_transient else "rejected"
        why = f"export failed ({failure}) after {attempts} attempt(s)"
        self.refuse(envelope, reason, why, failure.detail or None)

    def _postpone(self, envelope: Envelope, failure: ExportFailure, attempts: int) -> None:
        """An envelope has had its attempts for now: it goes to the end of what waits on disk."""
        self._noise.warn(
            "postponed", "%s: export failed (%s) after %d attempt(s); %d items stay on disk and are sent again later",
            self._name, failure, attempts, envelope.count,
        )  # fmt: skip
        self._keeping.put_off(envelope)
        self._take_off(envelope)
        self._resident_bytes -= envelope.record_bytes
        self.wake_waiters()

    def _give_back(self, chunk: deque[Envelope], kept: int) -> None:
        """Leave all but the first `kept` to other senders while this one waits."""
        while len(chunk) > kept:
            self._send_queue.appendleft(chunk.pop())
        self._pump()

    def _done_with(self, envelope: Envelope) -> None:
        """An envelope has met its fate: its record need not be kept."""
        if self._take_off(envelope):
            self._resident_bytes -= envelope.record_bytes
            if envelope.sequence in self._partly_left:
                self._partly_left.discard(envelope.sequence)
            elif envelope.kept is not None:
                self._keeping.acknowledge(envelope)
                self._settle_acknowledged()
        self.wake_waiters()

    def _leave(self, envelope: Envelope) -> None:
        """An envelope leaves memory; its record stays on disk, also if other parts of it were delivered."""
        self._leave_letter(envelope)
        if self._take_off(envelope):
            self._resident_bytes -= envelope.record_bytes
            self._partly_left.discard(envelope.sequence)
        else:
            self._partly_left.add(envelope.sequence)
        self.wake_waiters()

    def _leave_letter(self, envelope: Envelope) -> None:
        """A dead letter that was to be sent again and was not is one still."""
        if isinstance(envelope.kept, str):
            self._ledger.dead_letter(envelope.count, is_spooled=True)

    def _take_off(self, envelope: Envelope) -> bool:
        """Note that an envelope is not on its way any more; whether it was the last part of what came as one."""
        self._host.ended(envelope.run)
        left = self._unsent.get(envelope.sequence, 1) - 1
        if left:
            self._unsent[envelope.sequence] = left
        else:
            self._unsent.pop(envelope.sequence, None)
        return not left

    def _settle_acknowledged(self) -> None:
        assert self._loop is not None
        if self._settle_soon is None:
            self._settle_soon = self._loop.call_soon(self._settle, context=self._context)

    def _settle(self) -> None:
        self._settle_soon = None
        if self._keeping.settle():
            self._miss_removed()
            self._keep_again()

    def refuse(self, envelope: Envelope, reason: str, why: str, answer: str | None = None) -> None:
        """An envelope will not be sent again: keep it as dead letters, or count it as lost, and say so."""
        is_spooled = envelope.kept is not None
        describe_captured(envelope)
        if isinstance(envelope.kept, str):
            self._partly_left.add(envelope.sequence)  # its letter stays
        buried = self._keeping.bury(envelope, why, answer)
        lost = envelope.count - buried
        if buried:
            self._ledger.dead_letter(buried, is_spooled=is_spooled)
            self._noise.warn(reason, "%s: %s; %d items are kept as dead letters", self._name, why, buried)
        if not lost:
            return
        if reason == "rejected":
            self._ledger.reject(lost, is_spooled=is_spooled)
        else:
            self._ledger.drop(reason, lost, is_spooled=is_spooled)
        self._noise.warn(f"{reason} and lost", "%s: %s; %d items are lost", self._name, why, lost)


def _is_whole_on_disk(envelope: Envelope) -> bool:
    """Whether all of its record is still to be sent."""
    kept = envelope.kept
    return kept is not None and not isinstance(kept, str) and kept.items == envelope.count
