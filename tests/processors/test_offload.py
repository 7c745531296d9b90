"""Offload: images, audio, other data and long texts are stored once, by their hash, and references take their place."""

import base64
import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nat.data_models.intermediate_step import IntermediateStep, StreamEventData, TraceMetadata
from nat.data_models.span import Span
from nat.observability import RedactConfig, Telemetry, exporter_entry, step
from nat.observability.manager import ExporterState
from nat.plugins.content.register import ContentConfig, OffloadConfig
from tests.support.collecting import SpanCollector, StepCollector, emit, registered
from tests.support.processing import SpanFunction, StepFunction, registered_processor
from tests.support.waiting import wait_for

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
WAV = b"RIFF\x24\x04\x00\x00WAVEfmt " + bytes(1000)
KEY = "sk-proj-Abcdefghijklmnop1234567890"

Run = Callable[[Telemetry], None]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{b64(data)}"


def chat(*parts: Any) -> Run:
    """A run with one model call, whose message has these parts."""

    def run(telemetry: Telemetry) -> None:
        with telemetry.run("run"), step("chat", kind="llm", input=[{"role": "user", "content": list(parts)}]):
            pass

    return run


def span_of(run: Run, to: Path, *, redact: Any = None, before: Any = (), **settings: Any) -> Span:
    """The span `chat` of a run, whose parts are offloaded to a folder."""
    mode = settings.pop("mode", "full")
    collector = SpanCollector()
    config = ContentConfig(mode=mode, offload=OffloadConfig(to=str(to), **settings))
    with Telemetry(registered(lambda: collector)(), processors=[*before, config], redact=redact) as telemetry:
        run(telemetry)
    assert telemetry.status().exporters.popitem()[1].dropped == {}
    return collector.by_name()["chat"]


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def name_of(data: bytes, ending: str) -> str:
    digest = hashlib.sha256(data).hexdigest()
    return f"{digest[:2]}/{digest}{ending}"


def references_of(span: Span) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(span.attributes["nat.content.offloaded"])
    return found


def test_an_image_is_stored_once_and_both_copies_name_it(tmp_path: Path) -> None:
    """The input as a whole and the message; with URL, size, type and hash of what is in the file."""
    image = {"type": "image_url", "image_url": {"url": data_url(PNG)}}

    span = span_of(chat({"type": "text", "text": "What is it?"}, image), tmp_path / "blobs")

    name = name_of(PNG, ".png")
    url = f"{(tmp_path / 'blobs').as_uri()}/{name}"
    key = "llm.input_messages.0.message.contents.1.message_content.image.image.url"
    assert files_in(tmp_path / "blobs") == {name: PNG}
    assert span.attributes[key] == url
    assert json.loads(span.attributes["input.value"])[0]["content"][1]["image_url"]["url"] == url
    assert span.attributes["input.mime_type"] == "application/json"
    assert references_of(span) == [
        {
            "url": url,
            "sha256": hashlib.sha256(PNG).hexdigest(),
            "size_bytes": len(PNG),
            "media_type": "image/png",
            "at": ["input.value", key],
        }
    ]
    assert "nat.content.lost_parts" not in span.attributes


@pytest.mark.parametrize(
    ("part", "data", "ending"),
    [
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": b64(PNG)}}, PNG, ".png"),
        ({"type": "input_audio", "input_audio": {"data": b64(WAV), "format": "wav"}}, WAV, ".wav"),
        ({"type": "image", "base64": b64(PNG), "mime_type": "image/png"}, PNG, ".png"),
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": b64(b"%PDF-1" + WAV)}}, b"%PDF-1" + WAV, ".pdf"),
        ({"inlineData": {"mimeType": "image/png", "data": b64(PNG)}}, PNG, ".png"),
        ({"type": "blob", "mime_type": "image/png", "content": b64(PNG)}, PNG, ".png"),
        ({"type": "text", "text": f"![it]({data_url(PNG)}) and so on"}, PNG, ".png"),
        ({"type": "text", "text": json.dumps({"deep": [{"url": data_url(PNG)}]}).replace("/", "\\/")}, PNG, ".png"),
        ({"type": "image_url", "image_url": {"url": "data:image/svg+xml,%3Csvg%2F%3E"}}, b"<svg/>", ".svg"),
        ({"type": "bytes", "value": PNG}, PNG, ".png"),
        ({"base64": b64(PNG), "mime_type": "image/png", "small": {"url": data_url(PNG)}}, PNG, ".png"),
        ({"type": "url-safe", "b64_json": base64.urlsafe_b64encode(PNG).decode().rstrip("=")}, PNG, ".png"),
    ],
)
def test_data_is_found_in_every_form(part: dict[str, Any], data: bytes, ending: str, tmp_path: Path) -> None:
    """In the forms of the vendors' APIs, in texts, in JSON within texts, and bytes as they were captured."""
    span = span_of(chat(part), tmp_path)

    name = name_of(data, ending)
    assert files_in(tmp_path) == {name: data}
    assert f"{tmp_path.as_uri()}/{name}" in span.attributes["input.value"]
    assert b64(data)[:40] not in span.model_dump_json()


