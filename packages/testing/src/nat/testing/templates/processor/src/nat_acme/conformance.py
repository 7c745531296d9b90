"""How to test the processor `acme`, here and by `nat exporter check`."""

from typing import Any

from nat.testing.processor_conformance import ProcessorConformance


class AcmeConformance(ProcessorConformance):
    """What every processor must do, and how this one is configured for it."""

    processor_type = "acme"
    takes_steps = False  # its pipeline is one of spans

    def settings(self) -> dict[str, Any]:
        """As in a workflow file."""
        return {"team": "search"}
