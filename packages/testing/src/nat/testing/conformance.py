"""Conformance: tests that every exporter passes, to be inherited.

```python
class TestPost(ExporterConformance):
    exporter_type = "post"

    def settings(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint}
```
"""

import asyncio
import base64
import gc
import json
import logging
import os
import sys
import threading
import time
import warnings
import weakref
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from nat.builder.builder import Builder
from nat.builder.context import ContextState
from nat.data_models.delivery import DeliveryConfig
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import ExporterStatus, Telemetry, step
from nat.observability.component import EXPORTER
from nat.observability.exporter.base_exporter import BaseExporter, IsolatedAttribute
from nat.observability.exporter.processing_exporter import ProcessingExporter
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.processor.processor import Processor
from nat.observability.registry import ExporterEntry, Registration, resolve
from nat.testing import faults, handles, programs
from nat.testing.backend import FakeBackend, closed_url
from nat.testing.discovery import heavy_modules_after
from nat.testing.facts import facts_of, tree_of
from nat.testing.faults import Fault
from nat.testing.kit import DOES_NOT_APPLY, NOT_SHOWN
from nat.testing.player import replay
from nat.testing.process_state import changes_of, process_state
from nat.testing.received import ReceivedSpan, Request
from nat.testing.runs import RecordedRun, recorded_run, recorded_runs
from nat.testing.watching import Prepare, Watch

__all__ = ["ExporterConformance"]

_ENTRY = "tested"
_CANARY = "canary-4f1e8a2b9c"
_SECRET = f"sk-ant-api03-{'Zr8' * 31}AA"  # nobody's, in the form of a vendor's
_FLUSH_S = 20.0
_FAILING_S = 5.0
_PROMPT_S = 10.0  # on a busy machine; a call may take three times as long
_FREE_S = 5.0  # for an event loop to show that it is not blocked
_SECOND_ATTEMPT_S = 8.0
_CLOSED_S = 5.0  # for connections to be gone
_CLOCK_NS = 1_000_000  # by which times may be rounded
_FORK_REPORTS = ("before the fork", "in the child", "the child", "in the parent")
_FORK_SPANS = [
    f"{prefix}{run}"
    for run in ("before the fork", "in the child", "in the parent, after the fork")
    for prefix in ("", "step ")
]
_THREADS = 4
_RUNS_PER_THREAD = 8

_ENDLESS = "an answer without an end"
_OUTAGES = {
    "HTTP 503": faults.status(503),
    "HTTP 429": faults.status(429),
    "a connection reset": faults.RESET,
    "no answer": faults.SILENCE,  # HANG might take, when it recovers, what a client has just given up on
    _ENDLESS: faults.TRICKLE,
}
_FINAL_ANSWERS = {"400": 400, "401": 401, "403": 403, "404": 404}
_OWN_CLIENT = "each exporter makes a client of its own, which does not outlive it"
_ARRIVES = (
    "export_processed must return only when the backend has its item, and what it collects itself goes out in _flush()"
)
_FALSE_SUCCESSES = {
    "a log-in page in HTML": faults.LOGIN_PAGE,
    "another content type": faults.WRONG_CONTENT_TYPE,
    "a redirect with status 302": faults.redirect("/login", 302),
    "a redirect with status 307": faults.redirect("/login", 307),
    "a body that is cut short": faults.TRUNCATED,
}


