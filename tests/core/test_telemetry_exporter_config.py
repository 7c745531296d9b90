"""Configuration classes of exporters: names, unknown keys, secrets, shared fields."""

import subprocess
import sys
import types
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator

from nat.data_models.telemetry_exporter import (
    RESERVED_KEYS,
    BatchConfigMixin,
    DeliveryConfigMixin,
    TelemetryExporterBaseConfig,
)


class Inner(BaseModel):
    api_token: str = "inner-secret"
    depth: int = 1


class QueueConfig(BatchConfigMixin, DeliveryConfigMixin, TelemetryExporterBaseConfig, name="queue"):
    """Sends to a queue."""

    url: str = Field(description="Where it listens.")
    api_key: str
    pin: SecretStr | None = None
    headers: dict[str, str] = Field(default={})
    extras: dict[str, str] = Field(default={})
    inner: Inner = Inner()

    @field_validator("api_key")
    @classmethod
    def _begins_well(cls, value: str) -> str:
        if value.startswith("bad"):
            raise ValueError(f"{value} does not begin well")
        return value


def test_name_is_the_type() -> None:
    """S55, S68: the class keyword is what `_type` says, on the class and on an object."""
    config = QueueConfig(url="u", api_key="k")

    assert QueueConfig.static_type() == "queue"
    assert config.type == "queue"


def test_type_key_is_accepted_when_it_is_right() -> None:
    """`_type` is never needed in Python; another type's is an error."""
    assert QueueConfig.model_validate({"_type": "queue", "url": "u", "api_key": "k"}).url == "u"
    with pytest.raises(ValidationError, match="_type is 'other', expected 'queue'"):
        QueueConfig.model_validate({"_type": "other", "url": "u", "api_key": "k"})


def test_class_without_name_is_abstract() -> None:
    """D3: a subclass without `name=` has no type, also below a class that has one."""

    class Shared(QueueConfig):
        """No name."""

    assert Shared.is_abstract()
    with pytest.raises(TypeError, match="Shared is abstract: give it a name"):
        Shared.static_type()


def test_name_must_say_something() -> None:
    """An empty name is refused when the class is declared."""
    with pytest.raises(TypeError, match="`name=` must be the text"):

        class Blank(TelemetryExporterBaseConfig, name=" "):
            """Blank."""


@pytest.mark.parametrize("key", sorted(RESERVED_KEYS))
def test_reserved_keys_cannot_be_fields(key: str) -> None:
    """D30: a class that declares a key of the toolkit is a TypeError that names it."""
    body: dict[str, Any] = {"__annotations__": {key: bool}, key: True, "__module__": __name__}
    with pytest.raises(TypeError, match=f"Clash.{key}: the key '{key}' of an exporter entry is taken by the toolkit"):
        types.new_class("Clash", (TelemetryExporterBaseConfig,), {"name": "clash"}, lambda space: space.update(body))


def test_reserved_keys_cannot_be_aliases() -> None:
    """D30: an alias is a key too."""
    with pytest.raises(TypeError, match=r"Clash\.when_to: the key 'when'"):

        class Clash(TelemetryExporterBaseConfig, name="clash"):
            when_to: str = Field(default="", alias="when")


def test_unknown_key_names_the_closest() -> None:
    """D2: an unknown key is an error with a suggestion, or with the list of keys."""
    with pytest.raises(ValidationError, match=r"unknown key 'api_kee'; did you mean 'api_key'\?"):
        QueueConfig.model_validate({"url": "u", "api_key": "k", "api_kee": "x"})
    with pytest.raises(ValidationError, match=r"unknown key 'zzz', expected one of: .*url, api_key"):
        QueueConfig.model_validate({"url": "u", "api_key": "k", "zzz": "x"})


def test_unknown_key_inside_a_nested_model_names_the_closest() -> None:
    """D2: also where a setting is a model that forbids other keys."""

    class Strict(BaseModel, extra="forbid"):
        depth: int = 1

    class NestedConfig(TelemetryExporterBaseConfig, name="nested"):
        limits: Strict | None = None
        choices: dict[str, Strict] = Field(default={})

    with pytest.raises(ValidationError, match=r"unknown key 'dpeth'; did you mean 'depth'\?"):
        NestedConfig.model_validate({"limits": {"dpeth": 2}})
    with pytest.raises(ValidationError, match=r"unknown key 'dpeth' \["):
        NestedConfig.model_validate({"choices": {"one": {"dpeth": 2}}})


