"""The guide's code blocks, written anew from what each must do, and executed."""

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from nat.builder.context import ContextState
from nat.data_models.errors import ConfigurationError
from nat.observability import Telemetry
from nat.observability.registry import components
from nat.runtime.loader import load_workflow
from nat.testing import FakeBackend
from tests.guide.session import BLOCKS, NOT_CODE, GuideSession, block_path
from tests.support.collecting import emit, push
from tests.support.http_backend import HttpBackend

EXECUTED = [number for number in range(1, 35) if number not in NOT_CODE]


@pytest.mark.contract("S188")
async def test_all_blocks_execute_in_order_in_one_session(session: GuideSession) -> None:
    """Every number is a file that is executed, or a diagram or text."""
    files = {int(path.name.split("_")[1]) for path in BLOCKS.iterdir() if path.name.startswith("block_")}

    session.run(*EXECUTED)

    assert session.executed == EXECUTED
    assert set(EXECUTED) == files
    assert files.isdisjoint(NOT_CODE)
    registered = {row.type for row in components()}
    assert {"console", "custom", "my_exporter", "example"} <= registered
    await session["original"].stop()


@pytest.mark.contract("B1", "S20", "S30")
def test_block_1_lists_the_exporters(tmp_path: Path) -> None:
    command = block_path(1).read_text().split()

    result = subprocess.run(
        [str(Path(sys.executable).with_name(command[0])), *command[1:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert "console" in result.stdout
    assert "file" in result.stdout


RUN_LINES = ["WORKFLOW_START: support", "TOOL_START: search", "TOOL_END: search", "WORKFLOW_END: support"]


def _run(telemetry: Telemetry) -> None:
    with telemetry.run("support", input="q"):
        emit("search", "TOOL", input={"q": "x"}, output="found")


@pytest.mark.contract("B2", "B3", "S49", "S50", "D25")
def test_blocks_2_and_3_print_one_line_per_event(session: GuideSession, capfd: pytest.CaptureFixture[str]) -> None:
    """With the prefix of the YAML, in place of the built-in `console`."""
    session.run(2)

    with Telemetry.from_file(session.workflow_file(3)) as telemetry:
        _run(telemetry)

    out, err = capfd.readouterr()
    assert out.splitlines() == [f"[MY APP] {line}" for line in RUN_LINES]
    assert err == ""


@pytest.mark.contract("B2", "S49", "S50", "S51", "S53")
def test_block_2_has_a_default_prefix(session: GuideSession, capfd: pytest.CaptureFixture[str]) -> None:
    session.run(2)

    with Telemetry({"console_exporter": session["ConsoleConfig"]()}) as telemetry:
        _run(telemetry)

    assert capfd.readouterr().out.splitlines() == [f"[TRACE] {line}" for line in RUN_LINES]


@pytest.mark.contract("B2", "S157")
async def test_block_2_works_by_itself_in_a_test(session: GuideSession, capfd: pytest.CaptureFixture[str]) -> None:
    session.run(2)

    async with session["ConsoleExporter"](prefix=">").start():
        emit("search", "TOOL")

    assert capfd.readouterr().out.splitlines() == ["> TOOL_START: search", "> TOOL_END: search"]


@pytest.mark.contract("B6", "S195")
def test_block_6_validates_as_printed(session: GuideSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its keys in the environment; without them, each is named."""
    file = session.workflow_file(6)
    for name in ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(ConfigurationError) as caught:
        load_workflow(file, entrypoint="optional")

    for key in ("public_key", "secret_key"):
        assert f"langfuse.{key}: is empty" in str(caught.value)
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "public")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "secret")
    (entry,) = load_workflow(file, entrypoint="optional").exporters
    assert (entry.name, entry.config.type) == ("langfuse", "langfuse")


@pytest.mark.contract("B7", "S68", "S69", "S70", "S71")
def test_block_7_defines_the_configuration(session: GuideSession) -> None:
    session.run(7)
    config_type = session["CustomConfig"]

    config = config_type(endpoint="https://a.example", api_key="k")

    assert (config.type, config.endpoint, config.api_key) == ("custom", "https://a.example", "k")
    with pytest.raises(ValueError, match="endpoint"):
        config_type()


@pytest.mark.contract("B8", "S74", "S75", "S77", "S105")
async def test_block_8_sends_a_payload_per_step(session: GuideSession, backend: HttpBackend) -> None:
    session.run(7, 8)
    exporter = session["CustomRawExporter"](
        endpoint=backend.url, api_key="k", project="guide", context_state=ContextState.get()
    )

    async with exporter.start():
        uuid = push("TOOL_START", "search", event_timestamp=1_000.25)
        push("TOOL_END", "search", uuid=uuid, event_timestamp=1_001.5)

    assert backend.bodies == [
        {"project": "guide", "event": "TOOL_START", "step": "search", "at": 1_000.25},
        {"project": "guide", "event": "TOOL_END", "step": "search", "at": 1_001.5},
    ]
    assert {request.headers["authorization"] for request in backend.requests} == {"Bearer k"}
    assert exporter.session.closed


@pytest.mark.contract("B9", "S78", "S79", "S80", "S81", "D10")
async def test_block_9_sends_a_dict_per_span(session: GuideSession, backend: HttpBackend) -> None:
    session.run(7, 8, 9)
    exporter = session["CustomSpanExporter"](endpoint=backend.url, api_key="k", project="guide")

    async with exporter.start():
        outer = push("FUNCTION_START", "outer", input="q", event_timestamp=1_000.0)
        inner = push("TOOL_START", "inner", event_timestamp=1_000.5)
        push("TOOL_END", "inner", uuid=inner, event_timestamp=1_000.75)
        push("FUNCTION_END", "outer", uuid=outer, output="a", event_timestamp=1_002.0)

    spans = {body["span"]["name"]: body["span"] for body in backend.bodies}
    assert {body["project"] for body in backend.bodies} == {"guide"}
    assert set(spans["outer"]) == {
        "span_id",
        "trace_id",
        "parent_span_id",
        "name",
        "start_time",
        "end_time",
        "duration",
        "status",
        "attributes",
        "events",
        "links",
    }
    assert spans["inner"]["parent_span_id"] == spans["outer"]["span_id"]
    assert spans["inner"]["trace_id"] == spans["outer"]["trace_id"]
    assert spans["outer"]["parent_span_id"] is None
    assert (spans["outer"]["start_time"], spans["outer"]["end_time"]) == (1_000_000_000_000, 1_002_000_000_000)
    assert (spans["outer"]["duration"], spans["inner"]["duration"]) == (2_000_000_000, 250_000_000)
    assert spans["outer"]["status"] == {"code": "OK", "message": None}
    assert spans["outer"]["attributes"]["input.value"] == "q"
    assert (spans["outer"]["events"], spans["outer"]["links"]) == ([], [])


@pytest.mark.contract("B11", "S192", "S46")
def test_block_11_imports_the_adapter(session: GuideSession) -> None:
    session.run(11)

    from nat.plugins.opentelemetry.otlp_span_adapter_exporter import OTLPSpanAdapterExporter

    assert session["OTLPSpanAdapterExporter"] is OTLPSpanAdapterExporter


@pytest.mark.contract("B12", "S84", "S85", "S86", "S190", "D4", "S191")
def test_block_12_registers_and_its_options_have_effect(session: GuideSession, backend: HttpBackend) -> None:
    """`retries: 0`: one attempt at a backend that is away."""
    session.run(7, 8, 9, 12)
    config = session["FullCustomConfig"](
        endpoint=backend.url, api_key="k", project="guide", batch_size=5, timeout=5.0, retries=0
    )
    backend.answer(503)

    with Telemetry({"custom_exporter": config}) as telemetry:
        with telemetry.run("first"):
            pass
        telemetry.flush(60.0)
        with telemetry.run("second"):
            pass
        status = telemetry.flush(60.0).exporters["custom_exporter"]

    assert [body["span"]["name"] for body in backend.bodies] == ["first", "second"]
    assert (status.accepted, status.delivered, status.lost) == (2, 1, 1)


@pytest.mark.contract("B12", "S88", "D5", "D12")
def test_block_12_logs_and_raises_only_errors_of_its_own_exporter(
    session: GuideSession, caplog: pytest.LogCaptureFixture
) -> None:
    session.run(7, 8, 9, 12)

    def fail(telemetry: Telemetry) -> None:
        with telemetry.run("run"):
            raise LookupError("of the workflow")

    sound = session["FullCustomConfig"](endpoint="http://127.0.0.1:9/", retries=0)
    with Telemetry({"custom_exporter": sound}) as telemetry, pytest.raises(LookupError):
        fail(telemetry)
    assert [record for record in caplog.records if record.name == "guide.custom"] == []

    broken = session["FullCustomConfig"](endpoint="http://127.0.0.1:9/")
    session.module.__dict__["CustomSpanExporter"] = None
    with Telemetry({"custom_exporter": broken}) as telemetry:
        _run(telemetry)
        status = telemetry.flush(60.0).exporters["custom_exporter"]
    assert [record.levelname for record in caplog.records if record.name == "guide.custom"] == ["ERROR"]
    assert status.state == "disabled"


@pytest.mark.contract("B13", "B14", "S83", "S89", "S91", "D14")
def test_blocks_13_and_14_import_the_exporter_when_it_is_used(session: GuideSession, backend: HttpBackend) -> None:
    """The session of the constructor belongs to the loop that the exporter runs in."""
    session.run(13, 14)
    register = sys.modules["guide_package.register"]
    assert "guide_package.exporters" not in sys.modules

    with Telemetry({"mine": register.MyExporterConfig(endpoint=backend.url)}) as telemetry:
        _run(telemetry)

    assert "guide_package.exporters" in sys.modules
    assert sorted(body["name"] for body in backend.bodies) == ["search", "support"]


@pytest.mark.contract("B14", "S71", "S89", "S90")
def test_block_14_imports_no_http_client(session: GuideSession) -> None:
    session.run(13)
    (session.folder / session.package / "register.py").write_text(block_path(14).read_text())

    result = subprocess.run(
        [sys.executable, "-c", f"import {session.package}.register, sys; print('aiohttp' in sys.modules)"],
        cwd=session.folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.stdout, result.stderr) == ("False\n", "")


@pytest.mark.contract("B15", "S92", "S93", "S95", "S96", "D10")
async def test_block_15_runs_two_processors_in_order(session: GuideSession) -> None:
    session.run(7, 8, 9, 12, 15)
    exporter = session["PipelinedSpanExporter"]()

    async with exporter.start():
        emit("search", "TOOL", output="found")

    [item] = exporter.sent
    assert item["name"] == "search"
    assert item["attributes"]["service.tier"] == "gold"
    assert item["attributes"]["output.value"] == "found"
    assert isinstance(item["processed_at"], str)
    assert json.loads(json.dumps(item)) == item


@pytest.mark.contract("B16", "S196", "S99", "S102")
def test_block_16_sends_a_run_to_both(
    session: GuideSession, backend: HttpBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is valid as printed; only Phoenix is somewhere else here."""
    session.run(7, 8, 9, 12)
    monkeypatch.setenv("CUSTOM_ENDPOINT", backend.url)
    monkeypatch.setenv("CUSTOM_API_KEY", "k")
    workflow = session.workflow_file(16)
    configs = {entry.name: entry.config for entry in load_workflow(workflow).exporters}
    assert configs["phoenix_local"].model_dump(exclude_unset=True) == {
        "endpoint": "http://localhost:6006/v1/traces",
        "project": "guide",
    }

    with FakeBackend() as phoenix:
        elsewhere = ("general.telemetry.tracing.phoenix_local.endpoint", phoenix.url)
        with Telemetry.from_file(workflow, [elsewhere]) as telemetry:
            _run(telemetry)
        spans = phoenix.wait_for_spans(2)

    assert sorted(span.name for span in spans) == ["search", "support"]
    assert {span.resource["openinference.project.name"] for span in spans} == {"guide"}


def _register(session: GuideSession, name: str, build: Any) -> Any:
    """A config class whose exporter the session's module registers: the reader's own register function."""
    session.module.__dict__["build"] = build
    exec(
        f"""
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig

class Config(TelemetryExporterBaseConfig, name={name!r}):
    pass

@register_telemetry_exporter(config_type=Config)
async def registered(config, builder, build=build):
    yield build()
""",
        session.module.__dict__,
    )
    return session["Config"]


@pytest.mark.contract("B17", "S105", "S106", "S110", "S127", "D11", "D21")
def test_block_17_posts_every_span_before_the_session_closes(session: GuideSession, backend: HttpBackend) -> None:
    session.run(17)
    made: list[Any] = []

    def build() -> Any:
        made.append(session["HttpApiExporter"](endpoint=backend.url, api_key="k"))
        return made[-1]

    with Telemetry({"http": _register(session, "guide_http", build)()}) as telemetry:
        _run(telemetry)
        telemetry.flush(60.0)
        _run(telemetry)

    assert sorted(body["name"] for body in backend.bodies) == ["search", "search", "support", "support"]
    assert {request.headers["authorization"] for request in backend.requests} == {"Bearer k"}
    assert [exporter.session.closed for exporter in made] == [True]


@pytest.mark.contract("B17", "S106", "S147")
def test_block_17_raises_http_errors_which_are_counted(session: GuideSession, backend: HttpBackend) -> None:
    session.run(17)
    config = _register(
        session, "guide_http_error", lambda: session["HttpApiExporter"](endpoint=backend.url, api_key="k")
    )
    backend.answer(403, 403)

    with Telemetry({"http": config()}) as telemetry:
        _run(telemetry)
        status = telemetry.flush(60.0).exporters["http"]

    assert (status.accepted, status.delivered, status.rejected) == (2, 0, 2)


@pytest.mark.contract("B18", "S107", "S108", "S110", "S157")
def test_block_18_writes_whole_lines_in_order(session: GuideSession, tmp_path: Path) -> None:
    session.run(17, 18)
    path = tmp_path / "steps.jsonl"
    config = _register(session, "guide_lines", lambda: session["JsonLinesExporter"](filepath=str(path)))

    with Telemetry({"lines": config()}) as telemetry:
        threads = [threading.Thread(target=_run, args=(telemetry,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    payloads = [json.loads(line)["payload"] for line in path.read_text().splitlines()]
    assert sorted(f"{payload['event_type']}: {payload['name']}" for payload in payloads) == sorted(RUN_LINES * 4)


@pytest.mark.contract("B18", "S107")
async def test_block_18_keeps_the_order_of_steps(session: GuideSession, tmp_path: Path) -> None:
    session.run(18)
    path = tmp_path / "steps.jsonl"

    async with session["JsonLinesExporter"](filepath=str(path)).start():
        for number in range(50):
            push("CUSTOM_START", str(number))

    names = [json.loads(line)["payload"]["name"] for line in path.read_text().splitlines()]
    assert names == [str(number) for number in range(50)]


@pytest.mark.contract("B19", "S109", "S110", "S191", "D6", "D16")
def test_block_19_sends_lists_of_spans_over_otlp(session: GuideSession, caplog: pytest.LogCaptureFixture) -> None:
    """It takes the place of block 14's exporter; the bearer header is sent, and a list holds `batch_size` spans."""
    session.run(13, 14, 19)
    config_type = sys.modules["guide_package.register"].MyOtlpConfig
    assert [record.levelname for record in caplog.records if "my_exporter" in record.getMessage()] == ["WARNING"]

    with FakeBackend() as receiver:
        config = config_type(endpoint=receiver.url, api_key="k", batch_size=2)
        with Telemetry({"otlp": config}) as telemetry:
            for _ in range(3):
                _run(telemetry)
            status = telemetry.flush(60.0).exporters["otlp"]

    assert (status.delivered, status.lost) == (6, 0)
    assert {request.headers["authorization"] for request in receiver.requests} == {"Bearer k"}
    assert [len(request.spans) for request in receiver.requests] == [2, 2, 2]
    assert sorted(span.name for span in receiver.spans) == ["search"] * 3 + ["support"] * 3


@pytest.mark.contract("B20", "S116", "S114")
async def test_block_20_isolates_a_deque_and_a_dict(session: GuideSession) -> None:
    session.run(20)
    exporter = session["IsolatedExporter"](endpoint="https://traces.example.com")

    async with exporter.start():
        emit("search", "TOOL")

    copy = exporter.create_isolated_instance(ContextState.get())
    assert (list(exporter._processing_queue), exporter._metrics) == (["search"], {"seen": 1})
    assert (list(copy._processing_queue), copy._metrics) == ([], {})


@pytest.mark.contract("B21", "S113", "S115")
async def test_block_21_tracks_requests_in_isolated_state(session: GuideSession, backend: HttpBackend) -> None:
    session.run(20, 21)
    original = session["TrackingExporter"](endpoint=backend.url, api_key="k")
    backend.answer(200, 400)
    copy = original.create_isolated_instance(ContextState.get())

    async with copy.start():
        emit("first")
        await copy.wait_for_tasks(timeout=10)
        emit("second")
    await original.stop()

    assert [body["name"] for body in backend.bodies] == ["first", "second"]
    assert copy._metrics == {"sent": 1, "failed": 1}
    assert (len(copy._queue), copy._active_requests) == (0, set())
    assert original._metrics == {"sent": 0, "failed": 0}


@pytest.mark.contract("B22", "S125", "S119", "S121")
async def test_block_22_six_assertions_hold(session: GuideSession) -> None:
    session.run(20, 21, 22)

    assert block_path(22).read_text().count("assert ") == 6
    assert session["isolated"].is_isolated_instance
    await session["original"].stop()


@pytest.mark.contract("B23", "D11", "D21")
def test_block_23_flushes_the_rest_of_each_runs_batch(session: GuideSession, backend: HttpBackend) -> None:
    """Batches of one run hold spans of that run only."""
    session.run(23)
    config = _register(session, "guide_own_batch", lambda: session["OwnBatchExporter"](endpoint=backend.url))

    with Telemetry({"own_batch": config()}) as telemetry:
        for name in ("first", "second"):
            with telemetry.run(name):
                emit(f"{name} a")
                emit(f"{name} b")

    batches = [sorted(item["name"] for item in body) for body in backend.bodies]
    assert sorted(name for batch in batches for name in batch) == [
        "first",
        "first a",
        "first b",
        "second",
        "second a",
        "second b",
    ]
    assert all(len({name.split()[0] for name in batch}) == 1 for batch in batches)
    assert max(len(batch) for batch in batches) >= 2


@pytest.mark.contract("B23")
async def test_block_23_can_still_send_in_cleanup(session: GuideSession, backend: HttpBackend) -> None:
    session.run(23)
    exporter = session["OwnBatchExporter"](endpoint=backend.url, group_size=10)

    async with exporter.start():
        emit("only")

    assert [[item["name"] for item in body] for body in backend.bodies] == [["only"]]
    assert exporter._statistics == {"batches": 1, "spans": 1}
    assert exporter.session.closed


@pytest.mark.contract("B24", "S47", "S60", "S128", "S129", "S130", "S131", "S132", "S145", "S191", "D6", "D11")
def test_block_24_posts_its_final_batch_before_the_session_closes(
    session: GuideSession, backend: HttpBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """The mixin stands before `OtelSpanExporter`; its class is made in the registration function, which replaces block 12's."""
    session.run(7, 8, 9, 12)
    assert [record.levelname for record in caplog.records] == []
    session.run(24)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    config = session["FullCustomConfig"](endpoint=backend.url, api_key="k", batch_size=3)

    with Telemetry({"custom": config}) as telemetry:
        for _ in range(2):
            _run(telemetry)
        backend.wait_for(1)
    status = telemetry.status().exporters["custom"]

    assert (status.accepted, status.delivered, status.lost) == (4, 4, 0)
    assert {request.headers["authorization"] for request in backend.requests} == {"Bearer k"}
    assert [len(documents) for documents in backend.bodies] == [3, 1]
    documents = [document for documents in backend.bodies for document in documents]
    assert sorted(document["name"] for document in documents) == ["search", "search", "support", "support"]
    assert {(len(document["span_id"]), len(document["trace_id"])) for document in documents} == {(16, 32)}
    assert all(document["start_time"] <= document["end_time"] for document in documents)
    [root] = [document for document in documents[:2] if document["name"] == "support"]
    assert root["attributes"]["input.value"] == "q"


@pytest.mark.contract("B24", "S132", "S165")
async def test_block_24_cleans_up_once(session: GuideSession, backend: HttpBackend) -> None:
    from nat.plugins.opentelemetry.otel_span_exporter import OtelSpanExporter

    session.run(7, 8, 9, 12, 24)
    cleaned = []

    mixin: Any = session["OwnProtocolMixin"]

    class Watched(mixin, OtelSpanExporter):  # type: ignore[misc]  # defined by the block
        async def _cleanup(self) -> None:
            cleaned.append(self.session.closed)
            await super()._cleanup()
            cleaned.append(self.session.closed)

    make: Any = Watched
    exporter = make(endpoint=backend.url, api_key="k")
    async with exporter.start():
        emit("search", "TOOL")
    await exporter.stop()

    assert cleaned == [False, True]
    assert [document["name"] for document in backend.bodies[0]] == ["search"]


@pytest.mark.contract("B26", "S133", "S136", "S137", "D18")
def test_block_26_posts_batches_of_steps(session: GuideSession, backend: HttpBackend) -> None:
    """`context_state` is not passed on, and the exporter is isolatable all the same."""
    session.run(26)
    config = _register(
        session,
        "guide_batched",
        lambda: session["BatchedRawExporter"](endpoint=backend.url, batch_size=3, flush_interval=3_600.0),
    )

    with Telemetry({"batched": config()}) as telemetry:
        _run(telemetry)

    assert [[f"{item['event']}: {item['name']}" for item in body] for body in backend.bodies] == [
        RUN_LINES[:3],
        RUN_LINES[3:],
    ]


@pytest.mark.contract("B27", "S142")
def test_block_27_states_the_defaults(session: GuideSession) -> None:
    from nat.data_models.span import Span
    from nat.observability.processor.batching_processor import BatchingProcessor

    session.run(26, 27)

    assert session["batching"].get_stats() == BatchingProcessor[Span]().get_stats()


@pytest.mark.contract("B28", "S146", "S147")
@pytest.mark.parametrize(("failures", "attempts", "fate"), [(2, 3, (1, 0)), (9, 3, (0, 1))])
def test_block_28_tries_three_times(
    session: GuideSession, failures: int, attempts: int, fate: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    session.run(28)
    calls: list[str] = []

    async def service(item: dict[str, Any]) -> None:
        calls.append(item["name"])
        if len(calls) <= failures:
            raise ValueError("the service says no")

    config = _register(session, "guide_retries", lambda: session["RetryingExporter"](service))
    with Telemetry({"retries": config()}) as telemetry:
        with telemetry.run("run"):
            pass
        status = telemetry.flush(60.0).exporters["retries"]

    assert calls == ["run"] * attempts
    assert (status.delivered, status.lost) == fate


@pytest.mark.contract("B30", "S148", "S149", "S150", "S151")
def test_block_30_keeps_its_pool_open_for_every_export(session: GuideSession, backend: HttpBackend) -> None:
    session.run(30)
    made: list[Any] = []

    def build() -> Any:
        made.append(session["PooledExporter"](endpoint=backend.url))
        return made[-1]

    with Telemetry({"pooled": _register(session, "guide_pooled", build)()}) as telemetry:
        _run(telemetry)
        telemetry.flush(60.0)
        _run(telemetry)
        assert made[0].session.closed is False

    assert sorted(body["name"] for body in backend.bodies) == ["search", "search", "support", "support"]
    assert made[0].session.closed is True


@pytest.mark.contract("B31", "S125", "S153", "S154", "S155", "S156")
def test_block_31_is_a_test_that_passes(session: GuideSession) -> None:
    """Run by pytest itself, with warnings as errors."""
    path = session.folder / "test_block_31.py"
    path.write_text(block_path(31).read_text())
    (session.folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")

    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-c", "pytest.ini", path.name],
        cwd=session.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )

    assert result.returncode == 0, result.stdout
    assert "2 passed" in result.stdout


@pytest.mark.contract("B32", "S178", "S179")
def test_block_32_switches_debug_messages_on(session: GuideSession, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("nat.observability").setLevel(logging.WARNING)
    session.run(2)
    assert [record for record in caplog.records if record.levelno == logging.DEBUG] == []

    session.run(32)
    session.run(2)

    shown = [record for record in caplog.records if record.levelno == logging.DEBUG]
    assert any("console" in record.getMessage() for record in shown)
    assert all(record.name.startswith("nat.observability") for record in shown)


@pytest.mark.contract("B34", "S182", "S183", "S184", "S197", "D14")
def test_block_34_exports_dicts_and_counts_per_run(
    session: GuideSession, backend: HttpBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From YAML, with the key from the environment."""
    session.run(34)
    monkeypatch.setenv("EXAMPLE_API_KEY", "from the environment")
    copies: list[Any] = []
    original_class = session["ExampleExporter"]

    class Watched(original_class):  # type: ignore[valid-type,misc]  # defined by the block
        async def _flush(self) -> None:
            copies.append((self.is_isolated_instance, dict(self._counters), self.session))
            await super()._flush()

    session.module.__dict__["ExampleExporter"] = Watched
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text(
        json.dumps(
            {
                "general": {
                    "telemetry": {"tracing": {"ours": {"_type": "example", "endpoint": backend.url, "project": "p"}}}
                }
            }
        )
    )
    backend.answer(200, 400)

    with Telemetry.from_file(workflow) as telemetry:
        with telemetry.run("first"):
            pass
        telemetry.flush(60.0)
        with telemetry.run("second"):
            pass
        telemetry.flush(60.0)
        with telemetry.run("third"):
            emit("work")

    assert {request.headers["authorization"] for request in backend.requests} == {"Bearer from the environment"}
    assert {body["project"] for body in backend.bodies} == {"p"}
    assert sorted(body["span"]["name"] for body in backend.bodies) == ["first", "second", "third", "work"]
    counters = [count for is_copy, count, _ in copies if is_copy]
    assert counters == [{"sent": 1, "failed": 0}, {"sent": 0, "failed": 1}, {"sent": 2, "failed": 0}]
    assert len({id(client) for _, _, client in copies}) == 1
