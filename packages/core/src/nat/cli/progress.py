"""A progress bar at the bottom of the terminal; nothing where there is none."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nat.utils.live_region import is_terminal, live_region, real_stream

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["progress"]


@contextmanager
def progress(total: int, noun: str = "runs") -> Iterator[Callable[[bool], None]]:
    """Show how many of `total` have been done; call what this gives with each one's success."""
    stream = None if sys.stderr is None else real_stream(sys.stderr)
    if stream is None or not is_terminal(stream):
        yield lambda is_success: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn(noun), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[failed]}")
    )
    task = bar.add_task(noun, total=total, failed="")
    failed_count = 0

    def advance(is_success: bool) -> None:
        nonlocal failed_count
        failed_count += not is_success
        bar.update(task, advance=1, failed=f"[red]{failed_count} failed" if failed_count else "")

    region = live_region(stream)

    def draw(max_lines: int) -> "list[RenderableType]":
        return [bar.get_renderable()]

    region.show(draw)
    try:
        yield advance
    finally:
        region.remove(draw)
