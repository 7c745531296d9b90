"""The command `nat-duckdb`: what the traces in a file tell."""

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from nat_duckdb.questions import QUESTIONS

__all__ = ["main"]

_WAIT_S = 10.0  # while a batch is written
_UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}
_MAX_CELL = 60  # characters


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer one question; exit code 1: the file cannot be read."""
    options = _options(arguments)
    try:
        with _opened(options.file) as connection:
            columns, rows = _answer(connection, options)
    except duckdb.Error as exc:
        print(f"nat-duckdb: {options.file}: {str(exc).splitlines()[0]}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str, ensure_ascii=False))
    else:
        _print_table(columns, rows)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nat-duckdb", description="What the traces in a DuckDB file tell.")
    parser.add_argument("file", type=Path, help="the exporter's path")
    parser.add_argument(
        "question",
        choices=sorted(QUESTIONS),
        help="the latest runs; tools, slowest first; models, dearest first; the latest errors, where they began",
    )
    parser.add_argument("--since", type=_seconds, metavar="TIME", help="only what began in that time: 30m, 24h, 7d")
    parser.add_argument("--limit", type=int, default=20, metavar="ROWS", help="rows at most; 20")
    parser.add_argument(
        *("--price", "-p"),
        type=_price,
        action="append",
        default=[],
        metavar="MODEL=IN/OUT",
        help="what a million tokens cost, for calls whose cost was not recorded; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


def _answer(
    connection: duckdb.DuckDBPyConnection, options: argparse.Namespace
) -> tuple[list[str], list[tuple[Any, ...]]]:
    since_ns = 0 if options.since is None else time.time_ns() - int(options.since * 1e9)
    sql = QUESTIONS[options.question].replace("$since", f"make_timestamp_ns({since_ns})")
    given: dict[str, Any] = {"rows": options.limit}
    if options.question == "models":
        given |= {
            key: [price[index] for price in options.price] for index, key in enumerate(("names", "given", "made"))
        }
    answer = connection.execute(sql, given)
    return [column[0] for column in answer.description or ()], answer.fetchall()


def _opened(file: Path) -> duckdb.DuckDBPyConnection:
    """The file, to be read; waits while somebody writes to it."""
    until_s = time.monotonic() + _WAIT_S
    while True:
        try:
            return duckdb.connect(file, read_only=True)
        except duckdb.IOException as exc:
            if "lock" not in str(exc) or time.monotonic() > until_s:
                raise
            time.sleep(0.05)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    cells = [[_cell(value) for value in row] for row in rows]
    is_number = [all(isinstance(row[index], int | float | None) for row in rows) for index in range(len(columns))]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in (columns, *cells):
        padded = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, is_number, strict=True)
        ]
        print("  ".join(padded).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:,.1f}"
    text = re.sub(r"\s+", " ", str(value))
    return text if len(text) <= _MAX_CELL else f"{text[: _MAX_CELL - 1]}…"


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)([mhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time, such as 30m, 24h or 7d")
    return float(found[1]) * _UNITS_S[found[2]]


def _price(text: str) -> tuple[str, float, float]:
    found = re.fullmatch(r"(.+)=([\d.]+)/([\d.]+)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no price, such as small=0.15/0.60")
    return found[1], float(found[2]), float(found[3])


if __name__ == "__main__":
    sys.exit(main())