def test_what_only_looks_like_data_stays(tmp_path: Path) -> None:
    digest = "0123456789abcdef" * 4
    parts = [
        {"type": "text", "text": "data: one, two; base64 is an encoding, data:image/png;base64 too"},
        {"type": "text", "text": "base64:no"},
        {"data": digest},
        {"media_type": "text/plain", "data": "not in base64 !" * 10},
        {"base64": "short"},
        {"type": "text", "text": "data:image/png;base64,A"},
    ]

    span = span_of(chat(*parts), tmp_path)

    assert json.loads(span.attributes["input.value"])[0]["content"] == parts
    assert files_in(tmp_path) == {}
    assert "nat.content.offloaded" not in span.attributes


def test_long_texts_are_stored(tmp_path: Path) -> None:
    """Those with more characters than the limit; JSON as a whole only if it is still too long."""
    long, short = "é" * 101, "é" * 100

    def run(telemetry: Telemetry) -> None:
        with telemetry.run("run"), step("chat", kind="llm", input=[{"role": "user", "content": long}]) as call:
            call.output = short
            call.set_attribute("notes", long)

    span = span_of(run, tmp_path, over_chars=100)

    name = name_of(long.encode(), ".txt")
    url = f"{tmp_path.as_uri()}/{name}"
    assert files_in(tmp_path)[name] == long.encode()
    assert span.attributes["llm.input_messages.0.message.content"] == span.attributes["notes"] == url
    assert span.attributes["output.value"] == short
    (whole,) = (one for one in references_of(span) if one["media_type"] == "application/json")
    assert (span.attributes["input.value"], span.attributes["input.mime_type"]) == (whole["url"], "text/plain")
    assert json.loads(files_in(tmp_path)[name_of_url(whole["url"])]) == [{"role": "user", "content": url}]


def name_of_url(url: str) -> str:
    return "/".join(url.split("/")[-2:])


def test_over_null_stores_data_only(tmp_path: Path) -> None:
    span = span_of(chat({"type": "text", "text": "x" * 100_000}, data_url(PNG)), tmp_path, over_chars=None)

    assert files_in(tmp_path) == {name_of(PNG, ".png"): PNG}
    assert "x" * 100_000 in span.attributes["input.value"]


def test_truncate_stores_what_it_cuts(tmp_path: Path) -> None:
    """The text begins in its place, all of it is in the file; references are not cut."""
    long = "word " * 50
    given = [
        {"role": "user", "content": [{"type": "text", "text": long}, {"type": "image_url", "image_url": data_url(PNG)}]}
    ]

    def run(telemetry: Telemetry) -> None:
        with telemetry.run("run"), step("chat", kind="llm", input=given) as call:
            call.output = long

    span = span_of(run, tmp_path, mode="truncate:300", over_chars=200)
    short = span_of(run, tmp_path, mode="truncate:20", over_chars=200)

    files = files_in(tmp_path)
    assert files[name_of(long.encode(), ".txt")] == long.encode()
    assert files[name_of(PNG, ".png")] == PNG
    assert span.attributes["output.value"] == long
    assert short.attributes["output.value"] == "word word word word…"
    key = "llm.input_messages.0.message.contents.1.message_content.image.image.url"
    assert span.attributes[key] == short.attributes[key] == f"{tmp_path.as_uri()}/{name_of(PNG, '.png')}"
    assert "output.value" in [at for one in references_of(short) for at in one["at"]]
    assert json.loads(span.attributes["input.value"])[0]["content"][1]["image_url"] == span.attributes[key]


