"""Exporters of steps."""

from typing import TypeVar

from nat.observability.exporter.processing_exporter import ProcessingExporter

__all__ = ["RawExporter"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


class RawExporter(ProcessingExporter[InputT, OutputT]):
    """Takes every step event of a run, START, chunks and END, in their order: for consoles, files, own event handling.

    `RawExporter[IntermediateStep, IntermediateStep]` needs no processor. `export_processed` is called for one item at a time,
    also across retries, so that the order stays.
    """
