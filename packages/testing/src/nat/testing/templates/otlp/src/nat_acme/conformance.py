"""How to test the exporter `acme`, here and by `nat exporter check`."""

from typing import Any

from nat.testing.conformance import ExporterConformance


class AcmeConformance(ExporterConformance):
    """What every exporter must do, and how this one is configured for it."""

    exporter_type = "acme"
    reports_partial_success = True

    def settings(self) -> dict[str, Any]:
        """Send to the backend of the test."""
        return {"endpoint": self.endpoint}

    def secret_settings(self, secret: str) -> dict[str, Any]:
        """A key that must be shown nowhere."""
        return {"api_key": secret}
