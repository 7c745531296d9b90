"""`nat spool` and `nat dead-letters`: what is on disk, without its content unless it is asked for."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nat.cli.main import cli
from nat.data_models.span import Span, SpanContext
from nat.observability.delivery.codec import encode, item_count
from nat.observability.delivery.dead_letters import DeadLetters
from nat.observability.delivery.spool import Spool, exporter_directory

_TRACE = 0x0AF7651916CD43DD8448EB211C80319C
_AT = 1_769_860_862.0  # 31 January 2026, 12:01:02 UTC


def nat(*arguments: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)), prog_name="nat")


def a_letter(directory: Path, exporter: str = "prod", *, trace_id: int | None = _TRACE, now: float = _AT) -> str:
    span = Span(name="call", context=SpanContext(trace_id=_TRACE, span_id=7), start_time=5, end_time=6)
    span.set_attribute("input.value", "geheim")
    record = encode([span, {"plain": 1}], exporter=exporter, trace_id=trace_id, accepted_at=_AT - 5, count=2)
    letters = DeadLetters(directory, max_bytes=2**20)
    return letters.add(record, reason="HTTP 400", answer="geheim is no input", exporter=exporter, now=now)


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[Path]:
    """A process that runs has two records of `a/b`; one that is gone has left one of `prod`, and damage."""
    records = [encode(n, exporter="a/b", trace_id=None, accepted_at=_AT, count=3) for n in (1, 2)]
    settings = {"max_bytes": 2**20, "items_of": item_count, "clock": lambda: _AT}
    running = Spool(exporter_directory(tmp_path, "a/b"), **settings)  # type: ignore[arg-type]
    running.append(records)
    gone = Spool(exporter_directory(tmp_path, "prod"), **settings)  # type: ignore[arg-type]
    gone.append(records[:1])
    gone.close()
    (tmp_path / "prod" / "corrupt").mkdir()
    (tmp_path / "prod" / "corrupt" / "1.bin").touch()
    yield tmp_path
    running.close()


def test_the_spool_is_listed_by_exporter_and_process(spools: Path) -> None:
    result = nat("spool", "status", "--directory", spools)

    assert result.output.splitlines() == [
        "exporter  process  records  items  size   oldest",
        "a/b       running  2        6      196 B  2026-01-31 12:01:02 UTC",
        "prod      gone     1        3      98 B   2026-01-31 12:01:02 UTC",
        f"prod: 1 damaged records are set aside in {spools / 'prod' / 'corrupt'}.",
    ]


def test_the_spool_can_be_read_by_programs(spools: Path) -> None:
    result = json.loads(nat("spool", "status", "--directory", spools, "--exporter", "prod", "--json").output)

    (process,) = result["processes"]
    del process["process"]
    assert process == {"exporter": "prod", "is_live": False, "records": 1, "items": 3, "bytes": 98, "oldest_at": _AT}
    assert result["corrupt"] == {"prod": 1}


def test_nothing_on_disk_is_no_error(tmp_path: Path) -> None:
    assert nat("spool", "status", "--directory", tmp_path).output == f"Nothing waits in {tmp_path}.\n"
    assert nat("dead-letters", "list", "--directory", tmp_path).output == f"No dead letters in {tmp_path}.\n"
    assert nat("dead-letters", "drop", "--all", "--directory", tmp_path).output == "0 dead letters dropped.\n"
    assert "does not exist" in nat("dead_letters", "list", "--directory", tmp_path / "nowhere").output


def test_letters_are_listed_without_content(tmp_path: Path) -> None:
    letter = a_letter(tmp_path)

    result = nat("dead-letters", "list", "--directory", tmp_path)

    heading, row = result.output.splitlines()
    assert heading.split() == ["id", "exporter", "run", "refused", "items", "size", "reason"]
    assert row.startswith(f"{letter}  prod      {_TRACE:032x}  2026-01-31 12:01:02 UTC  2      ")
    assert row.endswith("  HTTP 400")
    assert "geheim" not in result.output
    assert "geheim" not in nat("dead-letters", "list", "--directory", tmp_path, "--json").output


def test_letters_are_filtered(tmp_path: Path) -> None:
    old = a_letter(tmp_path)
    new = a_letter(tmp_path, now=time.time())
    other = a_letter(tmp_path, "other", trace_id=None)

    def found(*filters: str) -> list[str]:
        result = nat("dead-letters", "list", "--directory", tmp_path, "--json", *filters)
        return [letter["id"] for letter in json.loads(result.output)]

    assert found() == [other, old, new]
    assert found("--exporter", "prod") == [old, new]
    assert found("--run", "0af7") == [old, new]
    assert found("--older-than", "1h", "--exporter", "prod") == [old]


def test_a_letter_is_shown_with_its_content_only_when_asked(tmp_path: Path) -> None:
    letter = a_letter(tmp_path)

    short = nat("dead-letters", "show", letter, "--directory", tmp_path)
    long = nat("dead-letters", "show", letter, "--directory", tmp_path, "--content")
    fields = json.loads(nat("dead-letters", "show", letter, "--directory", tmp_path, "--content", "--json").output)

    lines = short.output.splitlines()
    assert lines[0] == f"id        {letter}"
    assert [line.split()[0] for line in lines] == [
        *("id", "exporter", "run", "accepted", "refused", "items", "size", "reason")
    ]
    assert "geheim" not in short.output
    assert "answer    geheim is no input" in long.output
    assert '"input.value": "geheim"' in long.output
    assert fields["value"][0]["trace_id"] == fields["trace_id"] == f"{_TRACE:032x}"
    assert fields["value"][1] == {"plain": 1}


def test_a_letter_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    letter = a_letter(tmp_path)

    for command in ("show", "drop"):
        result = nat("dead-letters", command, "prod/x", "--directory", tmp_path)
        assert result.exit_code == 1
        assert result.output == "Error: no dead letter 'prod/x' fits; `nat dead-letters list` lists them.\n"
    assert nat("dead-letters", "show", letter, "--directory", tmp_path).exit_code == 0


def test_content_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, max_bytes=2**20)
    letter = letters.add(b"anything", reason="damaged", answer=None, exporter="prod", now=_AT)

    result = nat("dead-letters", "show", letter, "--directory", tmp_path, "--content")

    assert (result.exit_code, result.output) == (1, f"Error: {letter}: not a record: its first line is no header.\n")


def test_dropping_wants_to_know_which(tmp_path: Path) -> None:
    a_letter(tmp_path)

    result = nat("dead-letters", "drop", "--directory", tmp_path)

    assert result.exit_code == 2
    assert "nothing says which; name letters, or give --exporter, --run, --older_than or --all." in result.output
    assert len(list(tmp_path.glob("*/*"))) == 1


def test_letters_are_dropped_by_id_and_filter_and_a_dry_run_drops_none(tmp_path: Path) -> None:
    letters = [a_letter(tmp_path), a_letter(tmp_path), a_letter(tmp_path, "other")]

    dry = nat("dead-letters", "drop", "--exporter", "prod", "--dry-run", "--directory", tmp_path)
    assert dry.output.splitlines()[-1] == "2 dead letters would be dropped."
    assert len(dry.output.splitlines()) == 4
    assert len(list(tmp_path.glob("*/*"))) == 3

    assert nat("dead-letters", "drop", letters[0], "--directory", tmp_path).output == "1 dead letters dropped.\n"
    dropped = json.loads(nat("dead-letters", "drop", "--exporter", "prod", "--json", "--directory", tmp_path).output)
    assert ([letter["id"] for letter in dropped["chosen"]], dropped["dropped"]) == ([letters[1]], 1)
    assert [path.parent.name for path in tmp_path.glob("*/*")] == ["other"]


@pytest.mark.parametrize(
    ("text", "is_age"), [("90", True), ("1.5h", True), ("7d", True), ("soon", False), ("-1", False)]
)
def test_ages_have_units(tmp_path: Path, text: str, is_age: bool) -> None:
    result = nat("dead-letters", "list", "--directory", tmp_path, "--older_than", text)

    assert result.exit_code == (0 if is_age else 2)
    assert ("is no age; expected seconds, or a number with s, m, h or d" in result.output) is not is_age


WORKFLOW = """
general:
  telemetry:
    delivery: {dead_letters: {directory: letters}}
    tracing:
      one: {_type: console, delivery: {spool: {directory: spool}}}
      two: {_type: console, delivery: {dead_letters: {directory: others}}}
      three: {_type: console}
