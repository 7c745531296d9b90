"""Keys: from variables and files, renewed where they change, and never shown."""

import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.delivery import DeadLettersConfig, DeliveryConfig, RetryConfig
from nat.observability import Telemetry
from nat.observability.delivery.errors import PermanentExportError, TransientExportError
from nat.plugins.opentelemetry.credentials import secrets_in, without_secrets
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.testing import FakeBackend, Request, faults
from tests.otlp.sending import delivered, exporter_to, sent, span
from tests.support.collecting import emit

CANARY = "open-sesame-4711"
BASIC = base64.b64encode(f"pk-public-part:{CANARY}".encode()).decode()


def endpoint_of(backend: FakeBackend, protocol: str) -> str:
    return f"http://{backend.grpc_endpoint}" if protocol == "grpc" else backend.base_url


def wants(key: Callable[[], str]) -> Callable[[Request], faults.Fault | None]:
    """Refuses requests without the key of the moment."""
    return lambda request: None if request.headers.get("x-api-key") == key() else faults.status(401)


# -- where keys come from ----------------------------------------------------------------------------------------------


@pytest.mark.contract("S36", "S167", "S197")
def test_a_header_from_a_variable(backend: FakeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text(f"""
general:
  telemetry:
    tracing:
      collector:
        _type: otelcollector
        endpoint: {backend.base_url}
        headers:
          Authorization: Bearer ${{COLLECTOR_KEY}}
""")
    monkeypatch.setenv("COLLECTOR_KEY", CANARY)

    with Telemetry.from_file(workflow) as telemetry, telemetry.run("run"):
        pass

    assert [request.headers["authorization"] for request in backend.requests] == [f"Bearer {CANARY}"]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_a_header_from_a_file_that_changes(tmp_path: Path, protocol: Any) -> None:
    """From the next request on, without a restart; white space around it is left out."""
    key = tmp_path / "key"
    key.write_text("first\n")
    with FakeBackend(grpc=True) as backend:
        async with exporter_to(
            endpoint_of(backend, protocol), protocol=protocol, headers={"x-api-key": f"file:{key}"}
        ) as exporter:
            await exporter.export_processed([span()])
            key.write_text("  second  ")
            await exporter.export_processed([span()])

        assert [request.headers["x-api-key"] for request in backend.requests] == ["first", "second"]


@pytest.mark.parametrize("protocol", ["http", "http/json", "grpc"])
async def test_a_key_that_is_replaced_while_a_request_is_on_its_way(tmp_path: Path, protocol: Any) -> None:
    """The answer 401 makes it look again, and try once more at once, since the key is another one."""
    key = tmp_path / "key"
    key.write_text("old")

    def rotate(request: Request) -> faults.Fault | None:
        if request.headers["x-api-key"] == "old":
            key.write_text("new")
            return faults.status(401)
        return None

    with FakeBackend(grpc=True, refuse=rotate) as backend:
        await sent(endpoint_of(backend, protocol), protocol=protocol, headers={"x-api-key": f"file:{key}"})

        assert [request.headers["x-api-key"] for request in backend.requests] == ["old", "new"]
        assert len(backend.spans) == 1


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_a_key_that_is_replaced_by_another_wrong_one(tmp_path: Path, protocol: Any) -> None:
    """Two attempts, no more; neither key is shown."""
    key = tmp_path / "key"
    key.write_text("wrong-key-1")

    def rotate(request: Request) -> faults.Fault:
        key.write_text("wrong-key-2")
        return faults.Fault("401", status=401, message=f"{request.headers['x-api-key']} is unknown")

    with FakeBackend(grpc=True, refuse=rotate) as backend:
        with pytest.raises(PermanentExportError) as caught:
            await sent(endpoint_of(backend, protocol), protocol=protocol, headers={"x-api-key": f"file:{key}"})

        assert [request.headers["x-api-key"] for request in backend.requests] == ["wrong-key-1", "wrong-key-2"]
    assert "check the key" in f"{caught.value} {caught.value.mend}"
    assert "wrong-key" not in str(caught.value)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_wrong_key_is_no_storm(tmp_path: Path, protocol: Any, caplog: pytest.LogCaptureFixture) -> None:
    """One attempt, one clear message, dead letters."""
    key = tmp_path / "key"
    key.write_text(CANARY)
    delivery = DeliveryConfig(dead_letters=DeadLettersConfig(enabled=True, directory=str(tmp_path / "letters")))
    with FakeBackend(grpc=True, refuse=wants(lambda: "another")) as backend:
        status = delivered(
            endpoint_of(backend, protocol),
            protocol=protocol,
            steps=5,
            delivery=delivery,
            headers={"x-api-key": f"file:{key}"},
        )

        assert (status.dead_lettered, status.delivered, status.lost) == (6, 0, 0)
        assert len(backend.requests) == 1
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "check the key" in record.getMessage()


def test_headers_may_come_from_a_function(backend: FakeBackend) -> None:
    """As a preset's do, whose keys are in files."""
    import asyncio

    numbers = iter("ab")

    async def send() -> None:
        async with exporter_to(backend.url, headers=lambda: {"x-api-key": f"key-{next(numbers)}"}) as exporter:
            await exporter.export_processed([span()])
            await exporter.export_processed([span()])

    asyncio.run(send())

    assert [request.headers["x-api-key"] for request in backend.requests] == ["key-a", "key-b"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot read the credential in {path}: No such file or directory"),
        (b"", "the credential in {path} is empty"),
        (b" \n", "the credential in {path} is empty"),
        (b"open-sesame-4711\nx-other: 1", "the credential in {path} is more than one line"),
        (b"\xff\xfe", "cannot read the credential in {path}: it is not UTF-8"),
    ],
)
@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_a_file_that_gives_no_key(tmp_path: Path, content: bytes | None, problem: str, protocol: Any) -> None:
    """It may be there the next time, so spans are not lost for it; what is in it is not shown."""
    key = tmp_path / "key"
    if content is not None:
        key.write_bytes(content)
    with FakeBackend(grpc=True) as backend:
        with pytest.raises(TransientExportError) as caught:
            await sent(endpoint_of(backend, protocol), protocol=protocol, headers={"x-api-key": f"file:{key}"})

        assert str(caught.value) == problem.format(path=key)
        assert backend.requests == []


