"""`nat spool send`: what a killed process has left arrives, once; what a running one has is not touched."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.sending import Workplace, workplace
from tests.support.fault_backend import HANGS, OK, FaultBackend, answer, running_fault_backend

SEND = ("spool", "send", "--config_file", "workflow.yaml")
SPOOLS = {"spool": {"wait": "run"}, "retry": {"initial_interval": 0.05}}


@pytest.fixture
def backend() -> Iterator[FaultBackend]:
    with running_fault_backend() as backend:
        yield backend


@pytest.fixture
def place(tmp_path: Path, backend: FaultBackend) -> Iterator[Workplace]:
    """Two exporters with a spool, `prod` and `other`, and one without."""
    without = {"_type": "test_sender", "url": backend.url, "delivery": {"spool": False}}
    with workplace(tmp_path) as place:
        place.write({"prod": backend.url, "other": backend.url, "without": without}, SPOOLS)
        yield place


def leave_two_items(place: Workplace, backend: FaultBackend) -> None:
    """One run of a process that is killed: an item of each exporter with a spool."""
    backend.from_now_on(HANGS)
    with place.process_at_work():
        backend.wait_for(3)  # what is in flight at the kill does not arrive later
    backend.from_now_on(OK)


def test_what_a_killed_process_has_left_arrives(place: Workplace, backend: FaultBackend) -> None:
    leave_two_items(place, backend)
    before = len(backend.arrivals)

    sent = place.nat_process(*SEND)

    ids = [span_id for arrival in backend.arrivals[before:] for span_id in arrival.span_ids]
    assert Counter(ids) == {ids[0]: 2}  # one span, for each exporter once
    assert (sent.stdout, sent.stderr.splitlines()) == (
        "",
        [
            "exporter  type         delivered  lost  left",
            "prod      test_sender          1     0     0",
            "other     test_sender          1     0     0",
        ],
    )
    assert place.nat(*SEND).stdout == f"Nothing waits in {place.folder / 'state/nat/spool'}.\n"


def test_an_outage_ends_it_and_the_rest_is_left(place: Workplace, backend: FaultBackend) -> None:
    leave_two_items(place, backend)
    backend.from_now_on(answer(503))

    sent = place.nat(*SEND, "--exporter", "prod", "--timeout", "0.5", "--json", code=1)

    assert json.loads(sent.stdout) == {
        "exporters": [
            {
                "exporter": "prod", "type": "test_sender", "left": 1, "delivered": 0, "dead_lettered": 0, "lost": {},
                "disabled": None,
            }
        ],
        "running": 0,
    }  # fmt: skip
    assert "Nothing got through for 0.5 s: gave up." in sent.stderr
    backend.recover()
    assert "prod      test_sender          1     0     0" in place.nat(*SEND).stderr


def test_what_is_refused_is_said(place: Workplace, backend: FaultBackend) -> None:
    """Nothing is left then, in the spool."""
    leave_two_items(place, backend)
    backend.from_now_on(answer(400))
    keeps = ("--override", "general.telemetry.tracing.prod.delivery.dead_letters", "true")

    sent = place.nat(*SEND, *keeps)

    assert [line.split() for line in sent.stderr.splitlines()[-2:]] == [
        ["prod", "test_sender", "0", "0", "0", "1", "kept", "as", "dead", "letters"],
        ["other", "test_sender", "0", "1", "0", "1", "rejected"],
    ]
    assert len(place.letters) == 1


def test_a_running_process_keeps_what_it_has(place: Workplace, backend: FaultBackend) -> None:
    backend.from_now_on(HANGS)
    with place.process_at_work():
        backend.wait_for(3)

        sent = place.nat(*SEND)
        dry = json.loads(place.nat(*SEND, "--dry_run", "--json").stdout)

        assert len(backend.arrivals) == 3
    assert sent.stdout.startswith("Nothing waits in ")
    assert sent.stderr == "2 items of running processes are not touched: they are on their way there.\n"
    assert dry == {"exporters": [], "running": 2}


def test_a_dry_run_changes_nothing(place: Workplace, backend: FaultBackend) -> None:
    leave_two_items(place, backend)
    arrived = len(backend.arrivals)

    dry = place.nat(*SEND, "--dry_run").stdout.splitlines()

    assert [line.split()[:4] for line in dry[1:-1]] == [["prod", "gone", "1", "1"], ["other", "gone", "1", "1"]]
    assert dry[-1] == "2 items would be sent."
    assert len(backend.arrivals) == arrived
    assert place.nat("spool", "status").stdout.count(" gone ") == 2


def test_ctrl_c_stops_it_and_what_was_not_delivered_stays(place: Workplace, backend: FaultBackend) -> None:
    leave_two_items(place, backend)
    arrived = len(backend.arrivals)
    backend.from_now_on(HANGS)

    sending = place.start(*SEND)
    backend.wait_for(arrived + 2)
    sending.send_signal(signal.SIGINT)
    _, stderr = sending.communicate(timeout=180)

    assert sending.returncode == 130, stderr
    assert "Interrupted." in stderr
    backend.recover()
    place.nat(*SEND)
    assert len(backend.arrivals) == arrived + 4


def test_exporters_without_a_spool_are_refused(place: Workplace) -> None:
    unknown = place.nat(*SEND, "--exporter", "x", code=2)
    without = place.nat(*SEND, "--exporter", "without", code=2)

    assert unknown.stderr == "Error: workflow.yaml: no exporter 'x' is configured; known: prod, other, without.\n"
    assert without.stderr == (
        "Error: workflow.yaml: 'without' has no spool; set delivery.spool, or give --directory.\n"
    )


def test_a_directory_can_be_given(place: Workplace, backend: FaultBackend) -> None:
    """Then that is where everything is looked for, also of exporters that have no spool by now."""
    leave_two_items(place, backend)
    moved = place.folder / "moved"
    (place.folder / "state/nat/spool").rename(moved)
    (moved / "prod").rename(moved / "without")

    sent = place.nat(*SEND, "--directory", "moved")

    assert [line.split()[0] for line in sent.stderr.splitlines()[1:]] == ["other", "without"]
    assert place.nat("spool", "status", "--directory", "moved").stdout == "Nothing waits in moved.\n"
