"""`nat dead-letters replay`: delivered letters go, all others stay, and it always ends."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat.data_models.span import Span, SpanContext
from nat.observability.delivery.codec import encode
from nat.observability.delivery.dead_letters import DeadLetters
from tests.cli.sending import Workplace, workplace
from tests.support.fault_backend import (
    HANGS,
    Answer,
    FaultBackend,
    answer,
    closed_port,
    retry_later,
    running_fault_backend,
)

REPLAY = ("dead-letters", "replay", "--config_file", "workflow.yaml")
KEEPS = {"dead_letters": True}


@pytest.fixture
def backend() -> Iterator[FaultBackend]:
    with running_fault_backend() as backend:
        yield backend


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    with workplace(tmp_path) as place:
        yield place


def letter(
    place: Workplace, name: str, *, exporter: str = "prod", at: float = 1.0, directory: str | None = None
) -> str:
    """A letter in the usual place, of a span whose ids begin with its name's hex."""
    number = int(name, 16)
    span = Span(name=name, context=SpanContext(trace_id=number << 120, span_id=number), start_time=1, end_time=2)
    span.set_attribute("input.value", "canary-payload")
    record = encode(span, exporter=exporter, trace_id=number << 120, accepted_at=at, count=1)
    folder = place.folder / (directory or "state/nat/dead-letters")
    letters = DeadLetters(folder, max_bytes=2**20)
    return letters.add(record, reason="HTTP 400", answer="canary-payload is wrong", exporter=exporter, now=at)


def ids_left(place: Workplace) -> list[str]:
    return [f"{path.parent.name}/{path.stem}" for path in place.letters]


def test_what_was_refused_arrives_once_the_backend_is_mended(place: Workplace, backend: FaultBackend) -> None:
    """One attempt for each span, one message; sent again with the same ids, and gone."""
    place.write({"prod": backend.url}, KEEPS)
    backend.from_now_on(answer(400))

    run = place.nat_process("run", "--config_file", "workflow.yaml", "--input", "why?")

    refused = backend.attempts()
    assert sorted(refused.values()) == [1, 1]
    assert run.stderr.count("export failed (ClientResponseError: HTTP 400 from ") == 1
    assert len(place.letters) == 2

    backend.recover()
    replay = place.nat_process(*REPLAY, "--all")

    assert backend.taken == refused
    assert place.letters == []
    assert (replay.stdout, replay.stderr.splitlines()) == (
        "",
        ["exporter  delivered  refused  left", "prod              2        0     0"],
    )


def test_a_backend_that_still_refuses_leaves_everything(place: Workplace, backend: FaultBackend) -> None:
    """One attempt each, the reason, exit code 1."""
    place.write({"prod": backend.url}, KEEPS)
    good, bad, worse = letter(place, "a1"), letter(place, "b1", at=2.0), letter(place, "b2", at=3.0)
    backend.plan(answer(200))
    backend.from_now_on(answer(400))

    replay = place.nat(*REPLAY, "--all", "--override", "general.telemetry.delivery.concurrency", "1", code=1)
    backend.plan(answer(400))
    again = json.loads(place.nat(*REPLAY, bad, "--json", code=1).stdout)

    why = (
        f"export failed (ClientResponseError: HTTP 400 from {backend.url.removesuffix('/v1/spans')}) after 1 attempt(s)"
    )
    assert ids_left(place) == [bad, worse]
    assert good not in ids_left(place)
    assert len(backend.arrivals) == 4
    assert replay.stderr.splitlines()[-2:] == [
        "exporter  delivered  refused  left",
        f"prod              1        2     0  {why} (2 letters)",
    ]
    assert [(each["id"], each["outcome"], each["why"]) for each in again["chosen"]] == [(bad, "refused", why)]
    assert {key: again[key] for key in ("delivered", "refused", "left", "gone")} == {
        "delivered": 0, "refused": 1, "left": 0, "gone": 0,
    }  # fmt: skip


@pytest.mark.parametrize("fault", [HANGS, answer(503), retry_later(429, 60)], ids=["hangs", "503", "a minute"])
def test_an_outage_ends_it_and_nothing_is_lost(place: Workplace, backend: FaultBackend, fault: Answer) -> None:
    place.write({"prod": backend.url}, KEEPS)
    ids = [letter(place, name, at=at) for at, name in enumerate(("a1", "b1"))]
    backend.from_now_on(fault)

    began = time.monotonic()
    replay = place.nat(*REPLAY, "--all", "--timeout", "0.5", code=1)

    assert time.monotonic() - began < 50
    assert "Nothing got through for 0.5 s: gave up." in replay.stderr
    assert replay.stderr.splitlines()[-1].split() == ["prod", "0", "0", "2"]
    assert "at the next start" not in replay.stderr
    assert ids_left(place) == ids


