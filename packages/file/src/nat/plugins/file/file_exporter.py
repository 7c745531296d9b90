"""Exporters to a local file: `FileExporter` writes every step as a line, `SpanFileExporter` every span."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from nat.builder.context import ContextState
from nat.data_models.conventions import Conventions
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.observability.delivery.errors import PermanentExportError, TransientExportError
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.worker import Lane
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.processor.intermediate_step_serializer import IntermediateStepSerializer
from nat.observability.spans.genai import genai_of, said_span
from nat.plugins.file.lines import line_of_request, line_of_span, line_of_step
from nat.plugins.file.paths import PathLike, resolve_output_path
from nat.plugins.file.settings import DEFAULT_MAX_FILE_SIZE_BYTES, DEFAULT_MAX_FILES, FileMode
from nat.plugins.file.writer import FileWriter, Rolling

__all__ = ["FileExporter", "SpanFileExporter"]

_BATCH_SIZE = 500  # opening and locking cost as much as writing some thirty lines

_PASSING = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EDQUOT,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


class FileExporter(RawExporter[IntermediateStep, str]):
    """Writes each step as one JSON line, as `IntermediateStepSerializer` has it, in the order the steps happened.

    Lines are handed to the operating system before `export_processed` returns; nothing is kept open in between. The
    file can be shared with other exporters, threads and processes. New files can be read by their owner only.

    Args:
        output_path: An existing folder or a path ending in `/` is a directory, anything else a file; relative to the
            working directory of this moment.
        project: Written on every line, and before the file's name in a directory.
        mode: `overwrite` empties the file once per process.
        enable_rolling: Put a full file aside under a number and begin a new one.
        max_file_size: Bytes at which a file is full.
        max_files: Files kept, the current one included; the oldest are deleted.
        cleanup_on_init: Delete the files put aside by earlier processes, once per process.

    Raises:
        ValueError: `output_path` is no path, or a number is below 1.
    """

    def __init__(
        self,
        output_path: PathLike,
        *,
        project: str | None = None,
        mode: FileMode = "append",
        enable_rolling: bool = False,
        max_file_size: int = DEFAULT_MAX_FILE_SIZE_BYTES,
        max_files: int = DEFAULT_MAX_FILES,
        cleanup_on_init: bool = False,
        context_state: ContextState | None = None,
    ) -> None:
        super().__init__(context_state, batch_size=_BATCH_SIZE)
        self.add_processor(IntermediateStepSerializer())
        self._project = project
        self._writer = FileWriter(
            resolve_output_path(output_path, format="steps", project=project),
            mode=mode,
            rolling=Rolling(max_file_size, max_files) if enable_rolling else None,
            cleanup=cleanup_on_init,
        )

    def use_lane(self, lane: Lane) -> None:
        """Take events from this lane; what must not leave is not in the project's name either."""
        super().use_lane(lane)
        self._project = lane.redacted(self._project)

    @property
    def path(self) -> Path:
        """The file being written."""
        return self._writer.path

    @property
    def endpoint(self) -> str:
        """The same, for `nat doctor`."""
        return str(self.path)

    @property
    def delivery_options(self) -> DeliveryOptions:
        """Everything that waits is written in one go."""
        return _in_one_go(super().delivery_options)

    @asynccontextmanager
    async def start(self) -> AsyncIterator[None]:
        """Create the file, then export until the context is left.

        Raises:
            PermanentExportError: The file cannot be written.
        """
        await _prepare(self._writer)
        async with super().start():
            yield

    async def export_processed(self, item: str | list[str]) -> None:
        """Append a line, or several at once.

        Raises:
            TransientExportError: Nothing of it was kept, but a later attempt may succeed: the disk is full, for one.
            PermanentExportError: Nothing of it was kept, and no attempt will help.
        """
        steps = item if isinstance(item, list) else [item]
        await _write(self._writer, (line_of_step(step, self._project) for step in steps))


class SpanFileExporter(SpanExporter[Span, Span]):
    """Writes each span as one JSON line when it has ended: a flat object, or an OTLP/JSON request.

    Otherwise as `FileExporter`, which describes the other arguments.

    Args:
        format: `spans` or `otlp_json`; in the latter, `project` is the resource's `service.name`.
        conventions: In whose names attributes are written, unless an entry of the configuration says it.
    """

    def __init__(
        self,
        output_path: PathLike,
        *,
        format: Literal["spans", "otlp_json"] = "spans",
        project: str | None = None,
        mode: FileMode = "append",
        enable_rolling: bool = False,
        max_file_size: int = DEFAULT_MAX_FILE_SIZE_BYTES,
        max_files: int = DEFAULT_MAX_FILES,
        cleanup_on_init: bool = False,
        conventions: Conventions = "openinference",
        context_state: ContextState | None = None,
    ) -> None:
        super().__init__(context_state, batch_size=_BATCH_SIZE)
        self._project = project
        self._conventions: Conventions = conventions
        self._genai = genai_of(conventions)
        self._line_of: Callable[[Span, str | None], bytes] = line_of_span if format == "spans" else line_of_request
        self._writer = FileWriter(
            resolve_output_path(output_path, format=format, project=project),
            mode=mode,
            rolling=Rolling(max_file_size, max_files) if enable_rolling else None,
            cleanup=cleanup_on_init,
        )

    def use_lane(self, lane: Lane) -> None:
        """Take events from this lane; what must not leave is not in the project's name either."""
        super().use_lane(lane)
        self._genai = genai_of(lane.conventions or self._conventions)
        self._project = lane.redacted(self._project)

    @property
    def path(self) -> Path:
        """The file being written."""
        return self._writer.path

    @property
    def endpoint(self) -> str:
        """The same, for `nat doctor`."""
        return str(self.path)

    @property
    def delivery_options(self) -> DeliveryOptions:
        """Everything that waits is written in one go."""
        return _in_one_go(super().delivery_options)

    @asynccontextmanager
    async def start(self) -> AsyncIterator[None]:
        """Create the file, then export until the context is left; fails as `FileExporter` does."""
        await _prepare(self._writer)
        async with super().start():
            yield

    async def export_processed(self, item: Span | list[Span]) -> None:
        """Append the line of a span, or of several at once; fails as `FileExporter` does."""
        spans = item if isinstance(item, list) else [item]
        await _write(self._writer, (self._line_of(self._said(span), self._project) for span in spans))

    def _said(self, span: Span) -> Span:
        return span if self._genai is None else said_span(span, self._genai.say(span.attributes))


def _in_one_go(options: DeliveryOptions) -> DeliveryOptions:
    return replace(options, takes_lists=True, concurrency=1)  # a second call would only wait for the first one's lock


async def _prepare(writer: FileWriter) -> None:
    with suppress(TransientExportError):  # the first write tries again, and its failure is counted
        await _in_thread(writer, writer.prepare)


async def _write(writer: FileWriter, lines: Iterable[bytes]) -> None:
    await _in_thread(writer, lambda: writer.write(list(lines)))


async def _in_thread(writer: FileWriter, work: Callable[[], None]) -> None:
    """Do blocking work outside the event loop, its errors told apart by whether they may pass."""
    try:
        await asyncio.to_thread(work)
    except OSError as error:
        problem = f"cannot write to {writer.path}: {error.strerror or error}"
        if error.errno in _PASSING:
            raise TransientExportError(problem) from error
        raise PermanentExportError(problem) from error