def test_a_key_that_comes_late_costs_nothing(backend: FakeBackend, tmp_path: Path) -> None:
    """As with secrets that are mounted after the start."""
    key = tmp_path / "key"
    delivery = DeliveryConfig(retry=RetryConfig(initial_interval=0.02, max_interval=0.05))
    config = OtelCollectorConfig(endpoint=backend.url, headers={"x-api-key": f"file:{key}"})

    with Telemetry({"collector": config}, delivery=delivery) as telemetry:
        with telemetry.run("run"):
            emit("work")
        telemetry.flush(0.2)
        assert telemetry.status().exporters["collector"].delivered == 0
        key.write_text("here")
        status = telemetry.flush(60.0).exporters["collector"]

    assert (status.delivered, status.lost) == (2, 0)


# -- that they are not shown -------------------------------------------------------------------------------------------

ECHOES = {
    "JSON": faults.status(400, body={"message": f"no such key: {CANARY} (you sent {BASIC})"}),
    "text": faults.status(403, body=f"key {CANARY!r} is not allowed; header: Basic {BASIC}"),
    "far out": faults.status(400, body="x" * 190 + CANARY + "y" * 500),
    "in spaces": faults.status(503, body=" " * 780 + CANARY),
    "redirect": faults.redirect(f"https://login.example.com/{CANARY}?key={CANARY}"),
    "partial": faults.partial_success(1, f"{CANARY} may not write"),
    "warning": faults.partial_success(0, f"{CANARY} expires soon"),
    "status": faults.Fault("status", status=401, message=f"key {CANARY} is unknown"),
}


