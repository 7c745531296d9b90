"""All vendors that have a stand-in, and how a preset is pointed at it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nat.plugins.langfuse.register import LangfuseConfig
from nat.plugins.opentelemetry.settings import OtlpConfig
from nat.testing import FakeBackend
from tests.vendors import langfuse

__all__ = ["VENDORS", "Vendor"]


@dataclass(frozen=True)
class Vendor:
    """One vendor.

    Attributes:
        config_type: The preset's configuration.
        stand_in: Makes its stand-in.
        keys: The preset's settings that are credentials, with what the stand-in takes.
        variables: The variable that fills each credential.
        address_variable: The variable that says where the vendor is.
        demanded: Headers without which the stand-in takes nothing.
        address: What points at the stand-in.
    """

    config_type: type[OtlpConfig]
    stand_in: Callable[[], FakeBackend]
    keys: dict[str, str]
    variables: dict[str, str]
    address_variable: str
    demanded: tuple[str, ...]
    address: Callable[[FakeBackend], str] = lambda backend: backend.base_url

    @property
    def name(self) -> str:
        return self.config_type.static_type()

    def config(self, backend: FakeBackend, **settings: Any) -> OtlpConfig:
        """The preset, pointed at a stand-in."""
        return self.config_type(**{**self.keys, "endpoint": self.address(backend), **settings})


VENDORS = [
    Vendor(
        LangfuseConfig,
        langfuse.stand_in,
        keys={"public_key": langfuse.PUBLIC_KEY, "secret_key": langfuse.SECRET_KEY},
        variables={"public_key": "LANGFUSE_PUBLIC_KEY", "secret_key": "LANGFUSE_SECRET_KEY"},
        address_variable="LANGFUSE_BASE_URL",
        demanded=("authorization",),
    ),
]
