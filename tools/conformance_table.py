"""Write `docs/reference/conformance.md`: how the inherited tests end for everything that this project ships.

    uv run tools/environments.py install duckdb
    uv run tools/conformance_table.py          # run all of them, some minutes, and write the table

Nothing is written if one of them fails. `tests/conformance/test_table.py` says when that is due.
"""

import argparse
import inspect
import os
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

from nat.observability.component import KINDS
from nat.runtime.entrypoint import put_on_path
from nat.testing.check import Report, TestedClass, classes_in, run
from nat.testing.kit import KIT_VERSION

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs/reference/conformance.md"
THIRD_PARTY = ROOT / "examples/third_party_exporter"
_FILES = (ROOT / "tests/conformance/test_our_exporters.py", ROOT / "tests/conformance/test_our_processors.py")

_HEAD = f"""\
# What has been checked

How version {KIT_VERSION} of [the tests to inherit](testing.md#tests-to-inherit) ends for every exporter and processor of
this project, and for the example of somebody else's, for DuckDB. None fails: each of these
classes is part of the tests of every change; so is `weave` with `mode: native`, in the environment of its client. A
[level](testing.md#check-a-package) is `beta` where something is not shown. Written by `tools/conformance_table.py`.

| type | form | level | passed | do not apply | not shown |
|---|---|---|---|---|---|
"""


def our_classes() -> list[TestedClass]:
    """The test classes of what this project ships, in the order of their files."""
    put_on_path(ROOT)
    ours = {name for kind in KINDS for name in kind.own}
    return [one for file in _FILES for one in classes_in(file) if one.type in ours]


def count_of(one: TestedClass) -> int:
    """How many tests a class has, those with several parameters counted for each."""
    cls = getattr(import_module(one.module), one.name)
    tests = inspect.getmembers(cls, lambda value: inspect.isfunction(value) and value.__name__.startswith("test_"))
    return sum(prod(len(mark.args[1]) for mark in _parametrize_marks(test)) for _, test in tests)


def build(reports: Sequence[Report]) -> str:
    """The page; `ValueError` if a test has failed."""
    failed = [f"{report.type}: {outcome.test}: {outcome.message}" for report in reports for outcome in report.failed]
    if failed:
        raise ValueError("\n".join(failed))
    return _HEAD + "".join(map(_row, reports))


def _parametrize_marks(test: object) -> Iterator[Any]:
    yield from (mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize")


def _row(report: Report) -> str:
    reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(report.not_shown.items())) or "none"
    passed, left_out = report.count("passed"), sum(report.does_not_apply.values())
    return f"| `{report.type}` | {report.about} | `{report.level}` | {passed} | {left_out} | {reasons} |\n"


def _third_partys(folder: Path) -> list[TestedClass]:
    """Those of the example; its metadata is put into a folder, as if it was installed."""
    project = tomllib.loads((THIRD_PARTY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    entry_points = project["entry-points"]["nat.components"].items()
    (info / "entry_points.txt").write_text(
        "[nat.components]\n" + "".join(f"{name} = {value}\n" for name, value in entry_points)
    )
    duckdb = next((ROOT / ".environments/duckdb").glob("lib/python*/site-packages"))
    sys.path += [str(folder), str(THIRD_PARTY), str(duckdb)]
    return classes_in(THIRD_PARTY / "tests/test_conformance.py")


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        reports = run([*our_classes(), *_third_partys(Path(folder))], "-n2", "-p", "xdist")
    try:
        TABLE.write_text(build(reports), encoding="utf-8")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
