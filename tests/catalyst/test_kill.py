"""A Catalyst that is killed in the middle of the agent's work, and comes back."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from nat.data_models.delivery import DeliveryConfig
from nat.observability import Telemetry, step
from nat.plugins.catalyst.register import CatalystConfig
from nat.testing import closed_url
from tests.support.catalyst import ACCESS_KEY, SECRET_KEY, CatalystStandIn
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
RUNS = 60


@contextmanager
def running(port: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The stand-in as a program, killed at the end."""
    process = subprocess.Popen([sys.executable, "-m", "tests.support.catalyst", port, str(folder)], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_kill_costs_nothing_and_delays_nobody(tmp_path: Path) -> None:
    """Every run is a document in the end, and none waited for it."""
    port = closed_url("").rpartition(":")[2]
    config = CatalystConfig(
        endpoint=f"http://127.0.0.1:{port}", access_key=ACCESS_KEY, secret_key=SECRET_KEY, project="p"
    )
    delivery = DeliveryConfig.model_validate(
        {"retry": {"initial_interval": 0.05, "max_interval": 0.2}, "breaker": {"open_for": 0.3}}
    )
    took_s: list[float] = []

    with Telemetry(config, delivery=delivery) as telemetry:

        def work(first: int, last: int) -> None:
            for number in range(first, last):
                began_s = time.monotonic()
                with telemetry.run(f"run {number}"), step("work"):
                    pass
                took_s.append(time.monotonic() - began_s)

        with running(port, tmp_path):
            work(0, 20)
            wait_for(lambda: any(tmp_path.glob("*.json")))
            work(20, 40)  # and it is killed, with uploads on their way
        work(40, RUNS)
        with running(port, tmp_path):
            status = telemetry.flush(60.0).exporters["catalyst"]

    assert (status.delivered, status.lost, status.pending) == (2 * RUNS, 0, 0)
    spans = [document["data"][0]["spans"] for document in CatalystStandIn(tmp_path).documents]
    assert {found[-1]["name"] for found in spans} == {f"run {number}.0" for number in range(RUNS)}
    assert median(took_s) < 0.05
    assert max(took_s) < 10.0
