"""The exporter `catalyst`: a document for each run, whatever the service does in between."""

import contextvars
import json
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.delivery import DeliveryConfig, RetryConfig
from nat.observability import Telemetry, step
from nat.observability.manager import ExporterStatus
from nat.plugins.catalyst.document import NO_CODE_HASH
from nat.plugins.catalyst.register import CatalystConfig
from nat.plugins.catalyst.service import CatalystService, api_url
from nat.testing import facts_of, recorded_run, recorded_runs, replay
from tests.support.catalyst import ACCESS_KEY, SECRET_KEY, CatalystStandIn, Step

QUICK = DeliveryConfig(retry=RetryConfig(initial_interval=0.02, max_interval=0.05, max_retries=20))


def config(url: str, **settings: Any) -> CatalystConfig:
    given = {"endpoint": url, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "project": "weather"}
    return CatalystConfig.model_validate({**given, **settings})


def send(url: str, *run_ids: str, **settings: Any) -> ExporterStatus:
    with Telemetry({"catalyst": config(url, **settings)}, delivery=QUICK) as telemetry:
        for run_id in run_ids:
            replay(recorded_run(run_id), telemetry)
            status = telemetry.flush(60.0).exporters["catalyst"]
    return status


@pytest.mark.contract("S40", "D24")
def test_a_run_is_one_document(stand_in: CatalystStandIn, url: str) -> None:
    status = send(url, "tool_call", "nested_agents")

    facts = [facts_of(recorded_run(run_id)) for run_id in ("tool_call", "nested_agents")]
    assert (status.delivered, status.lost, status.pending) == (13, 0, 0)
    assert [len(document["data"][0]["spans"]) for document in stand_in.documents] == [4, 9]
    assert [document["project_name"] for document in stand_in.documents] == ["weather", "weather"]
    assert [document["external_id"] for document in stand_in.documents] == [fact.user_id for fact in facts]
    assert stand_in.documents[0]["metadata"]["tokens"] == {
        "prompt_tokens": 313.0,
        "completion_tokens": 33.0,
        "total_tokens": 346.0,
    }


def test_the_steps_of_the_protocol(stand_in: CatalystStandIn, url: str) -> None:
    """Token, dataset and code once; a presigned URL, an upload and an insertion for each document."""
    send(url, "tool_call", "failed_run")

    once: list[Step] = [
        "token",
        "dataset",
        "presigned",
        "put",
        "insert",
        "code hashes",
        "presigned",
        "put code",
        "code",
    ]
    assert stand_in.steps == [*once, "presigned", "put", "insert"]
    assert stand_in.code_hashes == [NO_CODE_HASH]
    by_step = {request.step: request for request in stand_in.requests}
    assert json.loads(by_step["dataset"].body) == {"datasetName": "weather", "traceFolderUrl": None}
    assert by_step["insert"].headers["x-project-name"] == "weather"
    assert "authorization" not in by_step["put"].headers
    assert by_step["put code"].body == b"PK\x05\x06" + bytes(18)


def test_metadata_is_in_the_document_and_a_column_of_the_dataset(stand_in: CatalystStandIn, url: str) -> None:
    send(url, "failed_run", metadata={"team": "blue", "log_source": "x"}, dataset="may")

    (request,) = (request for request in stand_in.requests if request.step == "dataset")
    assert json.loads(request.body) == {
        "datasetName": "may",
        "traceFolderUrl": None,
        "schemaMapping": {"team": {"columnType": "metadata"}},
    }
    assert stand_in.documents[0]["metadata"]["team"] == "blue"
    assert "log_source" not in stand_in.documents[0]["metadata"]


def test_other_tracer_types_tell_nothing_of_code(stand_in: CatalystStandIn, url: str) -> None:
    send(url, "failed_run", tracer_type="langchain")

    assert stand_in.steps == ["token", "dataset", "presigned", "put", "insert"]
    assert stand_in.documents[0]["tracer_type"] == "langchain"


@pytest.mark.parametrize("asked", [False, True])
def test_the_machines_packages_are_listed_only_if_asked_for(stand_in: CatalystStandIn, url: str, asked: bool) -> None:
    send(url, "failed_run", list_packages=asked)

    environment = stand_in.documents[0]["metadata"]["system_info"]["environment"]
    assert ("packages" in environment, "env_path" in environment, "command_to_run" in environment) == (asked,) * 3
    assert not asked or any(package.startswith("pydantic==") for package in environment["packages"])


