"""Recorded runs of real agents: what redaction finds in them is what it is for."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from nat.observability.redaction.redactor import Redactor
from nat.observability.redaction.rules import Rules
from tests.support.chats import recorded_chats

MOST_FALSE_HITS = 0.001  # of all values


def leaves(value: Any) -> Iterator[Any]:
    """Every value within a value, also in JSON texts."""
    if isinstance(value, str):
        yield value
        try:
            inner = json.loads(value)
        except ValueError:
            return
        if isinstance(inner, dict | list):
            yield from leaves(inner)
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def findings(redactor: Redactor, value: Any) -> Iterator[tuple[str, str]]:
    """What is redacted of a value, with what it was."""
    redacted = redactor.value(value)
    before, after = list(leaves(value)), list(leaves(redacted))
    if len(before) == len(after):
        yield from ((str(old), str(new)) for old, new in zip(before, after, strict=True) if old != new)
    else:
        yield str(value), str(redacted)


def test_false_hits_on_recorded_runs_are_rare(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is taken for a secret; with `pii`, only addresses and dates of birth are taken for personal data."""
    messages = [value for run in recorded_chats() for step in run.steps for value in (step.input, step.output)]
    value_count = sum(1 for message in messages for _ in leaves(message))

    for_secrets, for_pii = Redactor(Rules()), Redactor(Rules(profile="pii"))
    secrets = [found for message in messages for found in findings(for_secrets, message)]
    personal = [found for message in messages for found in findings(for_pii, message)]

    kinds = Counter(mark for _, new in personal for mark in ("email", "personal") if f"[REDACTED:{mark}]" in new)
    others = [old for old, new in personal if "[REDACTED:email]" not in new and "[REDACTED:personal]" not in new]
    with capsys.disabled():
        print(f"\n{value_count} values; false hits: secrets {len(secrets)}, pii {len(others)}; found: {dict(kinds)}")
    assert value_count > 10_000
    assert len(secrets) <= MOST_FALSE_HITS * value_count
    assert len(others) <= MOST_FALSE_HITS * value_count
    assert kinds["personal"] > 0
