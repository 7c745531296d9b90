"""Phoenix with authentication on: the right key is let in, a wrong one is told once and costs no storm of requests."""

import logging
import re
from pathlib import Path
from typing import Any, Literal

import pytest

from nat.data_models.delivery import DeadLettersConfig, DeliveryConfig
from nat.observability import Telemetry
from nat.observability.manager import ExporterStatus
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.testing import recorded_run, replay
from tests.products.phoenix import Phoenix
from tests.products.sending import send

Protocol = Literal["http", "grpc"]

_WRONG = "Bearer notTheSecretAtAll2026"

pytestmark = pytest.mark.parametrize("protocol", ["http", "grpc"])


def config(phoenix: Phoenix, project: str, protocol: Protocol, authorization: str | None) -> OtelCollectorConfig:
    return OtelCollectorConfig(
        endpoint=phoenix.grpc_url if protocol == "grpc" else phoenix.url,
        protocol=protocol,
        headers={} if authorization is None else {"Authorization": authorization},
        resource_attributes={"openinference.project.name": project},
    )


def test_right_key_is_let_in(guarded_phoenix: Phoenix, protocol: Protocol, tmp_path: Path) -> None:
    project = f"right-key-{protocol}"
    settings = config(guarded_phoenix, project, protocol, guarded_phoenix.headers["Authorization"])

    sent = send([recorded_run("failed_run").in_session(project)], settings, tmp_path)

    guarded_phoenix.wait_for_spans(project, len(sent))
    assert {span.span_id for span in guarded_phoenix.spans(project)} == {span.span_id for span in sent}


def test_key_in_a_file_is_read_again_when_it_is_refused(
    guarded_phoenix: Phoenix, protocol: Protocol, tmp_path: Path
) -> None:
    """A key that is replaced while the program runs is used from then on."""
    key = tmp_path / "key"
    key.write_text(_WRONG)
    project = f"changed-key-{protocol}"
    run = recorded_run("failed_run").in_session(project)

    with Telemetry({"phoenix": config(guarded_phoenix, project, protocol, f"file:{key}")}) as telemetry:
        replay(run, telemetry)
        telemetry.flush()
        key.write_text(f"{guarded_phoenix.headers['Authorization']}\n")
        replay(run, telemetry)
        status = telemetry.flush().exporters["phoenix"]

    assert (status.rejected, status.delivered) == (4, 4)
    guarded_phoenix.wait_for_spans(project, 4)


@pytest.mark.parametrize("authorization", [_WRONG, None], ids=["wrong", "missing"])
def test_wrong_key_is_told_once_and_not_tried_again(
    guarded_phoenix: Phoenix,
    protocol: Protocol,
    authorization: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All 12 spans are rejected, in as many requests as there are flushes; the one message says what to do, and no key."""
    settings = config(guarded_phoenix, "wrong-key", protocol, authorization)
    requests_before = _refusals(guarded_phoenix)

    with caplog.at_level(logging.INFO, "nat"):
        status = _sent_three_times({"phoenix": settings}, DeliveryConfig())

    assert (status.rejected, status.delivered, status.dropped, status.accepted) == (12, 0, {}, 12)
    [message] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "check the key" in message
    assert _WRONG not in caplog.text
    assert guarded_phoenix.span_count("wrong-key") == 0
    if protocol == "http":
        assert _refusals(guarded_phoenix) - requests_before == 3


def test_what_was_refused_is_kept_as_dead_letters(guarded_phoenix: Phoenix, protocol: Protocol, tmp_path: Path) -> None:
    settings = config(guarded_phoenix, "wrong-key", protocol, _WRONG)
    dead_letters = DeadLettersConfig(enabled=True, directory=str(tmp_path))

    status = _sent_three_times({"phoenix": settings}, DeliveryConfig(dead_letters=dead_letters))

    assert (status.dead_lettered, status.rejected, status.delivered) == (12, 0, 0)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"detect the language" in kept
    assert _WRONG.encode() not in kept


def _sent_three_times(exporters: dict[str, Any], delivery: DeliveryConfig) -> ExporterStatus:
    """The same run of four spans three times, each flushed."""
    with Telemetry(exporters, delivery=delivery) as telemetry:
        for _ in range(3):
            replay(recorded_run("failed_run"), telemetry)
            telemetry.flush()
    return telemetry.status().exporters["phoenix"]


def _refusals(phoenix: Phoenix) -> int:
    """How many requests with spans it has refused over HTTP, by its own log."""
    return len(re.findall(r'"POST /v1/traces HTTP/1.1" 401', phoenix.server.output))
