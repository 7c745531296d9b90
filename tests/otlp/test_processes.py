"""Processes: what is sent after a fork, and when a program ends without a word."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat.testing import FakeBackend
from tests.delivery.programs import run_program

SETUP = """\
import os, sys, threading, time
from nat.observability import Telemetry, step
from nat.plugins.opentelemetry.register import OtelCollectorConfig

endpoint, protocol = sys.argv[1:3]

def work(telemetry, name, **attributes):
    with telemetry.run(name, **attributes):
        pass

"""

FORKS = (
    SETUP
    + """
config = OtelCollectorConfig(endpoint=endpoint, protocol=protocol, batch_size=1, flush_interval=0.001, timeout=60)
with Telemetry({"collector": config}) as telemetry:
    work(telemetry, "first")
    telemetry.flush(60)
    is_over = threading.Event()

    def stay_busy():
        while not is_over.wait(0.001):
            work(telemetry, "busy")

    busy = threading.Thread(target=stay_busy)
    busy.start()
    longest_s = 0.0
    for number in range(8):
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            work(telemetry, f"child {number}")
            os._exit(0 if telemetry.flush(60).exporters["collector"].delivered == 1 else 3)
        longest_s = max(longest_s, time.monotonic() - began)
        assert os.waitpid(pid, 0)[1] == 0, number
    is_over.set()
    busy.join()
    work(telemetry, "last")
assert telemetry.status().exporters["collector"].lost == 0
assert longest_s < 30, longest_s
"""
)


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(grpc=True) as backend:
        yield backend


def endpoint_of(backend: FakeBackend, protocol: str) -> str:
    return f"http://{backend.grpc_endpoint}" if protocol == "grpc" else backend.base_url


def names_of(backend: FakeBackend) -> Counter[str]:
    return Counter(span.name for span in backend.spans)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_children_that_are_forked_while_the_parent_sends(backend: FakeBackend, tmp_path: Path, protocol: str) -> None:
    """Each delivers its own spans, on connections of its own, and neither they nor the parent wait for a lock."""
    result = run_program(FORKS, tmp_path, endpoint_of(backend, protocol), protocol, is_measured=False)

    assert result.returncode == 0, result.stderr
    names = names_of(backend)
    assert [names[f"child {number}"] for number in range(8)] == [1] * 8
    assert (names["first"], names["last"]) == (1, 1)
    assert backend.duplicates == []


def test_a_child_of_multiprocessing_delivers_before_it_leaves(backend: FakeBackend, tmp_path: Path) -> None:
    source = (
        SETUP
        + """
import multiprocessing

if __name__ == "__main__":
    with Telemetry({"collector": OtelCollectorConfig(endpoint=endpoint, protocol=protocol)}) as telemetry:
        work(telemetry, "parent")
        telemetry.flush(60)
        child = multiprocessing.get_context("fork").Process(target=work, args=(telemetry, "child"))
        child.start()
        child.join()
        assert child.exitcode == 0
"""
    )

    result = run_program(source, tmp_path, endpoint_of(backend, "grpc"), "grpc", is_measured=False)

    assert result.returncode == 0, result.stderr
    assert names_of(backend) == {"parent": 1, "child": 1}


@pytest.mark.parametrize("protocol", ["http", "http/json", "grpc"])
def test_a_program_that_just_ends_has_delivered(backend: FakeBackend, tmp_path: Path, protocol: str) -> None:
    """Compression, reading a key's file and resolving a name go on while the interpreter exits."""
    source = (
        SETUP
        + """
config = OtelCollectorConfig(
    endpoint=endpoint.replace("127.0.0.1", "localhost"),
    protocol=protocol,
    compression="gzip",
    headers={"x-key": f"file:{sys.argv[3]}"},
)
telemetry = Telemetry({"collector": config}).start()
work(telemetry, "run", input="x" * 200_000)
"""
    )
    key = tmp_path / "key"
    key.write_text("open-sesame\n")

    result = run_program(source, tmp_path, endpoint_of(backend, protocol), protocol, str(key))

    assert (result.returncode, result.stderr) == (0, "")
    [request] = backend.requests
    assert request.headers["x-key"] == "open-sesame"
    assert names_of(backend) == {"run": 1}
