"""Nothing heavy is loaded before an OTLP exporter is built, and then only what its protocol needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nat.testing import FakeBackend

HEAVY = ("aiohttp", "grpc", "google.protobuf", "opentelemetry")

SETUP = f"""\
import json, sys

HEAVY = {HEAVY!r}

def loaded():
    return [name for name in HEAVY if name in sys.modules]

said = {{}}
"""


def run(code: str, *arguments: str) -> dict[str, list[str]]:
    """What a program had loaded, by the moments that it names."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{SETUP}{code}\nprint(json.dumps(said))", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, list[str]] = json.loads(done.stdout)
    return said


@pytest.mark.contract("S71", "S89", "S90")
def test_listing_importing_and_configuring_load_nothing_heavy() -> None:
    said = run("""
from nat.observability.registry import components
assert "otelcollector" in {component.type for component in components()}
said["listed"] = loaded()

from nat.plugins.opentelemetry.register import OtelCollectorConfig
OtelCollectorConfig(endpoint="http://localhost:4318", headers={"x-key": "k"}, protocol="http/json")
OtelCollectorConfig(endpoint="http://localhost:4317", protocol="grpc")
said["configured"] = loaded()

from nat.observability import Telemetry
telemetry = Telemetry(OtelCollectorConfig())
said["not started"] = loaded()
""")

    assert said == {"listed": [], "configured": [], "not started": []}


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [("http", ["aiohttp"]), ("http/json", ["aiohttp"]), ("grpc", ["grpc"])],
)
def test_an_exporter_loads_what_its_protocol_needs(protocol: str, expected: list[str]) -> None:
    """No protobuf and no OpenTelemetry package in either; over gRPC no HTTP client."""
    with FakeBackend(grpc=True) as backend:
        said = run(
            """
from nat.observability import Telemetry
from nat.plugins.opentelemetry.register import OtelCollectorConfig

config = OtelCollectorConfig(endpoint=sys.argv[1], protocol=sys.argv[2])
with Telemetry(config) as telemetry:
    with telemetry.run("run"):
        pass
said["sent"] = loaded()
""",
            f"http://{backend.grpc_endpoint}" if protocol == "grpc" else backend.url,
            protocol,
        )

        assert [span.name for span in backend.spans] == ["run"]
    assert said == {"sent": expected}


def test_the_command_line_lists_without_loading() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(Path(sys.executable).with_name("nat")), "info", "components"],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )

    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert done.returncode == 0
    assert "otelcollector" in done.stdout
    assert "nat.plugins.opentelemetry.settings" in imported
    assert imported.isdisjoint(HEAVY)
