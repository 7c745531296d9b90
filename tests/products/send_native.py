"""Run in the environments `weave` and `weave-client`: record runs with the exporter `weave` in mode native.

python send_native.py SETTINGS RUN_ID...    SETTINGS as JSON; prints what became of them, and the traces' ids by run, as JSON
"""

import json
import sys

from nat.data_models.delivery import DeliveryConfig, RetryConfig
from nat.observability import Telemetry
from nat.plugins.weave.register import WeaveConfig
from nat.testing import recorded_run, replay

delivery = DeliveryConfig(retry=RetryConfig(initial_interval=0.1, max_interval=0.5))
with Telemetry({"weave": WeaveConfig(**json.loads(sys.argv[1]))}, delivery=delivery) as telemetry:
    traces = {run_id: replay(recorded_run(run_id), telemetry) for run_id in sys.argv[2:]}
    telemetry.flush(60.0)
    status = telemetry.status().exporters["weave"]
print(json.dumps({"delivered": status.delivered, "lost": status.lost, "traces": traces}))
