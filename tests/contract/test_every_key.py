"""Every key of every configuration of ours has an effect that can be seen."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nat.cli.register_workflow import register_telemetry_exporter
from nat.observability.registry import OWN_TYPES, Registration
from nat.plugins.opentelemetry.settings import OtlpConfig
from tests.contract import processor_keys
from tests.contract.keys import Subject, keys_of, own_registrations, probe_for, without_variables

REGISTRATIONS = {registration.type_name: registration for registration in own_registrations()}
KEYS = [
    pytest.param(registration, key, id=f"{type_name}.{key}")
    for type_name, registration in REGISTRATIONS.items()
    for key in keys_of(registration.config_type)
]


PROCESSOR_KEYS = [
    pytest.param(registration, key, id=f"{registration.type_name}.{key}")
    for registration in processor_keys.own_processors()
    for key in processor_keys.keys_of(registration.config_type)  # type: ignore[arg-type]  # the config of a processor
]


@pytest.mark.parametrize(("registration", "key"), KEYS)
def test_the_key_has_an_effect(
    registration: Registration, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_variables(monkeypatch)
    probe = probe_for(registration.config_type, key)
    assert probe is not None, f"nothing shows that {registration.type_name}.{key} does anything: add a probe to keys.py"

    probe(Subject(registration, tmp_path), key)


@pytest.mark.parametrize(("registration", "key"), PROCESSOR_KEYS)
def test_the_key_of_a_processor_has_an_effect(registration: Registration, key: str, tmp_path: Path) -> None:
    """With two settings two things come out; with the same one, the same."""
    probe = processor_keys.PROBES.get(f"{registration.type_name}.{key}")
    assert probe is not None, (
        f"nothing shows that {registration.type_name}.{key} does anything: add a probe to processor_keys.py"
    )

    results = []
    for name, said in (("first", probe.first), ("again", probe.first), ("second", probe.second)):
        folder = tmp_path / name
        settings = processor_keys.settings_for(said, folder)
        results.append(processor_keys.seen(registration, settings, folder))

    first, again, second = results
    assert first == again, f"not only {key} makes a difference"
    assert first != second, f"{key} does nothing"


def test_probes_of_processors_are_of_keys() -> None:
    """One that is left of a key that is gone, or misspelt, is none."""
    known = {str(parameter.id) for parameter in PROCESSOR_KEYS} | {"enrich.prices"}

    assert processor_keys.PROBES.keys() == known


def test_a_key_without_a_probe_is_found() -> None:
    """A number needs a probe that knows what it means; a text is probed by itself."""

    class Config(OtlpConfig, name="probed"):
        depth: int = 3
        colour: str = "red"

    assert {"depth", "colour", "batch_size", "tls.ca_file"} <= {*keys_of(Config)}
    assert probe_for(Config, "depth") is None
    assert probe_for(Config, "colour") is not None


def test_a_key_that_does_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe of a key that is accepted and ignored fails."""
    without_variables(monkeypatch)
    otelcollector = REGISTRATIONS["otelcollector"]
    base: Any = otelcollector.config_type
    subject = Subject(otelcollector, tmp_path)

    class Ignoring(base, name="ignoring"):  # type: ignore[misc,call-arg]  # known at run time
        colour: str = "red"

    @register_telemetry_exporter(config_type=Ignoring)
    async def build(config: Any, builder: Any) -> AsyncIterator[Any]:
        async with otelcollector.build(config, builder) as exporter:
            yield exporter

    subject.config_type = Ignoring
    probe = probe_for(Ignoring, "colour")

    assert probe is not None
    with pytest.raises(AssertionError, match="colour does nothing"):
        probe(subject, "colour")


def test_types_of_ours_are_walked() -> None:
    assert {"console", "file", "otelcollector"} <= REGISTRATIONS.keys() <= OWN_TYPES.keys()
