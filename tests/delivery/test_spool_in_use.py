"""A spool under running agents, over real sockets: disks that fail, backends that are not there at the end, `nat run`."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nat.observability import DeliveryConfig, Telemetry, step
from nat.observability.delivery import sender
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.retry import RetryPolicy
from nat.observability.delivery.spool import exporter_directory, survey
from nat.observability.manager import FlushResult
from tests.delivery.programs import end_group, start_program
from tests.runs.scripts import nat_command
from tests.support.collecting import registered
from tests.support.fault_backend import HANGS, FaultBackend, PostLists, PostSpans, answer, closed_port, retry_later
from tests.support.lanes import assert_balanced
from tests.support.waiting import PATIENCE_S

_QUICK = RetryPolicy(initial_interval_s=0.05, max_interval_s=0.2)


class Items(PostSpans):
    @property
    def delivery_options(self) -> DeliveryOptions:
        return replace(super().delivery_options, retry=_QUICK)


class Lists(PostLists):
    @property
    def delivery_options(self) -> DeliveryOptions:
        return replace(super().delivery_options, retry=_QUICK, batch_size=20)


def telemetry_to(url: str, directory: Path, exporter: type[PostSpans] = Items) -> Telemetry:
    delivery = DeliveryConfig.model_validate({"spool": {"directory": str(directory), "wait": "run"}})
    return Telemetry({"backend": registered(lambda: exporter(url))()}, delivery=delivery)


def work(telemetry: Telemetry, name: str, spans: int = 50) -> None:
    with telemetry.run(name):
        for number in range(spans - 1):
            with step(f"{name} {number}", input="question " * 20):
                pass


def on_disk(directory: Path) -> int:
    return sum(owner.items for owner in survey(exporter_directory(directory, "backend")))


@contextmanager
def accounts_watched(telemetry: Telemetry) -> Iterator[None]:
    """They balance at every moment."""
    is_over, samples = threading.Event(), []

    def watch() -> None:
        while not is_over.wait(0.002):
            samples.append(telemetry.status().exporters["backend"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()
    for counts in samples:
        assert_balanced(counts)


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "nat.observability")


# -- the disk --------------------------------------------------------------------------------------------------------------


def removed(directory: Path) -> None:
    shutil.rmtree(directory)


def replaced_by_a_file(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.touch()


def back_again(directory: Path) -> None:
    if directory.is_file():
        directory.unlink()


@pytest.mark.parametrize("exporter", [Items, Lists])
@pytest.mark.parametrize("fault", [removed, replaced_by_a_file])
def test_a_disk_that_fails_costs_nothing_while_the_backend_lives(
    backend: FaultBackend,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[Path], None],
    exporter: type[PostSpans],
) -> None:
    """Said once, whatever happens how often; and the disk is used again as soon as it is back."""
    directory = tmp_path / "spool"
    backend.from_now_on(answer(503))  # so that there is something on disk when it fails
    with telemetry_to(backend.url, directory, exporter) as telemetry, accounts_watched(telemetry):
        work(telemetry, "before")
        assert on_disk(directory) == 50
        fault(directory)
        work(telemetry, "meanwhile")
        work(telemetry, "then")
        back_again(directory)
        work(telemetry, "after")
        assert on_disk(directory) >= 50
        backend.recover()
        status = telemetry.flush(60.0).exporters["backend"]

    assert (status.delivered, status.lost, status.spooled) == (200, 0, 0)
    assert len(backend.taken) == 200
    assert backend.duplicates == []
    assert len([message for message in caplog.messages if "cannot be written to the spool" in message]) == 1
    assert on_disk(directory) == 0


FULL_DISK = """\
import resource, signal, sys
from pathlib import Path
from tests.delivery.test_spool_in_use import telemetry_to, work
from tests.support.lanes import assert_balanced

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
telemetry = telemetry_to(sys.argv[1], Path(sys.argv[2])).start()
work(telemetry, "before")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
for number in range(5):
    work(telemetry, f"meanwhile {number}")
    assert_balanced(telemetry.status().exporters["backend"])
