"""A backend that answers 503 for half a minute under load: nothing is lost, and nothing is tried more often than configured."""

import threading
import time
from itertools import count

from nat.observability import Telemetry
from nat.observability.delivery.retry import RetryPolicy
from tests.support.collecting import emit, registered
from tests.support.fault_backend import PostLists, PostSpans, PostSteps, answer, running_fault_backend

_OUTAGE_S = 30.0


def most_attempts(seconds: float) -> int:
    """How often one item is tried at most within so many seconds, by the default policy and with the shortest waits."""
    policy = RetryPolicy()
    elapsed_s = 0.0
    for attempts in count(1):
        wait_s = policy.wait_s(attempts, elapsed_s, lambda: 0.0, None)
        if wait_s is None or elapsed_s + wait_s > seconds:
            return attempts
        elapsed_s += wait_s
    raise AssertionError


def test_an_outage_costs_nothing(seconds_per_test: float) -> None:
    """With exporters of single spans, of lists and of steps side by side, as they are by default; steps keep their order."""
    outage_s = min(_OUTAGE_S, seconds_per_test)
    with running_fault_backend() as spans, running_fault_backend() as lists, running_fault_backend() as steps:
        backends = {"spans": spans, "lists": lists, "steps": steps}
        exporters = {
            "spans": registered(lambda: PostSpans(spans.url))(),
            "lists": registered(lambda: PostLists(lists.url))(),
            "steps": registered(lambda: PostSteps(steps.url))(),
        }
        for backend in backends.values():
            backend.from_now_on(answer(503))
        made = 0
        pause = threading.Event()
        began = time.monotonic()
        with Telemetry(exporters) as telemetry:
            while time.monotonic() - began < outage_s:
                with telemetry.run(f"run {made:05}"):
                    for number in range(9):
                        emit(f"work {made:05} {number}")
                made += 1
                pause.wait(0.1)
            for backend in backends.values():
                backend.recover()
            result = telemetry.flush(60.0)
        took_s = time.monotonic() - began

        assert result.is_complete, result
        for name in ("spans", "lists"):
            assert len(backends[name].taken) == 10 * made
        for backend in backends.values():
            assert backend.duplicates == []
            assert max(backend.attempts().values()) <= most_attempts(took_s)
        order = [arrival.names[0] for arrival in steps.arrivals if arrival.answer.status == 200]
        assert len(order) == 20 * made
        assert [name for name in order if name.endswith("_START")] == [
            name
            for run in range(made)
            for name in (f"run {run:05} WORKFLOW_START", *(f"work {run:05} {n} FUNCTION_START" for n in range(9)))
        ]
