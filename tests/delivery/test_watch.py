"""Whoever blocks an event loop for over a second is named in the log."""

import logging
import threading
from collections.abc import Iterator

import pytest

from nat.observability import Telemetry
from nat.observability.delivery.loop_thread import LoopThread
from nat.observability.delivery.watch import LoopWatcher
from tests.support.collecting import SpanCollector, registered
from tests.support.waiting import PATIENCE_S


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread("test loop")
    thread.start()
    yield thread
    thread.end()
    thread.join(PATIENCE_S)


def _answered(loop: LoopThread) -> None:
    """Return when the loop has done what it was asked before."""
    done = threading.Event()
    loop.loop.call_soon_threadsafe(done.set)
    assert done.wait(PATIENCE_S)


def _blocker(started: threading.Event, go_on: threading.Event) -> None:
    started.set()
    go_on.wait(PATIENCE_S)


def test_a_blocked_loop_is_named_once_with_the_place(loop: LoopThread, caplog: pytest.LogCaptureFixture) -> None:
    """Exporters, innermost frame, and the code that led there; nothing before a second, once a minute after it."""
    caplog.set_level(logging.WARNING, "nat.observability")
    now = [0.0]
    watcher = LoopWatcher(clock=lambda: now[0], interval_s=PATIENCE_S)
    started, go_on = threading.Event(), threading.Event()
    watcher.add(loop, "one")
    watcher.add(loop, "two")

    watcher.check()
    _answered(loop)
    loop.loop.call_soon_threadsafe(_blocker, started, go_on)
    assert started.wait(PATIENCE_S)
    for now[0] in (0.5, 1.0, 1.5):
        watcher.check()
    before = list(caplog.messages)
    for now[0] in (2.0, 2.5, 3.0):
        watcher.check()
    go_on.set()
    _answered(loop)
    watcher.remove(loop, "one")
    watcher.remove(loop, "two")

    assert before == []
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("one, two: the event loop has been blocked for 1.5 s, in threading.py:")
    assert "called from test_watch.py:" in caplog.messages[0]
    assert "_blocker" in caplog.messages[0]


def test_a_loop_that_answers_is_not_named(loop: LoopThread, caplog: pytest.LogCaptureFixture) -> None:
    """Neither is one that could not answer because the whole process slept."""
    caplog.set_level(logging.WARNING, "nat.observability")
    now = [0.0]
    watcher = LoopWatcher(clock=lambda: now[0], interval_s=PATIENCE_S)
    watcher.add(loop, "one")
    for now[0] in (0.5, 1.0, 1.5, 2.0, 2.5):
        watcher.check()
        _answered(loop)
    watcher.check()
    now[0] = 3600.0
    watcher.check()
    watcher.remove(loop, "one")

    assert caplog.messages == []


def test_an_exporter_that_blocks_its_thread_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """End to end, in real time."""
    caplog.set_level(logging.WARNING, "nat.observability")
    named = threading.Event()

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "has been blocked" in record.getMessage():
                named.set()

    class Blocking(SpanCollector):
        async def export_processed(self, item: object) -> None:
            named.wait(PATIENCE_S)

    handler = Watching()
    logger = logging.getLogger("nat.observability.delivery")
    logger.addHandler(handler)
    try:
        with Telemetry({"culprit": registered(Blocking)()}) as telemetry:
            with telemetry.run("run"):
                pass
            telemetry.flush(PATIENCE_S)
    finally:
        logger.removeHandler(handler)

    assert named.is_set()
    (message,) = [message for message in caplog.messages if "has been blocked" in message]
    assert message.startswith("culprit: the event loop has been blocked for ")
    assert "test_watch.py" in message


def test_the_watching_thread_ends_with_the_last_loop(loop: LoopThread) -> None:
    before = set(threading.enumerate())
    watcher = LoopWatcher(interval_s=PATIENCE_S)
    watcher.add(loop, "one")
    (thread,) = [new for new in set(threading.enumerate()) - before if new.name == "nat loop watcher"]

    watcher.remove(loop, "one")
    thread.join(PATIENCE_S)

    assert not thread.is_alive()
