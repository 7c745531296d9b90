"""Status files: what a process says about its telemetry is there for others, and stays when it is killed."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.errors import ConfigurationError
from nat.observability import Telemetry, step
from nat.observability.manager import ExporterState
from nat.observability.noise import Noise
from nat.observability.registry import ExporterEntry, registration_of
from nat.observability.status_file import (
    ProcessState,
    ProcessStatus,
    StatusWriter,
    read_status_directory,
    resolve_status_directory,
)
from nat.runtime.loader import load_workflow, status_directory_of
from tests.delivery.programs import end_group, run_program, start_program
from tests.support.collecting import SpanCollector, registered
from tests.support.status_files import exporter_fields, locked, status_content, write_status_file
from tests.support.waiting import wait_for

_DAY_S = 86_400


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Written:
    """A writer that runs on the test's thread and in its time."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.exporters = [exporter_fields()]
        self.directory = directory
        noise = Noise(logging.getLogger("nat.observability"), self.clock)
        self.writer = StatusWriter(directory, lambda: self.exporters, noise, self.clock)

    def is_written(self, *, after_s: float = 0.0) -> bool:
        """Whether the file is written when that much later it is looked after."""
        self.clock.now += after_s
        for path in self.directory.glob("*.json"):
            path.unlink()
        self.writer.update()
        return len(list(self.directory.glob("*.json"))) == 1


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    written = Written(tmp_path / "status")
    yield written
    written.writer.finish()


def processes(directory: Path) -> list[ProcessStatus]:
    found = read_status_directory(directory)
    assert found.unreadable == {}
    return found.processes


def delivered(directory: Path) -> int:
    """By all processes."""
    return sum(exporter["delivered"] for process in processes(directory) for exporter in process.exporters)


# -- one process -----------------------------------------------------------------------------------------------------------


def test_what_a_process_says_is_what_its_status_says(tmp_path: Path) -> None:
    """While it runs and once it has stopped; nobody else may read it."""
    directory = tmp_path / "new" / "status"
    broken = registered(lambda: SpanCollector(nonsense=1))

    with Telemetry({"spans": registered(SpanCollector)(), "broken": broken()}, status_directory=directory) as telemetry:
        wait_for(lambda: len(processes(directory)) == 1)
        (running,) = processes(directory)
        with telemetry.run("run"), step("work"):
            pass
    (stopped,) = processes(directory)

    assert (running.state, stopped.state) == (ProcessState.RUNNING, ProcessState.STOPPED)
    assert running.file == stopped.file
    assert (stopped.pid, stopped.started_at) == (os.getpid(), running.started_at)
    assert stopped.started_at <= running.written_at <= stopped.written_at <= time.time()
    status = telemetry.status().exporters
    assert {each["name"]: (each["state"], each["delivered"], each["dropped"]) for each in stopped.exporters} == {
        "spans": ("stopped", 2, {}),
        "broken": ("disabled", 0, {"exporter_disabled": 2}),
    }
    for each in stopped.exporters:
        assert each == {key: getattr(status[each["name"]], key) for key in each}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert stopped.file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in directory.iterdir()] == [stopped.file.name]


def test_a_start_that_fails_is_told(tmp_path: Path) -> None:
    broken = registered(lambda: SpanCollector(nonsense=1))()
    entry = ExporterEntry("broken", broken, registration_of(broken), required=True)

    with pytest.raises(ConfigurationError):
        Telemetry(entry, status_directory=tmp_path).start()

    (process,) = processes(tmp_path)
    assert process.state is ProcessState.STOPPED
    assert process.exporters[0]["state"] == ExporterState.DISABLED
    assert "nonsense" in process.exporters[0]["reason"]


def test_each_telemetry_of_a_process_has_a_file_of_its_own(tmp_path: Path) -> None:
    one, two = (Telemetry({name: registered(SpanCollector)()}, status_directory=tmp_path) for name in ("one", "two"))

    with one, two:
        pass

    assert {process.exporters[0]["name"] for process in processes(tmp_path)} == {"one", "two"}