def test_steps_of_raw_exporters_too(tmp_path: Path) -> None:
    """Data, metadata of either form, and what a processor has left as bytes."""
    collector = StepCollector()

    def add(item: IntermediateStep) -> IntermediateStep:
        if item.event_type != "FUNCTION_END":
            return item
        data = StreamEventData(output=PNG, raw=[{"more": memoryview(WAV)}])
        return item.model_copy(update={"payload": item.payload.model_copy(update={"data": data})})

    processors = [
        registered_processor(lambda: StepFunction(add))(),
        ContentConfig(offload=OffloadConfig(to=str(tmp_path))),
    ]
    with Telemetry(registered(lambda: collector)(), processors=processors) as telemetry, telemetry.run("run"):
        emit("work", input={"picture": data_url(PNG)}, metadata=TraceMetadata(tool_outputs=[data_url(PNG)]))

    started, ended = (item for item in collector.received.items if item.name == "work")
    url = f"{tmp_path.as_uri()}/{name_of(PNG, '.png')}"
    assert started.data is not None
    assert started.data.input == {"picture": url}
    assert isinstance(started.metadata, dict)
    (reference,) = started.metadata["nat.content.offloaded"]
    assert (reference["url"], reference["at"]) == (url, ["data.input"])
    assert ended.data is not None
    assert ended.data.output == url
    assert ended.data.model_extra == {"raw": [{"more": f"{tmp_path.as_uri()}/{name_of(WAV, '.wav')}"}]}
    assert isinstance(ended.metadata, TraceMetadata)
    assert ended.metadata.tool_outputs == [url]
    assert set(files_in(tmp_path)) == {name_of(PNG, ".png"), name_of(WAV, ".wav")}


def test_files_are_the_owners_and_written_once(tmp_path: Path) -> None:
    """Also by two exporters at a time; no half-written file is left."""
    folder = tmp_path / "new" / "blobs"
    configs = [registered(SpanCollector)() for _ in range(2)]
    with Telemetry(*configs, processors=[ContentConfig(offload=OffloadConfig(to=str(folder)))]) as telemetry:
        for _ in range(20):
            chat(data_url(PNG))(telemetry)
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    inode = path.stat().st_ino
    with Telemetry(*configs, processors=[ContentConfig(offload=OffloadConfig(to=str(folder)))]) as telemetry:
        chat(data_url(PNG))(telemetry)

    assert path.stat().st_ino == inode
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(one.stat().st_mode) for one in (folder, path.parent)} == {0o700}
    assert [one.name for one in path.parent.iterdir()] == [path.name]


_WRITER = """
import itertools, sys
from pathlib import Path
from nat.observability.processor.blob_store import DirectoryStore

store = DirectoryStore(Path(sys.argv[1]))
for number in itertools.count() if sys.argv[2] == "for ever" else range(30):
    store.put(number.to_bytes(4, "big") * 500_000, "application/octet-stream")
"""


def test_processes_share_a_directory_and_a_killed_one_leaves_no_half_file(tmp_path: Path) -> None:
    """Two write the same parts, one is killed in the middle of it: what is there under its name is whole."""
    folder = tmp_path / "blobs"
    killed, other = (
        subprocess.Popen([sys.executable, "-c", _WRITER, str(folder), limit]) for limit in ("for ever", "thirty")
    )
    wait_for(lambda: len(list(folder.glob("*/*.bin"))) >= 5)
    killed.kill()
    killed.wait()

    assert other.wait(60) == 0
    files = list(folder.glob("*/[!.]*"))
    assert len(files) >= 30
    for file in files:
        assert file.stem == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_file_that_a_crash_has_cut_short_is_written_again(tmp_path: Path) -> None:
    file = tmp_path / name_of(PNG, ".png")
    file.parent.mkdir()
    file.write_bytes(b"")

    span_of(chat(data_url(PNG)), tmp_path)

    assert file.read_bytes() == PNG


