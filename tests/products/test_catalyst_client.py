"""ragaai-catalyst: the stand-in takes what it uploads, and our documents of the same runs are the same."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nat.observability import Telemetry
from nat.plugins.catalyst.register import CatalystConfig
from nat.plugins.file.register import FileConfig
from nat.testing import recorded_run, recorded_runs, replay
from tests.products.servers import program
from tests.support.catalyst import ACCESS_KEY, SECRET_KEY, CatalystStandIn, Step, catalyst_stand_in

_CLIENT = Path(__file__).with_name("upload_catalyst.py")
_RUNS = [run.id for run in recorded_runs()]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "CATALYST_", "RAGAAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def uploaded_by_both(folder: Path) -> tuple[CatalystStandIn, CatalystStandIn]:
    """The same runs, uploaded by us and by the SDK."""
    file = folder / "spans.jsonl"
    with catalyst_stand_in() as (ours, url):
        config = CatalystConfig.model_validate(
            {
                "endpoint": url,
                "access_key": ACCESS_KEY,
                "secret_key": SECRET_KEY,
                "project": "weather",
                "dataset": "may",
                "list_packages": True,
            }
        )
        with Telemetry(config, FileConfig(output_path=str(file), format="spans")) as telemetry:
            for run_id in _RUNS:
                replay(recorded_run(run_id), telemetry)
                telemetry.flush(30.0)
        ours.wait_for_documents(len(_RUNS))
    with catalyst_stand_in() as (theirs, url):
        subprocess.run(
            [program("oracle-catalyst", "bin/python"), "-P", str(_CLIENT), url, ACCESS_KEY, SECRET_KEY, str(file)],
            check=True,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.wait_for_documents(len(_RUNS))
    return ours, theirs


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """A document without the fields that differ, which docs/backends/catalyst.md names."""
    found: dict[str, Any] = json.loads(json.dumps(document))
    metadata = found["metadata"]
    for name in ("cost", "total_cost"):  # its price list is part of the SDK
        del metadata[name]
    metadata.pop("resources", None)
    environment = metadata["system_info"]["environment"]
    for name in ("packages", "env_path", "command_to_run", "version"):  # another environment here
        assert environment.pop(name), name
    for span in found["data"][0]["spans"]:
        span["attributes"].pop("llm.cost", None)
        for name in ("telemetry.sdk.name", "telemetry.sdk.version", "service.instance.id", "service.name"):
            span["resource"]["attributes"].pop(name, None)
    return found


def test_documents_of_the_same_runs_are_the_same(tmp_path: Path) -> None:
    ours, theirs = uploaded_by_both(tmp_path)

    for run_id, our, their in zip(_RUNS, ours.documents, theirs.documents, strict=True):
        assert list(our) == list(their), run_id
        for field in our:
            assert comparable(our)[field] == comparable(their)[field], f"{run_id}: {field}"


def test_the_steps_are_the_same(tmp_path: Path) -> None:
    """The same requests, in the same order; the SDK asks for the code of each document, we until there is some."""
    ours, theirs = uploaded_by_both(tmp_path)

    assert set(ours.steps) == set(theirs.steps)
    without_code = [step for step in theirs.steps if step != "code hashes"]
    assert [step for step in ours.steps if step != "code hashes"] == without_code
    by_step = [{request.step: request for request in reversed(found.requests)} for found in (ours, theirs)]
    step: Step
    for step in ("token", "dataset", "code"):
        our, their = (json.loads(found[step].body) for found in by_step)
        assert {**our, "presignedUrl": ""} == {**their, "presignedUrl": ""}
    for step in ("token", "dataset", "presigned", "put", "insert", "code hashes", "put code", "code"):
        our_headers, their_headers = ({*found[step].headers} - {"cookie"} for found in by_step)
        kept = {"authorization", "x-project-name", "content-type"}
        assert our_headers & kept == their_headers & kept, step