unkept = [each for each in telemetry.metrics() if each.name == "nat.delivery.unkept"]
assert {each.attributes.get("error.type") for each in unkept} == {"spool_error"}, unkept
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
work(telemetry, "after")
counts = telemetry.close(60.0).exporters["backend"]
assert_balanced(counts)
print(counts.accepted, counts.delivered, counts.lost, counts.spooled)
"""


def test_a_full_disk_costs_nothing_while_the_backend_lives(backend: FaultBackend, tmp_path: Path) -> None:
    program = [sys.executable, "-c", FULL_DISK, backend.url, str(tmp_path)]
    result = subprocess.run(program, capture_output=True, text=True, check=False, timeout=180)

    assert result.stdout == "350 350 0 0\n", result.stderr
    assert len(backend.taken) == 350
    assert backend.duplicates == []
    assert len(re.findall("cannot be written to the spool", result.stderr)) == 1
    assert "File too large" in result.stderr
    assert on_disk(tmp_path) == 0


# -- the end ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exporter", [Items, Lists])
@pytest.mark.parametrize("fault", ["refuses", "503", "429", "hangs"])
def test_an_end_without_a_backend_is_short_and_the_next_start_delivers_everything_once(
    backend: FaultBackend, tmp_path: Path, fault: str, exporter: type[PostSpans]
) -> None:
    backend.from_now_on({"503": answer(503), "429": retry_later(429, 60), "hangs": HANGS}.get(fault, answer(200)))
    deadline_s = 1.5 if fault == "hangs" else PATIENCE_S  # which is waited for only where an answer may still come
    telemetry = telemetry_to(closed_port() if fault == "refuses" else backend.url, tmp_path, exporter).start()
    with accounts_watched(telemetry):
        work(telemetry, "first", spans=100)
        before = telemetry.status().exporters["backend"]
        started = time.monotonic()
        first = telemetry.close(deadline_s)
        closing_s = time.monotonic() - started
    assert on_disk(tmp_path) == 100
    backend.recover()

    with telemetry_to(backend.url, tmp_path, exporter) as telemetry:
        work(telemetry, "second", spans=10)
        second = telemetry.flush(60.0)

    assert before.spooled == 100
    assert_left(first)
    assert closing_s < (20.0 if fault == "hangs" else 30.0)
    assert (second.exporters["backend"].recovered, second.outcomes["backend"].lost) == (100, 0)
    assert second.exporters["backend"].delivered == 110
    assert len(backend.taken) == 110
    in_flight = {Items: 8, Lists: 2 * 20}[exporter]  # what hung may have been taken after all
    assert len(backend.duplicates) <= (in_flight if fault == "hangs" else 0)
    assert on_disk(tmp_path) == 0


def assert_left(result: FlushResult) -> None:
    counts, outcome = result.exporters["backend"], result.outcomes["backend"]
    assert (counts.spooled, counts.delivered, counts.lost, counts.pending) == (100, 0, 0, 0)
    assert (outcome.lost, outcome.left, outcome.delivered) == (0, 0, 0)


def test_an_outcome_says_how_many_were_put_on_disk(tmp_path: Path) -> None:
    telemetry = telemetry_to(closed_port(), tmp_path).start()
    telemetry.flush(60.0)
    delivery = DeliveryConfig.model_validate({"spool": {"directory": str(tmp_path / "other")}})
    waits_not = Telemetry({"backend": registered(lambda: Items(closed_port()))()}, delivery=delivery).start()
    work(waits_not, "run", spans=30)

    outcome = waits_not.close(60.0).outcomes["backend"]
    telemetry.close(60.0)

    assert (outcome.lost, outcome.left) == (0, 0)
    assert waits_not.status().exporters["backend"].spooled == 30
    assert on_disk(tmp_path / "other") == 30


WORKFLOW = """\
workflow: {{entrypoint: ./agent.py:answer, name: agent}}
general:
  telemetry:
    tracing:
      backend:
        _type: test_sender
        url: '{url}'
        delivery: {{spool: {{directory: '{directory}', wait: run}}}}
"""

AGENT = """\
import asyncio
import sender
from nat.observability import step

async def answer(question):
    for number in range(20):
        with step(f"work {number}"):
            pass
    if question == "stay":
        print("ready", flush=True)
        await asyncio.sleep(600)
    return "because"
"""


@pytest.mark.parametrize("ends_by", ["itself", "SIGTERM"])
def test_nat_run_says_what_is_on_disk_and_the_next_one_sends_it(
    backend: FaultBackend, tmp_path: Path, ends_by: str
) -> None:
    backend.from_now_on(answer(503))
    (tmp_path / "agent.py").write_text(AGENT, encoding="utf-8")
    workflow = WORKFLOW.format(url=backend.url, directory=tmp_path / "spool")
    (tmp_path / "workflow.yaml").write_text(workflow, encoding="utf-8")
    command = [*nat_command(), "run", "--config_file", "workflow.yaml", "--input"]

    started = time.monotonic()
    first = start_program([*command, "stay" if ends_by == "SIGTERM" else "why?"], tmp_path)
    try:
        assert first.stdout is not None
        if ends_by == "SIGTERM":
            assert first.stdout.readline() == "ready\n"
            os.kill(first.pid, signal.SIGTERM)
        output, _ = first.communicate(timeout=PATIENCE_S)
    finally:
        end_group(first)
    took_s = time.monotonic() - started
    spooled = on_disk(tmp_path / "spool")
    backend.recover()
    started = time.monotonic()
    second = start_program([*command, "why?"], tmp_path)
    try:
        last_output, _ = second.communicate(timeout=PATIENCE_S)
    finally:
        end_group(second)
    usual_s = time.monotonic() - started

    assert first.returncode == (128 + signal.SIGTERM if ends_by == "SIGTERM" else 0), output
    assert took_s < usual_s + 9.0  # the ten seconds that an end may take were not waited for
    assert spooled == 21
    assert "21 on disk, sent at the next start" in output
    assert second.returncode == 0, last_output
    assert len(backend.taken) == 42
    assert backend.duplicates == []
    assert on_disk(tmp_path / "spool") == 0


# -- order -----------------------------------------------------------------------------------------------------------------


def test_order_is_kept_through_an_outage_in_which_most_spans_are_on_disk_only(
    backend: FaultBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_RESIDENT_BYTES", 10_000)
    monkeypatch.setattr(sender, "_LOAD_BYTES", 2_000)
    backend.from_now_on(answer(503))

    class InOrder(Items):
        @property
        def delivery_options(self) -> DeliveryOptions:
            return replace(super().delivery_options, concurrency=1)

    with telemetry_to(backend.url, tmp_path, InOrder) as telemetry:
        work(telemetry, "run", spans=200)
        backend.recover()
        work(telemetry, "next", spans=50)
        status = telemetry.flush(60.0).exporters["backend"]

    taken = [arrival.names[0] for arrival in backend.arrivals if arrival.answer.status == 200]
    assert taken == [*(f"run {number}" for number in range(199)), "run", *(f"next {n}" for n in range(49)), "next"]
    assert (status.delivered, status.lost) == (250, 0)
