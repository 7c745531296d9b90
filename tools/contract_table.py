"""Write `docs/reference/contract.md`: every statement of the contract and the tests that show it.

The statements are in `tests/contract/statements.toml`; a test names those it shows with `@pytest.mark.contract("S1")`.

    python tools/contract_table.py           # write the table
    python tools/contract_table.py --check   # exit 1 if the table is not what would be written
"""

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATEMENTS = ROOT / "tests/contract/statements.toml"
TABLE = ROOT / "docs/reference/contract.md"

_HEAD = """\
# The contract, statement by statement

What users of the public interface rely on, and the tests that show it. Written by `tools/contract_table.py` from
`tests/contract/statements.toml` and the `contract` marks in the tests; change those, not this file.
"""


@dataclass(slots=True)
class Statement:
    """One row: what holds, and the tests that show it (`path::name`)."""

    text: str
    tests: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Section:
    """One heading of the table."""

    title: str
    statements: dict[str, Statement]


def read_sections(path: Path) -> list[Section]:
    """The statements of the TOML file; `ValueError` if it is none."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    return [
        Section(section["title"], {number: Statement(text) for number, text in section["statements"].items()})
        for section in document["section"]
    ]


def marked_tests(root: Path) -> Iterator[tuple[str, str]]:
    """`(statement, test)` for every mark below `tests` and `packages/*/tests`, in the order of the files."""
    for folder in (root / "tests", *sorted(root.glob("packages/*/tests"))):
        for path in sorted(folder.rglob("test_*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
            yield from _marks_in(tree.body, path.relative_to(root).as_posix())


def _marks_in(body: list[ast.stmt], node_id: str) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _marks_in(node.body, f"{node_id}::{node.name}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.contract":
                    for argument in decorator.args:
                        yield ast.literal_eval(argument), f"{node_id}::{node.name}"


def build(sections: list[Section], marks: Iterator[tuple[str, str]]) -> str:
    """The text of the table.

    Raises:
        ValueError: A test names a statement that does not exist, or a statement has no test.
    """
    statements = {number: statement for section in sections for number, statement in section.statements.items()}
    for number, test in marks:
        if number not in statements:
            raise ValueError(f"{test}: there is no statement {number!r}")
        statements[number].tests.append(test)
    if bare := [number for number, statement in statements.items() if not statement.tests]:
        raise ValueError(f"no test shows: {', '.join(bare)}")
    return _HEAD + "".join(_section_text(section) for section in sections)


def _section_text(section: Section) -> str:
    rows = [
        f"| {number} | {_cell(statement.text)} | {_links(statement.tests)} |"
        for number, statement in section.statements.items()
    ]
    return "\n".join(["", f"## {section.title}", "", "| No. | Holds | Shown by |", "|---|---|---|", *rows, ""])


def _cell(text: str) -> str:
    return re.sub(r"\|", r"\\|", text)


def _links(tests: list[str]) -> str:
    return "<br>".join(f"`{test}`" for test in dict.fromkeys(tests))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write docs/reference/contract.md from the marks in the tests.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is out of date")
    options = parser.parse_args(arguments)
    try:
        text = build(read_sections(STATEMENTS), marked_tests(ROOT))
    except ValueError as error:
        print(f"contract table: {error}", file=sys.stderr)
        return 1
    if not options.check:
        TABLE.write_text(text, encoding="utf-8")
        return 0
    if TABLE.exists() and TABLE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{TABLE.relative_to(ROOT)} is out of date; run: python tools/contract_table.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
