"""How to test the exporter `acme`, here and by `nat exporter check`."""

from typing import Any

from nat.testing.conformance import ExporterConformance


class AcmeConformance(ExporterConformance):
    """What every exporter must do, and how this one is configured for it."""

    exporter_type = "acme"
    is_remote = False  # it writes to a file
    can_be_read = False  # which holds steps, not spans

    def settings(self) -> dict[str, Any]:
        """Write into the folder of the test."""
        return {"path": str(self.folder / "lines.jsonl")}

    def written(self) -> bytes:
        """Everything that has left the exporter."""
        file = self.folder / "lines.jsonl"
        return file.read_bytes() if file.exists() else b""
