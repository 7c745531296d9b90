"""Tables and coloured text: drawn by rich on a terminal, plain aligned columns elsewhere."""

import sys
from collections.abc import Collection, Sequence

import click

__all__ = ["aligned", "print_table"]

_GAP = "  "


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout; no cell is ever cut."""
    if sys.stdout.isatty():
        _print_drawn(headings, rows)
    else:
        click.echo("\n".join(aligned([headings, *rows])))


def aligned(rows: Sequence[Sequence[str]], *, numbers: Collection[int] = ()) -> list[str]:
    """Lines with the cells of each column below each other, without trailing blanks; `numbers` are aligned right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(_GAP.join(cells).rstrip())
    return lines


def _print_drawn(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import ROUNDED
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=ROUNDED, header_style="bold", border_style="bright_black")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