"""


def test_the_place_is_the_default_one_or_that_of_a_workflow_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All directories that the file's exporters use, each once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    Path("workflow.yaml").write_text(WORKFLOW)
    usual = a_letter(tmp_path / "state/nat/dead-letters")
    first, second = a_letter(tmp_path / "letters", "one"), a_letter(tmp_path / "others", "two")
    spool = Spool(exporter_directory(tmp_path / "spool", "one"), max_bytes=2**20)
    spool.append([b"anything"])
    spool.close()

    def found(*arguments: str) -> list[str]:
        return [each["id"] for each in json.loads(nat("dead-letters", "list", "--json", *arguments).output)]

    assert found() == [usual]
    assert found("--config_file", "workflow.yaml") == [first, second]
    assert nat("dead-letters", "show", second, "--config_file", "workflow.yaml").exit_code == 0
    dropped = nat("dead-letters", "drop", "--exporter", "two", "--config_file", "workflow.yaml")
    assert dropped.output == "1 dead letters dropped.\n"
    assert found("--config_file", "workflow.yaml") == [first]
    waiting = json.loads(nat("spool", "status", "--config_file", "workflow.yaml", "--json").output)
    assert [each["exporter"] for each in waiting["processes"]] == ["one"]
    assert nat("spool", "status").output == f"Nothing waits in {tmp_path / 'state/nat/spool'}.\n"


@pytest.mark.parametrize("command", [("dead-letters", "list"), ("dead-letters", "show", "x"), ("spool", "status")])
def test_two_places_are_one_too_many(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = nat(*command, "--directory", tmp_path, "--config_file", "workflow.yaml")

    assert result.exit_code == 2
    assert "expected --directory or --config_file, not both: either says where to look" in result.output


def test_a_file_without_exporters_says_no_place(tmp_path: Path) -> None:
    (tmp_path / "workflow.yaml").write_text("general: {}")

    result = nat("dead-letters", "list", "--config_file", tmp_path / "workflow.yaml")

    assert result.exit_code == 2
    assert result.output.endswith("workflow.yaml: configures no exporter under general.telemetry.tracing.\n")
