"""The exporter: batches of spans, written on another thread."""

import asyncio

import duckdb

from nat.plugin_api import BatchingProcessor, Cause, PermanentExportError, Span, SpanExporter, TransientExportError

from nat_duckdb.register import DuckdbConfig
from nat_duckdb.store import Store

__all__ = ["DuckdbExporter"]


class DuckdbExporter(SpanExporter[Span, Span]):
    """Writes spans to a DuckDB file, a batch in one transaction.

    The file is open only while a batch is written, since DuckDB lets one process have a file: it can be queried while the agent
    runs, and agents can share it. While somebody else has it open, batches wait and are tried again.

    Args:
        config: As in the workflow file.
    """

    def __init__(self, config: DuckdbConfig) -> None:
        super().__init__()
        self.endpoint = str(config.path)
        self._store = Store(config.path)
        self._is_writing = asyncio.Lock()
        self.add_processor(
            BatchingProcessor[Span](
                batch_size=config.batch_size,
                flush_interval=config.flush_interval,
                max_queue_size=config.max_queue_size,
                drop_on_overflow=config.drop_on_overflow,
                shutdown_timeout=config.shutdown_timeout,
            )
        )

    async def export_processed(self, item: Span | list[Span]) -> None:
        """Write one batch: on return it is on disk.

        Raises:
            TransientExportError: Another process has the file open, or the disk does not take it now.
            PermanentExportError: The file is no DuckDB database, or one with other tables.
        """
        spans = item if isinstance(item, list) else [item]
        async with self._is_writing:
            try:
                await asyncio.to_thread(self._store.write, spans)
            except duckdb.IOException as exc:
                raise _of_file(exc) from exc
            except duckdb.Error as exc:  # its message may quote what was written
                raise PermanentExportError(
                    f"DuckDB refuses a batch ({type(exc).__name__})",
                    cause=Cause.REJECTED,
                    mend="if another version has made the file, name a new one",
                ) from None


def _of_file(exc: duckdb.IOException) -> TransientExportError | PermanentExportError:
    """What an error of the file means; DuckDB tells its errors apart by their words only."""
    said = str(exc)
    if "not a valid DuckDB database" in said or "Is a directory" in said:
        return PermanentExportError(
            "this is no DuckDB file", cause=Cause.UNWRITABLE, mend="name another one under path"
        )
    if "lock" in said:
        return TransientExportError(
            "another process has the file open", cause=Cause.BUSY, mend="let it open the file only for a query"
        )
    return TransientExportError(
        "the file cannot be written", cause=Cause.UNWRITABLE, mend="look at its folder, and at the disk"
    )