def test_ctrl_c_stops_it_and_what_was_not_delivered_stays(place: Workplace, backend: FaultBackend) -> None:
    place.write({"prod": backend.url}, KEEPS)
    sent, held = letter(place, "a1"), letter(place, "b1", at=2.0)
    backend.plan(answer(200))
    backend.from_now_on(HANGS)

    replay = place.start(*REPLAY, "--all", "--override", "general.telemetry.delivery.concurrency", "1")
    backend.wait_for(2)
    replay.send_signal(signal.SIGINT)
    stdout, stderr = replay.communicate(timeout=180)

    assert (replay.returncode, stdout) == (130, "")
    assert stderr.splitlines()[-3] == "Interrupted."
    assert stderr.splitlines()[-1].split() == ["prod", "1", "0", "1"]
    assert ids_left(place) == [held]
    assert sent not in ids_left(place)


def test_a_dry_run_changes_nothing(place: Workplace, backend: FaultBackend) -> None:
    place.write({"prod": backend.url}, KEEPS)
    ids = [letter(place, "a1"), letter(place, "b1", at=2.0)]

    shown = place.nat(*REPLAY, "--all", "--dry_run")
    as_json = json.loads(place.nat(*REPLAY, "--all", "--dry_run", "--json").stdout)

    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["id", *ids, "2"]
    assert shown.stdout.endswith("2 dead letters would be sent.\n")
    assert [each["id"] for each in as_json["chosen"]] == ids
    assert ids_left(place) == ids
    assert backend.arrivals == []


def test_only_what_is_chosen_is_sent(place: Workplace, backend: FaultBackend) -> None:
    """By exporter, by run, by age, by id; each choice sends one letter."""
    place.write({"prod": backend.url, "other": backend.url}, KEEPS)
    new = time.time()
    other = letter(place, "a1", exporter="other", at=new)
    by_run, by_age, by_id = letter(place, "b1", at=new), letter(place, "c1"), letter(place, "d1", at=new)
    rest = letter(place, "e1", at=new)

    for name, filters, is_left in (
        ("a1", ["--exporter", "other"], [by_age, by_run, by_id, rest]),
        ("b1", ["--run", "B1"], [by_age, by_id, rest]),
        ("c1", ["--older_than", "1h"], [by_id, rest]),
        ("d1", [by_id], [rest]),
    ):
        place.nat(*REPLAY, *filters)
        assert backend.arrivals[-1].names == [name]
        assert sorted(ids_left(place)) == sorted(is_left)

    assert len(backend.arrivals) == 4
    assert other not in ids_left(place)


def test_a_choice_is_required_and_what_is_named_must_be_there(place: Workplace, backend: FaultBackend) -> None:
    place.write({"prod": backend.url}, KEEPS)
    letter(place, "a1")

    unsaid = place.nat(*REPLAY, code=2)
    unknown = place.nat(*REPLAY, "prod/x", code=1)
    none = place.nat(*REPLAY, "--exporter", "prod", "--run", "ff")

    assert "nothing says which; name letters, or give --exporter, --run, --older_than or --all." in unsaid.stderr
    assert unknown.stderr == "Error: no dead letter 'prod/x' fits; `nat dead-letters list` lists them.\n"
    assert none.stdout == f"No dead letters that fit in {place.folder / 'state/nat/dead-letters'}.\n"
    assert backend.arrivals == []


def test_letters_of_an_exporter_that_is_not_configured_are_named(place: Workplace, backend: FaultBackend) -> None:
    """The others are sent all the same; the exit code says that something is left."""
    place.write({"prod": backend.url}, KEEPS)
    letter(place, "a1")
    strange = letter(place, "b1", exporter="old")

    replay = place.nat(*REPLAY, "--all", code=1)

    assert replay.stderr.splitlines() == [
        "Error: 1 dead letters of 'old' stay: workflow.yaml has no exporter of that name that is enabled.",
        "exporter  delivered  refused  left",
        "old               0        0     1  workflow.yaml has no exporter of that name that is enabled",
        "prod              1        0     0",
    ]
    assert ids_left(place) == [strange]


