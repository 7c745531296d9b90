"""Probes: for every key of every configuration of ours, a way to see that it has an effect.

A key is looked up as `type.key` in `PROBES`, then, for what sends over OTLP, as `key`; without either, `differs` is its
probe: it sets two values, and what arrives at the backend, or the page that shows the run, must differ. So a preset's own
key needs a probe here only if no two values can be made up for it, or its effect is not seen there.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from nat.data_models.delivery import DeliveryConfig, RetryConfig
from nat.observability import Telemetry, step
from nat.observability.manager import ExporterStatus
from nat.observability.registry import OWN_TYPES, Registration, components
from nat.plugins.opentelemetry.settings import OtlpConfig
from nat.testing import FakeBackend, Request, faults
from nat.testing.tls import Authority, ServerTls
from tests.conformance.catalyst import catalyst_replies, spans_in_document
from tests.console.test_terminal import Terminal
from tests.support.catalyst import ACCESS_KEY, SECRET_KEY, CatalystStandIn, catalyst_stand_in
from tests.support.http_proxy import HttpProxy, Relay
from tests.support.waiting import wait_for

__all__ = ["Subject", "keys_of", "own_registrations", "probe_for"]

QUICK = DeliveryConfig(retry=RetryConfig(initial_interval=0.02, max_interval=0.05, max_retries=20))
SOON = DeliveryConfig(retry=RetryConfig(initial_interval=0.02, max_interval=0.05))
_NOWHERE = "http://127.0.0.1:9"
_VOLATILE = ("host", "content-length", "date")

Probe = Callable[["Subject", str], None]


def own_registrations() -> list[Registration]:
    """The types of ours that are installed."""
    found = [row.registration for row in components() if row.type in OWN_TYPES]
    assert all(found), "a type of ours does not load"
    return [registration for registration in found if registration is not None]


def keys_of(config_type: type[BaseModel], above: str = "") -> Iterator[str]:
    """All keys, those of blocks with a dot."""
    for name, field in config_type.model_fields.items():
        block = next((part for part in (field.annotation, *get_args(field.annotation)) if _is_block(part)), None)
        if block is None:
            yield f"{above}{name}"
        else:
            yield from keys_of(block, f"{above}{name}.")


def probe_for(config_type: type[Any], key: str) -> Probe | None:
    """What shows the effect of a key; `None` if nothing does."""
    is_otlp = issubclass(config_type, OtlpConfig)
    probe = PROBES.get(f"{config_type.static_type()}.{key}") or (PROBES.get(key) if is_otlp else None)
    if probe is None and is_otlp and len(_candidates(config_type.model_fields[key].annotation)) > 1:
        return differs
    return probe


class Subject:
    """A configuration class that is tried out.

    Args:
        registration: Its type.
        folder: For files.
    """

    def __init__(self, registration: Registration, folder: Path) -> None:
        self.registration = registration
        self.folder = folder
        self.config_type: Any = registration.config_type

    # -- over OTLP -----------------------------------------------------------------------------------------------------

    def config(self, **settings: Any) -> Any:
        """A configuration with these settings, and something for each other one that must be set."""
        for _ in range(3):
            try:
                return self.config_type(**settings)
            except ValidationError as error:
                missing = {str(line["loc"][0]) for line in error.errors() if line["loc"]} - settings.keys()
                if not missing:
                    raise
                settings |= {name: f"made-up-{name.replace('_', '-')}" for name in missing}
        raise AssertionError(f"{self.registration.type_name}: no valid settings were found")

    def endpoint(self, **settings: Any) -> str:
        """Where an exporter with these settings sends to."""

        async def ask() -> str:
            async with self.registration.build(self.config(**settings), None) as exporter:
                endpoint: str = exporter.endpoint
                await exporter.stop()
                return endpoint

        return asyncio.run(ask())

    def is_grpc(self, **settings: Any) -> bool:
        return urlsplit(self.endpoint(endpoint=_NOWHERE, **settings)).path == ""

    @contextmanager
    def backend(self, tls: ServerTls | None = None, **settings: Any) -> Iterator[tuple[FakeBackend, str]]:
        """A backend that takes what an exporter with these settings sends, and its address."""
        path = urlsplit(self.endpoint(endpoint=_NOWHERE, **settings)).path
        with FakeBackend(path or "/v1/traces", grpc=True, tls=tls) as backend:
            scheme = urlsplit(backend.base_url).scheme
            yield backend, backend.base_url if path else f"{scheme}://{backend.grpc_endpoint}"

    def deliver(
        self, endpoint: str, *, steps: int = 1, delivery: DeliveryConfig = QUICK, **settings: Any
    ) -> tuple[ExporterStatus, dict[str, str]]:
        """One run; what became of it, and where it is shown."""
        config = self.config(endpoint=endpoint, **settings)
        with Telemetry({"subject": config}, delivery=delivery) as telemetry:
            with telemetry.run("run", session_id="s-1", user_id="u-1", tags=["t"], metadata={"m": 1}) as run:
                for number in range(steps):
                    with step(f"work {number}", kind="llm", input="q", model="model-a"):
                        pass
            status = telemetry.flush(60.0).exporters["subject"]
            return status, telemetry.trace_urls(run)

    def seen(self, **settings: Any) -> list[str]:
        """All that a backend sees of a run, and the page that shows it, as lines without ids and times."""
        with self.backend(**settings) as (backend, endpoint):
            status, pages = self.deliver(endpoint, **settings)
            assert status.lost == 0, status
            lines = {line for request in backend.requests for line in _lines_of(request)}
        lines |= {f"page {page}" for page in pages.values()}
        return sorted(_without_ids(line.replace(endpoint, "ENDPOINT")) for line in lines)

    # -- others --------------------------------------------------------------------------------------------------------

    def lines(self, *, runs: int = 1, **settings: Any) -> dict[str, str]:
        """Files that a `file` exporter leaves, by their path in the folder; each run is a life of its own."""
        settings.setdefault("output_path", f"{self.folder}/lines.jsonl")
        for number in range(runs):
            with Telemetry(self.config_type(**settings)) as telemetry:
                with telemetry.run(f"run {number}"):
                    pass
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.suffix == ".jsonl")
        return {path.relative_to(self.folder).as_posix(): path.read_text() for path in files}

    def empty(self) -> None:
        """Remove all files."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                path.unlink()

    def drawn(self, **settings: Any) -> str:
        """What a `console` exporter draws on a terminal, with all codes."""
        terminal = Terminal(
            f"""
            with Telemetry(ConsoleConfig(**{settings!r})) as telemetry:
                with telemetry.run("run", input="question"):
                    pass
            """
        )
        assert terminal.process.wait(30) == 0
        terminal.close()
        return terminal.raw


