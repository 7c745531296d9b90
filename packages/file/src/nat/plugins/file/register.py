"""Registration of type `file`: its settings, and which exporter they ask for."""

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.conventions import ALL_CONVENTIONS, Conventions
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.plugins.file.paths import resolve_output_path, unwritable_reason
from nat.plugins.file.settings import DEFAULT_MAX_FILE_SIZE_BYTES, DEFAULT_MAX_FILES, FileFormat, FileMode

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.observability.exporter.base_exporter import BaseExporter

__all__ = ["FileConfig", "file_exporter"]


class FileConfig(TelemetryExporterBaseConfig, name="file"):
    """A local file or directory, as JSON lines: one step or one span a line."""

    route_keys: ClassVar[frozenset[str]] = frozenset({"output_path", "project"})

    output_path: str = Field(
        description="Where to write. An existing folder, or a path ending in '/', is a directory and gets a file named "
        "after the format and project; anything else is the file itself. Relative to the working directory."
    )
    project: str | None = Field(
        default=None,
        min_length=1,
        description="Written on every line (otlp_json: as the resource's service.name), and before the name of a file "
        "in a directory.",
    )
    format: FileFormat = Field(
        default="steps",
        description="What a line is: a step event, a finished span, or an OTLP/JSON request with one span.",
    )
    mode: FileMode = Field(
        default="append",
        description="overwrite empties the file once, when a process first writes to it; append never does.",
    )
    enable_rolling: bool = Field(
        default=False, description="Whether a file that is full is put aside under a number, and a new one begun."
    )
    max_file_size: int = Field(
        default=DEFAULT_MAX_FILE_SIZE_BYTES, ge=1, description="Bytes at which a file is full; needs enable_rolling."
    )
    max_files: int = Field(
        default=DEFAULT_MAX_FILES,
        ge=1,
        description="Files kept, the one being written included; the oldest are deleted. Needs enable_rolling.",
    )
    cleanup_on_init: bool = Field(
        default=False, description="Whether files put aside by earlier processes are deleted at the start."
    )

    def spoken_conventions(self) -> tuple[Conventions, ...]:
        """Return all for files of spans; steps have no attributes."""
        return () if self.format == "steps" else ALL_CONVENTIONS

    def item_kind(self) -> Literal["steps", "spans"]:
        """Return what it is given."""
        return "steps" if self.format == "steps" else "spans"

    @field_validator("output_path")
    @classmethod
    def _can_be_written(cls, output_path: str) -> str:
        reason = unwritable_reason(resolve_output_path(output_path, format="steps"))
        if reason is not None:
            message = "choose a file or folder that can be written ({reason})"
            raise PydanticCustomError("not_writable", message, {"reason": reason})
        return output_path


@register_telemetry_exporter(config_type=FileConfig)
async def file_exporter(config: FileConfig, builder: "Builder") -> "AsyncIterator[BaseExporter]":
    """Build the exporter of the configured format; the file is created when it starts."""
    from nat.plugins.file.file_exporter import FileExporter, SpanFileExporter

    exporter_class = FileExporter if config.format == "steps" else partial(SpanFileExporter, format=config.format)
    yield exporter_class(
        config.output_path,
        project=config.project,
        mode=config.mode,
        enable_rolling=config.enable_rolling,
        max_file_size=config.max_file_size,
        max_files=config.max_files,
        cleanup_on_init=config.cleanup_on_init,
    )
