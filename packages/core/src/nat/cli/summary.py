"""What became of the telemetry: one line for each exporter, and what can be done about losses."""

from nat.cli.pages import LOSSES, NOT_DELIVERED, see
from nat.cli.tables import aligned
from nat.observability.manager import ExporterStatus, TelemetryStatus

__all__ = ["delivery_summary"]

_ADVICE = {
    "rejected": "the backend refused them, or the exporter raised. The log says why; delivery.dead_letters keeps them.",
    "shutdown": "not sent before the program ended. Is the backend up? The log names the error.",
    "retries_exhausted": "no attempt worked. Is the backend up? The log names the error; see delivery.retry.",
    "too_large": "the backend takes nothing of that size; see delivery.max_item_bytes and delivery.batch.bytes.",
    "queue_full": "more came than the backend took; see delivery.intake.",
    "processor_error": "a processor raised, and what it has not processed is never sent. The log names the error.",
    "unrouted": "runs whose metadata names no route, and are withheld; see processor route.",
    "processor_timeout": "a processor took too long, and what it has not processed is never sent; see its `timeout`.",
}


def delivery_summary(status: TelemetryStatus) -> list[str]:
    """Lines that say for each exporter what was delivered, what was lost and why, and whether it was disabled.

    Behind them, for each reason of a loss that has one, a line that says what to do; and where to read on.
    """
    if not status.exporters:
        return ["No exporter is configured under general.telemetry.tracing: the run leaves no trace."]
    exporters = status.exporters.values()
    reasons = {reason for exporter in exporters for reason in _losses(exporter)}
    advice = [f"{reason}: {text}" for reason, text in _ADVICE.items() if reason in reasons]
    has_failed = bool(advice) or any(exporter.state == "disabled" for exporter in exporters)
    return [
        *aligned([["exporter", "type", "delivered", "lost", ""], *map(_row, exporters)], numbers=(2, 3)),
        *advice,
        *([see(NOT_DELIVERED, LOSSES)] if has_failed else []),
    ]


def _row(exporter: ExporterStatus) -> list[str]:
    notes = [f"{count:,} {reason}" for reason, count in _losses(exporter).items()]
    if exporter.dead_lettered:
        notes.append(f"{exporter.dead_lettered:,} kept as dead letters")
    if exporter.spooled:
        notes.append(f"{exporter.spooled:,} on disk, sent at the next start")
    if exporter.state == "disabled":
        notes.insert(0, f"disabled: {exporter.reason}")
    if exporter.pending:
        notes.append(f"{exporter.pending:,} still waiting")
    return [exporter.name, exporter.type, f"{exporter.delivered:,}", f"{exporter.lost:,}", "; ".join(notes)]


def _losses(exporter: ExporterStatus) -> dict[str, int]:
    """What was lost, by reason."""
    losses = {"rejected": exporter.rejected, **exporter.dropped}
    return {reason: count for reason, count in losses.items() if count}
