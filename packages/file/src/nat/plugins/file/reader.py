"""Read back what the file exporter wrote: lines, steps, spans, and the steps of each run."""

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias, TypeVar

import orjson
from pydantic import ValidationError

from nat.data_models.intermediate_step import ROOT_PARENT_ID, IntermediateStep, IntermediateStepState
from nat.data_models.span import Span
from nat.observability.spans.otlp_json import spans_of_request
from nat.plugins.file.lines import span_of_line
from nat.plugins.file.paths import PathLike, rolled_paths

__all__ = ["CorruptLineError", "Line", "LineKind", "read_lines", "read_runs", "read_spans", "read_steps"]

LineKind: TypeAlias = Literal["step", "span", "otlp"]

_Item = TypeVar("_Item")


class CorruptLineError(ValueError):
    """A line that cannot be read, with its file and number.

    Attributes:
        file: The file it is in.
        number: Its number there, from 1.
    """

    def __init__(self, file: Path, number: int, problem: str) -> None:
        super().__init__(f"{file}:{number}: {problem}")
        self.file = file
        self.number = number


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a trace file.

    Attributes:
        file: The file it is in.
        number: Its number there, from 1.
        data: What it holds.
    """

    file: Path
    number: int
    data: dict[str, Any]

    @property
    def kind(self) -> LineKind | None:
        """What the line describes; `None` for something that the file exporter does not write."""
        if "payload" in self.data:
            return "step"
        if "span_id" in self.data:
            return "span"
        return "otlp" if "resourceSpans" in self.data else None


def read_lines(path: PathLike) -> Iterator[Line]:
    """The lines of a file, rolled ones first, in the order they were written.

    Of a directory: those of every `*.jsonl` file in it, by name. A last line without its newline is being written, or
    was cut short when its writer was killed: it is passed over. Files that are rolled while being read are read once.

    Raises:
        FileNotFoundError: There is no such file, or none in the directory.
        CorruptLineError: A line holds no JSON object.
    """
    for family in _families(Path(path)):
        yield from _family_lines(family)


def read_steps(path: PathLike) -> Iterator[IntermediateStep]:
    """The steps of a file written with `format: steps`, or of all such files of a directory; see `read_lines`.

    Raises:
        CorruptLineError: A line holds no step.
    """
    for line in _lines_of_kind(path, ("step",), "steps"):
        data = {key: value for key, value in line.data.items() if key != "project"}
        yield _parsed(line, IntermediateStep.model_validate, data)


def read_spans(path: PathLike) -> Iterator[Span]:
    """The spans of a file written with `format: spans` or `otlp_json`, or of all such files of a directory.

    See `read_lines`.

    Raises:
        CorruptLineError: A line holds no span.
    """
    for line in _lines_of_kind(path, ("span", "otlp"), "spans"):
        if line.kind == "span":
            yield _parsed(line, span_of_line, line.data)
        else:
            yield from _parsed(line, spans_of_request, line.data)


def read_runs(path: PathLike) -> dict[str, list[IntermediateStep]]:
    """The steps of each run, in order: those that hang together by `parent_id`, under the id of the outermost step.

    Where the oldest lines are gone (rolling), it is the outermost id that is still mentioned.
    """
    runs: dict[str, list[IntermediateStep]] = {}
    run_ids: dict[str, str] = {}
    for step in read_steps(path):
        run_id = run_ids.get(step.UUID)
        if run_id is None:
            parent_id = step.parent_id
            run_id = step.UUID if parent_id == ROOT_PARENT_ID else run_ids.setdefault(parent_id, parent_id)
            if step.event_state is IntermediateStepState.START:
                run_ids[step.UUID] = run_id
        runs.setdefault(run_id, []).append(step)
    return runs


def _lines_of_kind(path: PathLike, kinds: tuple[LineKind, ...], what: str) -> Iterator[Line]:
    path = Path(path)
    families = _families(path)
    if path.is_dir():
        families = [family for family in families if _first_kind(family) in kinds]
        if not families:
            raise FileNotFoundError(f"{path}: none of its files holds {what}")
    for family in families:
        for line in _family_lines(family):
            if line.kind not in kinds:
                raise CorruptLineError(line.file, line.number, f"expected {what}, found {_described(line)}")
            yield line


def _described(line: Line) -> str:
    kind = line.kind
    return "an object of another format" if kind is None else f"a line of format {_FORMAT_OF_KIND[kind]!r}"


_FORMAT_OF_KIND: dict[LineKind, str] = {"step": "steps", "span": "spans", "otlp": "otlp_json"}


def _first_kind(family: Path) -> LineKind | None:
    with contextlib.closing(_family_lines(family)) as lines:
        first = next(lines, None)
    return None if first is None else first.kind


def _parsed(line: Line, parse: Callable[[dict[str, Any]], _Item], data: dict[str, Any]) -> _Item:
    try:
        return parse(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CorruptLineError(line.file, line.number, f"{place}: {first['msg']}") from error
    except (KeyError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise CorruptLineError(line.file, line.number, f"not in the expected form ({problem})") from error


def _families(path: Path) -> list[Path]:
    """The files to read, each standing for those rolled from it, too."""
    if not path.is_dir():
        if not path.exists() and not rolled_paths(path):
            raise FileNotFoundError(f"{path}: no such file")
        return [path]
    files = sorted(path.glob("*.jsonl"))
    rolled = {old for file in files for old in rolled_paths(file)}
    families = [file for file in files if file not in rolled]
    if not families:
        raise FileNotFoundError(f"{path}: no *.jsonl file in this folder")
    return families


def _family_lines(path: Path) -> Generator[Line]:
    with contextlib.ExitStack() as stack:
        # The current file is opened before its elders are listed: rolled in between, it is found twice, not lost.
        current = stack.enter_context(path.open("rb")) if path.exists() else None
        for old in rolled_paths(path):
            with contextlib.suppress(FileNotFoundError), old.open("rb") as file:  # the oldest may go at any time
                if current is None or not os.path.samestat(os.fstat(file.fileno()), os.fstat(current.fileno())):
                    yield from _file_lines(old, file)
        if current is not None:
            yield from _file_lines(path, current)


def _file_lines(path: Path, file: BinaryIO) -> Iterator[Line]:
    for number, text in enumerate(file, start=1):
        if not text.endswith(b"\n"):
            return
        if text.isspace():
            continue
        try:
            data = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise CorruptLineError(path, number, f"not JSON: {error}") from error
        if not isinstance(data, dict):
            raise CorruptLineError(path, number, f"expected a JSON object, found {type(data).__name__}")
        yield Line(path, number, data)
