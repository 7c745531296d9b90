"""A pre-fork server: the application is loaded once, with telemetry running, and served by four forked workers."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.delivery.programs import end_group, read_spans, start_program
from tests.support.http_backend import HttpBackend, running_backend
from tests.support.waiting import PATIENCE_S

REQUESTS = 60

APP = """\
import os, time
from nat.observability import Telemetry, step
from sender import SenderConfig

telemetry = Telemetry(SenderConfig(url=os.environ["BACKEND_URL"])).start()
with telemetry.run("loading"):
    pass

def app(environ, start_response):
    number = environ["PATH_INFO"].strip("/")
    with telemetry.run(f"request {number}"):
        with step(f"work {number}", kind="tool"):
            time.sleep(0.02)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.fixture
def backend() -> Iterator[HttpBackend]:
    with running_backend() as backend:
        yield backend


def wait_until_served(process: "subprocess.Popen[str]", port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not come up")


def ask(port: int, number: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"/{number}")
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("preloaded", [True, False], ids=["preloaded", "loaded by each worker"])
def test_four_workers_deliver_every_span_once_and_end(
    tmp_path: Path, backend: HttpBackend, monkeypatch: pytest.MonkeyPatch, preloaded: bool
) -> None:
    (tmp_path / "application.py").write_text(APP)
    monkeypatch.setenv("BACKEND_URL", backend.url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    patience = ["--graceful-timeout", "60", "--timeout", "120"]
    options = ["--workers", "4", "--bind", f"127.0.0.1:{port}", *patience, "--no-control-socket"]
    command = [sys.executable, "-m", "gunicorn", *options, *(["--preload"] if preloaded else []), "application:app"]

    process = start_program(command, tmp_path, is_measured=False)
    try:
        wait_until_served(process, port)
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda number: ask(port, number), range(REQUESTS))) == {200}
        os.kill(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        end_group(process)

    assert process.returncode == 0, output
    spans = read_spans(backend)
    assert len({span["span_id"] for span in spans}) == len(spans)
    asked = Counter(span["name"] for span in spans if span["name"] != "loading")
    assert asked == Counter(f"{what} {number}" for what in ("request", "work") for number in range(REQUESTS))
    assert sum(span["name"] == "loading" for span in spans) == (1 if preloaded else 4)
    assert len({span["pid"] for span in spans if span["name"] != "loading"}) > 1
