"""Agents in a process of their own, whose spans are in a spool when their runs have ended.

python -m tests.delivery.spooling_agents FUNCTION DIRECTORY ITEMS_URL LISTS_URL

Says on stdout `ready`, `ended NAME` for each run that has ended, and `spooled EXPORTER COUNT` now and then.
"""

import asyncio
import itertools
import os
import sys
import threading
from dataclasses import replace

from nat.observability import DeliveryConfig, Telemetry, step
from nat.observability.delivery import sender
from nat.observability.delivery.options import DeliveryOptions
from tests.support.collecting import registered
from tests.support.fault_backend import PostLists, PostSpans

STEPS_PER_RUN = 9
BATCH = 50
CONCURRENCY = {"items": 8, "lists": 2}


class Items(PostSpans):
    @property
    def delivery_options(self) -> DeliveryOptions:
        return replace(super().delivery_options, concurrency=CONCURRENCY["items"])


class Lists(PostLists):
    @property
    def delivery_options(self) -> DeliveryOptions:
        return replace(super().delivery_options, batch_size=BATCH, concurrency=CONCURRENCY["lists"])


def spans_of(run: str) -> set[str]:
    """The names of a run's spans."""
    return {run, *(f"{run}/{number}" for number in range(STEPS_PER_RUN))}


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # at once, whatever happens next


def telemetry_to(directory: str, items_url: str, lists_url: str) -> Telemetry:
    delivery = DeliveryConfig.model_validate({"spool": {"directory": directory, "wait": "run", "wait_timeout": 60}})
    exporters = {"items": registered(lambda: Items(items_url))(), "lists": registered(lambda: Lists(lists_url))()}
    return Telemetry(exporters, delivery=delivery)


def work(directory: str, *urls: str) -> None:
    """Run agents for ever, in two threads and in two tasks of a third."""
    telemetry = telemetry_to(directory, *urls).start()
    me = os.getpid()

    def in_thread(agent: int) -> None:
        for number in itertools.count():
            with telemetry.run(f"{me}-{agent}-{number}") as run:
                for each in range(STEPS_PER_RUN):
                    with step(f"{me}-{agent}-{number}/{each}", input="question " * 50):
                        pass
                run.output = number
            say("ended", f"{me}-{agent}-{number}")
            if number % 5 == 0:
                for name, status in telemetry.status().exporters.items():
                    say("spooled", name, status.spooled)

    async def in_task(agent: int) -> None:
        for number in itertools.count():
            async with telemetry.run(f"{me}-{agent}-{number}"):
                for each in range(STEPS_PER_RUN):
                    async with step(f"{me}-{agent}-{number}/{each}", input={"question": each}):
                        await asyncio.sleep(0)
            say("ended", f"{me}-{agent}-{number}")

    async def in_tasks() -> None:
        await asyncio.gather(in_task(2), in_task(3))

    for agent in range(2):
        threading.Thread(target=in_thread, args=(agent,)).start()
    say("ready")
    asyncio.run(in_tasks())


def take_over(directory: str, *urls: str) -> None:
    """Live until stdin ends, looking often for what others have left."""
    sender._LOOK_EVERY_S = 0.1
    with telemetry_to(directory, *urls):
        say("ready")
        sys.stdin.read()


def send_rest(directory: str, *urls: str) -> None:
    """Start and end, and tell what became of it: `exporter recovered delivered lost spooled pending`."""
    status = telemetry_to(directory, *urls).start().close(60.0).exporters
    for name, counts in status.items():
        say("sent", name, counts.recovered, counts.delivered, counts.lost, counts.spooled, counts.pending)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
