"""What became of the telemetry: one line for each exporter."""

from nat.cli.tables import aligned
from nat.observability.manager import TelemetryStatus

__all__ = ["delivery_summary"]


def delivery_summary(status: TelemetryStatus) -> list[str]:
    """Lines that say for each exporter what was delivered, what was lost and why, and whether it was disabled."""
    if not status.exporters:
        return ["No exporter is configured under general.telemetry.tracing: the run leaves no trace."]
    rows = [["exporter", "type", "delivered", "lost", ""]]
    for exporter in status.exporters.values():
        losses = {"rejected": exporter.rejected, **exporter.dropped}
        notes = [f"{count:,} {reason}" for reason, count in losses.items() if count]
        if exporter.dead_lettered:
            notes.append(f"{exporter.dead_lettered:,} kept as dead letters")
        if exporter.spooled:
            notes.append(f"{exporter.spooled:,} on disk, sent at the next start")
        if exporter.state == "disabled":
            notes.insert(0, f"disabled: {exporter.reason}")
        if exporter.pending:
            notes.append(f"{exporter.pending:,} still waiting")
        rows.append([exporter.name, exporter.type, f"{exporter.delivered:,}", f"{exporter.lost:,}", "; ".join(notes)])
    return aligned(rows, numbers=(2, 3))
