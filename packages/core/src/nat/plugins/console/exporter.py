"""Console exporter: each run as a tree, while it grows and when it has ended."""

import asyncio
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from nat.data_models.intermediate_step import IntermediateStep
from nat.observability.delivery.errors import PermanentExportError
from nat.observability.exporter.base_exporter import IsolatedAttribute
from nat.observability.exporter.raw_exporter import RawExporter
from nat.plugins.console.canvas import Canvas, ColorChoice, StreamChoice, make_canvas
from nat.plugins.console.tree import Forest

if TYPE_CHECKING:
    from nat.builder.context import ContextState

__all__ = ["ConsoleExporter"]


class ConsoleExporter(RawExporter[IntermediateStep, IntermediateStep]):
    """Draws each run as a tree: every step with its duration, its tokens, and why it failed.

    On a terminal the trees of all runs that are going on are redrawn at its bottom, and a tree that has ended stays
    above them. Otherwise a tree is printed in one piece when it has ended, so runs never mix. A step that never ends is
    shown as such at the end of its run.

    Args:
        prefix: Text in front of every line.
        stream: Where to draw; what `sys.stderr` or `sys.stdout` is at the first step.
        live: Whether trees are drawn while they grow, on a terminal.
        color: `auto`: on a terminal, unless `NO_COLOR` is set; `always`: in files and pipes too.
        max_content_chars: How much of each step's input and output is shown; 0 shows none.
    """

    _forest: IsolatedAttribute[Forest] = IsolatedAttribute(Forest)

    def __init__(
        self,
        *,
        prefix: str = "",
        stream: StreamChoice = "stderr",
        live: bool = True,
        color: ColorChoice = "auto",
        max_content_chars: int = 0,
        context_state: "ContextState | None" = None,
    ) -> None:
        super().__init__(context_state)
        self.endpoint = stream
        self._keeps_content = max_content_chars > 0
        self._canvas = cache(  # shared by the copies of all runs, made when the first of them draws
            partial(make_canvas, stream, prefix, is_live=live, color=color, max_content_chars=max_content_chars)
        )

    async def export_processed(self, item: IntermediateStep) -> None:
        """Take in one step, and draw.

        Raises:
            PermanentExportError: The stream cannot be written, as when its reader has gone.
        """
        canvas = self._writable_canvas()
        forest = self._forest
        is_new = not forest.tops
        ended = forest.add(item, keeps_content=self._keeps_content)
        if ended is not None:
            await _off_the_loop(canvas.finish, forest, [ended])
            self._writable_canvas()
        elif is_new:
            await _off_the_loop(canvas.show, forest)

    async def _flush(self) -> None:
        """Draw what is left of the run: its steps that never ended."""
        forest = self._forest
        left = forest.close()
        if left:
            await _off_the_loop(self._writable_canvas().finish, forest, left)
            self._writable_canvas()
        await super()._flush()

    def _writable_canvas(self) -> Canvas:
        canvas = self._canvas()
        failure = canvas.failure
        if failure is not None:
            raise PermanentExportError(f"console: cannot be written: {type(failure).__name__}: {failure}")
        return canvas


async def _off_the_loop(draw: Callable[..., None], *args: Any) -> None:
    """Draw on another thread, since a terminal can be slow; here if the interpreter is ending and starts none."""
    try:
        drawing = asyncio.get_running_loop().run_in_executor(None, draw, *args)
    except RuntimeError:
        draw(*args)
    else:
        await drawing