def test_what_cannot_be_stored_is_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It does not leave, is counted where it was, and said once; everything else goes on."""
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    long = "private " * 100

    def run(telemetry: Telemetry) -> None:
        with telemetry.run("run"), step("chat", kind="llm", input=["before", data_url(PNG), long]):
            pass

    span = span_of(run, blocked, over_chars=100)

    assert json.loads(span.attributes["input.value"]) == ["before", "[not stored]", "[not stored]"]
    assert span.attributes["nat.content.lost_parts"] == 2
    assert "nat.content.offloaded" not in span.attributes
    (said,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert said.startswith(f"content: a part of {len(PNG)} bytes could not be stored (")
    assert "private" not in caplog.text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, where opening works and writing does not."""
    opened = os.open

    def open_full(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        if str(path).startswith(str(tmp_path)) and flags & os.O_WRONLY:
            os.close(opened(path, flags, mode, **options))
            return opened("/dev/full", os.O_WRONLY)
        return opened(path, flags, mode, **options)

    monkeypatch.setattr(os, "open", open_full)
    span = span_of(chat(data_url(PNG)), tmp_path)

    assert span.attributes["nat.content.lost_parts"] == 2
    assert files_in(tmp_path) == {}


def test_only_what_redaction_lets_through_is_stored(tmp_path: Path) -> None:
    """What was captured, what a processor has added since, and texts that were hidden in Base64."""

    def add(span: Span) -> Span:
        return span.model_copy(update={"attributes": {**span.attributes, "added": f"{KEY} " * 10}})

    hidden = data_url(f"the key is {KEY}".encode(), "text/plain")
    span = span_of(
        chat({"type": "text", "text": f"{KEY} " * 10}, hidden),
        tmp_path,
        over_chars=100,
        before=[registered_processor(lambda: SpanFunction(add))()],
    )

    stored = b"\n".join(files_in(tmp_path).values()).decode()
    assert KEY not in stored + span.model_dump_json()
    assert stored.count("[REDACTED:api_key]") == 11
    assert span.attributes["added"].startswith("file:")


def test_rules_for_fields_are_kept_too(tmp_path: Path) -> None:
    """Paths are applied before, and what is allowed stays."""
    redact = RedactConfig(profile="none", fields=["input.value.**.text"])

    span_of(chat({"type": "text", "text": "private " * 50}), tmp_path, over_chars=300, redact=redact)
    assert not any(b"private" in data for name, data in files_in(tmp_path).items() if name.endswith(".json"))


def test_base_url_is_where_readers_find_it(tmp_path: Path) -> None:
    span = span_of(chat(data_url(PNG)), tmp_path, base_url="https://files.example.com/traces/")

    assert references_of(span)[0]["url"] == f"https://files.example.com/traces/{name_of(PNG, '.png')}"


def test_a_file_url_is_a_directory(tmp_path: Path) -> None:
    collector = SpanCollector()
    config = ContentConfig(offload=OffloadConfig(to=(tmp_path / "a b").as_uri()))
    with Telemetry(registered(lambda: collector)(), processors=[config]) as telemetry:
        chat(data_url(PNG))(telemetry)

    assert files_in(tmp_path / "a b") == {name_of(PNG, ".png"): PNG}


def test_a_url_of_fsspec_is_written_to(tmp_path: Path) -> None:
    """One that writes objects as a whole, and one that does not; each object once."""
    import fsspec

    memory, local = SpanCollector(), SpanCollector()
    entries = [
        exporter_entry(registered(lambda: memory)(), processors=[_at("memory://traces/blobs")]),
        exporter_entry(registered(lambda: local)(), processors=[_at(f"local://{tmp_path}/objects", auto_mkdir=False)]),
    ]
    with Telemetry(*entries) as telemetry:
        for _ in range(3):
            chat(data_url(PNG))(telemetry)

    name = name_of(PNG, ".png")
    assert references_of(memory.received.items[0])[0]["url"] == f"memory://traces/blobs/{name}"
    assert fsspec.filesystem("memory").cat_file(f"/traces/blobs/{name}") == PNG
    assert files_in(tmp_path) == {f"objects/{name}": PNG}
    assert [span.attributes.get("nat.content.lost_parts") for span in local.received.items] == [None] * 6


def _at(url: str, **options: Any) -> ContentConfig:
    return ContentConfig(offload=OffloadConfig(to=url, options=options))


def test_a_store_that_refuses_is_as_a_disk_that_is_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("not for you")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refuse)
    collector = SpanCollector()
    with Telemetry(registered(lambda: collector)(), processors=[_at("memory://refused")]) as telemetry:
        chat(data_url(PNG))(telemetry)

    span = collector.by_name()["chat"]
    assert span.attributes["nat.content.lost_parts"] == 2
    assert b64(PNG) not in span.model_dump_json()