def test_config_without_settings_expects_no_key() -> None:
    """D2: there is nothing to suggest."""

    class EmptyConfig(TelemetryExporterBaseConfig, name="empty"):
        """Nothing to set."""

    with pytest.raises(ValidationError, match="unknown key 'url', no key is expected"):
        EmptyConfig.model_validate({"url": "u"})


@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
def test_type_cannot_be_a_field() -> None:
    """A field of that name would hide the registered one."""
    with pytest.raises(TypeError, match=r"Typed\.type: 'type' is the registered name of a configuration class"):

        class Typed(TelemetryExporterBaseConfig, name="typed"):
            type: str = "x"


def test_missing_field_is_named() -> None:
    """S69: a field without default is required."""
    with pytest.raises(ValidationError) as caught:
        QueueConfig.model_validate({"api_key": "k"})

    assert [(line["loc"], line["type"]) for line in caught.value.errors()] == [(("url",), "missing")]


def test_repr_shows_no_secret() -> None:
    """D31: neither repr nor str shows a secret, however deep it is."""
    config = QueueConfig(
        url="https://me:url-secret@host/x",
        api_key="key-secret",
        pin=SecretStr("pin-secret"),
        headers={"x": "header-secret"},
        extras={"my-token": "extra-secret", "colour": "blue"},
    )

    for text in (repr(config), str(config), repr([config])):
        assert "-secret" not in text
        assert "https://**********@host/x" in text
        assert "blue" in text
        assert "depth=1" in text


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "u", "api_key": "bad-secret"},
        {"url": 5, "api_key": "my-secret", "nope": 1},
        {"api_key": "my-secret", "headers": {"x": "h-secret", "y": ["l-secret"]}},
        {"url": "u", "api_key": "my-secret", "batch_size": 5, "max_queue_size": 2},
        {"url": "u", "api_key": "k", "inner": {"api_token": ["my-secret"]}},
        {"_type": "x", "api_key": "my-secret"},
    ],
)
def test_errors_show_no_secret(settings: dict[str, Any]) -> None:
    """D31: nothing of a validation error holds a secret, not even a message that its author put it into."""
    with pytest.raises(ValidationError) as caught:
        QueueConfig.model_validate(settings)

    assert "-secret" not in str(caught.value)
    assert "-secret" not in repr(caught.value.errors())


def test_batching_defaults() -> None:
    """S142: the defaults of the batching fields."""
    config = QueueConfig(url="u", api_key="k")

    assert (config.batch_size, config.flush_interval, config.max_queue_size) == (100, 5.0, 1000)
    assert (config.drop_on_overflow, config.shutdown_timeout) == (False, 10.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"flush_interval": 0}, "greater than 0"),
        ({"flush_interval": float("nan")}, "finite number"),
        ({"max_queue_size": 5, "batch_size": 6}, r"max_queue_size is 5, expected at least batch_size \(6\)"),
        ({"shutdown_timeout": -1}, "greater than 0"),
        ({"timeout": 0}, "greater than 0"),
        ({"retries": -1}, "greater than or equal to 0"),
    ],
)
def test_options_are_validated(settings: dict[str, Any], message: str) -> None:
    """D19: numbers outside their range are refused."""
    with pytest.raises(ValidationError, match=message):
        QueueConfig.model_validate({"url": "u", "api_key": "k", **settings})


def test_mixins_work_in_any_order() -> None:
    """D4: a mixin may stand before or after the base class."""

    class Before(BatchConfigMixin, TelemetryExporterBaseConfig, name="before"):
        """Before."""

    class After(TelemetryExporterBaseConfig, BatchConfigMixin, name="after"):
        """After."""

    for config_type in (Before, After):
        assert config_type.model_validate({"batch_size": "7"}).model_dump()["batch_size"] == 7
        with pytest.raises(ValidationError, match="did you mean 'batch_size'"):
            config_type.model_validate({"batchsize": 7})


def test_declaring_a_config_imports_nothing_heavy() -> None:
    """S71: only pydantic and light parts of the standard library are imported."""
    code = (
        "import sys; from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig;"
        "base = TelemetryExporterBaseConfig; class_ = type(base)('C', (base,), {'__module__': 'm'}, name='c');"
        "heavy = {'asyncio', 'orjson', 'yaml', 'click', 'rich', 'aiohttp', 'opentelemetry', 'requests', 'httpx'};"
        "print(sorted(heavy & set(sys.modules)), class_.static_type())"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert output == "[] c\n"
