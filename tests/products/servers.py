"""Servers: other people's programs, started on loopback from the locked environments and stopped again."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.products.rest import call
from tools.environments import installed

__all__ = ["Server", "free_port", "is_answering", "program", "running_server"]

_START_TIMEOUT_S = 250.0  # a test may take 300
_STOP_TIMEOUT_S = 10.0
_TICK_S = 0.05
_SHOWN_LINES = 60


class Server:
    """A program that runs until it is stopped, in a folder of its own, which is its home, too.

    Args:
        name: Of the product.
        command: What to start.
        environment: Variables beside those of this process; of those, what is meant for Python or OpenTelemetry is left out.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self._log = self._folder / "log"
        self._command = command
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "OTEL_"))}
        self._environment = {**inherited, "HOME": str(self._folder), **environment}
        self.start()

    def start(self) -> None:
        """Start it, or after `kill` once more, in the same folder."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        self._watchdog = subprocess.Popen(  # its input ends with this process, even with one that is killed
            ["sh", "-c", f"read _; kill -KILL -{self._process.pid} 2>/dev/null"],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def kill(self) -> None:
        """End it and all that it has started without a warning, as a crash would."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._watchdog.communicate()

    def wait(self, is_ready: Callable[[], bool]) -> None:
        """Return as soon as it is ready.

        Raises:
            RuntimeError: It has ended, or is not ready in time; the message has the end of its log.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not is_ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self._process.returncode}:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} is not ready after {_START_TIMEOUT_S:.0f} s:\n{self.last_words()}")
            time.sleep(_TICK_S)

    def stop(self) -> None:
        """End it and all that it has started: politely first, and what is left of it by force. Idempotent."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_TIMEOUT_S)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._watchdog.communicate()

    def remove(self) -> None:
        """Delete its folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_bytes().decode(errors="replace")  # as it is: no line ending is changed

    def last_words(self) -> str:
        """The end of what it has printed."""
        return "\n".join(self.output.splitlines()[-_SHOWN_LINES:])

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


@contextmanager
def running_server(
    name: str,
    command: Sequence[str],
    is_ready: Callable[[], bool],
    *,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Start a program, wait until it is ready, and stop it at the end; see `Server`.

    Raises:
        RuntimeError: It does not start.
    """
    server = Server(name, command, environment or {})
    try:
        server.wait(is_ready)
        yield server
    finally:
        server.stop()
        server.remove()


def program(environment: str, pattern: str) -> str:
    """Path of a program in a locked environment.

    Raises:
        RuntimeError: The environment is not installed.
    """
    (found,) = installed(environment).path.glob(pattern)
    return str(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_answering(url: str) -> bool:
    """Whether a GET is answered, and well."""
    try:
        call(url)
    except OSError:
        return False
    return True
