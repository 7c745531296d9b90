"""All vendors that have a stand-in, and how a preset is pointed at it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nat.plugins.galileo.register import GalileoConfig
from nat.plugins.langfuse.register import LangfuseConfig
from nat.plugins.langsmith.register import LangsmithConfig
from nat.plugins.opentelemetry.settings import OtlpConfig
from nat.plugins.patronus.register import PatronusConfig
from nat.testing import FakeBackend
from tests.vendors import galileo, langfuse, langsmith, patronus

__all__ = ["VENDORS", "Vendor"]


@dataclass(frozen=True)
class Vendor:
    """One vendor.

    Attributes:
        id: Of its tests.
        config_type: The preset's configuration.
        stand_in: Makes its stand-in.
        keys: The preset's settings that are credentials, with what the stand-in takes.
        variables: The variable that fills each credential.
        address_variable: The variable that says where the vendor is.
        key_header: The header without which the stand-in takes nothing.
        says: What our message says of a wrong key.
        address: What points at the stand-in.
        settings: What else the preset is told.
    """

    id: str
    config_type: type[OtlpConfig]
    stand_in: Callable[[], FakeBackend]
    keys: dict[str, str]
    variables: dict[str, str]
    address_variable: str
    key_header: str
    says: str = "check the key"
    address: Callable[[FakeBackend], str] = lambda backend: backend.base_url
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """What a workflow file calls it."""
        return self.config_type.static_type()

    def config(self, backend: FakeBackend, **settings: Any) -> OtlpConfig:
        """The preset, pointed at a stand-in."""
        given = {**self.keys, **self.settings, "endpoint": self.address(backend), **settings}
        return self.config_type(**given)


def _grpc_address(backend: FakeBackend) -> str:
    return f"http://{backend.grpc_endpoint}"


VENDORS = [
    Vendor(
        "langfuse",
        LangfuseConfig,
        langfuse.stand_in,
        keys={"public_key": langfuse.PUBLIC_KEY, "secret_key": langfuse.SECRET_KEY},
        variables={"public_key": "LANGFUSE_PUBLIC_KEY", "secret_key": "LANGFUSE_SECRET_KEY"},
        address_variable="LANGFUSE_BASE_URL",
        key_header="authorization",
    ),
    Vendor(
        "langsmith",
        LangsmithConfig,
        langsmith.stand_in,
        keys={"api_key": langsmith.KEY},
        variables={"api_key": "LANGSMITH_API_KEY"},
        address_variable="LANGSMITH_ENDPOINT",
        key_header="x-api-key",
        says="check the key: it is wrong, or may not do that",
    ),
    Vendor(
        "patronus",
        PatronusConfig,
        patronus.stand_in,
        keys={"api_key": patronus.KEY},
        variables={"api_key": "PATRONUS_API_KEY"},
        address_variable="PATRONUS_OTEL_ENDPOINT",
        key_header="x-api-key",
        address=_grpc_address,
    ),
    Vendor(
        "patronus over HTTP",
        PatronusConfig,
        patronus.stand_in,
        keys={"api_key": patronus.KEY},
        variables={"api_key": "PATRONUS_API_KEY"},
        address_variable="PATRONUS_OTEL_ENDPOINT",
        key_header="x-api-key",
        settings={"protocol": "http"},
    ),
    Vendor(
        "galileo",
        GalileoConfig,
        galileo.stand_in,
        keys={"api_key": galileo.KEY},
        variables={"api_key": "GALILEO_API_KEY"},
        address_variable="GALILEO_API_URL",
        key_header="galileo-api-key",
    ),
]
