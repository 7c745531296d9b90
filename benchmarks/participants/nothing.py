"""Nobody records anything: what the benchmark itself costs, to be taken off where it matters."""

import asyncio

from measuring import Participant, main
from workload import Node


class Nothing(Participant):
    def start(self, endpoints: list[str], *, is_lossless: bool) -> None:
        """Nothing to start."""

    def play(self, run: Node) -> None:
        for node in run.children:
            self.play(node)

    async def play_async(self, run: Node) -> None:
        for node in run.children:
            await asyncio.sleep(0)
            await self.play_async(node)

    def flush(self) -> None:
        """Nothing waits."""


if __name__ == "__main__":
    main(Nothing())
