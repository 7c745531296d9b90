"""The `delivery:` block: who may write it, what goes before what, and what an exporter gets of it."""

import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from nat.data_models.delivery import BatchDeliveryConfig, DeliveryConfig, RetryConfig, SpoolConfig
from nat.data_models.errors import ConfigurationError
from nat.data_models.telemetry_exporter import BatchConfigMixin, DeliveryConfigMixin
from nat.observability import Telemetry
from nat.observability.delivery.options import DeliveryOptions, configured
from nat.observability.delivery.retry import RetryPolicy
from nat.observability.manager import entries_of
from nat.observability.registry import ExporterEntry, default_registry
from nat.runtime.loader import load_workflow
from tests.support.collecting import SpanCollector, registered

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"


class Mixed(BatchConfigMixin, DeliveryConfigMixin):
    """All keys of the guide."""


@pytest.fixture(autouse=True)
def _registry_as_before() -> Iterator[None]:
    with default_registry.preserved():
        yield


def _load(folder: Path, text: str) -> list[ExporterEntry]:
    file = folder / "w.yaml"
    file.write_text(text, encoding="utf-8")
    return load_workflow(file).exporters


@pytest.mark.contract("S176")
def test_an_entry_goes_before_the_general_block_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested keys too; texts from variables become numbers; a third exporter says nothing."""
    monkeypatch.setenv("SECONDS", "20")
    entries = _load(
        tmp_path,
        """
general:
  telemetry:
    delivery: {timeout: "${SECONDS}", concurrency: 4, retry: {max_retries: 3, multiplier: 2}}
    tracing:
      one: {_type: console, delivery: {concurrency: 2, retry: {max_retries: null}, batch: {size: 7}}}
      two: {_type: console}
""",
    )

    one, two = (configured(DeliveryOptions(), entry.config, entry.delivery) for entry in entries)
    assert one == DeliveryOptions(
        timeout_s=20.0, concurrency=2, batch_size=7, retry=RetryPolicy(max_retries=None, multiplier=2.0)
    )
    assert two == DeliveryOptions(timeout_s=20.0, concurrency=4, retry=RetryPolicy(max_retries=3, multiplier=2.0))


def test_without_a_block_an_exporter_has_what_it_asks_for(tmp_path: Path) -> None:
    (entry,) = _load(tmp_path, "general: {telemetry: {tracing: {one: {_type: console}}}}")
    asked = DeliveryOptions(concurrency=3, timeout_s=None, retry=RetryPolicy(max_retries=9))

    assert entry.delivery is None
    assert configured(asked, entry.config, entry.delivery) == asked
    assert configured(asked, entry.config, DeliveryConfig()) == asked


def test_mistakes_are_told_with_their_places(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _load(
            tmp_path,
            """\
general:
  telemetry:
    delivery:
      timeuot: 3
    tracing:
      one: {_type: console, delivery: 7}
      two:
        _type: console
        delivery:
          retry:
            multiplier: 0.5
          loop: mine
          spool: 7
""",
        )

    said = [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]
    head = "general.telemetry.tracing"
    assert said == [
        "w.yaml:4:7: general.telemetry.delivery.timeuot: unknown key 'timeuot'; did you mean 'timeout'?",
        (
            f"w.yaml:6:29: {head}.one.delivery: expected a mapping with the keys "
            f"{', '.join(DeliveryConfig.model_fields)}, got 7"
        ),
        f"w.yaml:11:13: {head}.two.delivery.retry.multiplier: should be greater than or equal to 1, got 0.5",
        f"w.yaml:12:11: {head}.two.delivery.loop: should be 'shared' or 'own', got 'mine'",
        (
            f"w.yaml:13:11: {head}.two.delivery.spool: expected true, false or a mapping with the keys "
            f"{', '.join(SpoolConfig.model_fields)}, got 7"
        ),
    ]


@pytest.mark.parametrize(
    ("general", "own", "expected"),
    [
        ({}, {}, None),
        ({}, {"spool": {}}, None),
        ({}, {"spool": True}, "/state/nat/spool"),
        ({}, {"spool": {"directory": "/mine"}}, "/mine"),
        ({"spool": {"directory": "/all"}}, {}, "/all"),
        ({"spool": {"directory": "/all"}}, {"spool": {"wait": "run"}}, "/all"),
        ({"spool": {"directory": "/all"}}, {"spool": False}, None),
        ({"spool": False}, {"spool": {"directory": "/mine"}}, "/mine"),
        ({"spool": {"directory": "/all", "enabled": False}}, {"spool": True}, "/all"),
    ],
)
def test_true_or_any_key_switches_a_spool_on_and_false_off(
    general: dict[str, Any], own: dict[str, Any], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    delivery = DeliveryConfig.model_validate(own).over(DeliveryConfig.model_validate(general))

    spool = configured(DeliveryOptions(), object(), delivery).spool

    assert (None if spool is None else str(spool.directory)) == expected


@pytest.mark.contract("S176")
def test_the_guides_keys_say_the_same_and_the_block_goes_before() -> None:
    config = Mixed(
        batch_size=5,
        flush_interval=2,
        max_queue_size=50,
        drop_on_overflow=True,
        shutdown_timeout=3,
        timeout=4,
        retries=5,
    )
    block = DeliveryConfig(timeout=None, retry=RetryConfig(max_elapsed_time=0), batch=BatchDeliveryConfig(size=6))

    assert configured(DeliveryOptions(), config, block) == DeliveryOptions(
        batch_size=6,
        flush_interval_s=2.0,
        max_queue_size=50,
        drop_on_overflow=True,
        shutdown_timeout_s=3.0,
        timeout_s=None,
        retry=RetryPolicy(max_retries=5, max_elapsed_s=math.inf),
    )
    assert configured(DeliveryOptions(batch_size=9), Mixed(), None) == DeliveryOptions(batch_size=9)


def test_python_users_give_it_to_telemetry() -> None:
    """For all exporters, behind what an entry says itself."""
    config = registered(SpanCollector)()
    (plain,) = entries_of([config])
    own = ExporterEntry("own", plain.config, plain.registration, delivery=DeliveryConfig(concurrency=2))

    both = entries_of([config, own], DeliveryConfig(concurrency=5, timeout=7))

    options = [configured(DeliveryOptions(), entry.config, entry.delivery) for entry in both]
    assert [(o.concurrency, o.timeout_s) for o in options] == [(5, 7.0), (2, 7.0)]


@pytest.mark.parametrize(("loop", "is_shared"), [("shared", True), ("own", False), (None, False)])
def test_loop_says_where_an_exporter_lives(loop: Any, is_shared: bool) -> None:
    """An exporter of others has its own thread, unless its user says that it may share the telemetry thread."""
    threads: list[str] = []

    def build() -> SpanCollector:
        threads.append(threading.current_thread().name)
        return SpanCollector()

    delivery = DeliveryConfig() if loop is None else DeliveryConfig(loop=loop)
    with Telemetry({"mine": registered(build)()}, delivery=delivery) as telemetry, telemetry.run("run"):
        pass

    assert threads == ["nat telemetry" if is_shared else "nat mine"]


def test_the_reference_names_every_key_and_its_default() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Delivery")[2].partition("## Processors")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \|", section, re.MULTILINE)
    known = dict(_flat(DeliveryConfig))

    assert {key for key, _ in rows} == known.keys()
    assert {key: float(text) for key, text in rows if re.fullmatch(r"[\d.]+", text) and known[key] is not None} == {
        key: default for key, default in known.items() if isinstance(default, int | float) and default is not False
    }


def _flat(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _flat(field.annotation, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", field.default
