"""Registers the exporter type `catalyst`."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.telemetry_exporter import DeliveryConfigMixin, TelemetryExporterBaseConfig
from nat.plugins.opentelemetry.fields import IS_HEADER, IS_URL, from_variables
from nat.plugins.opentelemetry.settings import TlsConfig

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.plugins.catalyst.catalyst_exporter import CatalystExporter

__all__ = ["CatalystConfig", "catalyst_exporter"]

_CLOUD = "https://catalyst.raga.ai/api"
_URL_VARIABLES = from_variables("CATALYST_ENDPOINT", "RAGAAI_CATALYST_BASE_URL", default=_CLOUD)


class CatalystConfig(DeliveryConfigMixin, TelemetryExporterBaseConfig, name="catalyst"):
    """RagaAI Catalyst."""

    route_keys: ClassVar[frozenset[str]] = frozenset(
        {"access_key", "dataset", "endpoint", "metadata", "project", "secret_key"}
    )

    endpoint: Annotated[str, _URL_VARIABLES, IS_URL] = Field(
        default="",
        validate_default=True,
        description="Catalyst's API, with or without /api at its end. Empty: CATALYST_ENDPOINT, RAGAAI_CATALYST_BASE_URL, "
        f"else {_CLOUD}.",
    )
    access_key: Annotated[str, from_variables("CATALYST_ACCESS_KEY", "RAGAAI_CATALYST_ACCESS_KEY")] = Field(
        default="",
        validate_default=True,
        description="Access key. Empty: CATALYST_ACCESS_KEY, RAGAAI_CATALYST_ACCESS_KEY. file:PATH is read for each token.",
    )
    secret_key: Annotated[str, from_variables("CATALYST_SECRET_KEY", "RAGAAI_CATALYST_SECRET_KEY")] = Field(
        default="",
        validate_default=True,
        description="Secret key. Empty: CATALYST_SECRET_KEY, RAGAAI_CATALYST_SECRET_KEY. file:PATH is read for each token.",
    )
    project: Annotated[str, IS_HEADER] = Field(min_length=1, description="The project; it must exist.")
    dataset: str | None = Field(
        default=None, min_length=1, description="The dataset, made at the first run. Unset: named after the project."
    )
    tracer_type: str = Field(
        default="agentic/nemo-framework",
        min_length=1,
        description="How Catalyst shows the traces; one that begins with agentic/ also gets a hash of (no) code.",
    )
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="Facts in the metadata of every trace; each key is a column of the dataset."
    )
    list_packages: bool = Field(
        default=False,
        description="Whether each trace lists the installed packages, and names the Python environment and the command.",
    )
    tls: TlsConfig | None = Field(
        default=None, description="Files for TLS; unset: the system's authorities are trusted."
    )
    proxy: str | None = Field(
        default=None,
        min_length=1,
        description="URL of an HTTP proxy; unset: as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say.",
    )

    def item_kind(self) -> Literal["spans"]:
        """Return what it is given."""
        return "spans"


@register_telemetry_exporter(config_type=CatalystConfig)
async def catalyst_exporter(config: CatalystConfig, builder: "Builder") -> "AsyncIterator[CatalystExporter]":
    """Build the exporter, on our own client for Catalyst's upload protocol."""
    from nat.plugins.catalyst.catalyst_exporter import CatalystExporter
    from nat.plugins.catalyst.document import columns_of
    from nat.plugins.catalyst.service import CatalystService

    service = CatalystService(
        config.endpoint,
        config.access_key,
        config.secret_key,
        project=config.project,
        dataset=config.dataset or config.project,
        columns=columns_of(config.metadata),
        has_code=config.tracer_type.startswith("agentic/"),
        tls=None if config.tls is None else config.tls.files(),
        proxy=config.proxy,
    )
    yield CatalystExporter(
        service,
        project=config.project,
        dataset=config.dataset or config.project,
        tracer_type=config.tracer_type,
        metadata=config.metadata,
        lists_packages=config.list_packages,
        timeout=config.timeout,
        retries=config.retries,
    )
