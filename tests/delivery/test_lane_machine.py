"""A lane under everything at once: after every step of any sequence, every item has exactly one fate."""

import asyncio
import contextvars
import os
import selectors
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal, TypeVarTuple

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.step_types import IntermediateStepType
from nat.observability.delivery import sender
from nat.observability.delivery.breaker import BreakerPolicy
from nat.observability.delivery.dead_letters import DeadLetters
from nat.observability.delivery.errors import ItemTooLargeError, PermanentExportError, TransientExportError
from nat.observability.delivery.options import DeadLettersOptions, DeliveryOptions, SpoolOptions
from nat.observability.delivery.retry import RetryPolicy
from nat.observability.delivery.worker import Lane
from nat.observability.events import CapturedStep, Run, new_trace_id
from nat.observability.pipeline import Pipeline
from nat.observability.processor.batching_processor import BatchingProcessor
from nat.observability.processor.processor import Processor
from nat.utils.ids import random_hex

Ts = TypeVarTuple("Ts")

Outcome = Literal["taken", "later", "much later", "never", "too large", "a bug", "exit", "hangs", "hangs on"]
Fault = Literal["passes", "filters", "raises", "exits", "hangs"]

_OUTCOMES: list[Outcome] = ["taken", "later", "much later", "never", "too large", "a bug", "exit", "hangs", "hangs on"]
_FAULTS: list[Fault] = ["passes", "filters", "raises", "exits", "hangs"]
_IDLE_TURNS = 3  # a timer or a thread's call that is due shows in the first or second
_EXAMPLES = int(os.environ.get("NAT_LANE_EXAMPLES", "60"))


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still unless it is moved, and which never waits."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self.now = 0.0
        self._call_count = 0

    def time(self) -> float:
        return self.now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        self._call_count += 1
        return super().call_soon(callback, *args, context=context)

    def settle(self) -> None:
        """Run whatever can run now."""
        self.run_until_complete(self._turns())

    def advance(self, seconds: float) -> None:
        """Let time pass, in steps, so that timers fire one after the other."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + max(seconds / 20, 0.05))
            self.settle()

    async def _turns(self) -> None:
        idle_turns = 0
        for _ in range(60):
            before = self._call_count
            await asyncio.sleep(0)
            idle_turns = idle_turns + 1 if self._call_count == before + 1 else 0  # that one was our own
            if idle_turns == _IDLE_TURNS:
                return


class FaultyStage(Processor[Any, Any]):
    """Does with the next items what it is told, and passes all others."""

    def __init__(self, gate: asyncio.Event) -> None:
        self.plan: deque[Fault] = deque()
        self.gate = gate

    async def process(self, item: Any) -> Any:
        match self.plan.popleft() if self.plan else "passes":
            case "filters":
                return None
            case "raises":
                raise ValueError("a processor")
            case "exits":
                raise SystemExit(1)
            case "hangs":
                await self.gate.wait()
        return item


class FaultyExporter:
    """What a lane needs of an exporter; does with the next items what it is told, and takes all others."""

    takes: Literal["steps", "spans"] = "steps"

    def __init__(self, pipeline: Pipeline, gate: asyncio.Event, *, has_own_export: bool, gives_spans: bool) -> None:
        self.pipeline: Pipeline | None = pipeline
        self.has_own_export = has_own_export
        self.gives_spans = gives_spans
        self.sends_captured = False
        self.gate = gate
        self.plan: deque[Outcome] = deque()
        self.exports: deque[int] = deque()
        self.copies_fail = False
        self.acknowledged = 0
        self.submit: Callable[[Any], None] = lambda item: None

    def isolated_copy(self) -> "FaultyExporter":
        if self.copies_fail:
            raise ValueError("no copy")
        return self

    def export(self, event: IntermediateStep) -> None:
        """Submit as many items as planned; a negative number: raise after that many."""
        count = self.exports.popleft() if self.exports else 1
        for _ in range(abs(count)):
            self.submit(event)
        if count < 0:
            raise ValueError("export")

    async def send(self, item: Any) -> None:
        match self.plan.popleft() if self.plan else "taken":
            case "later":
                raise TransientExportError("later")
            case "much later":
                raise TransientExportError("much later", retry_after_s=7.0)
            case "never":
                raise PermanentExportError("never")
            case "too large":
                raise ItemTooLargeError("too large")
            case "a bug":
                raise ValueError("a bug")
            case "exit":
                raise SystemExit(1)
            case "hangs":
                await self.gate.wait()
            case "hangs on":
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    await asyncio.sleep(0.5)
                    raise
        self.acknowledged += len(item) if isinstance(item, list) else 1

    async def flush_own(self) -> None:
        """Nothing is held."""


class LaneMachine(RuleBasedStateMachine):
    """Offers, failures, flushes, run ends, deadlines, time and the end, in any order."""

    is_simple_and_spools = False

    @initialize(
        concurrency=st.integers(1, 3),
        batch_size=st.integers(1, 5),
        takes_lists=st.booleans(),
        flush_interval_s=st.sampled_from([0.0, 2.0]),
        max_retries=st.sampled_from([0, 2, None]),
        failures=st.sampled_from([0, 1, 3]),
        batch_bytes=st.sampled_from([None, 100, 1000]),
        max_item_bytes=st.sampled_from([None, 10, 300]),
        drop_on_overflow=st.sampled_from([None, False, True]),
        stages=st.lists(st.sampled_from(["faulty", "batching", "dropping"]), max_size=3),
        has_own_export=st.booleans(),
        gives_spans=st.booleans(),
        is_solo=st.booleans(),
        has_spool=st.booleans(),
        has_dead_letters=st.booleans(),
        resident_bytes=st.sampled_from([300, 4 * 2**20]),
    )
    def begin(
        self,
        concurrency: int,
        batch_size: int,
        flush_interval_s: float,
        max_retries: int | None,
        failures: int,
        resident_bytes: int,
        batch_bytes: int | None,
        max_item_bytes: int | None,
        drop_on_overflow: bool | None,
        stages: list[str],
        *,
        takes_lists: bool,
        has_own_export: bool,
        gives_spans: bool,
        is_solo: bool,
        has_spool: bool,
        has_dead_letters: bool,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="lane-"))
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(sender, "_RESIDENT_BYTES", resident_bytes)
        self.loop = VirtualLoop()
        self.jumped_s = 0.0
        gate = asyncio.Event()
        self.gate = gate
        self.faulty: list[FaultyStage] = []
        pipeline = Pipeline("Faulty", Any, Any)
        batchers = 0
        if self.is_simple_and_spools:
            stages, has_own_export, has_spool = [], False, True
        for stage in stages:
            if stage == "faulty":
                self.faulty.append(FaultyStage(gate))
                pipeline.add(self.faulty[-1], name=f"stage {len(self.faulty)}")
            elif batchers == 0:
                batchers += 1
                pipeline.add(BatchingProcessor(batch_size, 3.0, batch_size + 2, drop_on_overflow=stage == "dropping"))
        pipeline.fix()
        self.exporter = FaultyExporter(pipeline, gate, has_own_export=has_own_export, gives_spans=gives_spans)
        options = DeliveryOptions(
            takes_lists=takes_lists,
            batch_size=batch_size,
            flush_interval_s=flush_interval_s,
            concurrency=concurrency,
            timeout_s=20.0,
            retry=RetryPolicy(max_retries=max_retries, max_elapsed_s=60.0),
            breaker=BreakerPolicy(failures=failures),
            batch_bytes=batch_bytes,
            max_item_bytes=max_item_bytes,
            max_queue_size=None if drop_on_overflow is None else batch_size + 2,
            drop_on_overflow=bool(drop_on_overflow),
            spool=SpoolOptions(self.directory / "spool") if has_spool else None,
            dead_letters=DeadLettersOptions(self.directory / "letters") if has_dead_letters else None,
        )
        self.is_solo = is_solo
        self.options = options
        self.lane = self._new_lane()
        self.runs = [Run(trace_id=new_trace_id(), name=f"run {number}") for number in range(3)]
        self.tasks: list[asyncio.Task[None]] = []
        self.is_open = False
        self.is_closing = False

    def _new_lane(self) -> Lane:
        lane = Lane(
            "faulty",
            self.exporter,
            self.options,
            is_solo=self.is_solo,
            clock=lambda: self.loop.now + self.jumped_s,
            jitter=lambda: 0.5,
        )
        self.exporter.submit = lane.submit
        return lane

    # -- what may happen -----------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.is_open)
    @rule()
    def open(self) -> None:
        self._call(self._open())
        self.is_open = True
        self.loop.settle()

    @rule(count=st.integers(0, 8), run=st.integers(0, 2), ends=st.booleans(), thread=st.booleans())
    def offer(self, count: int, run: int, *, ends: bool, thread: bool) -> None:
        entries: list[Any] = [(self._step(self.runs[run]), self.runs[run]) for _ in range(count)]
        if ends:
            entries.append((None, self.runs[run]))
        self._from(lambda: self.lane.offer(entries, count), thread=thread)

    @rule(count=st.integers(1, 3), thread=st.booleans())
    def submit(self, count: int, *, thread: bool) -> None:
        for _ in range(count):
            self._from(lambda: self.lane.submit("from elsewhere"), thread=thread)

    @rule(outcomes=st.lists(st.sampled_from(_OUTCOMES), min_size=1, max_size=6))
    def backend_will(self, outcomes: list[Outcome]) -> None:
        self.exporter.plan.extend(outcomes)

    @rule(faults=st.lists(st.sampled_from(_FAULTS), min_size=1, max_size=4), which=st.integers(0, 2))
    def processor_will(self, faults: list[Fault], which: int) -> None:
        if which < len(self.faulty):
            self.faulty[which].plan.extend(faults)

    @rule(counts=st.lists(st.integers(-2, 3), min_size=1, max_size=4))
    def export_will(self, counts: list[int]) -> None:
        self.exporter.exports.extend(counts)

    @rule(fails=st.booleans())
    def copies(self, *, fails: bool) -> None:
        self.exporter.copies_fail = fails

    @rule()
    def release(self) -> None:
        """Whatever hangs goes on."""
        self.gate.set()
        self.loop.settle()
        self.gate.clear()

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 12.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.loop.advance(seconds)

    @rule(seconds=st.sampled_from([-3600.0, -1.0, 1.0, 3600.0]))
    def clock_jumps(self, seconds: float) -> None:
        self.jumped_s += seconds

    @precondition(lambda self: self.is_open)
    @rule()
    def flush(self) -> None:
        self.tasks.append(self.loop.create_task(self.lane.flush()))
        self.loop.settle()

    @precondition(lambda self: self.tasks)
    @rule()
    def flush_is_given_up(self) -> None:
        self.tasks[-1].cancel()
        self.loop.settle()

    @precondition(lambda self: self.is_open and not self.is_closing)
    @rule(timeout_s=st.sampled_from([0.0, 0.5, 5.0, 30.0]))
    def close(self, timeout_s: float) -> None:
        self.is_closing = True
        self.tasks.append(self.loop.create_task(self.lane.close(timeout_s)))
        self.loop.settle()

    @precondition(lambda self: self.is_open)
    @rule()
    def sends_dead_letters_again(self) -> None:
        if self.options.dead_letters is not None:
            letters = DeadLetters(self.options.dead_letters.directory, max_bytes=2**30)
            ids = [letter.id for letter in letters.entries()]
            self.tasks.append(self.loop.create_task(self._send_again(ids)))
            self.loop.settle()

    @rule()
    def somebody_removes_the_files(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    @rule(fails=st.booleans())
    def the_disk(self, *, fails: bool) -> None:
        """A file where the directory should be: nothing can be written."""
        for name in ("spool", "letters"):
            place = self.directory / name
            if fails:
                shutil.rmtree(place, ignore_errors=True)
                self.directory.mkdir(exist_ok=True)
                place.touch()
            elif place.is_file():
                place.unlink()

    @precondition(lambda self: self.is_closing)
    @rule()
    def starts_again(self) -> None:
        """The next life of the program: what was left on disk is found, once."""
        self.gate.set()
        self.loop.advance(60.0)
        assert all(task.done() for task in self.tasks)
        self.gate.clear()
        spooled = self.lane.ledger.counts().spooled
        self.lane = self._new_lane()
        self.is_closing = False
        self.exporter.acknowledged = 0
        self._call(self._open())
        self.loop.settle()
        assert self.lane.ledger.counts().recovered <= spooled

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def every_item_has_one_fate(self) -> None:
        if not hasattr(self, "lane"):
            return
        counts = self.lane.ledger.counts()
        fates = counts.delivered + counts.rejected + counts.dead_lettered + counts.spooled
        fates += sum(counts.dropped.values())
        assert counts.accepted + counts.recovered == fates + counts.pending, counts
        assert min(counts.accepted, counts.recovered, counts.delivered, counts.rejected) >= 0, counts
        assert min(counts.dead_lettered, counts.spooled, counts.pending, *counts.dropped.values()) >= 0, counts
        assert counts.delivered <= self.exporter.acknowledged, counts

    def teardown(self) -> None:
        if not hasattr(self, "lane"):
            return
        try:
            if self.is_open and not self.is_closing:
                self._everything_gets_well()
            if not self.is_open:
                self._call(self._open())
            ending = self.loop.create_task(self.lane.close(5.0))
            self.loop.advance(120.0)
            assert ending.done()
            assert all(task.done() for task in self.tasks)
            self.every_item_has_one_fate()
            assert self.lane.ledger.pending == 0, self.lane.ledger.counts()
            self.lane.offer([(self._step(self.runs[0]), self.runs[0])], 1)
            self.loop.settle()
            assert self.lane.ledger.pending == 0
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.settle()
            self.loop.close()
            self.patch.undo()
            shutil.rmtree(self.directory, ignore_errors=True)

    def _everything_gets_well(self) -> None:
        """A backend that has recovered gets everything, and a flush says so."""
        self.exporter.plan.clear()
        self.exporter.exports.clear()
        self.exporter.copies_fail = False
        for stage in self.faulty:
            stage.plan.clear()
        self.gate.set()
        self.loop.advance(400.0)
        flushing = self.loop.create_task(self.lane.flush())
        self.loop.settle()
        assert flushing.done(), self.lane.ledger.counts()
        assert self.lane.ledger.pending == 0, self.lane.ledger.counts()
        assert self.lane.ledger.counts().delivered == self.exporter.acknowledged
        for run in self.runs:
            self.lane.offer([(None, run)], 0)
        self.loop.settle()
        assert self.lane._runs == {}, "a run's state has been left behind"
        self.gate.clear()

    # -- small parts ---------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        self.lane.open()
        self.lane.recover()

    async def _send_again(self, letter_ids: list[str]) -> None:
        await self.lane.send_again(letter_ids)

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(coroutine)

    def _from(self, call: Callable[[], None], *, thread: bool) -> None:
        if thread:
            caller = threading.Thread(target=call)
            caller.start()
            caller.join()
        else:
            self.loop.call_soon(call)
        self.loop.settle()

    def _step(self, run: Run) -> CapturedStep:
        return CapturedStep(IntermediateStepType.FUNCTION_START, random_hex(), "root", "work", 1, run=run)


class SpoolingLaneMachine(LaneMachine):
    """The same with nothing between what is offered and the disk, so that more gets there."""

    is_simple_and_spools = True


TestLane = LaneMachine.TestCase
TestSpoolingLane = SpoolingLaneMachine.TestCase
TestLane.settings = TestSpoolingLane.settings = settings(
    max_examples=_EXAMPLES,
    stateful_step_count=40,
    suppress_health_check=list(HealthCheck),
)
