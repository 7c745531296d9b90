"""Registers the exporter type `weave`."""

import os
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.conventions import Conventions
from nat.plugins.opentelemetry.fields import IS_HEADER, IS_URL, from_variables
from nat.plugins.opentelemetry.settings import OtlpConfig
from nat.plugins.weave.place import CLOUD, OTLP_PATH, key_in_netrc, server_of_base_url

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.data_models.span import Span
    from nat.observability.exporter.base_exporter import BaseExporter

__all__ = ["WeaveConfig", "weave_exporter"]

_SERVER = from_variables("WF_TRACE_SERVER_URL", default=CLOUD, derived=server_of_base_url)
_OTLP_ONLY = ("compression", "tls", "proxy", "resource_attributes")


class WeaveConfig(OtlpConfig, name="weave"):
    """Weights & Biases Weave, in its cloud or a deployment of one's own."""

    route_keys: ClassVar[frozenset[str]] = frozenset(
        {"api_key", "endpoint", "entity", "project", "resource_attributes"}
    )

    endpoint: Annotated[str, _SERVER, IS_URL] = Field(
        default="",
        validate_default=True,
        description="Weave's trace server, with or without the path for traces. Empty: WF_TRACE_SERVER_URL, that of the W&B in "
        f"WANDB_BASE_URL, else {CLOUD}.",
    )
    project: Annotated[str, from_variables("WANDB_PROJECT")] = Field(
        default="", validate_default=True, description="The project, or entity/project. Empty: WANDB_PROJECT."
    )
    entity: Annotated[str, from_variables("WANDB_ENTITY", default="")] = Field(
        default="",
        validate_default=True,
        description="The team or user that the project belongs to. Empty: what stands before the / in project, else "
        "WANDB_ENTITY.",
    )
    api_key: Annotated[str, IS_HEADER] = Field(
        default="",
        validate_default=True,
        description="API key. Empty: WANDB_API_KEY, else what `wandb login` has left in netrc. file:PATH is read for every "
        "request.",
    )
    mode: Literal["otlp", "native"] = Field(
        default="otlp",
        description="otlp: through Weave's OTLP endpoint. native: through Weave's own client, which needs the extra native.",
    )

    @field_validator("entity", mode="before")
    @classmethod
    def _is_in_project(cls, entity: object, info: ValidationInfo) -> object:
        before, slash, _ = str(info.data.get("project", "")).partition("/")
        return before if slash and not entity else entity

    @field_validator("entity")
    @classmethod
    def _is_known(cls, entity: str) -> str:
        if not entity:
            raise PydanticCustomError(
                "not_set",
                "is empty; set it or the environment variable WANDB_ENTITY, or write project as entity/project",
            )
        return entity

    @field_validator("api_key", mode="before")
    @classmethod
    def _found_by_wandb(cls, api_key: object, info: ValidationInfo) -> object:
        if api_key is not None and (not isinstance(api_key, str) or api_key.strip()):
            return api_key
        try:
            found = os.environ.get("WANDB_API_KEY", "").strip() or key_in_netrc(str(info.data.get("endpoint", CLOUD)))
        except ValueError as error:
            raise PydanticCustomError("no_netrc", "{reason}", {"reason": str(error)}) from None
        if found is None:
            raise PydanticCustomError(
                "not_set", "is empty; set it or the environment variable WANDB_API_KEY, or log in with `wandb login`"
            )
        return found

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        entity, slash, project = self.project.partition("/")
        if slash and (entity != self.entity or "/" in project):
            raise PydanticCustomError(
                "two_entities",
                "project is {project} and entity is {entity}; expected one entity, and one / at most",
                {"project": repr(self.project), "entity": repr(self.entity)},
            )
        if self.mode == "native":
            self._check_native()
        return self

    def _check_native(self) -> None:
        if find_spec("weave") is None:
            raise PydanticCustomError(
                "no_weave", 'mode native needs Weave\'s client; install it: pip install "nat-telemetry-weave[native]"'
            )
        idle = [key for key in _OTLP_ONLY if key in self.model_fields_set]
        if idle:
            raise PydanticCustomError(
                "no_effect", "{keys} has no effect with mode native, which Weave's client serves; leave it out",
                {"keys": " and ".join(idle)},
            )  # fmt: skip

    def spoken_conventions(self) -> tuple[Conventions, ...]:
        """Return none: of `gen_ai` Weave reads neither kinds nor the names of requested models."""
        return ()

    def own_words(self) -> "Callable[[Span], dict[str, Any]] | None":
        """Return what says a span in Weave's own fields; Weave's client does so by itself."""
        from nat.plugins.weave.calls import otlp_attributes

        return None if self.mode == "native" else otlp_attributes

    @property
    def place(self) -> tuple[str, str]:
        """Entity and project."""
        return self.entity, self.project.rpartition("/")[2]


@register_telemetry_exporter(config_type=WeaveConfig)
async def weave_exporter(config: WeaveConfig, builder: "Builder") -> "AsyncIterator[BaseExporter]":
    """Build the exporter: OTLP over HTTP in protobuf, or Weave's client."""
    from nat.plugins.weave.place import call_page

    entity, project = config.place
    page = call_page(config.endpoint, entity, project)
    if config.mode == "native":
        from nat.plugins.weave.native import WeaveNativeExporter

        yield WeaveNativeExporter(config, page)
        return
    from nat.plugins.opentelemetry.preset import otlp_exporter
    from nat.plugins.opentelemetry.vendor_url import vendor_url

    yield otlp_exporter(
        config,
        endpoint=vendor_url(config.endpoint, OTLP_PATH),
        headers={"wandb-api-key": config.api_key},
        resource_attributes={"wandb.entity": entity, "wandb.project": project},
        translation=config.own_words(),
        trace_page=page,
    )
