"""`kill -9` with a spool: what has ended is delivered, by the next life or by another process. For longer: tests/endurance."""

from pathlib import Path

from tests.delivery.agent_kills import kill_one_of_two, kill_while_backends_are_down, kill_while_sending


def test_no_kill_costs_a_span_of_a_run_that_had_ended(tmp_path: Path) -> None:
    kill_while_sending(tmp_path, lives=3)


def test_what_a_killed_process_could_not_send_is_sent_by_the_next_one(tmp_path: Path) -> None:
    kill_while_backends_are_down(tmp_path)


def test_a_process_that_lives_on_delivers_what_a_killed_one_has_left(tmp_path: Path) -> None:
    kill_one_of_two(tmp_path)
