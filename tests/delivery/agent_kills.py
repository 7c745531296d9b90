"""Rounds of `kill -9`: agents whose spans are in a spool, killed at random moments, and what their backends have in the end."""

import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nat.observability.delivery.spool import exporter_directory, survey
from tests.delivery.spooling_agents import CONCURRENCY, spans_of
from tests.support.fault_backend import FaultBackend, answer, running_fault_backend

__all__ = ["kill_one_of_two", "kill_while_backends_are_down", "kill_while_sending"]

_ROOT = Path(__file__).resolve().parents[2]
_LONGEST_LIFE_S = 0.8

Backends = dict[str, FaultBackend]
Process = subprocess.Popen[str]


class _Life:
    """What a process has said before it was killed."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.spooled: dict[str, int] = {}

    def heard(self, line: str) -> None:
        match line.split():
            case ["ended", run]:
                self.ended.append(run)
            case ["spooled", exporter, count]:
                self.spooled[exporter] = int(count)


def kill_while_sending(directory: Path, lives: int) -> None:
    """Kill a program that many times, each life with what the former ones have left; then let it send the rest."""
    with _backends() as backends:
        ended = [run for _ in range(lives) for run in _killed(directory, backends).ended]

        _assert_rest_is_sent(directory, backends)
        _assert_everything_came(backends, ended, kills=lives)


def kill_while_backends_are_down(directory: Path) -> None:
    """Nothing is taken in the first life; in the second one everything.

    A request that was on its way at the kill may reach its backend when that has recovered, and be taken there.
    """
    with _backends() as backends:
        for backend in backends.values():
            backend.from_now_on(answer(503))
        life = _killed(directory, backends)
        on_disk = {name: _items_on_disk(directory, name) for name in backends}
        for backend in backends.values():
            backend.recover()

        sent = _assert_rest_is_sent(directory, backends)

        assert sent == on_disk
        assert all(sent[name] >= count for name, count in life.spooled.items())
        _assert_everything_came(backends, life.ended, kills=1)


def kill_one_of_two(directory: Path) -> None:
    """A process that shares the directory lives on, and delivers what the killed one has left."""
    with _backends() as backends, _process("take_over", directory, backends) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        ended = _killed(directory, backends).ended
        expected = {name for run in ended for name in spans_of(run)}
        for backend in backends.values():
            backend.wait_for_names(expected)
        other.communicate("", timeout=180)

        assert other.returncode == 0
        _assert_rest_is_sent(directory, backends)  # what it had not looked for yet: of runs that had not ended
        _assert_everything_came(backends, ended, kills=1)


# -- small parts -----------------------------------------------------------------------------------------------------------


@contextmanager
def _backends() -> Iterator[Backends]:
    with running_fault_backend() as items, running_fault_backend() as lists:
        yield {"items": items, "lists": lists}


@contextmanager
def _process(function: str, directory: Path, backends: Backends) -> Iterator[Process]:
    urls = [backends["items"].url, backends["lists"].url]
    command = [sys.executable, "-m", "tests.delivery.spooling_agents", function, str(directory), *urls]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def _killed(directory: Path, backends: Backends) -> _Life:
    """One life of the program, which ends at a random moment."""
    life = _Life()
    with _process("work", directory, backends) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        end = threading.Timer(random.uniform(0.0, _LONGEST_LIFE_S), process.kill)
        end.start()
        for line in process.stdout:
            life.heard(line)
        end.join()
    return life


def _assert_rest_is_sent(directory: Path, backends: Backends) -> dict[str, int]:
    """The next life finds everything that is on disk, and delivers it; how many items, by exporter."""
    on_disk = {name: _items_on_disk(directory, name) for name in backends}
    with _process("send_rest", directory, backends) as process:
        output, _ = process.communicate(timeout=180)
    said = {words[1]: [int(word) for word in words[2:]] for words in map(str.split, output.splitlines())}
    sent = {}
    for name, (recovered, delivered, lost, spooled, pending) in said.items():
        assert (recovered, delivered, lost, spooled, pending) == (on_disk[name], on_disk[name], 0, 0, 0)
        assert _items_on_disk(directory, name) == 0
        sent[name] = delivered
    assert set(sent) == set(backends), output
    return sent


def _assert_everything_came(backends: Backends, ended: list[str], kills: int) -> None:
    """Every span of every run that has ended; what came twice is the same span, and was on its way at a kill.

    An acknowledgement is on disk one turn of the event loop after the backend's answer, and before the next answer is read. So
    of each attempt that is made at a kill, the record before it may come again as well.
    """
    expected = {name for run in ended for name in spans_of(run)}
    for name, backend in backends.items():
        ids = _ids_by_name(backend)
        assert expected <= set(ids), f"{len(expected - set(ids))} of {len(expected)} spans did not come"
        assert all(len(found) == 1 for found in ids.values()), "a span came again with another id"
        assert _repeated_requests(backend) <= 2 * CONCURRENCY[name] * kills


def _ids_by_name(backend: FaultBackend) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for arrival in backend.arrivals:
        if arrival.answer.status == 200:
            for name, span_id in zip(arrival.names, arrival.span_ids, strict=True):
                found.setdefault(name, set()).add(span_id)
    return found


def _repeated_requests(backend: FaultBackend) -> int:
    """How many requests that were taken held a span that had been taken before."""
    seen: Counter[str] = Counter()
    repeated = 0
    for arrival in backend.arrivals:
        if arrival.answer.status == 200:
            repeated += any(seen[span_id] for span_id in arrival.span_ids)
            seen.update(arrival.span_ids)
    return repeated


def _items_on_disk(directory: Path, exporter: str) -> int:
    return sum(owner.items for owner in survey(exporter_directory(directory, exporter)))
