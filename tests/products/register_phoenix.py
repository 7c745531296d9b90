"""Run in the environment `oracle-phoenix`: set up Phoenix's own client, and send one span."""

import json
import sys

from phoenix.otel import register  # type: ignore[import-not-found]  # of that environment

settings = json.loads(sys.argv[1])
provider = register(set_global_tracer_provider=False, verbose=False, **settings)
with provider.get_tracer("oracle").start_as_current_span("work"):
    pass
provider.shutdown()
