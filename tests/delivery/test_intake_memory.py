"""A dead backend and a workflow that goes on: memory stays at the budget."""

import json
from pathlib import Path

import pytest

from tests.runs.scripts import run_script, unmeasured

SPANS = 210_000
BUDGET_BYTES = 64 * 2**20
MARGIN_BYTES = 30_000_000

PROGRAM = """\
import asyncio, json, os, sys, time
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import DeliveryConfig, IntakeConfig, Telemetry, manager, step
from nat.observability.exporter.span_exporter import SpanExporter

class Dead(SpanExporter[Span, Span]):
    async def export_processed(self, item):
        await asyncio.sleep(3600)

class DeadConfig(TelemetryExporterBaseConfig, name="dead"):
    pass

@register_telemetry_exporter(config_type=DeadConfig)
async def dead(config, builder):
    yield Dead()

def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

manager._GRACE_S = 60  # what a busy machine may take for counting what is left
spans, budget = map(int, sys.argv[1:])
telemetry = Telemetry(DeadConfig(), delivery=DeliveryConfig(intake=IntakeConfig(max_bytes=budget))).start()
with telemetry.run("first"):
    pass
while telemetry.status().exporters["dead"].state != "running":  # what its start takes is not what waits takes
    time.sleep(0.01)
time.sleep(0.5)
before, most = resident_bytes(), 0
with telemetry.run("many"):
    for number in range(spans):
        with step("work", kind="tool", input="what goes in " * 20 + str(number)):
            pass
        if number % 1000 == 0:
            most = max(most, resident_bytes())
balances = []
for status in (telemetry.status(), telemetry.close(0.1)):
    counts = status.exporters["dead"]
    balances.append([counts.accepted, counts.delivered, counts.lost, counts.pending])
print(json.dumps({"grown": most - before, "balances": balances}))
"""


@pytest.mark.contract("S159")
def test_memory_stays_at_the_budget_and_the_accounts_balance(tmp_path: Path) -> None:
    result = run_script(PROGRAM, tmp_path, str(SPANS), str(BUDGET_BYTES), timeout_s=250, env=unmeasured())

    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["grown"] < BUDGET_BYTES + MARGIN_BYTES
    for accepted, delivered, lost, pending in told["balances"]:
        assert accepted == SPANS + 2
        assert accepted == delivered + lost + pending
    assert told["balances"][1][1:] == [0, SPANS + 2, 0]