# -- what any key of a preset is probed with ---------------------------------------------------------------------------


def differs(subject: Subject, key: str) -> None:
    """Two values are two things to see; the same value twice is not."""
    first, second = _candidates(subject.config_type.model_fields[key].annotation)[:2]

    seen, again, other = subject.seen(**{key: first}), subject.seen(**{key: first}), subject.seen(**{key: second})
    assert seen == again, f"not only {key} makes a difference: {set(seen) ^ set(again)}"
    assert seen != other, f"{key} does nothing: with {first!r} and with {second!r}, all that is seen is the same"


# -- keys that all over OTLP share ---------------------------------------------------------------------------------------


def endpoint(subject: Subject, key: str) -> None:
    with subject.backend() as (first, _), subject.backend() as (second, address):
        subject.deliver(address)

        assert (len(first.spans), len(second.spans)) == (0, 2)


def protocol(subject: Subject, key: str) -> None:
    expected = {"http": "http/protobuf", "http/protobuf": "http/protobuf", "http/json": "http/json", "grpc": "grpc"}
    for choice in _candidates(subject.config_type.model_fields[key].annotation):
        with subject.backend(protocol=choice) as (backend, address):
            subject.deliver(address, protocol=choice)

            assert {request.protocol for request in backend.requests} == {expected[choice]}


def headers(subject: Subject, key: str) -> None:
    with subject.backend() as (backend, address):
        subject.deliver(address, headers={"X-Probe": "probe-value"})

        assert [request.headers["x-probe"] for request in backend.requests] == ["probe-value"]


def resource_attributes(subject: Subject, key: str) -> None:
    given = {"probe.text": "a", "probe.number": 7, "service.version": "1.2"}
    with subject.backend() as (backend, address):
        subject.deliver(address, resource_attributes=given)

        assert all(span.resource.items() >= given.items() for span in backend.spans)
        assert len(backend.spans) == 2


