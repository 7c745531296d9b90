"""Agents killed fifty times, or as often as we have time for: every span of every run that had ended is delivered."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.delivery.agent_kills import kill_one_of_two, kill_while_backends_are_down, kill_while_sending

_KILLS = 50


def kill_up_to_three_times(directory: Path) -> int:
    lives = random.choice((1, 1, 2, 3))
    kill_while_sending(directory, lives)
    return lives


def kill_in_an_outage(directory: Path) -> int:
    kill_while_backends_are_down(directory)
    return 1


def kill_a_neighbour(directory: Path) -> int:
    kill_one_of_two(directory)
    return 1


@pytest.mark.parametrize("kill", [kill_up_to_three_times, kill_in_an_outage, kill_a_neighbour])
def test_no_kill_costs_a_span_of_a_run_that_had_ended(
    tmp_path: Path, kill: Callable[[Path], int], seconds_per_test: float
) -> None:
    end = time.monotonic() + seconds_per_test
    kills = rounds = 0
    while kills < _KILLS and time.monotonic() < end:
        rounds += 1
        kills += kill(tmp_path / str(rounds))

    print(f"{kills} kills")
    assert kills > 0