_ALL: tuple[Step, ...] = ("dataset", "presigned", "insert", "code hashes", "code")


@pytest.mark.parametrize("step", _ALL)
def test_a_token_that_is_refused_at_a_step_is_replaced_once(stand_in: CatalystStandIn, url: str, step: Step) -> None:
    stand_in.plan(step, 401)

    status = send(url, "tool_call")

    assert (status.delivered, status.lost) == (4, 0)
    assert stand_in.counts["token"] == 2
    assert len(stand_in.documents) == 1
    assert stand_in.code_hashes == [NO_CODE_HASH]


def test_tokens_that_expire_between_two_runs_are_replaced(stand_in: CatalystStandIn, url: str) -> None:
    with Telemetry(config(url), delivery=QUICK) as telemetry:
        for _ in range(3):
            replay(recorded_run("tool_call"), telemetry)
            telemetry.flush(60.0)
            stand_in.expire_tokens()

    assert (len(stand_in.documents), stand_in.counts["token"]) == (3, 3)


async def test_a_token_is_replaced_before_its_end(stand_in: CatalystStandIn, url: str) -> None:
    """After six hours less 20 seconds, and not before; one serves any number of uploads."""
    now = 1000.0
    service = CatalystService(url, ACCESS_KEY, SECRET_KEY, project="p", dataset="d", has_code=False, clock=lambda: now)
    document: dict[str, Any] = {"data": [{"spans": []}]}
    try:
        for moment, tokens in ((1000.0, 1), (1000.0 + 6 * 3600 - 21, 1), (1000.0 + 6 * 3600 - 20, 2)):
            now = moment
            await service.upload(json.dumps(document).encode(), [])
            assert stand_in.counts["token"] == tokens
    finally:
        await service.close()


@pytest.mark.parametrize("step", ["token", "presigned", "put", "insert"])
@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_what_may_pass_is_tried_again(stand_in: CatalystStandIn, url: str, step: Step, status: int) -> None:
    stand_in.plan(step, status, status)

    done = send(url, "tool_call")

    assert (done.delivered, done.lost) == (4, 0)
    assert len(stand_in.documents) == 1


@pytest.mark.parametrize("status", [403, 404])
def test_an_upload_that_is_refused_gets_a_new_url(stand_in: CatalystStandIn, url: str, status: int) -> None:
    stand_in.plan("put", status)

    done = send(url, "tool_call", tracer_type="langchain")

    assert (done.delivered, done.lost) == (4, 0)
    assert stand_in.steps == ["token", "dataset", "presigned", "put", "presigned", "put", "insert"]


def test_a_presigned_url_is_asked_for_with_get_if_post_is_refused(stand_in: CatalystStandIn, url: str) -> None:
    stand_in.plan("presigned", 405)

    done = send(url, "tool_call", tracer_type="langchain")

    assert (done.delivered, done.lost) == (4, 0)
    asked = [request for request in stand_in.requests if request.step == "presigned"]
    assert [request.method for request in asked] == ["POST", "GET"]
    assert asked[0].body == asked[1].body


