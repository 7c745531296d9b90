"""The same recorded runs in OpenInference, `gen_ai` 1.41 and `gen_ai` v0.1.0, compared with files that people can read.

`python -m tests.conventions.write_golden` writes the files anew; look at the difference.
"""

import json

import pytest

from nat.data_models.conventions import Conventions
from tests.conventions.recordings import CONVENTIONS, RUNS, golden_file, said_by, sent


@pytest.mark.parametrize("conventions", CONVENTIONS)
@pytest.mark.parametrize("run_id", RUNS)
def test_run_is_said_as_in_the_file(run_id: str, conventions: Conventions) -> None:
    """Every attribute and event that a backend receives over OTLP."""
    expected = json.loads(golden_file(run_id, conventions).read_text("utf-8"))

    assert said_by(sent(run_id, conventions)) == expected