@pytest.mark.contract("S161", "S166", "D31")
@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("protocol", ["http", "http/json", "grpc"])
def test_a_key_that_the_server_repeats_is_masked_everywhere(
    echo: str, protocol: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """In every log of the process at its finest level, in the status, in dead letters, on the terminal."""
    fault = ECHOES[echo]
    if protocol == "grpc" and (fault.body is not None or 300 <= fault.status < 400):
        fault = faults.grpc_status("PERMISSION_DENIED", message=f"key {CANARY} is unknown, {BASIC}")
    caplog.set_level(logging.DEBUG)
    delivery = DeliveryConfig(
        dead_letters=DeadLettersConfig(enabled=True, directory=str(tmp_path / "letters")),
        retry=RetryConfig(initial_interval=0.01, max_retries=1),
    )
    key = tmp_path / "key"
    key.write_text(CANARY)
    with FakeBackend(grpc=True) as backend:
        backend.from_now_on(fault)
        config = OtelCollectorConfig(
            endpoint=endpoint_of(backend, protocol),
            protocol=protocol,
            headers={"x-api-key": CANARY, "Authorization": f"Basic {BASIC}", "x-other-key": f"file:{key}"},
        )
        with Telemetry({"collector": config}, delivery=delivery, status_directory=tmp_path / "status") as telemetry:
            with telemetry.run("run"):
                emit("work")
            telemetry.flush(60.0)
            shown = f"{telemetry.status()!r} {telemetry.metrics()!r} {config!r} {config}"
        assert backend.requests[0].headers["x-api-key"] == CANARY

    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != key)
    out, err = capfd.readouterr()
    for secret in (CANARY, BASIC):
        assert secret not in caplog.text
        assert secret not in shown
        assert secret not in out + err
        assert secret.encode() not in files
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any("**********" in message for message in said) or echo == "far out"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_neither_an_error_nor_what_has_caused_it_holds_a_key(protocol: Any) -> None:
    """Also where somebody prints it with its traceback, as for an exporter that is used by itself."""
    import traceback

    with FakeBackend(grpc=True) as backend:
        backend.from_now_on(
            faults.grpc_status("PERMISSION_DENIED", message=f"{CANARY}?")
            if protocol == "grpc"
            else faults.status(403, body=f"{CANARY}?")
        )
        with pytest.raises(PermanentExportError) as caught:
            await sent(endpoint_of(backend, protocol), protocol=protocol, headers={"x-api-key": CANARY})

    assert CANARY not in "".join(traceback.format_exception(caught.value))


async def test_keys_in_urls_are_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for url in (f"http://u:{CANARY}@nowhere.invalid:1/v1/traces", f"http://127.0.0.1:1/v1/traces?key={CANARY}"):
        with pytest.raises(TransientExportError) as caught:
            await sent(url, proxy=None)
        assert CANARY not in str(caught.value)

    assert CANARY not in caplog.text


def test_what_counts_as_secret() -> None:
    """Values, what follows their scheme, and the parts of Basic; not what names a project, nor what is too short."""
    headers = {
        "Authorization": f"Basic {BASIC}",
        "x-honeycomb-team": "team-key-1",
        "x-project-name": "my project",
        "x-project-key": "project-key-1",
        "x-flag": "on",
        "x-legacy": "Basic no:base64",
    }

    found = secrets_in(headers, [f"https://u:p%40ss@host/?q={CANARY}", None])

    assert {f"Basic {BASIC}", BASIC, CANARY, "pk-public-part", "team-key-1", "project-key-1", "p@ss", "p%40ss"} <= {
        *found
    }
    assert "dTpwQHNz" in found  # base64 of u:p@ss, as the header has it
    assert "my project" not in found
    assert "on" not in found
    assert found == sorted(found, key=len, reverse=True)
    assert without_secrets(f"a {CANARY} b", found) == "a ********** b"
