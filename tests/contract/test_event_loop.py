"""What the exporters that are shipped here do on the telemetry loop: nothing that waits."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat.testing import FakeBackend
from tests.delivery.programs import run_program

WATCHED = """\
import json, sys, threading

sys.dont_write_bytecode = True  # who imports a module first writes it
WAITING = ("open", "time.sleep", "socket.getaddrinfo", "socket.gethostbyname", "os.remove", "os.rename", "subprocess.Popen")
seen = []

def watch(event, arguments):  # also called by C code, for every such call of the process
    if event in WAITING and threading.current_thread().name == "nat telemetry":
        what = str(arguments[0])
        is_installed = what.startswith((sys.prefix, sys.base_prefix)) or what.endswith((".py", ".pyc", ".so"))
        if event != "open" or not is_installed:  # modules and versions are read once, when an exporter is built
            seen.append(f"{event} {what}")

sys.addaudithook(watch)

from nat.observability import Telemetry, step
from nat.plugins.console.register import ConsoleConfig
from nat.plugins.file.register import FileConfig
from nat.plugins.opentelemetry.register import OtelCollectorConfig

http, grpc, folder = sys.argv[1:4]

def collector(protocol, endpoint):
    return OtelCollectorConfig(
        endpoint=endpoint.replace("127.0.0.1", "localhost"),
        protocol=protocol,
        compression="gzip",
        headers={"x-key": f"file:{folder}/key"},
    )

entries = {
    "http": collector("http", http),
    "json": collector("http/json", http),
    "grpc": collector("grpc", grpc),
    "file": FileConfig(output_path=f"{folder}/steps.jsonl", enable_rolling=True, max_file_size=1000),
    "otlp": FileConfig(output_path=f"{folder}/sub/otlp.jsonl", format="otlp_json"),
    "console": ConsoleConfig(),
}
with Telemetry(entries) as telemetry:
    for _ in range(3):
        with telemetry.run("run", input="x" * 100_000), step("work"):
            pass
        telemetry.flush()
status = telemetry.status()
assert all(exporter.lost == 0 and exporter.delivered > 0 for exporter in status.exporters.values()), status
print(json.dumps(seen))
"""


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(grpc=True) as backend:
        yield backend


@pytest.mark.contract("S158")
def test_no_exporter_opens_a_file_resolves_a_name_or_sleeps_on_the_loop(backend: FakeBackend, tmp_path: Path) -> None:
    """Told by Python's own audit events: keys from files, names, lines, compression are all elsewhere."""
    (tmp_path / "key").write_text("k")

    result = run_program(WATCHED, tmp_path, backend.base_url, f"http://{backend.grpc_endpoint}", str(tmp_path))

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == []
    assert len(backend.spans) == 18