def append_path(subject: Subject, key: str) -> None:
    with FakeBackend("/custom") as backend:
        subject.deliver(backend.url, append_path=False)

        assert [request.path for request in backend.requests] == ["/custom"]


def insecure(subject: Subject, key: str) -> None:
    """Over gRPC, which all that have the key speak."""
    for is_insecure in (True, False):
        authority = Authority(subject.folder)
        with FakeBackend(grpc=True, tls=None if is_insecure else authority.server()) as backend:
            tls = None if is_insecure else {"ca_file": str(authority.ca_file)}
            subject.deliver(backend.grpc_endpoint, protocol="grpc", insecure=is_insecure, tls=tls)

            assert len(backend.spans) == 2


def compression(subject: Subject, key: str) -> None:
    sizes = {}
    for choice in ("none", "gzip"):
        with subject.backend() as (backend, address):
            relay = Relay(urlsplit(address).port or 0)
            with relay.running():
                subject.deliver(
                    address.replace(str(urlsplit(address).port), str(relay.port)),
                    compression=choice,
                    resource_attributes={"filler": "x" * 100_000},
                )
            sizes[choice] = relay.byte_count
            assert len(backend.spans) == 2

    assert sizes["gzip"] < 20_000 < 100_000 < sizes["none"]


def ca_file(subject: Subject, key: str) -> None:
    authority = Authority(subject.folder)
    with subject.backend(tls=authority.server()) as (backend, address):
        subject.deliver(address, tls={"ca_file": str(authority.ca_file)})

        assert len(backend.spans) == 2


def client_certificate(subject: Subject, key: str) -> None:
    """Both keys at once: one is nothing without the other."""
    authority = Authority(subject.folder)
    certificate, private_key = authority.client_files()
    files = {
        "ca_file": str(authority.ca_file),
        "certificate_file": str(certificate),
        "key_file": str(private_key),
    }
    with subject.backend(tls=authority.server(demands_client_certificate=True)) as (backend, address):
        subject.deliver(address, tls=files)

        assert len(backend.spans) == 2


def proxy(subject: Subject, key: str) -> None:
    server = HttpProxy()
    with subject.backend() as (backend, address), server.running():
        subject.deliver(address, proxy=server.url)

        assert len(server.passages) == 1
        assert len(backend.spans) == 2


def batch_size(subject: Subject, key: str) -> None:
    for size, requests in ((1, 6), (2, 3), (6, 1)):
        with subject.backend() as (backend, address):
            subject.deliver(address, steps=5, batch_size=size, flush_interval=60.0)

            assert [len(request.spans) for request in backend.requests] == [size] * requests


def flush_interval(subject: Subject, key: str) -> None:
    """What waits is sent by itself, and not before its time."""
    with subject.backend() as (soon, soon_address), subject.backend() as (late, late_address):
        entries = {
            "soon": subject.config(endpoint=soon_address, flush_interval=0.05),
            "late": subject.config(endpoint=late_address, flush_interval=60.0),
        }
        with Telemetry(entries) as telemetry:
            with telemetry.run("run"):
                pass
            soon.wait_for_spans(1)

            assert late.requests == []


def timeout(subject: Subject, key: str) -> None:
    with subject.backend() as (soon, soon_address), subject.backend() as (late, late_address):
        entries = {
            "soon": subject.config(endpoint=soon_address, timeout=0.2),
            "late": subject.config(endpoint=late_address, timeout=60.0),
        }
        for backend in (soon, late):
            backend.from_now_on(faults.HANG)
        with Telemetry(entries, delivery=QUICK) as telemetry:
            with telemetry.run("run"):
                pass
            telemetry.flush(1.0)
            late.wait_for_requests(1)
            soon.wait_for_requests(2)

            assert len(late.requests) == 1
            soon.recover()
            late.recover()


def retries(subject: Subject, key: str) -> None:
    for count in (0, 2):
        with subject.backend() as (backend, address):
            backend.from_now_on(faults.status(503))
            status, _ = subject.deliver(address, delivery=SOON, retries=count)

            assert set(backend.attempts.values()) == {count + 1}
            assert status.dropped == {"retries_exhausted": 2}


