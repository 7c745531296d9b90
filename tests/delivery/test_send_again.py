"""Dead letters that are sent again: gone once delivered, there as before if not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import DeliveryConfig, Telemetry
from nat.observability.delivery import sender
from nat.observability.delivery.codec import encode
from nat.observability.delivery.dead_letters import DeadLetters
from nat.observability.delivery.errors import ItemTooLargeError, PermanentExportError, TransientExportError
from nat.observability.delivery.options import DeadLettersOptions, DeliveryOptions
from nat.observability.delivery.worker import Lane
from nat.observability.exporter.base_exporter import BaseExporter, LaneView
from nat.observability.registry import default_registry
from nat.testing import virtual_time
from tests.support.collecting import SpanCollector
from tests.support.lanes import Backend


@pytest.fixture
def letters(tmp_path: Path) -> DeadLetters:
    return DeadLetters(tmp_path, max_bytes=2**20)


def add(letters: DeadLetters, *values: Any) -> list[str]:
    """A letter for each value."""
    ids = []
    for at, value in enumerate(values):
        count = len(value) if isinstance(value, list) else 1
        record = encode(value, exporter="backend", trace_id=None, accepted_at=0.0, count=count)
        ids.append(letters.add(record, reason="HTTP 400", answer=None, exporter="backend", now=float(at)))
    return ids


def left(letters: DeadLetters) -> list[str]:
    return [letter.id for letter in letters.entries()]


def send_again(backend: Backend, ids: list[str], directory: Path, *, is_flushed: bool = True) -> Lane:
    """Give letters to a lane, flush it or close it at once; its accounts balance."""

    async def scenario() -> Lane:
        options = DeliveryOptions(dead_letters=DeadLettersOptions(directory))
        clock = asyncio.get_running_loop().time
        lane = Lane("backend", LaneView(backend), options, is_solo=True, clock=clock, jitter=lambda: 0.5)
        backend.use_lane(lane)
        async with backend.start():
            sending = asyncio.create_task(lane.send_again(ids))
            if is_flushed:
                await sending
                await lane.flush()
            else:
                await virtual_time.settle()
        await sending
        counts = lane.ledger.counts()
        assert counts.recovered == counts.delivered + counts.dead_lettered
        assert counts.lost == counts.pending == 0
        return lane

    return virtual_time.run(scenario())


def test_what_is_delivered_goes_and_what_is_refused_again_stays(letters: DeadLetters, tmp_path: Path) -> None:
    ids = good, bad = add(letters, "good", "bad")
    backend = Backend(lambda item: PermanentExportError("HTTP 400") if item == "bad" else None)

    lane = send_again(backend, ids, tmp_path)

    assert left(letters) == [bad]
    assert [item for _, item in backend.attempts] == ["good", "bad"]
    assert lane.letter_fates == {
        good: None,
        bad: "export failed (PermanentExportError: HTTP 400) after 1 attempt(s)",
    }


def test_a_letter_stays_whole_if_a_part_of_it_is_refused(letters: DeadLetters, tmp_path: Path) -> None:
    """A list is sent in halves as always; the half that was taken comes once more with the next attempt."""

    def answer(item: list[str]) -> BaseException | None:
        if len(item) > 1:
            return ItemTooLargeError("HTTP 413")
        return PermanentExportError("HTTP 400") if item == ["bad"] else None

    (letter,) = add(letters, ["good", "bad"])
    backend = Backend(answer)

    lane = send_again(backend, [letter], tmp_path)

    assert left(letters) == [letter]
    assert backend.taken == ["good"]
    assert lane.letter_fates[letter] == "export failed (PermanentExportError: HTTP 400) after 1 attempt(s)"


def test_a_letter_that_cannot_be_read_stays_and_one_that_is_gone_is_no_error(
    letters: DeadLetters, tmp_path: Path
) -> None:
    damaged = letters.add(b"anything", reason="damaged", answer=None, exporter="backend", now=1.0)
    gone, good = add(letters, "gone", "good")
    letters.remove([gone])

    lane = send_again(Backend(), [damaged, gone, good], tmp_path)

    assert left(letters) == [damaged]
    assert lane.letter_fates == {
        damaged: "cannot be read: not a record: its first line is no header",
        good: None,
    }


def test_the_end_leaves_letters_where_they_are(
    letters: DeadLetters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One attempt more, no more; what memory had no room for is not read, and the log promises nothing."""
    monkeypatch.setattr(sender, "_RESIDENT_BYTES", 1)
    ids = add(letters, *map(str, range(9)))
    backend = Backend(lambda item: TransientExportError("down"))

    lane = send_again(backend, ids, tmp_path, is_flushed=False)

    assert left(letters) == ids
    assert len(backend.attempts) == 2
    assert lane.letter_fates == {}
    assert lane.ledger.counts().recovered == 1
    assert "at the next start" not in caplog.text


def test_a_letter_on_its_way_is_not_sent_twice(letters: DeadLetters, tmp_path: Path) -> None:
    add(letters, "one")
    backend = Backend(takes_s=1.0)

    async def scenario() -> None:
        options = DeliveryOptions(concurrency=2, dead_letters=DeadLettersOptions(tmp_path))
        lane = Lane("backend", LaneView(backend), options, is_solo=True)
        backend.use_lane(lane)
        async with backend.start():
            assert await lane.send_again(left(letters)) == 1
            assert await lane.send_again(left(letters)) == 0
            await lane.flush()

    virtual_time.run(scenario())

    assert backend.taken == ["one"]
    assert left(letters) == []


def test_a_secret_of_the_configuration_is_in_no_letter_and_in_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also when the backend's answer quotes it, and the exporter passes that on."""

    class Config(TelemetryExporterBaseConfig, name="test_quoting"):
        api_key: SecretStr

    class Quoting(SpanCollector):
        async def export_processed(self, item: Span) -> None:
            raise PermanentExportError("HTTP 401: sk-canary-4711 is no key of ours")

    with default_registry.preserved():

        @register_telemetry_exporter(config_type=Config)
        async def build(config: Config, builder: Builder) -> AsyncIterator[BaseExporter]:
            yield Quoting()

        delivery = DeliveryConfig.model_validate({"dead_letters": {"directory": str(tmp_path)}})
        config = Config(api_key=SecretStr("sk-canary-4711"))
        with Telemetry({"backend": config}, delivery=delivery) as telemetry, telemetry.run("agent"):
            pass

    (file,) = tmp_path.glob("*/*.letter")
    assert b"sk-canary" not in file.read_bytes()
    assert b"HTTP 401: ********** is no key of ours" in file.read_bytes()
    assert "HTTP 401: ********** is no key of ours" in caplog.text
    assert "sk-canary" not in caplog.text
