"""The store: a DuckDB file with a table of spans and one of events. Everything here blocks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from nat.plugin_api import Span

from nat_duckdb.rows import EVENTS, SPANS, event_rows, span_row

__all__ = ["Store"]


class Store:
    """Writes batches; each is in the file as a whole, or not at all.

    A span that is there already is passed over, so a batch may come again: its answer can have been lost.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, spans: Sequence[Span]) -> None:
        """Write one batch in one transaction; it is on disk on return.

        Raises:
            duckdb.IOException: The file cannot be opened or written, for instance since another process has it open.
            duckdb.Error: DuckDB does not take it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = [span_row(span) for span in spans]
        events = [row for span in spans for row in event_rows(span)]
        with duckdb.connect(self._path) as connection:
            connection.begin()
            connection.execute(_table("spans", SPANS))
            connection.execute(_table("events", EVENTS))
            first_ns = min(span.start_time for span in spans)
            new = (
                f"SELECT span_id FROM spans WHERE started >= make_timestamp_ns({first_ns})"  # few: it is sorted by time
            )
            if events:
                connection.execute(_insert("events", EVENTS, new), _columns(events))
            connection.execute(_insert("spans", SPANS, new), _columns(rows))
            connection.commit()


def _table(name: str, columns: Mapping[str, str]) -> str:
    return f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(f'{column} {kind}' for column, kind in columns.items())})"


def _insert(table: str, columns: Mapping[str, str], known: str) -> str:
    """A statement that inserts rows, given column by column, but for those of spans that are known."""
    given = ", ".join(
        f"unnest(?::{'BIGINT' if kind == 'TIMESTAMP_NS' else kind}[]) AS {column}" for column, kind in columns.items()
    )
    values = ", ".join(
        f"make_timestamp_ns({column})" if kind == "TIMESTAMP_NS" else column for column, kind in columns.items()
    )
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM (SELECT {given}) WHERE span_id NOT IN ({known})"


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