def overflow(subject: Subject, key: str) -> None:
    """`max_queue_size` bounds what waits, and `drop_on_overflow` says what happens to the rest."""
    lost = {}
    for size, drops in ((4, True), (1000, True), (4, False)):
        with subject.backend() as (backend, address):
            backend.from_now_on(faults.HANG)
            config = subject.config(
                endpoint=address, batch_size=1, max_queue_size=size, drop_on_overflow=drops, flush_interval=0.01
            )
            with Telemetry({"subject": config}) as telemetry:
                with telemetry.run("run"):
                    for number in range(99):
                        with step(str(number)):
                            pass
                backend.wait_for_requests(1)
                _wait_until_settled(telemetry)
                backend.recover()
                status = telemetry.flush(60.0).exporters["subject"]
            lost[size, drops] = status.dropped.get("queue_full", 0)
            assert status.delivered + lost[size, drops] == 100

    assert lost[4, True] >= 80
    assert (lost[1000, True], lost[4, False]) == (0, 0)


def shutdown_timeout(subject: Subject, key: str) -> None:
    for timeout_s in (0.2, 1.2):
        with subject.backend() as (backend, address):
            backend.from_now_on(faults.HANG)
            telemetry = Telemetry({"subject": subject.config(endpoint=address, shutdown_timeout=timeout_s)}).start()
            with telemetry.run("run"):
                pass
            telemetry.flush(0.05)
            backend.wait_for_requests(1)
            began = time.monotonic()
            status = telemetry.close().exporters["subject"]
            took_s = time.monotonic() - began
            backend.recover()

            assert status.dropped == {"shutdown": 1}
            assert timeout_s - 0.05 <= took_s < timeout_s + 30


# -- file ----------------------------------------------------------------------------------------------------------------


def file_output_path(subject: Subject, key: str) -> None:
    assert [*subject.lines(output_path=f"{subject.folder}/mine.jsonl")] == ["mine.jsonl"]
    subject.empty()
    assert [*subject.lines(output_path=f"{subject.folder}/sub/")] == ["sub/steps.jsonl"]


def file_project(subject: Subject, key: str) -> None:
    assert '"project":"shop"' in subject.lines(project="shop")["lines.jsonl"]


def file_format(subject: Subject, key: str) -> None:
    for choice, sign in (("steps", "event_type"), ("spans", "span_id"), ("otlp_json", "resourceSpans")):
        subject.empty()
        assert sign in subject.lines(format=choice)["lines.jsonl"]


def file_mode(subject: Subject, key: str) -> None:
    for choice, stays in (("append", True), ("overwrite", False)):
        path = subject.folder / f"{choice}.jsonl"
        path.write_text("before\n")
        assert ("before" in subject.lines(output_path=str(path), mode=choice)[path.name]) is stays


def file_rolling(subject: Subject, key: str) -> None:
    assert len(subject.lines(runs=6, enable_rolling=False, max_file_size=10)) == 1
    subject.empty()
    assert len(subject.lines(runs=6, enable_rolling=True, max_file_size=10, max_files=3)) == 3
    subject.empty()
    assert len(subject.lines(runs=6, enable_rolling=True, max_file_size=10, max_files=4)) == 4
    subject.empty()
    assert len(subject.lines(runs=6, enable_rolling=True, max_file_size=10_000_000)) == 1


def file_cleanup_on_init(subject: Subject, key: str) -> None:
    rolling = {"enable_rolling": True, "max_file_size": 10, "max_files": 5}
    subject.lines(runs=4, **rolling)

    assert len(subject.lines(**rolling, cleanup_on_init=True)) < len(subject.lines(runs=3, **rolling))


# -- console -------------------------------------------------------------------------------------------------------------


def console_prefix(subject: Subject, key: str) -> None:
    assert "[PROBE]" in subject.drawn(prefix="[PROBE]")


def console_stream(subject: Subject, key: str) -> None:
    """Where standard output is elsewhere, only what goes there is there."""
    for stream in ("stdout", "stderr"):
        file = subject.folder / stream
        code = f"""
            os.dup2(os.open({str(file)!r}, os.O_CREAT | os.O_WRONLY), 1)
            with Telemetry(ConsoleConfig(stream={stream!r})) as telemetry:
                with telemetry.run("run"):
                    pass
            """
        terminal = Terminal(code)
        assert terminal.process.wait(30) == 0
        terminal.close()

        assert ("workflow run" in file.read_text()) is (stream == "stdout")
        assert ("workflow run" in terminal.screen) is (stream == "stderr")


def console_live(subject: Subject, key: str) -> None:
    is_redrawn = {live: "\x1b[2K" in subject.drawn(live=live) for live in (True, False)}

    assert is_redrawn == {True: True, False: False}


