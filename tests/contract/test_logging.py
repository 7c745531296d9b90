"""What `nat.observability` says at DEBUG."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat.observability import Telemetry
from nat.observability.registry import default_registry
from tests.support.collecting import StepCollector, emit, registered


@pytest.fixture(autouse=True)
def _debug(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG, logger="nat.observability")
    with default_registry.preserved():
        yield


@pytest.mark.contract("S178")
def test_registrations_are_shown(caplog: pytest.LogCaptureFixture) -> None:
    config_type = registered(StepCollector)

    said = [record for record in caplog.records if config_type.static_type() in record.getMessage()]

    assert said
    assert all(record.name.startswith("nat.observability") for record in said)


@pytest.mark.contract("S172", "S179")
def test_reception_start_stop_and_flush_are_shown_without_payload(caplog: pytest.LogCaptureFixture) -> None:
    with Telemetry({"to_debug": registered(StepCollector)()}) as telemetry:
        with telemetry.run("run", input="confidential input"):
            emit("work", input="confidential input", output="confidential output")
        telemetry.flush(60.0)

    messages = "\n".join(f"{record.name} {record.getMessage()}" for record in caplog.records)
    for word in ("started", "stopped", "flush", "received"):
        assert word in messages, word
    assert "to_debug" in messages
    assert "confidential" not in messages


@pytest.mark.contract("S179")
async def test_a_self_started_exporter_shows_that_events_are_received(caplog: pytest.LogCaptureFixture) -> None:
    exporter = StepCollector()

    async with exporter.start():
        emit("work")

    messages = [record.getMessage() for record in caplog.records]
    assert any("subscribe" in message and "StepCollector" in message for message in messages)
    assert any("received" in message for message in messages)


@pytest.mark.contract("S172")
def test_nothing_is_said_below_warning_by_default(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A run that goes well prints nothing."""
    logging.getLogger("nat.observability").setLevel(logging.NOTSET)

    with Telemetry({"quiet": registered(StepCollector)()}) as telemetry, telemetry.run("run"):
        emit("work")

    assert capfd.readouterr() == ("", "")
