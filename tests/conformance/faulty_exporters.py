"""Exporters with one fault each, and the inherited tests that it must fail; run by `test_faults_are_found.py`."""

import logging
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

from nat.builder.builder import Builder
from nat.observability.registry import register_telemetry_exporter
from nat.plugin_api import PermanentExportError, TransientExportError
from nat.testing.conformance import ExporterConformance
from tests.conformance.posting import PostingConfig, PostingExporter

FAULTS: dict[str, tuple[type[PostingExporter], dict[str, str]]] = {}
"""By name: the exporter, and which tests it must fail, each with words of the failure's message."""


def fault(fails: dict[str, str]) -> Any:
    def add(cls: type[PostingExporter]) -> type[PostingExporter]:
        name = cls.__name__
        config_type = type(
            f"{name}Config", (PostingConfig,), {"__module__": __name__, "__doc__": cls.__doc__}, name=f"faulty_{name}"
        )

        async def build(config: Any, builder: Builder) -> AsyncIterator[PostingExporter]:
            yield cls(config.endpoint, config.api_key)

        register_telemetry_exporter(config_type=config_type)(build)
        FAULTS[name] = (cls, fails)
        return cls

    return add


@fault(
    {"test_what_only_looks_like_a_success_is_none[a log-in page in HTML]": "but the answer was a log-in page in HTML"}
)
class LooksAtTheStatusOnly(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        async with self.session.post(self.endpoint, json=item) as response:
            self.judge(response)


@fault(
    {
        "test_an_outage_loses_nothing[HTTP 503]": "items counted as delivered while the backend answered every",
        "test_a_final_answer_is_not_asked_for_again[400]": "status 400: 0 of 4 items counted as rejected",
    }
)
class IgnoresTheAnswer(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        async with self.session.post(self.endpoint, json=item):
            pass


@fault(
    {
        "test_a_final_answer_is_not_asked_for_again[400]": "status 400 is final, but the same request came up to",
    }
)
class TriesWhatIsFinalAgain(PostingExporter):
    def judge(self, response: Any) -> None:
        if response.status != 200:
            raise TransientExportError(f"HTTP {response.status}")


@fault(
    {
        "test_an_outage_loses_nothing[HTTP 503]": "HTTP 503 for a while, then a healthy backend: of 4 items",
    }
)
class GivesUpWhatMayPass(PostingExporter):
    def judge(self, response: Any) -> None:
        if response.status != 200:
            raise PermanentExportError(f"HTTP {response.status}")


@fault(
    {
        "test_it_waits_as_long_as_the_backend_says[in seconds]": "though status 429 asked for 1 s",
    }
)
class DoesNotWait(PostingExporter):
    def wish_of(self, response: Any) -> None:
        return None


@fault(
    {
        "test_it_delivers_every_step_once": "spans have arrived more than once",
    }
)
class SendsTwice(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        await super().export_processed(item)
        await super().export_processed(item)


@fault(
    {
        "test_it_delivers_every_step_once": "the spans of the run 'nested_agents' are not what it did",
    }
)
class MistakesTheParent(PostingExporter):
    last_id = None

    async def export_processed(self, item: Any) -> None:
        if item["parent_span_id"] is not None:
            item = {**item, "parent_span_id": self.last_id or item["parent_span_id"]}
            self.last_id = self.last_id or item["span_id"]
        await super().export_processed(item)


@fault(
    {
        "test_a_run_knows_nothing_of_the_one_before": "those of the run before: ['session before']",
        "test_runs_on_many_threads_do_not_mix": "have the sessions",
    }
)
class RemembersTheSession(PostingExporter):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sessions: dict[str, Any] = {}  # which all copies share

    async def export_processed(self, item: Any) -> None:
        session_id = self.sessions.setdefault("first", item["attributes"].get("session.id"))
        await super().export_processed({**item, "attributes": {**item["attributes"], "session.id": session_id}})


@fault(
    {"test_it_keeps_nothing_of_runs_that_have_ended": "these attributes of the exporter grow with every run: ['sent']"}
)
class KeepsWhatItSent(PostingExporter):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sent: list[Any] = []

    async def export_processed(self, item: Any) -> None:
        self.sent.append(item)
        await super().export_processed(item)


@fault(
    {
        "test_its_copies_share_no_state": "copies for two runs share the value of",
    }
)
class CopiesEverything(PostingExporter):
    def create_isolated_instance(self, context_state: Any) -> Any:
        isolated = super().create_isolated_instance(context_state)
        isolated.__dict__.update(self.__dict__)
        isolated._is_isolated_instance = True
        return isolated


@fault(
    {
        "test_its_key_is_shown_nowhere[success]": "after success, the key is in the log",
    }
)
class LogsItsKey(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        logging.getLogger("faulty").debug("posting with %s", self.api_key.get_secret_value())
        await super().export_processed(item)


@fault(
    {
        "test_its_key_is_shown_nowhere[HTTP 400]": "after HTTP 400, the key is in the file",
    }
)
class PutsItsKeyIntoTheSpan(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        item["attributes"]["sent.with"] = self.api_key.get_secret_value()
        await super().export_processed(item)


@fault(
    {
        "test_what_a_processor_removes_does_not_leave": "a text that a processor had removed has left the exporter",
    }
)
class GoesAroundItsProcessors(PostingExporter):
    def add_processor(self, processor: Any, *arguments: Any, **options: Any) -> None:
        pass


@fault(
    {
        "test_it_changes_nothing_that_belongs_to_the_program": "has changed what belongs to the program: the environment",
    }
)
class SetsTheEnvironment(PostingExporter):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        os.environ["FAULTY_ENDPOINT"] = self.endpoint


@fault(
    {
        "test_being_listed_loads_nothing_heavy": "checking its configuration imports aiohttp",
    }
)
class ImportsItsClientAtOnce(PostingExporter):
    pass


@fault(
    {
        "test_it_is_cleaned_up_once": "_cleanup ran 2 times in one life with three runs",
    }
)
class CleansUpTwice(PostingExporter):
    async def stop(self) -> None:
        await self._cleanup()
        await super().stop()


@fault(
    {
        "test_it_leaves_no_thread_behind": "threads that are no daemons are left after close(): ['left behind']",
    }
)
class LeavesAThread(PostingExporter):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        threading.Thread(target=threading.Event().wait, args=(2,), name="left behind", daemon=False).start()


@fault(
    {
        "test_two_of_them_do_not_disturb_each_other": "spans went to the backend of another exporter of its type",
    }
)
class SharesItsEndpoint(PostingExporter):
    endpoints: list[str] = []  # noqa: RUF012  (that is the fault)

    def __init__(self, endpoint: str, api_key: Any) -> None:
        self.endpoints.append(endpoint)
        super().__init__(endpoint, api_key)

    async def export_processed(self, item: Any) -> None:
        self.endpoint = self.endpoints[-1]
        await super().export_processed(item)


class _Faulty(ExporterConformance):
    modules = (__name__,)

    def settings(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint}

    def secret_settings(self, secret: str) -> dict[str, Any]:
        return {"api_key": secret}


for _name in FAULTS:
    globals()[f"Test{_name}"] = type(
        f"Test{_name}", (_Faulty,), {"exporter_type": f"faulty_{_name}", "__module__": __name__}
    )