def console_color(subject: Subject, key: str) -> None:
    has_color = {
        color: re.search(r"\x1b\[[\d;]*m", subject.drawn(color=color)) is not None for color in ("always", "never")
    }

    assert has_color == {"always": True, "never": False}


def console_max_content_chars(subject: Subject, key: str) -> None:
    assert "question" in subject.drawn(max_content_chars=100)
    assert "question" not in subject.drawn(max_content_chars=0)


# -- catalyst ------------------------------------------------------------------------------------------------------------


def uploaded(
    subject: Subject, speaks: ServerTls | None = None, **settings: Any
) -> tuple[CatalystStandIn, ExporterStatus]:
    """A Catalyst after one run, and what became of that."""
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "project": "shop"}
    with catalyst_stand_in(speaks) as (stand_in, url):
        status, _ = subject.deliver(url, **{**keys, **settings})
    return stand_in, status


def catalyst_endpoint(subject: Subject, key: str) -> None:
    with catalyst_stand_in() as (elsewhere, _):
        stand_in, _ = uploaded(subject)

    assert (len(stand_in.documents), len(elsewhere.requests)) == (1, 0)


def catalyst_keys(subject: Subject, key: str) -> None:
    assert uploaded(subject)[1].delivered == 2
    assert uploaded(subject, None, **{key: "another-key"})[1].rejected == 2


def catalyst_project(subject: Subject, key: str) -> None:
    stand_in, _ = uploaded(subject, project="probe")

    assert {request.headers.get("x-project-name", "probe") for request in stand_in.requests} == {"probe"}
    assert stand_in.documents[0]["project_name"] == "probe"


def catalyst_dataset(subject: Subject, key: str) -> None:
    stand_in, _ = uploaded(subject, dataset="probe")

    asked = [json.loads(request.body) for request in stand_in.requests if request.step in ("dataset", "insert")]
    assert [request["datasetName"] for request in asked] == ["probe", "probe"]


def catalyst_document(subject: Subject, key: str) -> None:
    """Keys that change the document."""
    values = {"tracer_type": ("agentic/a", "b"), "metadata": ({"a": 1}, {}), "list_packages": (True, False)}[key]
    documents = [json.dumps(uploaded(subject, None, **{key: value})[0].documents[0]) for value in values]

    first, second = (_without_ids(re.sub(r"\d\d:\d\d:\d\d\.\d+", "TIME", document)) for document in documents)
    assert first != second


def catalyst_ca_file(subject: Subject, key: str) -> None:
    authority = Authority(subject.folder)

    stand_in, _ = uploaded(subject, authority.server(), tls={"ca_file": str(authority.ca_file)})

    assert len(stand_in.documents) == 1


def catalyst_certificate(subject: Subject, key: str) -> None:
    authority = Authority(subject.folder)
    certificate, private_key = authority.client_files()
    files = {"certificate_file": str(certificate), "key_file": str(private_key), "ca_file": str(authority.ca_file)}

    stand_in, _ = uploaded(subject, authority.server(demands_client_certificate=True), tls=files)

    assert len(stand_in.documents) == 1


def catalyst_proxy(subject: Subject, key: str) -> None:
    server = HttpProxy()
    with server.running():
        stand_in, _ = uploaded(subject, proxy=server.url)

    assert (len(stand_in.documents), bool(server.passages)) == (1, True)


@contextmanager
def _catalyst_backend() -> Iterator[FakeBackend]:
    with FakeBackend("/bucket/trace", method="PUT", read=spans_in_document, replies=catalyst_replies()) as backend:
        yield backend


def catalyst_timeout(subject: Subject, key: str) -> None:
    with _catalyst_backend() as soon, _catalyst_backend() as late:
        entries = {
            "soon": subject.config(endpoint=soon.base_url, timeout=0.3),
            "late": subject.config(endpoint=late.base_url, timeout=60.0),
        }
        for backend in (soon, late):
            backend.from_now_on(faults.HANG)
        with Telemetry(entries, delivery=QUICK) as telemetry:
            with telemetry.run("run"):
                pass
            telemetry.flush(1.0)
            wait_for(lambda: len(soon.deliveries) >= 2)

            assert len(late.deliveries) == 1
            soon.recover()
            late.recover()


