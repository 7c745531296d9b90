"""Probes of processors: for every key of every processor of ours, two settings that differ in it, and in what comes out."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from nat.cli.settings import settings_of, with_nested
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability import Telemetry, exporter_entry, step
from nat.observability.component import PROCESSOR
from nat.observability.registry import Registration, components
from nat.plugins.file.register import FileConfig
from tests.support.collecting import SpanCollector, StepCollector, registered

__all__ = ["PROBES", "Probe", "keys_of", "own_processors", "seen", "settings_for"]

_LONG = "word " * 40
_PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Probe(NamedTuple):
    """Two settings, or functions of an empty folder that give them, whose results differ because of one key."""

    first: Any
    second: Any


def own_processors() -> list[Registration]:
    """The processors of ours."""
    found = [row.registration for row in components() if row.kind == PROCESSOR.name and row.type in PROCESSOR.own]
    assert all(found), "a processor of ours does not load"
    return [registration for registration in found if registration is not None]


def keys_of(config_type: type[TelemetryProcessorBaseConfig]) -> Iterator[str]:
    """All keys that hold a value, those of mappings with a dot."""
    keys = [setting.key for setting in with_nested(settings_of(config_type))]
    yield from (key for key in keys if not any(other.startswith((f"{key}.", f"{key}[].")) for other in keys))


def settings_for(said: Any, folder: Path) -> Any:
    """Settings of a probe, in an empty folder that they may name."""
    folder.mkdir()
    return said(folder) if callable(said) else said


def seen(registration: Registration, settings: Mapping[str, Any], folder: Path) -> str:
    """All that exporters of spans and of steps get of some runs, and all that is in the folder, without ids and times."""
    config: Any = registration.config_type.model_validate(settings)
    spans, steps = SpanCollector(), StepCollector()
    exporters: dict[str, Any] = {"spans": registered(lambda: spans)(), "steps": registered(lambda: steps)()}
    if _is_of_spans(settings):
        del exporters["steps"]
    if config.for_one_exporter:  # which must be of a type that it knows
        exporters = {"file": FileConfig(output_path=str(folder / "general.jsonl"), format="spans")}
    entries = [
        exporter_entry(exporter, name=name, processors=[config], redact="none") for name, exporter in exporters.items()
    ]
    with Telemetry(*entries) as telemetry:
        for number in range(3):
            _run(telemetry, number)
        status = telemetry.flush(20.0).exporters
    assert all(one.state.value == "running" for one in status.values()), status
    items = [*spans.received.items, *steps.received.items]
    files = [
        f"{file.relative_to(folder)} {file.read_bytes()!r}" for file in sorted(folder.rglob("*")) if file.is_file()
    ]
    counts = [f"{name} {one.dropped}" for name, one in status.items()]
    lines = [*sorted(_timeless(item.model_dump_json()) for item in items), *map(_timeless, files), *counts]
    return "\n".join(lines).replace(str(folder), "FOLDER")


def _run(telemetry: Telemetry, number: int) -> None:
    """One run with something of everything that a key may be about."""
    run = telemetry.run(
        f"shop {number}", metadata={"tenant": f"t-{number}"}, tags=[f"tag-{number}"], session_id="s", user_id="u"
    )
    with suppress(ValueError), run:
        asked = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": [_LONG, _PNG]}]
        with step("chat", kind="llm", input=asked, model=f"m-{number}", metadata={"ssn": "x", "dob": "y"}) as chat:
            chat.output = "call 4711, ann@example.com or bob@example.org, sk-proj-Abcdefghijklmnop1234567890"
            chat.usage(
                prompt_tokens=1000 * number,
                completion_tokens=200,
                cached_tokens=100,
                cache_write_tokens=50,
                reasoning_tokens=20,
            )
            chat.set_attribute("team", f"team-{number}")
        with step("look up", kind="tool", input={"q": 1}) as tool:
            tool.set_attribute("llm.cost.total", float(number))
            if number == 2:
                raise ValueError("no")


def _is_of_spans(settings: Mapping[str, Any]) -> bool:
    """Whether only finished spans can be told by these settings."""
    of_ends = {"status", "min_duration_s", "max_duration_s"} & dict(settings.get("when") or ()).keys()
    keep = settings.get("keep")
    return bool(of_ends) or (isinstance(keep, dict) and "min_cost" in keep)


def _timeless(text: str) -> str:
    text = re.sub(r'"(?:start_time|end_time|timestamp|event_timestamp|span_event_timestamp)":[\d.]+', '"at":0', text)
    text = re.sub(r'"(?:trace_id|span_id|parent_span_id)":\d+', '"id":0', text)
    return re.sub(r'"[0-9a-f]{16}"|\b[0-9a-f]{32}\b', "ID", text)


def _filtered(key: str, first: Any, second: Any) -> Probe:
    return Probe({"action": "keep", "when": {key: first}}, {"action": "keep", "when": {key: second}})


def _sampled(key: str, first: Any, second: Any) -> Probe:
    return Probe({"ratio": 0, "keep": {key: first}}, {"ratio": 0, "keep": {key: second}})


def _held(key: str) -> Probe:
    """What must not be held any longer is sent."""
    settings = {"ratio": 0, "keep": {"min_tokens": 10**9}}
    return Probe({**settings, key: 1}, settings)


def _redacted(first: Any, second: Any, **common: Any) -> Probe:
    return Probe({**common, **first}, {**common, **second})


def _priced(key: str, first: float, second: float | None) -> Probe:
    price = {"input": 1, "output": 1}
    return Probe(
        {"prices": {"models": {"m-*": {**price, key: first}}}},
        {"prices": {"models": {"m-*": {**price, key: second}}}},
    )


def _stored(first: Mapping[str, Any], second: Mapping[str, Any]) -> Probe:
    """Settings of an offload to a folder."""

    def settings(said: Mapping[str, Any]) -> Callable[[Path], Any]:
        return lambda folder: {"offload": {"to": str(folder / "blobs"), **said}}

    return Probe(settings(first), settings(second))


def _file_of_prices(folder: Path) -> Any:
    file = folder / "prices.yaml"
    file.write_text(json.dumps({"models": {"m-*": {"input": 1}}}))
    return {"prices": str(file)}


def _below(name: str) -> Callable[[Path], Any]:
    """Settings of an offload to a URL whose place is said by its options."""
    return lambda folder: {
        "offload": {"to": "dir://blobs", "options": {"path": str(folder / name), "target_protocol": "file"}}
    }


def _repository(folder: Path) -> Any:
    """The settings for a folder with a revision."""
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("0123456789" * 4)
    return {"git": str(folder)}


def _routed(**settings: Any) -> Callable[[Path], Any]:
    """Settings of a route to files of its own; `to` names the one that runs of `t-1` go to."""
    to = settings.pop("to", "a")
    return lambda folder: {
        "by": "tenant",
        "routes": {"t-1": {"output_path": str(folder / f"{to}.jsonl")}},
        "otherwise": "withhold",
        **settings,
    }


_RATE = {"models": {"m-*": {"input": 1}}, "currency": "EUR"}
_ELSEWHERE = {
    "base_url": "https://example.com"
}  # else the names of files depend on the folder, as they name each other
_HASH = {"action": "hash", "profile": "secrets"}

PROBES: Mapping[str, Probe] = {
    "content.mode": Probe({"mode": "truncate:10"}, {"mode": "none"}),
    "content.offload.to": Probe(
        lambda folder: {"offload": {"to": str(folder / "a")}}, lambda folder: {"offload": str(folder / "b")}
    ),
    "content.offload.over_chars": _stored({"over_chars": 50, **_ELSEWHERE}, {"over_chars": None, **_ELSEWHERE}),
    "content.offload.base_url": _stored({"base_url": "https://a.example.com"}, {"base_url": "https://b.example.com"}),
    "content.offload.options": Probe(_below("a"), _below("b")),
    "enrich.environment": Probe({"environment": "a"}, {"environment": "b"}),
    "enrich.resource": Probe({"roll_up": True, "resource": True}, {"roll_up": True, "resource": False}),
    "enrich.git": Probe(_repository, lambda folder: {"git": str(folder)}),
    "enrich.attributes": Probe({"attributes": {"a": 1}}, {"attributes": {"a": 2}}),
    "enrich.computed": Probe({"computed": {"a": "{run.name}"}}, {"computed": {"a": "{step.name}"}}),
    "enrich.prices": Probe(_file_of_prices, {"prices": {"models": {"m-*": {"input": 2}}}}),
    "enrich.prices.models.*.input": _priced("input", 1, 2),
    "enrich.prices.models.*.output": _priced("output", 1, 2),
    "enrich.prices.models.*.cached_input": _priced("cached_input", 3, None),
    "enrich.prices.models.*.cache_write": _priced("cache_write", 3, None),
    "enrich.prices.models.*.reasoning": _priced("reasoning", 3, None),
    "enrich.prices.currency": Probe(
        {"prices": {**_RATE, "usd_rate": 2}}, {"prices": {**_RATE, "currency": "GBP", "usd_rate": 2}}
    ),
    "enrich.prices.usd_rate": Probe({"prices": {**_RATE, "usd_rate": 2}}, {"prices": {**_RATE, "usd_rate": 3}}),
    "enrich.roll_up": Probe({"environment": "a", "roll_up": True}, {"environment": "a", "roll_up": False}),
    "filter.action": Probe({"action": "keep", "when": {"kind": "llm"}}, {"action": "drop", "when": {"kind": "llm"}}),
    "filter.when.kind": _filtered("kind", "llm", "tool"),
    "filter.when.name": _filtered("name", "chat", ["look*", "shop*"]),
    "filter.when.tag": _filtered("tag", "tag-0", "tag-1"),
    "filter.when.workflow": _filtered("workflow", "shop 0", "shop [12]"),
    "filter.when.tenant": _filtered("tenant", "t-0", "t-1"),
    "filter.when.status": _filtered("status", "ok", "error"),
    "filter.when.min_duration_s": _filtered("min_duration_s", 0, 3600),
    "filter.when.max_duration_s": _filtered("max_duration_s", 3600, 0),
    "filter.when.attribute": _filtered("attribute", {"team": "team-0"}, {"team": "team-1"}),
    "redact.profile": _redacted({"profile": "secrets"}, {"profile": "pii"}),
    "redact.action": _redacted({"action": "mask"}, {"action": "partial"}),
    "redact.replacement": _redacted({"replacement": "<a>"}, {"replacement": "<{name}>"}),
    "redact.hash_key": _redacted({"hash_key": "a" * 16}, {"hash_key": "b" * 16}, **_HASH),
    "redact.fields[].path": _redacted({"fields": [{"path": "ssn"}]}, {"fields": ["dob"]}),
    "redact.fields[].action": _redacted({"fields": [{"path": "ssn", "action": "mask"}]}, {"fields": ["ssn"]}),
    "redact.patterns": _redacted({"patterns": {"number": r"call \d+"}}, {"patterns": {"call": "call"}}),
    "redact.roles": _redacted({"roles": ["system"]}, {"roles": ["user"]}),
    "redact.allow": _redacted({"allow": ["ann@*"]}, {"allow": ["bob@*"]}, profile="pii"),
    "redact.without": _redacted({"without": ["email"]}, {"without": []}, profile="pii"),
    "route.by": Probe(_routed(), _routed(by="another")),
    "route.routes": Probe(_routed(), _routed(to="b")),
    "route.otherwise": Probe(_routed(), _routed(otherwise="send")),
    "sample.ratio": Probe({"ratio": 0}, {"ratio": 1}),
    "sample.keep.errors": _sampled("errors", True, False),
    "sample.keep.min_duration_s": _sampled("min_duration_s", 0.000001, 3600),
    "sample.keep.min_tokens": _sampled("min_tokens", 2000, 10**9),
    "sample.keep.min_cost": _sampled("min_cost", 1.5, 10**9),
    "sample.keep.first_per_minute": _sampled("first_per_minute", 1, 2),
    "sample.max_held_items": _held("max_held_items"),
    "sample.max_held_bytes": _held("max_held_bytes"),
}
