"""nat-telemetry with an exporter `otelcollector`, through `step()`, as it is by default: secrets are taken out."""

from measuring import main
from ours import Ours

if __name__ == "__main__":
    main(Ours(redact="secrets"))
