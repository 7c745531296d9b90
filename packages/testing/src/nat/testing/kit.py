"""The kit: its version, its tests by subject, and what passing them is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

__all__ = ["DOES_NOT_APPLY", "KIT_VERSION", "NOT_SHOWN", "SUBJECTS", "Level", "Outcome", "level_of", "subject_of"]

KIT_VERSION = "1.0"
"""Of the tests to inherit. The first number changes when exporters that passed may fail, the second when tests are added."""

DOES_NOT_APPLY = "does not apply: "
NOT_SHOWN = "not shown: "
"""How the reasons of skipped tests begin: there is nothing to test, or the test class has not said how."""

SUBJECTS: Mapping[str, Sequence[str]] = {
    "delivery": (
        "test_it_delivers_every_step_once",
        "test_it_works_from_a_workflow_file",
        "test_it_delivers_all_recorded_runs",
        "test_closing_delivers_what_waits",
        "test_odd_objects_take_nothing_along",
        "test_what_a_step_holds_arrives",
        "test_when_and_how_a_step_ended_arrives",
        "test_every_item_meets_its_fate",
        "test_items_keep_their_identity",
        "test_what_it_gives_can_be_sent",
    ),
    "life": (
        "test_a_second_run_works_like_the_first",
        "test_it_is_cleaned_up_once",
        "test_it_starts_once_and_stops_any_number_of_times",
        "test_an_exporter_that_never_started_can_be_stopped",
        "test_it_can_be_built_again",
        "test_a_second_life_works_like_the_first",
        "test_a_healthy_life_is_quiet",
        "test_it_closes_what_it_has_opened",
        "test_it_ends_what_it_has_begun",
        "test_it_leaves_no_thread_behind",
    ),
    "answers": (
        "test_an_outage_loses_nothing",
        "test_a_second_attempt_sends_the_same",
        "test_a_call_ends_when_its_time_is_over",
        "test_it_waits_as_long_as_the_backend_says",
        "test_a_final_answer_is_not_asked_for_again",
        "test_what_is_too_large_is_sent_in_parts",
        "test_one_item_that_is_too_large_takes_no_other_along",
        "test_a_partial_success_counts_what_was_refused",
        "test_a_partial_success_that_refuses_nothing_is_a_success",
        "test_what_only_looks_like_a_success_is_none",
        "test_closing_keeps_its_deadline",
    ),
    "isolation": (
        "test_runs_on_many_threads_do_not_mix",
        "test_runs_on_one_event_loop_do_not_mix",
        "test_a_run_knows_nothing_of_the_one_before",
        "test_it_keeps_nothing_of_runs_that_have_ended",
        "test_its_copies_share_no_state",
        "test_two_of_them_do_not_disturb_each_other",
        "test_other_exporters_get_what_happened",
        "test_it_changes_a_copy",
        "test_an_exporter_beside_gets_everything",
    ),
    "secrets": (
        "test_its_key_is_shown_nowhere",
        "test_a_wrong_setting_is_told_without_the_key",
        "test_a_secret_in_content_does_not_leave",
        "test_what_a_processor_removes_does_not_leave",
        "test_a_failing_processor_lets_nothing_out",
        "test_what_it_removes_does_not_pass",
    ),
    "process": (
        "test_it_changes_nothing_that_belongs_to_the_program",
        "test_its_event_loop_goes_on_while_the_backend_thinks",
        "test_it_waits_for_nothing_on_its_event_loop",
        "test_a_forked_process_delivers_its_own",
        "test_being_listed_loads_nothing_heavy",
        "test_a_setting_that_it_does_not_know_is_an_error",
    ),
}
"""Which tests are about what."""


class Level(StrEnum):
    """What an exporter or processor is worth by its tests, from least to most."""

    UNTESTED = "untested"
    FAILING = "failing"
    ALPHA = "alpha"
    BETA = "beta"
    STABLE = "stable"

    def __ge__(self, other: str) -> bool:
        levels = list(Level)
        return levels.index(self) >= levels.index(Level(other))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test ended; `message` says why it failed or was skipped."""

    test: str
    result: Literal["passed", "failed", "skipped"]
    message: str = ""

    @property
    def is_unshown(self) -> bool:
        """Whether it was left out although there is something to test."""
        return self.result == "skipped" and NOT_SHOWN in self.message


def subject_of(test: str) -> str:
    """What a test is about; `other` for one that an author has added."""
    name = test.partition("[")[0]
    return next((subject for subject, tests in SUBJECTS.items() if name in tests), "other")


def level_of(outcomes: Sequence[Outcome]) -> Level:
    """The level that these outcomes are: one delivery that fails makes it failing."""
    failed = [outcome for outcome in outcomes if outcome.result == "failed"]
    if not any(outcome.result == "passed" for outcome in outcomes):
        return Level.FAILING if failed else Level.UNTESTED
    if any(subject_of(outcome.test) == "delivery" for outcome in failed):
        return Level.FAILING
    if failed:
        return Level.ALPHA
    return Level.BETA if any(outcome.is_unshown for outcome in outcomes) else Level.STABLE