def test_without_the_setting_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with Telemetry(registered(SpanCollector)()):
        assert "nat status file" not in {thread.name for thread in threading.enumerate()}

    assert list(tmp_path.iterdir()) == []


# -- when it is written ----------------------------------------------------------------------------------------------------


def test_it_is_written_when_something_has_changed_and_every_ten_seconds(written: Written) -> None:
    """Looks come once a second."""
    assert written.is_written()
    assert not written.is_written(after_s=1)
    written.exporters = [exporter_fields(accepted=1)]
    assert written.is_written(after_s=1)
    assert not written.is_written(after_s=1)

    assert [written.is_written(after_s=1) for _ in range(20)].count(True) == 2


def test_a_file_that_somebody_has_removed_comes_again(written: Written) -> None:
    assert written.is_written()
    for path in written.directory.iterdir():
        path.unlink()
    written.directory.rmdir()

    assert written.is_written(after_s=10)


def test_a_directory_that_cannot_be_written_is_said_once_and_tried_again(
    written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    written.directory.write_text("a file")

    with caplog.at_level(logging.WARNING):
        for number in range(50):
            written.exporters = [exporter_fields(accepted=number)]
            written.clock.now += 1
            written.writer.update()

    assert caplog.messages == [
        f"general.telemetry.status_directory: cannot write to {written.directory} (Not a directory); tried again in 9 s"
    ]
    written.directory.unlink()
    assert written.is_written(after_s=9)
    assert processes(written.directory)[0].exporters == [exporter_fields(accepted=49)]


def test_a_workflow_does_not_notice_that_it_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Everything is delivered, and the user is told once."""
    (tmp_path / "file").touch()

    with caplog.at_level(logging.WARNING):
        with Telemetry(registered(SpanCollector)(), status_directory=tmp_path / "file" / "status") as telemetry:
            with telemetry.run("run"), step("work"):
                pass

    assert [status.delivered for status in telemetry.status().exporters.values()] == [2]
    assert len(caplog.messages) == 1
    assert f"cannot write to {tmp_path}/file/status (Not a directory)" in caplog.text


def test_a_full_disk_leaves_the_former_version(tmp_path: Path) -> None:
    """A limit of the file size stands for it."""
    source = """
import logging, resource, signal, sys
from pathlib import Path
from nat.observability.noise import Noise
from nat.observability.status_file import StatusWriter, read_status_directory
from tests.support.status_files import exporter_fields

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
directory, now, exporters = Path("status"), 0.0, [exporter_fields()]
writer = StatusWriter(directory, lambda: exporters, Noise(logging.getLogger("nat")), lambda: now)
writer.update()
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
now, exporters = 10.0, [exporter_fields(accepted=1)]
writer.update()
(process,) = read_status_directory(directory).processes
print(process.state, process.exporters[0]["accepted"], len(list(directory.iterdir())))
"""

    result = run_program(f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[2])!r})\n{source}", tmp_path)

    assert result.stdout == "running 0 1\n", result.stderr
    assert "File too large" in result.stderr


# -- other processes -------------------------------------------------------------------------------------------------------

PROGRAM = """\
import os, sys, time
from nat.observability import Telemetry, step
from nat.plugins.file.register import FileConfig

telemetry = Telemetry(FileConfig(output_path="trace.jsonl", format="spans"), status_directory="status").start()

def work(name):
    with telemetry.run(name), step("work"):
        pass

work("first")
"""


@contextmanager
def running(source: str, folder: Path, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """A program, of which nothing is left behind."""
    (folder / "agent.py").write_text(source, encoding="utf-8")
    with start_program([sys.executable, "agent.py", *arguments], folder) as process:
        try:
            yield process
        finally:
            end_group(process)


def test_a_killed_process_is_gone_and_leaves_its_last_counts(tmp_path: Path) -> None:
    with running(f"{PROGRAM}\ntime.sleep(600)", tmp_path, "--api-key", "geheim") as program:
        wait_for(lambda: delivered(tmp_path / "status") == 2)
        (before,) = processes(tmp_path / "status")
        program.kill()
        program.wait()

    (after,) = processes(tmp_path / "status")

    assert (before.state, after.state) == (ProcessState.RUNNING, ProcessState.GONE)
    assert (after.pid, after.process_name) == (program.pid, "agent.py")
    assert after.exporters == before.exporters
    assert after.exporters == [exporter_fields("file", accepted=2, delivered=2)]
    assert "geheim" not in after.file.read_text()
    assert "--api-key" not in after.file.read_text()


FORKING = f"""{PROGRAM}
if os.fork() == 0:
    work("second")
time.sleep(600)
"""


def test_a_forked_child_has_a_file_of_its_own_and_does_not_hold_its_parents(tmp_path: Path) -> None:
    """The parent is gone when it is killed although the child lives, and the other way round."""
    with running(FORKING, tmp_path) as parent:
        wait_for(lambda: delivered(tmp_path / "status") == 4)
        both = processes(tmp_path / "status")
        parent.kill()
        parent.wait()
        states = {process.pid: process.state for process in processes(tmp_path / "status")}
        (child,) = states.keys() - {parent.pid}
        assert states == {parent.pid: ProcessState.GONE, child: ProcessState.RUNNING}

        os.kill(child, signal.SIGKILL)
        wait_for(lambda: processes(tmp_path / "status")[1].state is ProcessState.GONE)

    assert [process.exporters[0]["delivered"] for process in both] == [2, 2]
    assert [process.pid for process in both] == [parent.pid, child]


def test_a_forked_child_that_takes_no_step_writes_nothing(tmp_path: Path) -> None:
    source = f"{PROGRAM}\nif (pid := os.fork()) != 0:\n    assert os.waitpid(pid, 0)[1] == 0\n"

    result = run_program(source, tmp_path)

    assert result.returncode == 0, result.stderr
    (process,) = processes(tmp_path / "status")
    assert process.state is ProcessState.STOPPED


def test_a_running_process_never_looks_gone_nor_its_file_unfinished(tmp_path: Path) -> None:
    """Read two hundred times and more while it is replaced as fast as can be, until twenty of its contents were seen."""
    noise = Noise(logging.getLogger("nat.observability"))
    writer = StatusWriter(tmp_path, lambda: [exporter_fields(accepted=time.monotonic_ns())], noise)
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            writer.update()

    writer.update()
    thread = threading.Thread(target=write)
    thread.start()
    states, contents = Counter[tuple[ProcessState, ...]](), set[int]()
    try:
        while states.total() < 200 or len(contents) < 20:
            read = processes(tmp_path)
            states[tuple(process.state for process in read)] += 1
            contents.update(process.exporters[0]["accepted"] for process in read)
    finally:
        is_over.set()
        thread.join()
        writer.finish()

    assert set(states) == {(ProcessState.RUNNING,)}


# -- what is kept ----------------------------------------------------------------------------------------------------------


def test_the_next_process_removes_files_that_have_been_of_no_use_for_a_day(tmp_path: Path) -> None:
    """Those of running processes stay, however old, and so does whatever else lies there."""
    now = time.time()
    old = write_status_file(tmp_path, status_content(), written_at=now - _DAY_S - 60)
    young = write_status_file(tmp_path, status_content(), written_at=now - _DAY_S + 60)
    suspended = write_status_file(tmp_path, status_content(), written_at=now - 9 * _DAY_S)
    unfinished, foreign = tmp_path / ".1-01234567.tmp", tmp_path / "notes.json"
    for path in (unfinished, foreign):
        path.touch()
        os.utime(path, (now - 9 * _DAY_S,) * 2)

    with locked(suspended), Telemetry(status_directory=tmp_path):
        pass

    assert not old.exists()
    assert not unfinished.exists()
    assert young.exists()
    assert suspended.exists()
    assert foreign.exists()


def test_of_many_processes_that_have_ended_a_hundred_files_are_kept(tmp_path: Path) -> None:
    now = time.time()
    files = [write_status_file(tmp_path, status_content(), written_at=now - number) for number in range(103)]

    with Telemetry(status_directory=tmp_path):
        pass

    assert [path.exists() for path in files] == [True] * 100 + [False] * 3


# -- reading ---------------------------------------------------------------------------------------------------------------


def test_files_that_say_nothing_are_named(tmp_path: Path) -> None:
    contents: dict[str, Any] = {
        "1-00000000.json": b"\xff",
        "2-00000000.json": b"[]",
        "3-00000000.json": json.dumps(status_content(schema_version=2)).encode(),
        "4-00000000.json": json.dumps(status_content({"name": "prod"})).encode(),
        "notes.json": b"none of ours",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)

    found = read_status_directory(tmp_path)

    assert found.processes == []
    assert {path.name: reason for path, reason in found.unreadable.items()} == {
        "1-00000000.json": "is no status file",
        "2-00000000.json": "is no status file",
        "3-00000000.json": "has schema version 2, expected 1; read it with a newer nat",
        "4-00000000.json": "is no status file",
    }


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert processes(tmp_path / "nowhere") == []


# -- the setting -----------------------------------------------------------------------------------------------------------


def test_a_path_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of the file exporter, also in a workflow file that lies elsewhere."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STATE", "state")
    (tmp_path / "w.yaml").write_text("general: {telemetry: {status_directory: '${STATE}/nat'}}")

    assert load_workflow(tmp_path / "w.yaml").status_directory == here / "state/nat"
    assert status_directory_of(tmp_path / "w.yaml") == here / "state/nat"
    assert resolve_status_directory("~/nat") == tmp_path / "nat"
    with Telemetry.from_file(tmp_path / "w.yaml"):
        pass
    assert len(processes(here / "state/nat")) == 1


def test_mistakes_are_told_with_their_places(tmp_path: Path) -> None:
    def said(text: str) -> str:
        (tmp_path / "w.yaml").write_text(f"general:\n  telemetry:\n    {text}\n")
        for read in (load_workflow, status_directory_of):
            with pytest.raises(ConfigurationError) as caught:
                read(tmp_path / "w.yaml")
        return str(caught.value).replace(f"{tmp_path}/", "")

    place = "w.yaml:3:5: general.telemetry.status_directory"
    assert said("status_directory: 7") == f"{place}: expected text, got 7"
    assert said("status_directory: ''") == f"{place}: expected text, got ''"
    assert said(r'status_directory: "a\0b"') == f"{place}: is not a path: 'a\\x00b'; give a folder"
    assert said("status_folder: here") == (
        "w.yaml:3:5: general.telemetry.status_folder: unknown key 'status_folder'; did you mean 'status_directory'?"
    )
    with pytest.raises(ValueError, match="not a path: ''; give a folder"):
        Telemetry(status_directory="")


def test_the_directory_is_found_without_importing_anything(tmp_path: Path) -> None:
    """`nat status` does not run the agent's modules."""
    (tmp_path / "w.yaml").write_text(
        "plugins: [./missing.py]\nworkflow: {entrypoint: ./missing.py:f}\n"
        "general: {telemetry: {status_directory: /tmp/x, tracing: {a: {_type: missing}}}}"
    )

    assert status_directory_of(tmp_path / "w.yaml") == Path("/tmp/x")
    (tmp_path / "w.yaml").write_text("plugins: [./missing.py]")
    assert status_directory_of(tmp_path / "w.yaml") is None
