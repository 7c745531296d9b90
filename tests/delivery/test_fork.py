"""Processes that fork: each delivers its own spans, every one once, and none waits for a lock that nobody holds."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.delivery.programs import read_spans, run_program
from tests.support.http_backend import HttpBackend, running_backend

SETUP = """\
import multiprocessing, os, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
from nat.observability import Telemetry, step
from sender import SenderConfig

telemetry = Telemetry(SenderConfig(url=sys.argv[1]))

def work(name, count=5):
    with telemetry.run(f"run {name}"):
        for number in range(count):
            with step(f"{name} {number}"):
                pass

"""


@pytest.fixture
def backend() -> Iterator[HttpBackend]:
    with running_backend() as backend:
        yield backend


def names_of(backend: HttpBackend) -> Counter[str]:
    spans = read_spans(backend)
    assert len({span["span_id"] for span in spans}) == len(spans), "a span was sent twice"
    return Counter(span["name"] for span in spans)


def expected(*names: str, count: int = 5) -> Counter[str]:
    return Counter(
        [f"run {name}" for name in names] + [f"{name} {number}" for name in names for number in range(count)]
    )


def test_parent_and_child_each_send_their_own_spans(tmp_path: Path, backend: HttpBackend) -> None:
    """Spans that waited at the fork are the parent's; the child's are sent at its exit, without a flush."""
    source = (
        SETUP
        + """
work("parent", 200)
pid = os.fork()
work("child" if pid == 0 else "later", 200)
if pid != 0:
    assert os.waitpid(pid, 0)[1] == 0
"""
    )

    result = run_program(source, tmp_path, backend.url, is_measured=False)

    assert result.returncode == 0, result.stderr
    assert names_of(backend) == expected("parent", "child", "later", count=200)
    pids = {span["pid"] for span in read_spans(backend)}
    assert len(pids) == 2


def test_a_run_that_is_open_at_the_fork_is_the_parents_and_the_childs_steps_hang_below_it(
    tmp_path: Path, backend: HttpBackend
) -> None:
    source = (
        SETUP
        + """
with telemetry.run("agent"):
    with step("tool"):
        pid = os.fork()
        if pid == 0:
            with step("in child"):
                pass
        else:
            os.waitpid(pid, 0)
"""
    )

    result = run_program(source, tmp_path, backend.url, is_measured=False)

    assert result.returncode == 0, result.stderr
    assert names_of(backend) == {"agent": 1, "tool": 1, "in child": 1}
    spans: dict[str, Any] = {span["name"]: span for span in read_spans(backend)}
    assert spans["in child"]["pid"] != spans["tool"]["pid"] == spans["agent"]["pid"]
    assert spans["in child"]["parent_id"] == spans["tool"]["span_id"]
    assert spans["in child"]["trace_id"] == spans["agent"]["trace_id"]


def test_a_child_that_takes_no_step_starts_nothing_and_ends_at_once(tmp_path: Path, backend: HttpBackend) -> None:
    source = (
        SETUP
        + """
work("parent")
pid = os.fork()
if pid == 0:
    assert threading.active_count() == 1
    telemetry.flush()
    telemetry.close()
    assert threading.active_count() == 1
else:
    assert os.waitpid(pid, 0)[1] == 0
"""
    )

    result = run_program(source, tmp_path, backend.url, is_measured=False)

    assert result.returncode == 0, result.stderr
    assert names_of(backend) == expected("parent")


def test_locks_that_other_threads_hold_at_the_fork_do_not_stop_the_child(tmp_path: Path, backend: HttpBackend) -> None:
    """Thirty children, forked while four threads of the parent record as fast as they can."""
    source = (
        SETUP
        + """
is_over = threading.Event()
done = []
def busy(name):
    rounds = 0
    while not is_over.is_set():
        work(f"busy {name} {rounds}", 1)
        rounds += 1
        time.sleep(0.001)
    done.append(rounds)

threads = [threading.Thread(target=busy, args=(name,)) for name in range(4)]
for thread in threads:
    thread.start()
children = []
for number in range(30):
    pid = os.fork()
    if pid == 0:
        work(f"child {number}", 2)
        closed = telemetry.close(60.0)
        if not closed.is_complete:
            print(f"child {number}: {closed}", file=sys.stderr, flush=True)
        os._exit(0)
    children.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in children]
is_over.set()
for thread in threads:
    thread.join()
