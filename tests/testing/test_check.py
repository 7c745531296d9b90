"""`nat exporter check`: what it runs, what it says, and what a level means."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from nat.cli.main import cli
from nat.testing.conformance import ExporterConformance
from nat.testing.kit import SUBJECTS, Level, Outcome, level_of, subject_of
from nat.testing.processor_conformance import ProcessorConformance
from tests.docs import markdown
from tests.testing.packages import install, run_in

pytestmark = pytest.mark.timeout(600)  # most of them run a whole kit in a process of its own
_PAGE = markdown.ROOT / "docs/reference/testing.md"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A processor's package, new: its tests are the quickest."""
    folder = tmp_path_factory.mktemp("package")
    made = CliRunner().invoke(cli, ["exporter", "new", "acme", "--kind", "processor", "--into", str(folder)])
    assert made.exit_code == 0
    install(folder / "nat-acme")
    return folder / "nat-acme"


@pytest.fixture
def broken_module(package: Path) -> Iterator[Path]:
    """The module of the processor; restored at the end."""
    module = package / "src/nat_acme/processor.py"
    source = module.read_text()
    yield module
    module.write_text(source)


def check(package: Path, *options: str, code: int) -> str:
    done = run_in(package, "nat", "exporter", "check", "nat-acme", *options)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout or done.stderr


def test_a_new_package_is_stable(package: Path) -> None:
    """The reference shows what is printed: each subject with what passed, and what does not apply with the reason."""
    (shown,) = [block.text for block in markdown.blocks(_PAGE) if "$ nat exporter check" in block.text]

    said = check(package, "--at_least", "stable", code=0)

    assert sorted(said.splitlines()) == sorted(shown.splitlines()[1:])  # what is left out comes in any order


def test_what_fails_is_named(package: Path, broken_module: Path) -> None:
    """A processor that raises delivers nothing: the report has the messages."""
    broken_module.write_text(broken_module.read_text().replace("attributes = {**item", "attributes = 1 / 0, {**item"))

    report = json.loads(check(package, "--json", code=1))

    assert (report["package"], report["kit"], report["level"]) == ("nat-acme", "1.0", "failing")
    (acme,) = report["types"]
    failed: dict[str, str] = {one["test"]: one["message"] for one in acme["failed"]}
    assert failed["test_every_item_meets_its_fate[spans]"].startswith("ten recorded runs: of ")
    assert failed["test_it_changes_a_copy[spans]"] == "ZeroDivisionError: division by zero"
    assert acme["subjects"]["delivery"]["failed"] == len([test for test in failed if subject_of(test) == "delivery"])


def test_test_classes_may_be_in_a_file(package: Path, tmp_path: Path) -> None:
    """For a package that names none; a class for another type is left out."""
    (tmp_path / "their_tests.py").write_text(
        "from nat.testing.processor_conformance import ProcessorConformance\n"
        "class TestTheirs(ProcessorConformance):\n"
        "    processor_type = 'acme'\n"
        "    takes_spans = takes_steps = False  # so nothing takes long\n"
        "    def settings(self): return {'team': 'theirs'}\n"
        "    def test_of_their_own(self): pass\n"
        "class TestAnother(ProcessorConformance):\n"
        "    processor_type = 'filter'\n"
    )

    report = json.loads(check(package, "--json", "--tests", str(tmp_path / "their_tests.py"), code=0))

    assert [(one["type"], one["level"]) for one in report["types"]] == [("acme", "stable")]
    assert report["types"][0]["subjects"]["other"] == {"passed": 1, "failed": 0, "skipped": 0}


def test_a_type_without_tests_is_untested(package: Path) -> None:
    """Which is not enough for any level that may be asked for."""
    entry_points = next((package / "src").glob("*.dist-info")) / "entry_points.txt"
    text = entry_points.read_text()
    entry_points.write_text(text.partition("[nat.conformance]")[0])
    try:
        said = check(package, "--at_least", "failing", code=1)
    finally:
        entry_points.write_text(text)

    assert "acme: untested\n  name its test class in the entry point group nat.conformance, or with --tests" in said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("not-installed-q", "there is no distribution 'not-installed-q' here; install it: pip install not-installed-q"),
        ("click", "click registers no exporter and no processor, expected an entry point in the group nat.components"),
    ],
)
def test_what_cannot_be_checked_is_a_usage_error(name: str, said: str) -> None:
    result = CliRunner().invoke(cli, ["exporter", "check", name], prog_name="nat")

    assert result.exit_code == 2
    assert said in result.stderr


def test_an_entry_point_must_name_a_test_class(package: Path) -> None:
    entry_points = next((package / "src").glob("*.dist-info")) / "entry_points.txt"
    text = entry_points.read_text()
    entry_points.write_text(text.replace(":AcmeConformance", ":Any"))
    try:
        said = check(package, code=2)
    finally:
        entry_points.write_text(text)

    assert (
        "nat-acme: entry point 'acme' of nat.conformance is nat_acme.conformance:Any, expected a class below "
        "ExporterConformance or ProcessorConformance"
    ) in said


@pytest.mark.parametrize(
    ("outcomes", "level"),
    [
        ([], Level.UNTESTED),
        ([Outcome("test_x", "skipped", "does not apply: no")], Level.UNTESTED),
        ([Outcome("test_it_delivers_every_step_once", "failed", "no")], Level.FAILING),
        ([Outcome("test_x", "passed"), Outcome("test_it_delivers_every_step_once", "failed", "no")], Level.FAILING),
        ([Outcome("test_x", "passed"), Outcome("test_an_outage_loses_nothing[HTTP 503]", "failed")], Level.ALPHA),
        ([Outcome("test_x", "passed"), Outcome("test_y", "skipped", "Skipped: not shown: its key")], Level.BETA),
        ([Outcome("test_x", "passed"), Outcome("test_y", "skipped", "Skipped: does not apply: a")], Level.STABLE),
    ],
)
def test_a_level_says_what_tests_show(outcomes: list[Outcome], level: Level) -> None:
    assert level_of(outcomes) is level


def test_every_inherited_test_has_a_subject() -> None:
    """And there is no subject for a test that is gone."""
    inherited = {
        name for kit in (ExporterConformance, ProcessorConformance) for name in vars(kit) if name.startswith("test_")
    }
    listed = [name for tests in SUBJECTS.values() for name in tests]

    assert sorted(listed) == sorted(inherited)
    assert subject_of("test_an_outage_loses_nothing[HTTP 503]") == "answers"
    assert subject_of("test_of_an_author") == "other"