def catalyst_retries(subject: Subject, key: str) -> None:
    for count in (0, 2):
        with _catalyst_backend() as backend:
            backend.from_now_on(faults.status(503))
            status, _ = subject.deliver(backend.base_url, delivery=SOON, retries=count)

            assert len(backend.deliveries) == count + 1
            assert status.dropped == {"retries_exhausted": 2}


# -- weave ---------------------------------------------------------------------------------------------------------------


def weave_mode(subject: Subject, key: str) -> None:
    """Weave's client is not among what the tests run with; what it does with it is shown with products."""
    assert subject.seen(mode="otlp")
    with pytest.raises(ValidationError, match="install it"):
        subject.config(mode="native")


PROBES: Mapping[str, Probe] = {
    "endpoint": endpoint,
    "protocol": protocol,
    "headers": headers,
    "resource_attributes": resource_attributes,
    "append_path": append_path,
    "insecure": insecure,
    "compression": compression,
    "tls.ca_file": ca_file,
    "tls.certificate_file": client_certificate,
    "tls.key_file": client_certificate,
    "proxy": proxy,
    "batch_size": batch_size,
    "flush_interval": flush_interval,
    "max_queue_size": overflow,
    "drop_on_overflow": overflow,
    "shutdown_timeout": shutdown_timeout,
    "timeout": timeout,
    "retries": retries,
    "catalyst.endpoint": catalyst_endpoint,
    "catalyst.access_key": catalyst_keys,
    "catalyst.secret_key": catalyst_keys,
    "catalyst.project": catalyst_project,
    "catalyst.dataset": catalyst_dataset,
    "catalyst.tracer_type": catalyst_document,
    "catalyst.metadata": catalyst_document,
    "catalyst.list_packages": catalyst_document,
    "catalyst.tls.ca_file": catalyst_ca_file,
    "catalyst.tls.certificate_file": catalyst_certificate,
    "catalyst.tls.key_file": catalyst_certificate,
    "catalyst.proxy": catalyst_proxy,
    "catalyst.timeout": catalyst_timeout,
    "catalyst.retries": catalyst_retries,
    "weave.mode": weave_mode,
    "file.output_path": file_output_path,
    "file.project": file_project,
    "file.format": file_format,
    "file.mode": file_mode,
    "file.enable_rolling": file_rolling,
    "file.max_file_size": file_rolling,
    "file.max_files": file_rolling,
    "file.cleanup_on_init": file_cleanup_on_init,
    "console.prefix": console_prefix,
    "console.stream": console_stream,
    "console.live": console_live,
    "console.color": console_color,
    "console.max_content_chars": console_max_content_chars,
}


# -- small parts ---------------------------------------------------------------------------------------------------------


def _is_block(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _candidates(annotation: Any) -> list[Any]:
    """Values that a key of this type may have, made up; none if that cannot be told."""
    if annotation is bool:
        return [True, False]
    if annotation in (str, SecretStr):
        return ["probe-a", "probe-b"]
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if get_origin(annotation) is dict:
        return [{"probe-key": "probe-value"}, {}]
    if get_origin(annotation) is list:
        return [["probe-a"], ["probe-b"]]
    choices = (_candidates(part) for part in get_args(annotation) if part is not type(None))
    return next(filter(None, choices), [])


def _lines_of(request: Request) -> Iterator[str]:
    yield f"{request.protocol} {request.path}?{request.query}"
    for name, value in request.headers.items():
        if name not in _VOLATILE:
            yield f"header {name}: {value}"
    for span in request.spans:
        for kind, values in (("attribute", span.attributes), ("resource", span.resource)):
            for key, value in values.items():
                yield f"{span.name} {kind} {key}: {json.dumps(value, sort_keys=True)}"
        yield f"{span.name} {span.status} {span.scope} {span.links!r}"


def _without_ids(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{16}(?:[0-9a-f]{16})?\b|\d{12,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)


def _wait_until_settled(telemetry: Telemetry) -> None:
    """Block until all spans are where they stay while the backend hangs."""
    seen = [telemetry.status()]

    def is_settled() -> bool:
        seen.append(telemetry.status())
        return seen[-1] == seen[-2] and seen[-1].exporters["subject"].accepted == 100

    wait_for(is_settled)


def without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment says anything about a backend."""
    said = ("OTEL_", "LANGCHAIN_", "WANDB_", "WF_", "RAGAAI_", *(f"{name.upper()}_" for name in OWN_TYPES))
    for name in list(os.environ):
        if name.startswith(said) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