class ExporterConformance:
    """Tests that every exporter passes. Derive a test class from it, say how to configure the exporter, and inherit the rest.

    Attributes:
        exporter_type: Its `_type`.
        modules: What to import so that the type is known; none if an entry point provides it.
        backend_options: Arguments for the `FakeBackend` of each test.
        is_remote: It sends to `self.endpoint`. Else what is about answers of a backend is left out.
        uses_grpc: `self.endpoint` is the backend's gRPC address.
        can_be_read: `received()` gives spans. Else what arrives is only counted.
        checks_answers: It looks at what a success says, and not only at its status.
        reports_partial_success: It reads OTLP's partial success.
        final_attempts: How often it may try what a backend refuses for good; more than once only if it changes something.
        session_key: The attribute of a received span that holds its session.
        sends_content: What steps were given and gave is part of what it sends.
        uses_terminal: It writes to the terminal, for people.
        can_fork: Parent and child of a fork may both use it.
    """

    exporter_type: ClassVar[str]
    modules: ClassVar[Sequence[str]] = ()
    backend_options: ClassVar[Mapping[str, Any]] = {}
    is_remote: ClassVar[bool] = True
    uses_grpc: ClassVar[bool] = False
    can_be_read: ClassVar[bool] = True
    checks_answers: ClassVar[bool] = True
    reports_partial_success: ClassVar[bool] = False
    final_attempts: ClassVar[int] = 1
    session_key: ClassVar[str] = "session.id"
    sends_content: ClassVar[bool] = True
    uses_terminal: ClassVar[bool] = False
    can_fork: ClassVar[bool] = True

    backend: FakeBackend
    """The backend of this test."""

    folder: Path
    """An empty folder of this test."""

    endpoint: str
    """Where the exporter is to send: a URL with the path of OTLP over HTTP, or of the gRPC server."""

    # -- what an author says ---------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """What a workflow file says about the exporter, without `_type`; for `self.endpoint`, or something in `self.folder`."""
        raise NotImplementedError(f"{type(self).__name__}.settings() must return the exporter's settings")

    def secret_settings(self, secret: str) -> dict[str, Any]:
        """Further settings with which `secret` is the exporter's key; none if it has no such setting."""
        return {}

    def received(self) -> list[ReceivedSpan]:
        """The spans that have arrived, in any order."""
        return self.backend.spans

    def written(self) -> bytes:
        """Everything that has left the exporter, as far as it can be searched for a text."""
        return b"\n".join(
            request.body + repr((request.path, request.query, request.headers)).encode()
            for request in self.backend.requests
        )

    # -- life ------------------------------------------------------------------------------------------------------------

    def test_it_delivers_every_step_once(self) -> None:
        """Configured in Python: what a run does arrives, whole and once."""
        with self._telemetry() as telemetry:
            traces = [self._replay(telemetry, "nested_agents")]
            status = _flushed(telemetry)

        _assert_all_delivered(status, "a healthy backend")
        self._assert_arrived(traces)

    def test_it_works_from_a_workflow_file(self) -> None:
        """Configured as an entry of a workflow file, it does the same."""
        with Telemetry.from_file(self._workflow_file()) as telemetry:
            traces = [self._replay(telemetry, "tool_call")]
            status = _flushed(telemetry)

        _assert_all_delivered(status, "a healthy backend")
        self._assert_arrived(traces)

    def test_it_delivers_all_recorded_runs(self) -> None:
        """Ten runs, with failures, streams, steps that never end and odd values: all of it arrives."""
        with self._telemetry() as telemetry:
            traces = [(replay(run, telemetry), run) for run in recorded_runs()]
            status = _flushed(telemetry)

        _assert_all_delivered(status, "ten recorded runs")
        self._assert_arrived(traces)

    def test_a_second_run_works_like_the_first(self) -> None:
        """The end of a run shuts nothing down that the next one needs."""
        with self._telemetry() as telemetry:
            first = self._replay(telemetry, "tool_call")
            _assert_all_delivered(_flushed(telemetry), "the first run")
            second = self._replay(telemetry, "streamed_answer")
            _assert_all_delivered(
                _flushed(telemetry),
                "the second run, after the first was flushed",
                "what the runs share is closed in _cleanup(), and not in _flush()",
            )

        self._assert_arrived([first, second])

    def test_closing_delivers_what_waits(self) -> None:
        """Without a flush: what a run did is delivered when the telemetry is closed."""
        telemetry = self._telemetry().start()
        traces = [self._replay(telemetry, "tool_call")]

        telemetry.close(_FLUSH_S)

        _assert_all_delivered(telemetry.status().exporters[_ENTRY], "close() without a flush before")
        self._assert_arrived(traces)

    def test_it_is_cleaned_up_once(self) -> None:
        """`_cleanup` runs once, on the exporter itself, however many runs there were and however often it is closed."""
        watch = self._watch()
        telemetry = self._telemetry(watch=watch).start()
        for _ in range(3):
            self._replay(telemetry, "streamed_answer")

        telemetry.close(_FLUSH_S)
        telemetry.close(_FLUSH_S)

        assert watch.cleanups == 1, f"_cleanup ran {watch.cleanups} times in one life with three runs, expected once"
        assert len(watch.exporters) == 1

    def test_it_starts_once_and_stops_any_number_of_times(self) -> None:
        """An exporter that user code starts: a second start is an error, a second stop does nothing."""
        watch = self._watch()

        async def life() -> None:
            async with watch(self._config(), Builder()) as exporter:
                async with exporter.start():
                    with pytest.raises(RuntimeError):
                        async with exporter.start():
                            pytest.fail("start() of a running exporter did not raise")
                await exporter.stop()
                await exporter.stop()

        asyncio.run(life())

        assert watch.cleanups == 1, f"_cleanup ran {watch.cleanups} times, stop() was called three times in one life"

    def test_an_exporter_that_never_started_can_be_stopped(self) -> None:
        """What its constructor has opened is closed by `stop()` all the same."""
        watch = self._watch()

        async def life() -> None:
            async with watch(self._config(), Builder()) as exporter:
                await exporter.stop()

        asyncio.run(life())

        assert watch.cleanups == 1, f"_cleanup ran {watch.cleanups} times for an exporter that never started"

    def test_it_can_be_built_again(self) -> None:
        """A second life in the same process works like the first: nothing was closed for good."""
        traces = []
        for _ in range(2):
            with self._telemetry() as telemetry:
                traces.append(self._replay(telemetry, "tool_call"))
                _assert_all_delivered(_flushed(telemetry), "one of two lives in one process", _OWN_CLIENT)

        self._assert_arrived(traces)

    def test_a_healthy_life_is_quiet(self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
        """While nothing is wrong, it warns of nothing, and the terminal belongs to the program."""
        caplog.set_level(logging.WARNING)

        with self._telemetry() as telemetry:
            self._replay(telemetry, "tool_call")
            _flushed(telemetry)

        said = [record.getMessage() for record in caplog.records if "has been blocked" not in record.getMessage()]
        assert said == [], f"nothing was wrong, but the log says: {said}"
        printed = capfd.readouterr()
        if not self.uses_terminal:
            assert printed.out + printed.err == "", (
                f"the exporter writes to the program's terminal: {printed.out + printed.err!r}; use logging"
            )

    def test_it_closes_what_it_has_opened(self) -> None:
        """After its end, no connection to the backend and no file is open."""
        self._needs(handles.can_be_seen(), "this system does not tell what is open")
        watch = self._watch()  # which keeps the exporter, so that nothing is closed by chance

        with self._telemetry(watch=watch) as telemetry:
            self._replay(telemetry, "tool_call")
            _flushed(telemetry)

        ports = {urlsplit(url).port or 0 for url in (self.endpoint, self.backend.url)}
        _wait_until(lambda: not any(map(handles.sockets_to, ports)), _CLOSED_S)
        left = sum(map(handles.sockets_to, ports))
        assert left == 0, f"{left} connections are left open after close(); close the client in _cleanup()"
        files = handles.files_below(self.folder)
        assert files == [], f"files are left open after close(): {files}; close them in _cleanup()"

    def test_it_ends_what_it_has_begun(self) -> None:
        """After `stop()`, no task of its own runs on the event loop: that goes on where user code has started it."""

        async def life() -> set[asyncio.Task[Any]]:
            before = asyncio.all_tasks()
            async with self._watch()(self._config(), Builder()) as exporter:
                async with exporter.start():
                    with step("work"):
                        pass
            begun = asyncio.all_tasks() - before
            return (await asyncio.wait(begun, timeout=_CLOSED_S))[1] if begun else begun

        left = sorted(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.run(life()))
        assert left == [], f"tasks are left running after stop(): {left}; cancel and await them in _cleanup()"

    def test_it_leaves_no_thread_behind(self) -> None:
        """After its end, no thread that it has started keeps the program from ending."""
        before = set(threading.enumerate())

        with self._telemetry() as telemetry:
            self._replay(telemetry, "streamed_answer")

        left = [thread.name for thread in set(threading.enumerate()) - before if not thread.daemon]
        assert left == [], f"threads that are no daemons are left after close(): {left}"

    # -- what arrives ----------------------------------------------------------------------------------------------------

    def test_what_a_step_holds_arrives(self) -> None:
        """Inputs, outputs, and why a step failed are in what the exporter sends."""
        self._needs(self.sends_content, "it sends no content")
        texts = {
            name: f"{name} {_CANARY}" for name in ("run input", "run output", "tool input", "tool output", "failure")
        }

        with self._telemetry() as telemetry:
            with telemetry.run("run", input=texts["run input"]) as run:
                with step("tool", kind="tool", input={"place": texts["tool input"]}) as tool:
                    tool.output = texts["tool output"]
                with suppress(ValueError), step("fails"):
                    raise ValueError(texts["failure"])
                run.output = texts["run output"]
            _flushed(telemetry)

        written = self.written()
        missing = [name for name, text in texts.items() if text.encode() not in written]
        assert missing == [], f"the run was delivered without its {', '.join(missing)}"

    def test_when_and_how_a_step_ended_arrives(self) -> None:
        """Times are nanoseconds since the epoch, and a step that failed can be told from one that did not."""
        self._needs_spans()

        before_ns = time.time_ns()
        with self._telemetry() as telemetry:
            with telemetry.run("run"):
                with step("succeeds"):
                    pass
                with suppress(ValueError), step("fails"):
                    raise ValueError("a reason")
            after_ns = time.time_ns()
            _flushed(telemetry)

        wrong = {
            span.name: (span.start_ns, span.end_ns)
            for span in self.received()
            if not before_ns - _CLOCK_NS <= span.start_ns <= span.end_ns <= after_ns + _CLOCK_NS
        }
        assert wrong == {}, (
            f"start and end of these spans are not when it happened, in nanoseconds since the epoch: {wrong}"
        )
        failed = {span.name for span in self.received() if span.status == "ERROR"}
        assert failed == {"fails"}, (
            f"the step 'fails' failed and no other did, but those with status ERROR are {failed}"
        )

    def test_other_exporters_get_what_happened(self) -> None:
        """What it does with its spans does not show in those of an exporter beside it."""
        alone, beside = _Beside(), _Beside()
        tested = self._entry(self._config(), None)
        for exporters in ([alone.entry(tested)], [beside.entry(tested), tested]):
            with Telemetry(*exporters, delivery=_quick()) as telemetry:
                with telemetry.run("run", tags=["first tag", "second tag"], metadata={"fact": [1, 2]}):
                    with step("call", kind="embedder", input=["a text"], metadata={"model": "small"}) as call:
                        call.output = [[0.25, 0.5]]
                telemetry.flush(_FLUSH_S)

        assert beside.shown() == alone.shown(), (
            "beside this exporter, another one gets other spans: it changes what it is given; "
            "values in a span are shared, so change a copy"
        )

    # -- many at once ----------------------------------------------------------------------------------------------------

    def test_runs_on_many_threads_do_not_mix(self) -> None:
        """Threads that run at the same time: every span arrives once, below its parent, in its own trace and session."""
        runs = _varied_runs(_THREADS * _RUNS_PER_THREAD)
        traces: list[tuple[str, RecordedRun]] = []
        everybody = threading.Barrier(_THREADS)

        def work(mine: Sequence[RecordedRun]) -> None:
            everybody.wait()
            traces.extend((replay(run, telemetry), run) for run in mine)

        with self._telemetry() as telemetry:
            threads = [threading.Thread(target=work, args=(runs[number::_THREADS],)) for number in range(_THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            status = _flushed(telemetry)

        _assert_all_delivered(status, f"{len(runs)} runs on {_THREADS} threads")
        self._assert_arrived(traces)

    def test_runs_on_one_event_loop_do_not_mix(self) -> None:
        """Coroutines that take turns in the middle of their runs."""

        async def run_one(telemetry: Telemetry, number: int) -> None:
            async with telemetry.run(f"run {number}", session_id=f"session {number}"):
                async with step(f"outer {number}"):
                    await asyncio.sleep(0)
                    async with step(f"inner {number}"):
                        await asyncio.sleep(0)

        async def main() -> ExporterStatus:
            async with self._telemetry() as telemetry:
                await asyncio.gather(*(run_one(telemetry, number) for number in range(20)))
                return (await telemetry.aflush(_FLUSH_S)).exporters[_ENTRY]

        _assert_all_delivered(asyncio.run(main()), "20 coroutines on one event loop")
        if self.can_be_read:
            try:
                trees = sorted(tree_of(spans) for spans in self._by_trace().values())
            except ValueError as exc:
                raise AssertionError(f"spans of concurrent coroutines are not below their own parents: {exc}") from None
            assert trees == sorted(
                (f"run {number}", ((f"outer {number}", ((f"inner {number}", ()),)),)) for number in range(20)
            ), "spans of concurrent coroutines are not below their own parents"

    # -- what the backend answers ----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("fault", _OUTAGES)
    def test_an_outage_loses_nothing(self, fault: str) -> None:
        """While the backend fails, nothing counts as delivered; when it recovers, everything arrives, once."""
        self._needs(self.is_remote, "it sends to no backend")
        self._shows(self.checks_answers or fault != _ENDLESS, "it looks at the status only")
        self.backend.from_now_on(_OUTAGES[fault])

        with self._telemetry(timeout=0.5) as telemetry:
            traces = [self._replay(telemetry, "tool_call")]
            early = self._delivered_while_failing(telemetry)
            self.backend.recover()
            status = _flushed(telemetry)

        assert early == 0, (
            f"{early} items counted as delivered while the backend answered every request with {fault}; "
            "export_processed must raise, and not swallow the error"
        )
        _assert_all_delivered(status, f"{fault} for a while, then a healthy backend")
        self._assert_arrived(traces)

    def test_a_second_attempt_sends_the_same(self) -> None:
        """What is sent again is what was sent at first: an attempt changes nothing in its item."""
        self._needs(self.is_remote, "it sends to no backend")
        self.backend.plan(faults.status(503), faults.status(503))

        with self._telemetry() as telemetry:
            self._replay(telemetry, "tool_call")
            _flushed(telemetry)

        sent: dict[str, list[ReceivedSpan]] = defaultdict(list)
        for request in self.backend.deliveries:
            for span in request.spans:
                sent[span.span_id].append(span)
        changed = sorted({spans[0].name for spans in sent.values() if any(span != spans[0] for span in spans)})
        assert changed == [], (
            f"the second attempt has sent these spans differently: {changed}; export_processed changes its item"
        )

    def test_its_event_loop_goes_on_while_the_backend_thinks(self) -> None:
        """A backend that takes its time does not block the event loop that exporters live on."""
        self._needs(self.is_remote, "it sends to no backend")
        self.backend.from_now_on(faults.HANG)
        watch, goes_on = self._watch(), threading.Event()

        with self._telemetry(watch=watch, timeout=30.0) as telemetry:
            self._replay(telemetry, "tool_call")
            self.backend.wait_for_requests(1)
            watch.loops[0].call_soon_threadsafe(goes_on.set)
            is_free = goes_on.wait(_FREE_S)
            self.backend.recover()

        assert is_free, (
            f"the event loop was blocked for {_FREE_S:g} s while the backend did not answer; await what takes time, "
            "or call it through asyncio.to_thread"
        )

    def test_a_call_ends_when_its_time_is_over(self) -> None:
        """`timeout` ends a call of `export_processed` that gets no answer, so that the next attempt can begin."""
        self._needs(self.is_remote, "it sends to no backend")
        self.backend.from_now_on(faults.HANG)

        with self._telemetry(timeout=0.3) as telemetry:
            with telemetry.run("one"):
                pass
            self.backend.wait_for_requests(1)
            _wait_until(lambda: len(self.backend.deliveries) > 1, _SECOND_ATTEMPT_S)
            count = len(self.backend.deliveries)
            self.backend.recover()

        assert count > 1, (
            f"no second attempt came within {_SECOND_ATTEMPT_S:g} s, though a call may take 0.3 s: "
            "export_processed must end when it is cancelled"
        )

    @pytest.mark.parametrize(("code", "as_date"), [(429, False), (503, True)], ids=["in seconds", "as a date"])
    def test_it_waits_as_long_as_the_backend_says(self, code: int, as_date: bool) -> None:
        """No attempt comes before the time that `Retry-After`, or gRPC's RetryInfo, has named."""
        self._needs(self.is_remote, "it sends to no backend")
        self._needs(not (self.uses_grpc and as_date), "RetryInfo holds no date")
        asked_s, least_s = (2.0, 1.0) if as_date else (1.0, 1.0)  # a date has no fractions of a second
        self.backend.plan(faults.status(code, retry_after_s=asked_s, as_date=as_date))

        with self._telemetry() as telemetry, telemetry.run("one"):
            pass
        self.backend.wait_for_spans(1)
        first, second, *_ = self.backend.deliveries

        waited_s = second.time_s - first.time_s
        assert waited_s >= least_s, (
            f"it came again after {waited_s:.2f} s, though {first.fault.name} asked for {asked_s:g} s"
        )

    @pytest.mark.parametrize("code", _FINAL_ANSWERS)
    def test_a_final_answer_is_not_asked_for_again(self, code: str, caplog: pytest.LogCaptureFixture) -> None:
        """What is refused for good is sent once, counted as rejected, and said in the log."""
        self._needs(self.is_remote, "it sends to no backend")
        caplog.set_level(logging.WARNING)
        self.backend.from_now_on(faults.status(_FINAL_ANSWERS[code]))

        with self._telemetry(max_retries=3) as telemetry:
            self._replay(telemetry, "tool_call")
            _wait_until(lambda: self._has_met_a_fate(telemetry) or bool(self._asked_again()), _FLUSH_S)
            if self._asked_again():
                self.backend.recover()
            status = _flushed(telemetry)

        again = self._asked_again()
        assert again == [], f"status {code} is final, but the same request came up to {max(again, default=0)} times"
        assert status.rejected == status.accepted > 0, (
            f"status {code}: {status.rejected} of {status.accepted} items counted as rejected; {_shown(status)}"
        )
        assert caplog.records, f"status {code}: nothing was said in the log"

    def test_what_is_too_large_is_sent_in_parts(self) -> None:
        """A backend that takes small requests only gets everything that fits."""
        self._needs(self.is_remote, "it sends to no backend")
        self.backend.limit_bytes = 16_000

        with self._telemetry() as telemetry:
            with telemetry.run("run"):
                for number in range(30):
                    with step(f"step {number}", input="x" * 2_000):
                        pass
            status = _flushed(telemetry)

        _assert_all_delivered(status, "HTTP 413 for requests over 16,000 bytes, with items of 3,000 bytes")
        self._assert_no_duplicates()

    def test_one_item_that_is_too_large_takes_no_other_along(self) -> None:
        """An item that the backend refuses for its size is cut, or is lost alone."""
        self._needs(self.is_remote, "it sends to no backend")
        self._needs_spans()
        self.backend.limit_bytes = 60_000

        with self._telemetry() as telemetry:
            with telemetry.run("run"):
                for number in range(10):
                    with step(f"step {number}", input="x" * (200_000 if number == 4 else 10)):
                        pass
            _flushed(telemetry)

        missing = {"run", *(f"step {number}" for number in range(10))} - {span.name for span in self.received()}
        assert missing <= {"step 4"}, f"'step 4' was too large for the backend, but these are missing: {missing}"

    def test_a_partial_success_counts_what_was_refused(self, caplog: pytest.LogCaptureFixture) -> None:
        """Spans that OTLP's partial success names are rejected, the others delivered, and nothing is sent again."""
        self._needs(self.reports_partial_success, "it reads no partial success")
        caplog.set_level(logging.WARNING)
        self.backend.from_now_on(faults.partial_success(1, "no detector matched"))

        with self._telemetry() as telemetry:
            self._replay(telemetry, "tool_call")
            status = _flushed(telemetry)

        refused = len(self.backend.requests)
        assert (status.rejected, status.delivered) == (refused, status.accepted - refused), (
            f"the backend refused one span in each of {refused} requests, in a partial success; {_shown(status)}"
        )
        assert set(self.backend.attempts.values()) == {1}, "a partial success is final, but spans were sent again"
        assert "no detector matched" in caplog.text, "the backend's words about a partial success are not in the log"

    def test_a_partial_success_that_refuses_nothing_is_a_success(self) -> None:
        """With 0 refused spans, its message is a warning."""
        self._needs(self.reports_partial_success, "it reads no partial success")
        self.backend.from_now_on(faults.partial_success(0, "slow down"))

        with self._telemetry() as telemetry:
            self._replay(telemetry, "tool_call")
            status = _flushed(telemetry)

        _assert_all_delivered(status, "a partial success with 0 refused spans and a message")

    @pytest.mark.parametrize("answer", _FALSE_SUCCESSES)
    def test_what_only_looks_like_a_success_is_none(self, answer: str) -> None:
        """Whatever answers in the backend's place: nothing counts as delivered."""
        fault = _FALSE_SUCCESSES[answer]
        self._needs(self.is_remote, "it sends to no backend")
        self._shows(self.checks_answers, "it looks at the status only")
        self._needs(not self.uses_grpc or fault is faults.TRUNCATED, "this exists over HTTP only")
        self.backend.reply_at("/login", faults.LOGIN_PAGE)
        self.backend.from_now_on(fault)

        with self._telemetry(max_retries=1) as telemetry:
            self._replay(telemetry, "streamed_answer")
            status = _flushed(telemetry)

        assert status.delivered == 0, f"{status.delivered} items counted as delivered, but the answer was {answer}"
        assert status.lost == status.accepted > 0, f"the answer was {answer}; {_shown(status)}"

    @pytest.mark.parametrize("fault", ["no answer", "nobody listens"])
    def test_closing_keeps_its_deadline(self, fault: str) -> None:
        """A backend that does not answer keeps neither the workflow nor the end of the program; what is lost is counted."""
        self._needs(self.is_remote, "it sends to no backend")
        self.backend.from_now_on(faults.HANG)
        if fault == "nobody listens":
            self.endpoint = closed_url(urlsplit(self.endpoint).path)
        watch = self._watch()
        telemetry = self._telemetry(watch=watch, timeout=30.0).start()

        started_s = time.monotonic()
        self._replay(telemetry, "tool_call")
        run_s = time.monotonic() - started_s
        started_s = time.monotonic()
        telemetry.close(0.5)
        close_s = time.monotonic() - started_s

        status = telemetry.status().exporters[_ENTRY]
        assert run_s < _PROMPT_S, f"the run took {run_s:.1f} s because {fault} came from the backend"
        assert close_s < _PROMPT_S, f"close(0.5) took {close_s:.1f} s with {fault} from the backend"
        assert status.delivered == 0, f"{status.delivered} items counted as delivered with {fault} from the backend"
        assert status.lost == status.accepted > 0, f"after close() with {fault} from the backend: {_shown(status)}"
        del telemetry
        _let_go(watch)

    # -- apart from each other -------------------------------------------------------------------------------------------

    def test_a_run_knows_nothing_of_the_one_before(self) -> None:
        """Session, user, tags and metadata of a run are not on the spans of the next, which has none."""
        self._needs_spans()
        given = {"session_id": "session before", "user_id": "user before", "tags": ["tag before"]}

        with self._telemetry() as telemetry:
            with telemetry.run("first", metadata={"fact": "metadata before"}, **given):  # type: ignore[arg-type]
                pass
            with telemetry.run("second"):
                pass
            _flushed(telemetry)

        (second,) = (span for span in self.received() if span.name == "second")
        leaked = [
            text for text in ("session before", "user before", "tag before", "metadata before") if text in repr(second)
        ]
        assert leaked == [], (
            f"the span of a run without session, user, tags and metadata has those of the run before: {leaked}"
        )

    def test_it_keeps_nothing_of_runs_that_have_ended(self) -> None:
        """The containers of the exporter do not grow with the number of runs."""
        watch = self._watch()

        with self._telemetry(watch=watch) as telemetry:
            sizes = []
            for _ in range(3):
                for _ in range(5):
                    self._replay(telemetry, "tool_call")
                _flushed(telemetry)
                sizes.append(_container_sizes(watch.exporters[0]))

        grown = [name for name, size in sizes[0].items() if size < sizes[1].get(name, 0) < sizes[2].get(name, 0)]
        assert grown == [], (
            f"these attributes of the exporter grow with every run: {grown}; "
            "state of a run belongs into an IsolatedAttribute, and is given up when the run ends"
        )

    def test_its_copies_share_no_state(self) -> None:
        """Each run's copy has `IsolatedAttribute`s of its own, and all the plain attributes of the original."""

        async def copies() -> tuple[BaseExporter, BaseExporter, BaseExporter]:
            async with self._watch()(self._config(), Builder()) as exporter:
                for name in _isolated_names(exporter):
                    getattr(exporter, name)  # makes the original's value, if it is not there
                first, second = (exporter.create_isolated_instance(ContextState.get()) for _ in range(2))
                await exporter.stop()
                return exporter, first, second

        exporter, first, second = asyncio.run(copies())

        assert (type(first), first.is_isolated_instance) == (type(exporter), True)
        shared = [
            name
            for name in _isolated_names(exporter)
            if _is_mutable(getattr(first, name))
            and (getattr(first, name) is getattr(second, name) or getattr(first, name) is getattr(exporter, name))
        ]
        assert shared == [], f"copies for two runs share the value of {shared}"

    def test_two_of_them_do_not_disturb_each_other(self) -> None:
        """Two entries of the type with two backends: each sends to its own, and the end of one does not touch the other."""
        self._needs(self.is_remote, "it sends to no backend")
        here, there = self.backend, FakeBackend(**self._backend_options())

        with there:
            with self._telemetry() as telemetry:
                self.endpoint = self._endpoint_of(there)
                with self._telemetry() as other:
                    elsewhere = self._replay(other, "streamed_answer")
                at_home = self._replay(telemetry, "tool_call")
                _assert_all_delivered(_flushed(telemetry), "another exporter of its type has been closed")

        if self.can_be_read:
            traces = [{span.trace_id for span in backend.spans} for backend in (here, there)]
            assert traces == [{at_home[0]}, {elsewhere[0]}], "spans went to the backend of another exporter of its type"

    # -- secrets ---------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "fault", ["success", "HTTP 400", "HTTP 401", "HTTP 503", "a connection reset", "nobody listens"]
    )
    def test_its_key_is_shown_nowhere(
        self, fault: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A key of the configuration is in no log, `repr`, error, dead letter, spool or status file, whatever the answer.

        Answers repeat the request's headers, as some backends do.
        """
        settings = self.secret_settings(_CANARY)
        self._needs(bool(settings) or self._has_secrets(), "it has no secret settings")
        self._shows(bool(settings), "secret_settings() does not say how to set its key")
        caplog.set_level(logging.DEBUG)
        self._let_fail(fault)
        watch = self._watch()
        config = self._config(**settings)
        storage = {kind: {"directory": str(self.folder / kind)} for kind in ("spool", "dead_letters")}
        delivery = _quick(timeout=0.5, max_retries=1, **storage)

        telemetry = Telemetry(self._entry(config, watch), delivery=delivery, status_directory=self.folder / "status")
        with telemetry:
            self._replay(telemetry, "failed_run")
            flushed = telemetry.flush(3.0 if fault != "success" else _FLUSH_S)
            shown = [repr(config), str(config), repr(watch.exporters), repr(flushed), repr(telemetry.status())]
            places = _texts_in(self.folder)
        shown.append(repr(telemetry.status()))
        printed = capfd.readouterr()
        places |= _texts_in(self.folder) | {
            "the log": "\n".join(map(logging.Formatter().format, caplog.records)),
            "a repr": "\n".join(shown),
            "what was printed": printed.out + printed.err,
        }

        forms = [_CANARY, *self._headers_with(_CANARY)]
        if fault == "success" and self.is_remote:
            has_arrived = len(forms) > 1 or any(_CANARY.encode() in request.body for request in self.backend.requests)
            assert has_arrived, "the key never reached the backend; is secret_settings() right?"
        found = sorted({place for place, text in places.items() for form in forms if form in text})
        assert found == [], f"after {fault}, the key is in {', '.join(found)}"

    def test_a_wrong_setting_is_told_without_the_key(self) -> None:
        """An error of the configuration does not quote the key that stands beside it."""
        settings = self.secret_settings(_CANARY)
        self._needs(bool(settings) or self._has_secrets(), "it has no secret settings")
        self._shows(bool(settings), "secret_settings() does not say how to set its key")

        with pytest.raises(ValueError) as raised:  # noqa: PT011  (pydantic's)
            self._config(**settings, no_such_key=_CANARY)

        assert _CANARY not in str(raised.value) + repr(raised.value), "the error of a wrong setting shows the key"

    # -- content ---------------------------------------------------------------------------------------------------------

    def test_a_secret_in_content_does_not_leave(self) -> None:
        """What is redacted by default is redacted: the exporter takes contents from nowhere else."""
        with self._telemetry() as telemetry:
            with suppress(ValueError), telemetry.run("run", input=_SECRET, metadata={"note": _SECRET}) as run:
                with step("call", kind="llm", input=[{"role": "user", "content": f"use {_SECRET}"}]) as call:
                    call.output = {"role": "assistant", "content": _SECRET}
                    call.set_attribute("of.its.own", _SECRET)
                run.output = _SECRET
                raise ValueError(f"refused: {_SECRET}")
            status = _flushed(telemetry)

        _assert_all_delivered(status, "a run that holds a secret")
        assert _SECRET.encode() not in self.written(), (
            "a key that an agent was given has left the exporter, though it is redacted by default; "
            "send what export_processed is given, and nothing from elsewhere"
        )

    def test_odd_objects_take_nothing_along(self) -> None:
        """Values that no JSON has, in attributes, metadata and names: everything is delivered, and what comes after, too."""
        with self._telemetry() as telemetry:
            for number, value in enumerate(_odd_objects()):
                with telemetry.run(f"odd {number}", metadata={"value": value}):
                    with step(f"with {value!s:.20}", kind="tool", input=value) as odd:
                        odd.set_attribute("value", value)
                        odd.output = [value]
            plain = self._replay(telemetry, "tool_call")
            status = _flushed(telemetry)

        _assert_all_delivered(status, "values that no JSON has")
        if self.can_be_read:
            by_trace = self._by_trace()
            assert plain[0] in by_trace, "a run after one with odd values has not arrived"
            assert len(by_trace) == len(_odd_objects()) + 1, "runs with odd values have not arrived"

    def test_what_a_processor_removes_does_not_leave(self) -> None:
        """A processor that redacts sees everything before it is sent."""
        self._needs(self._has_processors(), "it has no processors")
        watch = self._watch(partial(_add_first, processor_of_spans=_Redact(), processor_of_steps=_DropSteps()))

        with self._telemetry(watch=watch) as telemetry:
            with telemetry.run("run", input=_CANARY, metadata={"note": _CANARY}):
                with step("call", kind="llm", input=[{"role": "user", "content": _CANARY}]) as call:
                    call.output = _CANARY
            _flushed(telemetry)

        assert _CANARY.encode() not in self.written(), "a text that a processor had removed has left the exporter"

    def test_a_failing_processor_lets_nothing_out(self) -> None:
        """An item whose processor raises is dropped and counted, never sent as it was: it may be the one that redacts."""
        self._needs(self._has_processors(), "it has no processors")
        watch = self._watch(partial(_add_first, processor_of_spans=_FailOnSpan(), processor_of_steps=_FailOnStep()))

        with self._telemetry(watch=watch) as telemetry:
            with telemetry.run("run", input=_CANARY):
                pass
            status = _flushed(telemetry)

        assert _CANARY.encode() not in self.written(), "an item whose processor had raised has left the exporter"
        assert status.dropped == {"processor_error": status.accepted}, (
            f"every item's processor raised; {_shown(status)}"
        )

    # -- the process that it lives in ------------------------------------------------------------------------------------

    def test_it_changes_nothing_that_belongs_to_the_program(self) -> None:
        """Environment, signal handlers, the root logger, OpenTelemetry's global provider and the like are left alone."""
        with suppress(ModuleNotFoundError):
            import_module("opentelemetry.trace")
        before = process_state()

        with self._telemetry() as telemetry:
            self._replay(telemetry, "tool_call")
            _flushed(telemetry)
            during = process_state()
        after = process_state()

        changed, left = changes_of(before, during), changes_of(before, after)
        assert changed == [], (
            f"while it runs, the exporter has changed what belongs to the program: {', '.join(changed)}"
        )
        assert left == [], f"after the exporter's end, this is not as it was: {', '.join(left)}"

    def test_it_waits_for_nothing_on_its_event_loop(self) -> None:
        """Files, names, processes and pauses are awaited, or are on another thread; told by Python's audit events."""
        done = programs.run_program(programs.WAITING, file=str(self._workflow_file()))

        assert done.returncode == 0, f"a program that uses the exporter failed: {done.stderr}"
        waits = sorted(set(json.loads(done.stdout.splitlines()[-1])))
        assert waits == [], (
            f"on its event loop, the exporter waits in: {', '.join(waits)}; "
            "await what takes time, or call it through asyncio.to_thread"
        )

    def test_a_forked_process_delivers_its_own(self) -> None:
        """A program that forks: parent and child both deliver what they do, and nothing arrives twice."""
        self._shows(self.can_fork, "it is for one process at a time")
        self._needs(hasattr(os, "fork") and sys.platform != "darwin", "programs do not fork on this system")

        done = programs.run_program(programs.FORKING, file=str(self._workflow_file()))

        assert done.returncode == 0, f"a program that forks failed: {done.stderr}"
        said = [line for line in done.stdout.splitlines() if line.startswith(_FORK_REPORTS)]
        assert said == [], f"a program that forks loses spans: {'; '.join(said)}; {_OWN_CLIENT}"
        names = Counter(span.name for span in self.received()) if self.can_be_read else Counter(_FORK_SPANS)
        assert names == Counter(_FORK_SPANS), f"a program that forks has delivered {dict(names)}"

    def test_being_listed_loads_nothing_heavy(self) -> None:
        """Listing exporters, and checking a configuration of this one, imports no HTTP client, gRPC or OpenTelemetry."""
        loaded = heavy_modules_after(self.exporter_type, EXPORTER.name, self.modules, self.settings())

        assert loaded == [], (
            f"listing {self.exporter_type!r} and checking its configuration imports {', '.join(loaded)}; "
            "import it inside the registration function"
        )

    # -- parts -----------------------------------------------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _environment(self, tmp_path: Path) -> Iterator[None]:
        for module in self.modules:
            import_module(module)
        self.folder = tmp_path / "exporter"
        self.folder.mkdir()
        with FakeBackend(**self._backend_options()) as self.backend:
            self.endpoint = self._endpoint_of(self.backend)
            yield

    def _backend_options(self) -> dict[str, Any]:
        return {"grpc": self.uses_grpc, **self.backend_options}

    def _endpoint_of(self, backend: FakeBackend) -> str:
        scheme = urlsplit(backend.url).scheme
        return f"{scheme}://{backend.grpc_endpoint}" if self.uses_grpc else backend.url

    def _registration(self) -> Registration:
        return resolve(self.exporter_type)

    def _config(self, **more: Any) -> TelemetryExporterBaseConfig:
        config = self._registration().config_type(**{**self.settings(), **more})
        assert isinstance(config, TelemetryExporterBaseConfig)
        return config

    def _workflow_file(self) -> Path:
        file = self.folder / "workflow.yaml"
        entry = {"_type": self.exporter_type, **self.settings()}
        document = {"general": {"telemetry": {"delivery": _QUICK, "tracing": {_ENTRY: entry}}}}
        file.write_text(json.dumps({**document, "plugins": list(self.modules)}), encoding="utf-8")
        return file

    def _watch(self, prepare: Prepare | None = None) -> Watch:
        return Watch(self._registration(), prepare)

    def _entry(self, config: TelemetryExporterBaseConfig, watch: Watch | None) -> ExporterEntry:
        registration = self._registration()
        watched = registration if watch is None else replace(registration, build=watch)  # type: ignore[arg-type]
        return ExporterEntry(_ENTRY, config, watched)

    def _telemetry(self, *, watch: Watch | None = None, **delivery: Any) -> Telemetry:
        return Telemetry(self._entry(self._config(), watch), delivery=_quick(**delivery))

    def _replay(self, telemetry: Telemetry, run_id: str) -> tuple[str, RecordedRun]:
        run = recorded_run(run_id)
        return replay(run, telemetry), run

    def _has_processors(self) -> bool:
        return isinstance(self._one(), ProcessingExporter)

    def _one(self) -> BaseExporter:
        """An exporter that was built, and has ended."""

        async def build() -> BaseExporter:
            async with self._watch()(self._config(), Builder()) as exporter:
                await exporter.stop()
                return exporter

        return asyncio.run(build())

    def _has_secrets(self) -> bool:
        config_type = self._registration().config_type
        return any(config_type.is_secret(key) for key in config_type.keys())  # noqa: SIM118  (a method of the class)

    def _needs_spans(self) -> None:
        if not self.can_be_read:
            self._needs(self._one()._takes == "spans", "it sends steps, not spans")
            self._shows(False, "its spans cannot be read back")

    def _by_trace(self) -> dict[str, list[ReceivedSpan]]:
        by_trace: dict[str, list[ReceivedSpan]] = defaultdict(list)
        for span in self.received():
            by_trace[span.trace_id].append(span)
        return by_trace

    def _assert_arrived(self, traces: Sequence[tuple[str, RecordedRun]]) -> None:
        """These traces have arrived, each whole and once, and nothing else."""
        if not self.can_be_read:
            return
        self._assert_no_duplicates()
        by_trace = self._by_trace()
        missing = sorted(run.id for trace_id, run in traces if trace_id not in by_trace)
        assert missing == [], f"these runs count as delivered but never arrived: {missing}; {_ARRIVES}"
        foreign = by_trace.keys() - {trace_id for trace_id, _ in traces}
        assert foreign == set(), f"{len(foreign)} traces arrived that are of no run"
        for trace_id, run in traces:
            spans, facts = by_trace[trace_id], facts_of(run)
            _assert_same_tree(spans, run)
            sessions = {span.attributes.get(self.session_key) for span in spans}
            assert sessions == {facts.session_id}, f"the spans of the run {run.id!r} have the sessions {sessions}"

    def _assert_no_duplicates(self) -> None:
        counts = Counter((span.trace_id, span.span_id) for span in self.received()) if self.can_be_read else Counter()
        twice = sum(count > 1 for count in counts.values())
        assert twice == 0, f"{twice} of {len(counts)} spans have arrived more than once"

    def _repeated(self) -> list[int]:
        """How often each request came that came more than once."""
        return [count for count in Counter(request.body for request in self.backend.deliveries).values() if count > 1]

    def _has_met_a_fate(self, telemetry: Telemetry) -> bool:
        """Whether something counts as delivered or as lost."""
        status = telemetry.status().exporters[_ENTRY]
        return status.delivered + status.lost > 0

    def _asked_again(self) -> list[int]:
        """How often each request came that came more often than a refusal for good allows."""
        return [count for count in self._repeated() if count > self.final_attempts]

    def _delivered_while_failing(self, telemetry: Telemetry) -> int:
        """What counts as delivered once a request has come a second time, or something has met its fate."""
        self.backend.wait_for_requests(1)
        _wait_until(lambda: self._has_met_a_fate(telemetry) or bool(self._repeated()), _FAILING_S)
        return telemetry.status().exporters[_ENTRY].delivered

    def _let_fail(self, fault: str) -> None:
        """From now on, requests meet this fault; an answer repeats the headers of its request."""
        if fault == "nobody listens":
            self.endpoint = closed_url(urlsplit(self.endpoint).path)
        elif fault == "a connection reset":
            self.backend.from_now_on(faults.RESET)
        elif fault.startswith("HTTP "):
            self.backend.refuse = lambda request: _echo(int(fault.removeprefix("HTTP ")), request)

    def _headers_with(self, secret: str) -> list[str]:
        """Values of headers that held the secret, as it is or as Basic authentication encodes it."""
        values = {value for request in self.backend.requests for value in request.headers.values()}
        return [value.removeprefix("Basic ") for value in values if secret in value + _basic_credentials(value)]

    @staticmethod
    def _needs(capability: bool, reason: str) -> None:
        if not capability:
            pytest.skip(f"{DOES_NOT_APPLY}{reason}")

    @staticmethod
    def _shows(is_shown: bool, reason: str) -> None:
        if not is_shown:
            pytest.skip(f"{NOT_SHOWN}{reason}")


_QUICK: dict[str, Any] = {
    "timeout": 5.0,
    "retry": {"initial_interval": 0.05, "max_interval": 0.1},
    "batch": {"interval": 0.05},
    "breaker": {"failures": 0},
}


def _quick(*, timeout: float | None = None, max_retries: int | None = None, **more: Any) -> DeliveryConfig:
    """How the tests deliver: waits are short, and a backend that fails is not left alone."""
    retry = {**_QUICK["retry"], **({} if max_retries is None else {"max_retries": max_retries})}
    return DeliveryConfig(**{**_QUICK, **({} if timeout is None else {"timeout": timeout}), "retry": retry, **more})


def _flushed(telemetry: Telemetry) -> ExporterStatus:
    return telemetry.flush(_FLUSH_S).exporters[_ENTRY]


def _shown(status: ExporterStatus) -> str:
    return (
        f"of {status.accepted} items, {status.delivered} were delivered, {status.rejected} rejected, "
        f"{status.pending} are on their way, dropped: {status.dropped or 'none'}"
    )


def _assert_all_delivered(status: ExporterStatus, situation: str, hint: str = "") -> None:
    assert status.delivered == status.accepted > 0, f"{situation}: {_shown(status)}" + (hint and f"; {hint}")


def _assert_same_tree(spans: Sequence[ReceivedSpan], run: RecordedRun) -> None:
    """These spans are those of the run, each below its own parent."""
    facts = facts_of(run)
    came, expected = Counter(span.name for span in spans), Counter(span.name for span in facts.spans)
    missing, foreign = sorted((expected - came).elements()), sorted((came - expected).elements())
    assert missing == [], f"spans of the run {run.id!r} count as delivered but never arrived: {missing}; {_ARRIVES}"
    assert foreign == [], f"spans arrived with the run {run.id!r} that are not its own: {foreign}"
    try:
        tree = tree_of(spans)
    except ValueError as exc:
        raise AssertionError(f"spans of the run {run.id!r} are below the wrong parents: {exc}") from None
    assert tree == facts.tree, f"spans of the run {run.id!r} are below the wrong parents: {tree}"


def _wait_until(is_true: Callable[[], bool], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_true() and time.monotonic() < deadline_s:
        time.sleep(0.01)


class _Unprintable:
    """Refuses to say what it is."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    __str__ = object.__repr__


def _odd_objects() -> list[Any]:
    """Values that no JSON has, or that take care."""
    circle: list[Any] = [1]
    circle.append(circle)
    return [
        float("nan"),
        float("-inf"),
        2**200,
        b"\xff\x00bytes",
        {1, "set"},
        {("key", 1): "tuple", None: "none", 2.5: "float"},
        datetime(1, 1, 1, tzinfo=UTC),
        Decimal("1e400"),
        "\ud800 alone",
        "nul \x00 and \x1b[31m",
        circle,
        _Unprintable(),
        _Unprintable,
        "",
    ]


def _let_go(watch: Watch) -> None:
    """Collect an exporter whose time was over before it had closed all it holds, and let nobody complain about that."""
    exporter = weakref.ref(watch.exporters.pop())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        _wait_until(lambda: gc.collect() >= 0 and exporter() is None, _CLOSED_S)


def _varied_runs(count: int) -> list[RecordedRun]:
    runs = [run for run in recorded_runs() if run.id != "odd_values"]
    return [runs[number % len(runs)].in_session(f"session {number}") for number in range(count)]


def _isolated_names(exporter: BaseExporter) -> list[str]:
    return [
        name
        for cls in type(exporter).__mro__
        for name, value in vars(cls).items()
        if isinstance(value, IsolatedAttribute)
    ]


def _is_mutable(value: Any) -> bool:
    return value is not None and not isinstance(value, str | bytes | int | float | bool | tuple | frozenset)


def _container_sizes(exporter: BaseExporter) -> dict[str, int]:
    held = vars(exporter).items()
    return {name: len(value) for name, value in held if isinstance(value, list | dict | set | deque)}


def _texts_in(folder: Path) -> dict[str, str]:
    """What is in the files of a folder, by names for messages."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {f"the file {path.relative_to(folder)}": path.read_bytes().decode("utf-8", "replace") for path in files}


def _echo(code: int, request: Request) -> Fault:
    """An answer that repeats the headers of its request."""
    if request.protocol == "grpc":
        return replace(faults.status(code), message=repr(request.headers))
    return faults.status(code, body={"message": repr(request.headers)})


def _basic_credentials(header: str) -> str:
    with suppress(ValueError):
        return base64.b64decode(header.removeprefix("Basic "), validate=True).decode("utf-8", "replace")
    return ""


def _add_first(
    exporter: ProcessingExporter[Any, Any],
    *,
    processor_of_spans: Processor[Any, Any],
    processor_of_steps: Processor[Any, Any],
) -> None:
    """Put a processor before all others."""
    is_of_spans = exporter._takes == "spans"
    exporter.add_processor(processor_of_spans if is_of_spans else processor_of_steps, position=0)


class _Redact(Processor[Span, Span]):
    """Takes the canary out of a span's attributes."""

    async def process(self, item: Span) -> Span:
        attributes = {key: "removed" if _CANARY in str(value) else value for key, value in item.attributes.items()}
        return item.model_copy(update={"attributes": attributes})


class _DropSteps(Processor[IntermediateStep, IntermediateStep]):
    """Lets no step pass that holds the canary."""

    async def process(self, item: IntermediateStep) -> IntermediateStep | None:
        return None if _CANARY in repr(item) else item


class _FailOnSpan(Processor[Span, Span]):
    async def process(self, item: Span) -> Span:
        raise RuntimeError("a processor that fails")


class _FailOnStep(Processor[IntermediateStep, IntermediateStep]):
    async def process(self, item: IntermediateStep) -> IntermediateStep:
        raise RuntimeError("a processor that fails")


class _Beside(SpanExporter[Span, Span]):
    """Keeps the spans that it is given, and changes none."""

    def __init__(self) -> None:
        super().__init__()
        self._spans: list[Span] = []

    def entry(self, other: ExporterEntry) -> ExporterEntry:
        """An entry for this exporter, to go with another one's."""
        registration = replace(other.registration, type_name="beside", build=self._build)  # type: ignore[arg-type]
        return ExporterEntry("beside", other.config, registration)

    @asynccontextmanager
    async def _build(self, config: TelemetryExporterBaseConfig, builder: Builder | None) -> "AsyncIterator[_Beside]":
        yield self

    async def export_processed(self, item: Span) -> None:
        self._spans.append(item)

    def shown(self) -> list[tuple[str, dict[str, Any]]]:
        """Names and attributes as they are now, without those that differ from run to run."""
        return sorted(
            (span.name, {key: value for key, value in span.attributes.items() if not key.startswith("nat.")})
            for span in self._spans
        )
