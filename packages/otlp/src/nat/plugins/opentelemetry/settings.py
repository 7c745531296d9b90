"""Settings that all exporters over OTLP share; light, only pydantic is imported here."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from nat.data_models.conventions import ALL_CONVENTIONS, Conventions
from nat.data_models.telemetry_exporter import BatchConfigMixin, DeliveryConfigMixin, TelemetryExporterBaseConfig

if TYPE_CHECKING:
    from nat.plugins.opentelemetry.transport import TlsFiles

__all__ = ["GRPC_IS_MISSING", "OtlpConfig", "TlsConfig", "check_installed"]

GRPC_IS_MISSING = (
    'OTLP over gRPC needs grpcio; install it: pip install "nat-telemetry-otlp[grpc]", or use protocol: http'
)


class TlsConfig(BaseModel):
    """Files for TLS, PEM all of them."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    ca_file: str | None = Field(default=None, description="Authorities to trust in place of the system's.")
    certificate_file: str | None = Field(default=None, description="The client's certificate, for mutual TLS.")
    key_file: str | None = Field(
        default=None, description="Its private key; unset: it is in the file of the certificate."
    )

    @field_validator("ca_file", "certificate_file", "key_file")
    @classmethod
    def _is_there(cls, path: str | None) -> str | None:
        if path is not None and not Path(path).expanduser().is_file():
            raise PydanticCustomError("no_file", "there is no file {path}", {"path": repr(path)})
        return path

    @model_validator(mode="after")
    def _key_has_a_certificate(self) -> Self:
        if self.key_file is not None and self.certificate_file is None:
            raise PydanticCustomError("key_alone", "key_file has no effect without certificate_file; set both")
        return self

    def files(self) -> "TlsFiles":
        """These settings as an exporter takes them."""
        from nat.plugins.opentelemetry.transport import TlsFiles

        return TlsFiles(_expanded(self.ca_file), _expanded(self.certificate_file), _expanded(self.key_file))


class OtlpConfig(BatchConfigMixin, DeliveryConfigMixin, TelemetryExporterBaseConfig):
    """What every exporter over OTLP can be told: how to group, how to send, and what to say of the process."""

    timeout: float = Field(
        default=10.0, gt=0, allow_inf_nan=False, description="Seconds that one attempt to send may take."
    )
    compression: Literal["none", "gzip"] = Field(default="none", description="How requests are compressed.")
    tls: TlsConfig | None = Field(
        default=None, description="Files for TLS; unset: the system's authorities are trusted."
    )
    proxy: str | None = Field(
        default=None,
        min_length=1,
        description="URL of an HTTP proxy; unset: as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say.",
    )
    resource_attributes: dict[str, Any] = Field(
        default_factory=dict, description="What is said of the process, such as service.version."
    )

    def spoken_conventions(self) -> tuple[Conventions, ...]:
        """Return all: what is sent over OTLP is attributes, whatever their names."""
        return ALL_CONVENTIONS

    def item_kind(self) -> Literal["spans"]:
        """Return what it is given."""
        return "spans"

    @field_validator("protocol", check_fields=False)  # of those that have one
    @classmethod
    def _is_installed(cls, protocol: str | None) -> str | None:
        try:
            check_installed(protocol or "http")
        except ValueError as error:
            raise PydanticCustomError("not_installed", "{reason}", {"reason": str(error)}) from None
        return protocol


def check_installed(protocol: str) -> None:
    """Return if what a protocol needs is installed.

    Raises:
        ValueError: It is not; the message says how to install it.
    """
    if protocol == "grpc" and find_spec("grpc") is None:
        raise ValueError(GRPC_IS_MISSING)


def _expanded(path: str | None) -> str | None:
    return None if path is None else str(Path(path).expanduser())
