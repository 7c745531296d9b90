"""Programs: processes of their own for what cannot be tried in the tests' process, such as a fork."""

import json
import os
import subprocess
import sys
from typing import Any

__all__ = ["FORKING", "WAITING", "run_program"]

_TIMEOUT_S = 100.0

FORKING = """
import json, os, signal, sys, time
from nat.observability import Telemetry, step

telemetry = Telemetry.from_file(json.loads(sys.argv[1])["file"]).start()


def work(name):
    with telemetry.run(name), step(f"step {name}"):
        pass
    status = telemetry.flush(15.0).exporters["tested"]
    if not status.delivered == status.accepted > 0:
        counts = f"{status.delivered} of {status.accepted} items were delivered, dropped: {status.dropped}"
        print(f"{name}: {counts}, {status.pending} on their way, {status.rejected} rejected", flush=True)


work("before the fork")
pid = os.fork()
if pid == 0:
    signal.alarm(40)
    work("in the child")
    telemetry.close(5.0)
    os._exit(0)
ended = os.waitpid(pid, 0)[1]
if ended != 0:
    print(f"the child ended with {ended}", flush=True)
work("in the parent, after the fork")
telemetry.close(5.0)
"""
"""Works before a fork, in the child, and in the parent after it; prints what was not delivered."""

WAITING = """
import json, sys, time
from nat.observability import Telemetry, step
from nat.observability.delivery.loop_thread import LoopThread

WATCHED = {
    "open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate",
    "shutil.copyfile", "shutil.move", "shutil.rmtree", "sqlite3.connect", "subprocess.Popen", "tempfile.mkstemp",
    "http.client.connect", "urllib.Request", "smtplib.connect", "ftplib.connect",
    "socket.getaddrinfo", "socket.gethostbyname", "socket.getnameinfo",
}
seen = []
is_watching = False


def note(what):
    if is_watching and LoopThread.is_any_current():
        seen.append(what)


def watch(event, arguments):  # also called by C code, for every such call of the process
    if event in WATCHED and is_watching:
        target = str(arguments[0]) if arguments else ""
        is_code = target.startswith((sys.prefix, sys.base_prefix)) or target.endswith((".py", ".pyc", ".so"))
        if event != "open" or not is_code:
            note(f"{event} {target}".strip())


def sleep(seconds, _sleep=time.sleep):
    note(f"time.sleep({seconds})")
    _sleep(seconds)


time.sleep = sleep
sys.addaudithook(watch)

with Telemetry.from_file(json.loads(sys.argv[1])["file"]) as telemetry:
    for number in range(3):
        with telemetry.run(f"run {number}", input="x" * 100_000), step("work"):
            pass
        telemetry.flush(15.0)
        is_watching = True  # what is read once, when it is built or first used, is left aside
print(json.dumps(seen))
"""
"""Delivers three runs, and prints where the event loop waited for a file, a name, a process, or time to pass."""


def run_program(source: str, **given: Any) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, with `given` as its argument in JSON and with this process's places to import from."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}
    return subprocess.run(
        [sys.executable, "-c", source, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
        env=environment,
    )