@pytest.mark.parametrize(
    ("step", "statuses"),
    [("dataset", [500]), ("dataset", [400]), ("code hashes", [500]), ("put code", [403]), ("code", [500])],
)
def test_what_a_document_can_do_without_does_not_keep_it(
    stand_in: CatalystStandIn, url: str, step: Step, statuses: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """The dataset may be there already, and there is no code: a refusal is said, and the step is taken again next time."""
    stand_in.plan(step, *statuses)

    done = send(url, "tool_call", "failed_run")

    assert (done.delivered, done.lost) == (8, 0)
    assert len(stand_in.documents) == 2
    assert stand_in.counts[step] == 2
    assert "'weather'" in caplog.text


@pytest.mark.parametrize(
    ("step", "statuses", "said"),
    [
        ("token", [400], "HTTP 400 from URL/token: refused with 400; check access_key and secret_key"),
        (
            "presigned",
            [404, 404],
            "HTTP 404 from URL/v1/llm/presigned-url: refused with 404; check endpoint and project",
        ),
        ("put", [403, 403], "HTTP 403 from BASE/bucket/trace-2: refused with 403"),
        ("insert", [400], "HTTP 400 from URL/v1/llm/insert/trace: refused with 400; check project and dataset"),
        (
            "insert",
            [401, 401],
            "HTTP 401 from URL/v1/llm/insert/trace: refused with 401; check access_key and secret_key",
        ),
    ],
)
def test_what_is_refused_for_good_is_counted_and_said(
    stand_in: CatalystStandIn, url: str, step: Step, statuses: list[int], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in.plan(step, *statuses)

    done = send(url, "tool_call")

    assert (done.delivered, done.rejected) == (0, 4)
    assert said.replace("URL", url).replace("BASE", url.removesuffix("/api")) in caplog.text
    assert SECRET_KEY not in caplog.text


def test_a_run_that_ends_with_an_error_is_a_document(stand_in: CatalystStandIn, url: str) -> None:
    send(url, "failed_run", "unfinished_step")

    for document, run_id in zip(stand_in.documents, ("failed_run", "unfinished_step"), strict=True):
        facts = facts_of(recorded_run(run_id))
        (root,) = (span for span in document["data"][0]["spans"] if span["parent_id"] is None)
        assert facts.root.error is not None
        assert root["status"] == {"status_code": "ERROR", "description": facts.root.error.message}
        assert root["events"][0]["attributes"]["exception.type"] == facts.root.error.type


def test_runs_that_go_on_at_the_same_time_are_documents_of_their_own(stand_in: CatalystStandIn, url: str) -> None:
    """A run is uploaded when it ends, not before, however long another one goes on."""
    with Telemetry(config(url), delivery=QUICK) as telemetry:
        with telemetry.run("long"):
            with step("early"):
                pass
            in_between = telemetry.flush(60.0)
            assert (in_between.outcomes["catalyst"].left, stand_in.documents) == (1, [])
        telemetry.flush(60.0)
        names = [[span["name"] for span in document["data"][0]["spans"]] for document in stand_in.documents]

    assert names == [["early.0", "long.0"]]


def test_a_run_that_never_ends_is_uploaded_at_the_close(stand_in: CatalystStandIn, url: str) -> None:
    telemetry = Telemetry(config(url), delivery=QUICK).start()

    def begin() -> object:
        scope = telemetry.run("endless").__enter__()
        with step("inside"):
            pass
        return scope

    scope = contextvars.copy_context().run(begin)  # so that what comes after this test is not inside

    result = telemetry.close(60.0)

    assert (result.exporters["catalyst"].delivered, result.exporters["catalyst"].lost) == (2, 0)
    (document,) = stand_in.documents
    assert scope is not None
    assert [span["name"] for span in document["data"][0]["spans"]] == ["inside.0", "endless.0"]


def test_what_waits_is_on_disk_as_a_run_and_is_uploaded_by_the_next_process(
    stand_in: CatalystStandIn, url: str, tmp_path: Path
) -> None:
    stand_in.plan("token", *[503] * 50)
    spool = {"spool": {"directory": str(tmp_path)}, "retry": {"initial_interval": 0.02}}
    delivery = DeliveryConfig.model_validate(spool)
    with Telemetry(config(url), delivery=delivery) as telemetry:
        replay(recorded_run("nested_agents"), telemetry)
        result = telemetry.close(1.0)
    assert (result.exporters["catalyst"].spooled, stand_in.documents) == (9, [])
    stand_in._plans.clear()

    with Telemetry(config(url), delivery=delivery) as telemetry:
        status = telemetry.flush(60.0).exporters["catalyst"]

    assert (status.recovered, status.delivered) == (9, 9)
    assert [len(document["data"][0]["spans"]) for document in stand_in.documents] == [9]


def test_all_recorded_runs(stand_in: CatalystStandIn, url: str) -> None:
    """Odd values, too: whatever a span holds, its document is JSON."""
    send(url, *(run.id for run in recorded_runs()))

    assert [len(document["data"][0]["spans"]) for document in stand_in.documents] == [
        len(facts_of(run).spans) for run in recorded_runs()
    ]


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("https://catalyst.raga.ai/api", "https://catalyst.raga.ai/api"),
        ("https://catalyst.raga.ai", "https://catalyst.raga.ai/api"),
        ("https://catalyst.raga.ai//", "https://catalyst.raga.ai/api"),
        ("http://10.0.0.1:8080/at/", "http://10.0.0.1:8080/at/api"),
    ],
)
def test_the_base_of_the_api(given: str, base: str) -> None:
    assert api_url(given) == base