def test_a_url_that_nobody_knows_keeps_the_exporter_from_starting() -> None:
    other = SpanCollector()
    entry = exporter_entry(registered(SpanCollector)(), name="mine", processors=[_at("nowhere://x")])

    with Telemetry(entry, {"other": registered(lambda: other)()}) as telemetry, telemetry.run("run"):
        pass
    status = telemetry.status().exporters

    assert status["mine"].state is ExporterState.DISABLED
    assert "nowhere" in (status["mine"].reason or "")
    assert len(other.received) == 1


def test_it_is_done_on_a_thread_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs holds up neither the agent nor other exporters."""
    from nat.observability.processor.blob_store import DirectoryStore

    blocked, has_begun, threads = threading.Event(), threading.Event(), []

    def hang(self: Any, *_: Any) -> Any:
        threads.append(threading.current_thread().name)
        has_begun.set()
        blocked.wait()
        raise OSError("at last")

    monkeypatch.setattr(DirectoryStore, "put", hang)
    other = SpanCollector()
    mine = exporter_entry(
        registered_shipped(), name="mine", processors=[ContentConfig(offload=OffloadConfig(to=str(tmp_path)))]
    )
    telemetry = Telemetry(mine, {"other": registered(lambda: other)()}).start()
    chat(data_url(PNG))(telemetry)
    assert sorted(span.name for span in other.received.wait_for(2)) == ["chat", "run"]
    assert has_begun.wait(20)
    result = telemetry.close(timeout=0.2)
    blocked.set()

    assert threads[0] == "nat mine"
    assert result.exporters["other"].delivered == 2
    assert result.exporters["mine"].delivered == 0


def registered_shipped() -> Any:
    """An exporter of ours, which shares a thread with others unless something may block it."""
    from nat.plugins.console.register import ConsoleConfig

    return ConsoleConfig()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "none", "offload": "blobs"}, "offload stores nothing with mode none"),
        ({"mode": "metadata", "offload": "blobs"}, "offload stores nothing with mode metadata"),
        ({"offload": {"to": "blobs", "options": {"a": 1}}}, "options are for URLs"),
        ({"offload": {"to": ""}}, "at least 1 character"),
        ({"offload": {"to": "blobs", "over_chars": 0}}, "greater than or equal to 1"),
        ({"offload": {}}, "required"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ContentConfig.model_validate(settings)


@pytest.mark.parametrize("to", ["blobs", "memory://looked-at/blobs"])
def test_settings_without_effects_store_nothing(to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items are the same as with effects."""
    monkeypatch.chdir(tmp_path)
    config = ContentConfig(offload=OffloadConfig(to=to))
    collector = SpanCollector()

    with Telemetry(registered(lambda: collector)(), processors=[config.without_effects()]) as telemetry:
        chat(data_url(PNG))(telemetry)

    (reference,) = references_of(collector.by_name()["chat"])
    place = (tmp_path / "blobs").as_uri() if to == "blobs" else to
    assert reference["url"] == f"{place}/{name_of(PNG, '.png')}"
    assert list(tmp_path.iterdir()) == []
    assert ContentConfig(mode="none").without_effects() == ContentConfig(mode="none")


def test_a_url_without_fsspec_is_a_mistake_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nat.plugins.content.register.find_spec", lambda name: None)

    with pytest.raises(ValidationError, match=r"needs fsspec; install it: pip install \"nat-telemetry\[fsspec\]\""):
        ContentConfig(offload=OffloadConfig(to="s3://bucket"))


def test_no_secret_of_the_options_is_shown() -> None:
    config = ContentConfig(offload=OffloadConfig(to="s3://me:hunter2@bucket", options={"secret": "hunter2"}))

    assert "hunter2" not in repr(config)