def test_an_exporter_that_cannot_start_is_named(place: Workplace, backend: FaultBackend) -> None:
    """Although it is required, the others send."""
    (place.folder / "broken.py").write_text(
        "from nat.cli.register_workflow import register_telemetry_exporter\n"
        "from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig\n"
        "class Config(TelemetryExporterBaseConfig, name='test_broken'):\n"
        "    api_key: str\n"
        "@register_telemetry_exporter(config_type=Config)\n"
        "async def broken(config, builder):\n"
        "    raise ValueError(f'no account for {config.api_key}')\n"
        "    yield\n"
    )
    broken = {"_type": "test_broken", "api_key": "sk-canary", "required": True}
    place.write({"prod": backend.url, "broken": broken}, KEEPS, plugins=["./sender.py", "./broken.py"])
    letter(place, "a1")
    kept = letter(place, "b1", exporter="broken")

    replay = place.nat(*REPLAY, "--all", code=1)

    assert "broken            0        0     1  disabled: ValueError: no account for **********" in replay.stderr
    assert "sk-canary" not in replay.stderr
    assert ids_left(place) == [kept]
    assert backend.arrivals[0].names == ["a1"]


def test_the_place_is_the_exporters_own_unless_it_is_given(place: Workplace, backend: FaultBackend) -> None:
    """Also where letters are switched off by now; an exporter's letters elsewhere are named."""
    entry = {"_type": "test_sender", "url": backend.url}
    place.write(
        {
            "here": {**entry, "delivery": {"dead_letters": {"directory": "one"}}},
            "there": {**entry, "delivery": {"dead_letters": {"enabled": False, "directory": "two"}}},
            "prod": entry,
        }
    )
    letter(place, "a1", exporter="here", directory="one")
    letter(place, "b1", exporter="there", directory="two")
    letter(place, "c1")
    letter(place, "d1", exporter="there", directory="one")
    letter(place, "e1", exporter="there", directory="three")
    one, two = place.folder / "one", place.folder / "two"

    replay = place.nat(*REPLAY, "--all", code=1)
    elsewhere = place.nat(*REPLAY, "--all", "--directory", "three")

    assert f"1 dead letters of 'there' stay: they are in {one}, and workflow.yaml says {two};" in replay.stderr
    assert sorted(name for arrival in backend.arrivals[:-1] for name in arrival.names) == ["a1", "b1", "c1"]
    assert backend.arrivals[-1].names == ["e1"]
    assert elsewhere.stderr.splitlines()[-1].split() == ["there", "1", "0", "0"]
    assert [path.parent.parent for path in place.folder.glob("*/*/*.letter")] == [one]


def test_a_spool_is_left_alone(place: Workplace, backend: FaultBackend) -> None:
    """What waits there is another command's business."""
    place.write({"prod": backend.url}, {**KEEPS, "spool": {"wait": "run"}})
    backend.from_now_on(HANGS)
    with place.process_at_work():
        pass
    arrived = len(backend.arrivals)
    backend.recover()
    letter(place, "a1")

    place.nat(*REPLAY, "--all")

    assert [name for arrival in backend.arrivals[arrived:] for name in arrival.names] == ["a1"]


def test_neither_payload_nor_key_is_shown(place: Workplace) -> None:
    """`--content` shows the payload, and nothing a key of the workflow file."""
    secret = "sk-canary-4711"
    url = closed_port().replace("http://", f"http://user:{secret}@")
    place.write({"prod": {"_type": "test_sender", "url": url}}, KEEPS)
    found = letter(place, "a1")
    place_options = ("--config_file", "workflow.yaml")

    said = [
        place.nat("dead-letters", "list", *place_options),
        place.nat("dead-letters", "list", "--json"),
        place.nat("dead-letters", "show", found, *place_options),
        place.nat("dead-letters", "show", found, "--json"),
        place.nat(*REPLAY, "--all", "--dry_run", "--json"),
        place.nat(*REPLAY, "--all", "--timeout", "0.2", code=1),
        place.nat(*REPLAY, "--all", "--timeout", "0.2", "--json", "--debug", code=1),
        place.nat("dead-letters", "drop", "--all", "--dry_run", "--json"),
    ]
    shown = place.nat("dead-letters", "show", found, "--content")

    assert all("canary" not in each.stdout + each.stderr for each in said)
    assert "canary-payload" in shown.stdout
    assert secret not in shown.stdout