assert codes == [0] * 30, codes
telemetry.close(60.0)
print(sum(done))
"""
    )

    result = run_program(source, tmp_path, backend.url, is_measured=False)

    assert result.returncode == 0, result.stderr
    names = names_of(backend)
    children = expected(*(f"child {number}" for number in range(30)), count=2)
    assert Counter({name: count for name, count in names.items() if "busy" not in name}) == children, result.stderr
    assert sum(count for name, count in names.items() if "busy" in name) == 2 * int(result.stdout)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_deliver_before_they_leave(
    tmp_path: Path, backend: HttpBackend, method: str
) -> None:
    """They leave through `os._exit`; nobody calls flush."""
    source = (
        SETUP
        + """
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    work("parent")
    processes = [context.Process(target=work, args=(f"child {number}",)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(work, [f"pooled {number}" for number in range(4)]))
"""
    )

    result = run_program(source, tmp_path, backend.url, method, is_measured=False)

    assert result.returncode == 0, result.stderr
    children = [f"child {number}" for number in range(3)]
    pooled = [f"pooled {number}" for number in range(4)]
    assert names_of(backend) == expected("parent", *children, *pooled)


def test_a_child_whose_module_starts_telemetry_when_it_is_imported_delivers(
    tmp_path: Path, backend: HttpBackend
) -> None:
    """With spawn, the main module is imported before `multiprocessing` has set the child up."""
    source = (
        SETUP.replace("(url=sys.argv[1]))", "(url=sys.argv[1])).start()")
        + """
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=work, args=("child",))
    process.start()
    process.join()
    work("parent")
"""
    )

    result = run_program(source, tmp_path, backend.url, is_measured=False)

    assert result.returncode == 0, result.stderr
    assert names_of(backend) == expected("parent", "child")


def test_a_child_forked_from_a_closed_telemetry_takes_nothing(tmp_path: Path, backend: HttpBackend) -> None:
    source = (
        SETUP
        + """
work("parent")
telemetry.close()
pid = os.fork()
if pid == 0:
    work("child")
else:
    assert os.waitpid(pid, 0)[1] == 0
"""
    )

    result = run_program(source, tmp_path, backend.url, is_measured=False)

    assert result.returncode == 0, result.stderr
    assert names_of(backend) == expected("parent")


def test_an_exporter_that_user_code_started_leaves_the_childs_steps_alone(tmp_path: Path, backend: HttpBackend) -> None:
    source = """\
import asyncio, os, sys
from nat.observability import step
from sender import Sender

async def main():
    async with Sender(sys.argv[1]).start():
        with step("before"):
            pass
        pid = os.fork()
        if pid == 0:
            with step("in child"):
                pass
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        with step("after"):
            pass

asyncio.run(main())
"""

    result = run_program(source, tmp_path, backend.url, is_measured=False)

    assert result.returncode == 0, result.stderr
    assert names_of(backend) == {"before": 1, "after": 1}


SLOW_IMPORT = """
import pathlib
pathlib.Path("slow.py").write_text("import time; time.sleep(0.5); ready = 1")

from sender import Sender
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig

class SlowConfig(TelemetryExporterBaseConfig, name="test_slow"):
    url: str

@register_telemetry_exporter(config_type=SlowConfig)
async def slow(config, builder):
    started.set()
    import slow
    assert slow.ready
    yield Sender(config.url)

started = threading.Event()
telemetry = Telemetry(SlowConfig(url=sys.argv[1])).start()
started.wait()
pid = os.fork()
if pid == 0:
    import slow
    work("child", 1)
    telemetry.close(60.0)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
work("parent", 1)
"""


def test_a_fork_waits_for_an_exporter_that_is_being_built(tmp_path: Path, backend: HttpBackend) -> None:
    """Else the child would wait for ever for the import that its parent's thread had begun."""
    result = run_program(SETUP + SLOW_IMPORT, tmp_path, backend.url, is_measured=False)

    assert (result.returncode, result.stderr) == (0, "")
    assert names_of(backend) == {"child 0": 1, "run child": 1, "parent 0": 1, "run parent": 1}


IN_THE_MIDDLE = """
from nat.observability import manager

begin = manager._Slot.start

def begin_and_fork(slot, shared):
    begin(slot, shared)
    manager._Slot.start = begin
    while "slow" not in sys.modules:
        time.sleep(0.001)
    if os.fork() == 0:
        work("child", 1)
        os._exit(0 if telemetry.close(5.0).is_complete else 3)

manager._Slot.start = begin_and_fork
"""


def test_a_fork_in_the_middle_of_a_start_waits_for_what_is_being_built(tmp_path: Path, backend: HttpBackend) -> None:
    """As when one thread forks while another takes the first step: what it imports is not there for the child's thread."""
    source = SLOW_IMPORT.replace("telemetry = Telemetry", f"{IN_THE_MIDDLE}\ntelemetry = Telemetry")
    head, _, _ = source.partition("started.wait()\npid")
    end = "telemetry.start()\nassert os.wait()[1] == 0\nwork('parent', 1)\n"

    result = run_program(SETUP + head.replace(").start()", ")") + end, tmp_path, backend.url, is_measured=False)

    assert (result.returncode, result.stderr) == (0, "")
    assert names_of(backend) == {"child 0": 1, "run child": 1, "parent 0": 1, "run parent": 1}
