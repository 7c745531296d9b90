"""Check: the tests to inherit, run on what an installed distribution registers, and a report of how they ended.

A distribution says how its types are tested in the entry point group `nat.conformance`: the name is the type, the value a class
below `ExporterConformance` or `ProcessorConformance`.
"""

import importlib
import inspect
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from nat.observability.registry import components
from nat.runtime.entrypoint import import_code, put_on_path
from nat.testing.kit import DOES_NOT_APPLY, NOT_SHOWN, SUBJECTS, Level, Outcome, level_of, subject_of

__all__ = ["CheckError", "Checked", "Report", "TestedClass", "check", "classes_in", "classes_of", "run"]

_GROUP = "nat.conformance"
_PYTEST = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio")


class CheckError(Exception):
    """There is nothing that could be checked; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class TestedClass:
    """A class of tests, and the type that it is for."""

    __test__ = False

    type: str
    module: str
    name: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """How the tests of one class ended; no outcomes if a type has no tests.

    Attributes:
        about: Which form of the type was tested, if there are several.
    """

    type: str
    about: str
    outcomes: tuple[Outcome, ...] = ()

    @property
    def level(self) -> Level:
        """What it is worth."""
        return level_of(self.outcomes)

    def count(self, result: str, subject: str | None = None) -> int:
        """How many tests ended so; of a subject, or of all."""
        return sum(
            outcome.result == result and subject in (None, subject_of(outcome.test)) for outcome in self.outcomes
        )

    @property
    def failed(self) -> list[Outcome]:
        """The tests that failed."""
        return [outcome for outcome in self.outcomes if outcome.result == "failed"]

    @property
    def not_shown(self) -> Counter[str]:
        """Why tests were left out that there is something for."""
        return self._skipped(NOT_SHOWN)

    @property
    def does_not_apply(self) -> Counter[str]:
        """Why tests were left out that there is nothing for."""
        return self._skipped(DOES_NOT_APPLY)

    def _skipped(self, beginning: str) -> Counter[str]:
        messages = [outcome.message for outcome in self.outcomes if outcome.result == "skipped"]
        return Counter(message.partition(beginning)[2] for message in messages if beginning in message)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        by_subject = {
            subject: {result: self.count(result, subject) for result in ("passed", "failed", "skipped")}
            for subject in (*SUBJECTS, "other")
        }
        return {
            "type": self.type,
            "about": self.about,
            "level": str(self.level),
            "subjects": {subject: counts for subject, counts in by_subject.items() if any(counts.values())},
            "failed": [{"test": outcome.test, "message": outcome.message} for outcome in self.failed],
            "not_shown": dict(self.not_shown),
            "does_not_apply": dict(self.does_not_apply),
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """A distribution, and the reports of its types."""

    package: str
    version: str
    reports: tuple[Report, ...]

    @property
    def level(self) -> Level:
        """The least of all its types."""
        return min((report.level for report in self.reports), key=list(Level).index)


def check(package: str, files: Sequence[Path] = ()) -> Checked:
    """Run the tests of every type that an installed distribution registers.

    Args:
        package: Name of the distribution.
        files: Python files with the test classes; none: those that the distribution names itself.

    Raises:
        CheckError: It is not installed, registers nothing, or its test classes cannot be imported.
    """
    found = _installed(package)
    types = _types_of(found)
    classes = [one for file in files for one in classes_in(file)] if files else classes_of(found)
    tested = [one for one in classes if one.type in types]
    reports = [_alone(report, tested) for report in run(tested)]
    untested = [Report(name, "") for name in types if name not in {one.type for one in tested}]
    return Checked(found.name, found.version, (*reports, *untested))


def classes_of(found: Distribution) -> list[TestedClass]:
    """The test classes that a distribution names.

    Raises:
        CheckError: One cannot be imported, or is no test class.
    """
    classes = []
    for entry_point in found.entry_points.select(group=_GROUP):
        where = f"{found.name}: entry point {entry_point.name!r} of {_GROUP}"
        try:
            cls = entry_point.load()
        except Exception as error:  # the edge of someone else's code
            raise CheckError(f"{where} cannot be imported: {type(error).__name__}: {error}; correct it") from error
        if _tested_type(cls) is None:
            raise CheckError(
                f"{where} is {entry_point.value}, expected a class below ExporterConformance or ProcessorConformance"
            )
        classes.append(_tested_class(cls))
    return classes


def classes_in(file: Path) -> list[TestedClass]:
    """The test classes of a file: those below the classes to inherit that name a type.

    Raises:
        runtime.entrypoint.CannotImportError: The file cannot be imported.
    """
    put_on_path(Path.cwd())  # as pytest has it
    module = import_code(f"./{file.name}", file.resolve().parent)
    own = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
    return [_tested_class(cls) for cls in own if _tested_type(cls) is not None and not cls.__name__.startswith("_")]


def run(classes: Sequence[TestedClass], *options: str) -> list[Report]:
    """Run the tests of these classes, in a process of its own, and report on each class.

    Args:
        classes: What to run.
        options: For pytest, beside its own.

    Raises:
        CheckError: pytest could not run them.
    """
    if not classes:
        return []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        for number, one in enumerate(classes):
            source = f"from {one.module} import {one.name} as _Tested\n\n\nclass Test{number}(_Tested):\n    pass\n"
            (place / f"test_{number}.py").write_text(source, encoding="utf-8")
        report = place / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *_PYTEST, *options, f"--junitxml={report}", str(place)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists() or done.returncode not in (0, 1):
            raise CheckError(f"pytest could not run the tests:\n{(done.stdout + done.stderr).strip()}")
        outcomes = _outcomes_in(report)
    return [Report(one.type, one.about, tuple(outcomes.get(number, ()))) for number, one in enumerate(classes)]


def _alone(report: Report, tested: Sequence[TestedClass]) -> Report:
    """The report without a word about which form of the type it is of, if there is only one."""
    is_only = sum(one.type == report.type for one in tested) == 1
    return replace(report, about="") if is_only else report


def _installed(package: str) -> Distribution:
    try:
        return distribution(package)
    except (PackageNotFoundError, ValueError):
        raise CheckError(f"there is no distribution {package!r} here; install it: pip install {package}") from None


def _types_of(found: Distribution) -> list[str]:
    rows = [row for row in components() if _normal(row.package) == _normal(found.name)]
    broken = [row for row in rows if not row.loads]
    if broken:
        raise CheckError(f"{found.name}: type {broken[0].type!r} does not load: {broken[0].reason}; correct it")
    if not rows:
        raise CheckError(
            f"{found.name} registers no exporter and no processor, expected an entry point in the group nat.components"
        )
    return [row.type for row in rows]


def _tested_type(cls: Any) -> str | None:
    if not inspect.isclass(cls):
        return None
    for module, base, attribute in (
        ("nat.testing.conformance", "ExporterConformance", "exporter_type"),
        ("nat.testing.processor_conformance", "ProcessorConformance", "processor_type"),
    ):
        if issubclass(cls, getattr(importlib.import_module(module), base)):
            return getattr(cls, attribute, None)
    return None


def _tested_class(cls: type) -> TestedClass:
    name = _tested_type(cls)
    assert name is not None
    about = next(iter((cls.__doc__ or "").strip().splitlines()), "").rstrip(".")
    return TestedClass(name, cls.__module__, cls.__name__, about)


def _outcomes_in(report: Path) -> dict[int, list[Outcome]]:
    """Outcomes by the number of their class; a test whose set-up or end fails has failed."""
    found: dict[int, dict[str, Outcome]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        number = re.search(r"\.Test(\d+)$", case.get("classname", ""))
        if number is None:
            continue
        name = case.get("name", "")
        outcome = _outcome(name, case)
        tests = found.setdefault(int(number[1]), {})
        if name not in tests or outcome.result == "failed":
            tests[name] = outcome
    return {number: list(tests.values()) for number, tests in found.items()}


def _outcome(name: str, case: ElementTree.Element) -> Outcome:
    for kind in ("failure", "error"):
        problem = case.find(kind)
        if problem is not None:
            message = problem.get("message", "").partition("\nassert ")[0]
            return Outcome(name, "failed", message.removeprefix("AssertionError: ").strip())
    skipped = case.find("skipped")
    return Outcome(name, "passed") if skipped is None else Outcome(name, "skipped", skipped.get("message", ""))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
