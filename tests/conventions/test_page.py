"""The page on conventions says what the code does; its snippets are run with those of the other pages."""

import re
from pathlib import Path

from nat.data_models.conventions import ALL_CONVENTIONS
from tests.conventions.tables import names_table, operations_table

_PAGE = (Path(__file__).parents[2] / "docs/guide/conventions.md").read_text("utf-8")


def test_tables_are_those_of_the_code() -> None:
    """`python -m tests.conventions.tables` prints them."""
    tables = [table.splitlines() for table in re.findall(r"(?:^\|.*\n)+", _PAGE, re.MULTILINE)]

    assert operations_table() in tables
    assert names_table() in tables


def test_choices_are_all() -> None:
    table = _PAGE.partition("## Choose")[2].partition("\n## ")[0]

    assert set(re.findall(r"`((?:openinference|gen_ai|both)(?:@[\d.]+)?)`", table)) == set(ALL_CONVENTIONS)
