"""Registers the processor type `content`."""

from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability.registry import register_telemetry_processor

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.observability.processor.blob_store import BlobStore
    from nat.observability.processor.content_processor import ContentProcessor

__all__ = ["ContentConfig", "OffloadConfig", "content_processor"]

_INSTALL = 'pip install "nat-telemetry[fsspec]"'


class OffloadConfig(BaseModel):
    """Where large and binary parts are stored."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    to: str = Field(
        min_length=1, description="A directory, or a URL that fsspec understands, as s3://bucket/traces (extra fsspec)."
    )
    over_chars: int | None = Field(
        default=16_384,
        ge=1,
        description="Texts with more characters are stored, too; null: only images, audio and other data.",
    )
    base_url: str | None = Field(
        default=None, min_length=1, description="What references begin with; null: the URL of the place itself."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="What the file system of the URL takes, as fsspec has it; only with a URL."
    )

    _writes: bool = PrivateAttr(default=True)

    def without_effects(self) -> Self:
        """The same with a store that stores nothing."""
        changed = self.model_copy()
        changed._writes = False
        return changed

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self._directory is not None:
            if self.options:
                raise PydanticCustomError("no_url", "options are for URLs, and to is a directory; remove them")
        elif find_spec("fsspec") is None:
            raise PydanticCustomError("no_fsspec", f"to is a URL, which needs fsspec; install it: {_INSTALL}")
        return self

    def store(self) -> "BlobStore":
        """The store that it names."""
        from nat.observability.processor.blob_store import DirectoryStore, NoStore, UrlStore, without_user

        if not self._writes:
            return NoStore(
                self.base_url
                or (without_user(self.to) if self._directory is None else self._directory.absolute().as_uri())
            )
        if self._directory is None:
            return UrlStore(self.to, self.options, self.base_url)
        return DirectoryStore(self._directory, self.base_url)

    @property
    def _directory(self) -> Path | None:
        if self.to.startswith("file://"):
            return Path(unquote(urlsplit(self.to).path))
        return None if "://" in self.to else Path(self.to)


def _place(value: Any) -> Any:
    return {"to": value} if isinstance(value, str) else value


class ContentConfig(TelemetryProcessorBaseConfig, name="content"):
    """Says how much of inputs, outputs, messages, arguments, documents and error texts goes on, and stores large parts."""

    mode: str = Field(
        default="full",
        description="full: all of it; truncate:N: texts up to N characters; metadata: only roles, names, ids, scores, types "
        "and lengths; none: nothing.",
        examples=["truncate:2000"],
    )
    offload: Annotated[OffloadConfig | None, BeforeValidator(_place)] = Field(
        default=None,
        description="Where images, audio, other data and long texts are stored, a reference in their place: a directory, "
        "a URL, or a mapping.",
    )

    def without_effects(self) -> Self:
        """The same; what would be stored only gets its reference."""
        return self.model_copy(update={"offload": None if self.offload is None else self.offload.without_effects()})

    @property
    def may_block(self) -> bool:
        """Whether it writes to disk or to a server."""
        return self.offload is not None

    @field_validator("mode")
    @classmethod
    def _is_mode(cls, mode: str) -> str:
        from nat.observability.processor.content_processor import ContentMode

        try:
            ContentMode.of(mode)
        except ValueError as error:
            raise PydanticCustomError("no_mode", "{reason}", {"reason": str(error)}) from None
        return mode

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.offload is not None and self.mode in ("metadata", "none"):
            message = "offload stores nothing with mode {mode}; remove it, or set mode to full or truncate:N"
            raise PydanticCustomError("no_content", message, {"mode": self.mode})
        return self


@register_telemetry_processor(config_type=ContentConfig)
async def content_processor(config: ContentConfig, builder: "Builder") -> "AsyncIterator[ContentProcessor]":
    """Build the processor."""
    from nat.observability.processor.content_processor import ContentMode, ContentProcessor
    from nat.observability.processor.offload import Offload

    mode, offload = ContentMode.of(config.mode), None
    if config.offload is not None:
        offload = Offload(config.offload.store(), config.offload.over_chars, keeps_texts=mode.name == "truncate")
    yield ContentProcessor(mode, offload)
