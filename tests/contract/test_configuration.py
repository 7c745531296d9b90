"""Configuration classes."""

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import Field, SecretStr, ValidationError

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import (
    BatchConfigMixin,
    DeliveryConfigMixin,
    TelemetryExporterBaseConfig,
)
from nat.observability import Telemetry
from tests.support.collecting import Received, SpanCollector


class ServiceConfig(TelemetryExporterBaseConfig, name="configuration_service"):
    """Sends to a service."""

    endpoint: str = Field(description="Where the service listens")
    api_key: str = Field(default="", description="API key from MYSERVICE_API_KEY")
    prefix: str = Field(default="[TRACE]", description="Before each line")


@pytest.mark.contract("S55", "S68", "S194")
def test_the_name_is_the_type() -> None:
    config = ServiceConfig(endpoint="https://a.example")

    assert (config.type, ServiceConfig.static_type()) == ("configuration_service", "configuration_service")
    assert (config.endpoint, config.api_key, config.prefix) == ("https://a.example", "", "[TRACE]")


@pytest.mark.contract("S69")
def test_a_field_without_default_is_required() -> None:
    with pytest.raises(ValidationError, match="endpoint"):
        ServiceConfig()  # type: ignore[call-arg]


@pytest.mark.contract("D2")
def test_an_unknown_key_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(ValidationError) as caught:
        ServiceConfig.model_validate({"endpoint": "x", "prefx": "y"})

    assert "'prefx'" in str(caught.value)
    assert "'prefix'" in str(caught.value)


@pytest.mark.contract("D3", "S68")
def test_a_class_without_a_name_is_a_base_for_others_not_to_be_registered() -> None:
    class Shared(TelemetryExporterBaseConfig):
        region: str = "eu"

    class Named(Shared, name="configuration_named"):
        pass

    assert Named().region == "eu"
    with pytest.raises(TypeError, match="Shared"):
        Shared.static_type()
    with pytest.raises(TypeError, match="Shared"):
        register_telemetry_exporter(config_type=Shared)


@pytest.mark.contract("D30")
@pytest.mark.parametrize(
    "key",
    ["enabled", "required", "delivery", "processors", "when", "sample", "redact", "content", "conventions"],
)
def test_the_toolkits_own_keys_cannot_be_declared(key: str) -> None:
    with pytest.raises(TypeError, match=key):
        type(
            "Taken",
            (TelemetryExporterBaseConfig,),
            {"__annotations__": {key: str}, key: "x", "__module__": __name__},
            name="configuration_taken",
        )


@pytest.mark.contract("D31", "S161", "S166")
@pytest.mark.parametrize(
    "name", ["api_key", "access_token", "client_secret", "password", "headers", "KEY", "my_secret_value"]
)
def test_no_secret_in_repr_str_or_validation_errors(name: str) -> None:
    """Also for a plain `str` field, and whichever field is wrong."""
    config_type: Any = type(
        "Secretive",
        (TelemetryExporterBaseConfig,),
        {"__annotations__": {name: str, "count": int}, "__module__": __name__},
        name="configuration_secretive",
    )

    made = config_type(**{name: "hunter2-hunter2", "count": 5})
    with pytest.raises(ValidationError) as other_field:
        config_type(**{name: "hunter2-hunter2", "count": "many"})
    with pytest.raises(ValidationError) as own_field:
        config_type(**{name: ["hunter2-hunter2"], "count": 5})

    for shown in (repr(made), str(made), str(other_field.value), str(own_field.value), repr(own_field.value.errors())):
        assert "hunter2" not in shown
    assert "count=5" in repr(made)
    assert getattr(made, name) == "hunter2-hunter2"


@pytest.mark.contract("D31")
def test_secret_types_are_hidden_whatever_their_name() -> None:
    class Config(TelemetryExporterBaseConfig, name="configuration_hidden"):
        pin: SecretStr

    assert "1234" not in repr(Config(pin=SecretStr("1234")))


@pytest.mark.contract("D4", "S176", "S190")
def test_the_mixins_bring_batching_and_delivery_keys() -> None:
    class Config(BatchConfigMixin, DeliveryConfigMixin, TelemetryExporterBaseConfig, name="configuration_mixed"):
        pass

    config = Config(batch_size=7, retries=1)

    assert (config.batch_size, config.flush_interval, config.max_queue_size) == (7, 5.0, 1000)
    assert (config.drop_on_overflow, config.shutdown_timeout) == (False, 10.0)
    assert config.retries == 1
    assert config.timeout > 0
    assert (Config().batch_size, config.type) == (100, "configuration_mixed")


@pytest.mark.contract("D19")
@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"flush_interval": -1.0}, {"batch_size": 10, "max_queue_size": 5}, {"shutdown_timeout": -1.0}],
)
def test_the_mixins_refuse_numbers_that_make_no_sense(options: dict[str, Any]) -> None:
    class Config(BatchConfigMixin, TelemetryExporterBaseConfig, name="configuration_numbers"):
        pass

    with pytest.raises(ValidationError, match=next(iter(options))):
        Config(**options)


@pytest.mark.contract("S73", "S167", "S197", "S72")
def test_an_optional_secret_falls_back_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []

    class Config(TelemetryExporterBaseConfig, name="configuration_fallback"):
        api_key: str = Field(default="", description="API key from MYSERVICE_API_KEY")

    received = Received[Span]()

    @register_telemetry_exporter(config_type=Config)
    async def fallback(config: Config, builder: Builder) -> AsyncIterator[SpanCollector]:
        keys.append(config.api_key or os.environ.get("MYSERVICE_API_KEY"))
        yield SpanCollector(received)

    monkeypatch.setenv("MYSERVICE_API_KEY", "from the environment")
    for config in (Config(), Config(api_key="given")):
        with Telemetry({"service": config}) as telemetry, telemetry.run("run"):
            pass

    assert keys == ["from the environment", "given"]
    assert len(received) == 2
