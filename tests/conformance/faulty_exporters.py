"""Exporters with one fault each, and the inherited tests that it must fail; run by `test_faults_are_found.py`."""

import asyncio
import json
import logging
import os
import threading
import time
import urllib.request
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nat.builder.builder import Builder
from nat.builder.context import ContextState
from nat.observability.registry import register_telemetry_exporter
from nat.plugin_api import (
    BaseExporter,
    BatchingProcessor,
    PermanentExportError,
    Processor,
    Span,
    TransientExportError,
)
from nat.testing.conformance import ExporterConformance
from tests.conformance.posting import PostingConfig, PostingExporter

FAULTS: dict[str, tuple[type[PostingExporter], dict[str, str]]] = {}
"""By name: the exporter, and which tests it must fail, each with words of the failure's message."""


def fault(fails: dict[str, str], config: type[PostingConfig] = PostingConfig) -> Any:
    def add(cls: type[PostingExporter]) -> type[PostingExporter]:
        name = cls.__name__
        config_type = type(
            f"{name}Config", (config,), {"__module__": __name__, "__doc__": cls.__doc__}, name=f"faulty_{name}"
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
        "test_it_works_from_a_workflow_file": "spans have arrived more than once",
    }
)
class SendsTwice(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        await super().export_processed(item)
        await super().export_processed(item)


@fault(
    {
        "test_it_delivers_every_step_once": "spans of the run 'nested_agents' are below the wrong parents",
        "test_runs_on_one_event_loop_do_not_mix": "spans of concurrent coroutines are not below their own parents",
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
        "test_a_failing_processor_lets_nothing_out": "an item whose processor had raised has left the exporter",
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
        "test_it_starts_once_and_stops_any_number_of_times": "stop() was called three times in one life",
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


@fault(
    {
        "test_an_outage_loses_nothing[HTTP 503]": "export_processed must raise, and not swallow the error",
        "test_closing_keeps_its_deadline[nobody listens]": "counted as delivered with nobody listens from the backend",
    }
)
class SwallowsErrors(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        try:
            await super().export_processed(item)
        except Exception:
            logging.getLogger("faulty").exception("could not post")


@fault({"test_an_outage_loses_nothing[no answer]": "items counted as delivered while the backend answered"})
class TakesItsCancellationForTheEnd(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        with suppress(asyncio.CancelledError):
            await super().export_processed(item)


@fault({"test_an_outage_loses_nothing[HTTP 429]": "HTTP 429 for a while, then a healthy backend: of 4 items"})
class TakesBusyForNever(PostingExporter):
    def judge(self, response: Any) -> None:
        if response.status == 429:
            raise PermanentExportError("HTTP 429")
        super().judge(response)


@fault({"test_a_final_answer_is_not_asked_for_again[400]": "status 400 is final, but the same request came up to"})
class AsksForever(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        while True:
            try:
                return await super().export_processed(item)
            except PermanentExportError:
                await asyncio.sleep(0.01)


@fault(
    {
        "test_what_only_looks_like_a_success_is_none[a redirect with status 302]": "delivered, but the answer was a redirect",
    }
)
class FollowsRedirects(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        async with self.session.post(self.endpoint, json=item) as response:
            self.judge(response)


@fault({"test_a_partial_success_counts_what_was_refused": "the backend refused one span in each of"})
class IgnoresPartialSuccess(PostingExporter):
    def judge_parts(self, answer: dict[str, Any]) -> None:
        pass


@fault(
    {
        "test_it_delivers_every_step_once": "count as delivered but never arrived",
        "test_closing_delivers_what_waits": "count as delivered but never arrived",
    }
)
class LosesItsLastBatch(PostingExporter):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.batch: list[Any] = []

    async def export_processed(self, item: Any) -> None:
        self.batch.append(item)
        if len(self.batch) == 3:
            await super().export_processed(self.batch)
            self.batch.clear()


@fault({"test_it_delivers_all_recorded_runs": "these runs count as delivered but never arrived: ['odd_values']"})
class DropsOddValues(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        if json.dumps(item, ensure_ascii=False).isascii():
            await super().export_processed(item)


@fault({"test_what_a_step_holds_arrives": "the run was delivered without its run input, run output, tool output"})
class LeavesTheContentOut(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        left_out = ("input.value", "output.value")
        attributes = {key: value for key, value in item["attributes"].items() if key not in left_out}
        await super().export_processed({**item, "attributes": attributes})


@fault({"test_when_and_how_a_step_ended_arrives": "are not when it happened, in nanoseconds since the epoch"})
class SendsSeconds(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        times = {key: item[key] // 1_000_000_000 for key in ("start_time", "end_time")}
        await super().export_processed({**item, **times})


@fault({"test_when_and_how_a_step_ended_arrives": "those with status ERROR are"})
class TakesAllForSuccesses(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        await super().export_processed({**item, "status": {"code": "OK", "message": None}})


@fault({"test_a_second_attempt_sends_the_same": "has sent these spans differently"})
class ChangesItsItem(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        item["name"] = f"sent: {item['name']}"
        await super().export_processed(item)


@fault({"test_other_exporters_get_what_happened": "another one gets other spans: it changes what it is given"})
class ChangesSharedValues(PostingExporter):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.add_processor(_AppendsATag())


class _AppendsATag(Processor[Span, Span]):
    async def process(self, item: Span) -> Span:
        item.attributes.get("tag.tags", []).append("seen")
        return item


@fault({"test_a_second_run_works_like_the_first": "the second run, after the first was flushed: "})
class ClosesAtTheEndOfARun(PostingExporter):
    async def _flush(self) -> None:
        await self.session.close()


@fault({"test_it_can_be_built_again": "each exporter makes a client of its own, which does not outlive it"})
class KeepsItsSessionForGood(PostingExporter):
    kept: Any = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        mine, type(self).kept = self.session, type(self).kept or self.session
        self.session, self.unused = self.kept, mine

    async def _cleanup(self) -> None:
        await self.unused.close()
        await super()._cleanup()


@fault({"test_a_forked_process_delivers_its_own": "a program that forks loses spans: in the child"})
class InheritsItsSession(PostingExporter):
    kept: Any = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.kept is None or self.kept.closed:
            type(self).kept = self.session
        self.session, self.unused = self.kept, self.session

    async def _cleanup(self) -> None:
        await self.unused.close()
        await super()._cleanup()


@fault({"test_it_closes_what_it_has_opened": "connections are left open after close(); close the client in _cleanup()"})
class LeaksItsSession(PostingExporter):
    async def _cleanup(self) -> None:
        await BaseExporter._cleanup(self)


@fault({"test_it_closes_what_it_has_opened": "files are left open after close(): "})
class LeaksAFile(PostingExporter):
    def __init__(self, endpoint: str, api_key: Any) -> None:
        super().__init__(endpoint, api_key)
        self.log = Path(os.environ["FAULTY_FOLDER"], "log").open("w")  # noqa: SIM115  (that is the fault)


@fault({"test_it_ends_what_it_has_begun": "tasks are left running after stop(): ['LeavesATask.wait_for_ever']"})
class LeavesATask(PostingExporter):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.refresh = asyncio.get_running_loop().create_task(self.wait_for_ever())

    async def wait_for_ever(self) -> None:
        await asyncio.Event().wait()


@fault({"test_a_healthy_life_is_quiet": "nothing was wrong, but the log says: "})
class FailsInItsCleanup(PostingExporter):
    async def _cleanup(self) -> None:
        await super()._cleanup()
        raise RuntimeError("closed twice")


@fault({"test_a_healthy_life_is_quiet": "the exporter writes to the program's terminal"})
class Prints(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        await super().export_processed(item)
        print("posted", item["name"])


@fault(
    {
        "test_its_event_loop_goes_on_while_the_backend_thinks": "the event loop was blocked",
        "test_it_waits_for_nothing_on_its_event_loop": "the exporter waits in: ",
    }
)
class BlocksTheLoop(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        request = urllib.request.Request(self.endpoint, json.dumps(item).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: ASYNC210  (that is the fault)
            response.read()


@fault({"test_it_waits_for_nothing_on_its_event_loop": "the exporter waits in: time.sleep(0.01)"})
class Sleeps(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        time.sleep(0.01)  # noqa: ASYNC251  (that is the fault)
        await super().export_processed(item)


@fault({"test_a_call_ends_when_its_time_is_over": "export_processed must end when it is cancelled"})
class IgnoresItsCancellation(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        sending = asyncio.ensure_future(super().export_processed(item))
        while not sending.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(sending)
        sending.result()


@fault({"test_it_changes_nothing_that_belongs_to_the_program": "OpenTelemetry's tracer provider"})
class SetsTheGlobalProvider(PostingExporter):
    def __init__(self, *arguments: Any) -> None:
        from opentelemetry import trace

        super().__init__(*arguments)
        trace.set_tracer_provider(trace.NoOpTracerProvider())


@fault({"test_its_key_is_shown_nowhere[success]": "after success, the key is in a repr"})
class ShowsItsKeyInItsRepr(PostingExporter):
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.endpoint} {self.api_key.get_secret_value()}>"


@fault(
    {
        "test_what_is_too_large_is_sent_in_parts": "HTTP 413 for requests over 16,000 bytes",
        "test_one_item_that_is_too_large_takes_no_other_along": "'step 4' was too large for the backend, but these are missing",
    }
)
class GivesUpWhatIsTooLarge(PostingExporter):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.add_processor(BatchingProcessor[Any](batch_size=100, flush_interval=0.05))

    def judge(self, response: Any) -> None:
        if response.status == 413:
            raise PermanentExportError("HTTP 413")
        super().judge(response)


@fault({"test_a_partial_success_that_refuses_nothing_is_a_success": "with 0 refused spans and a message"})
class TakesAWarningForARefusal(PostingExporter):
    def judge_parts(self, answer: dict[str, Any]) -> None:
        if "partialSuccess" in answer:
            raise PermanentExportError("partial success")


@fault(
    {"test_an_exporter_that_never_started_can_be_stopped": "_cleanup ran 0 times for an exporter that never started"}
)
class ClosesOnlyWhatHasStarted(PostingExporter):
    async def stop(self) -> None:
        if self._ready_event.is_set():
            await super().stop()
        else:
            await self.session.close()


@fault({"test_odd_objects_take_nothing_along": "values that no JSON has: of"})
class FailsOnOddValues(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        json.dumps(item, ensure_ascii=False).encode("ascii")
        await super().export_processed(item)


class _QuotingConfig(PostingConfig):
    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValueError:
            raise ValueError(f"cannot read {given}") from None


@fault(
    {"test_a_wrong_setting_is_told_without_the_key": "the error of a wrong setting shows the key"},
    config=_QuotingConfig,
)
class QuotesItsKeyInErrors(PostingExporter):
    pass


_overheard: deque[str] = deque(maxlen=100)


class _ListeningConfig(PostingConfig):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        ContextState.get().event_stream.get().subscribe(lambda event: _overheard.append(repr(event)))


@fault(
    {"test_a_secret_in_content_does_not_leave": "send what export_processed is given, and nothing from elsewhere"},
    config=_ListeningConfig,
)
class SendsWhatItOverhears(PostingExporter):
    async def export_processed(self, item: Any) -> None:
        await super().export_processed({**item, "overheard": list(_overheard)})


class _Faulty(ExporterConformance):
    modules = (__name__,)
    reports_partial_success = True

    def settings(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint}

    def secret_settings(self, secret: str) -> dict[str, Any]:
        return {"api_key": secret}

    @pytest.fixture(autouse=True)
    def _folder_for_leaks(self, _environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FAULTY_FOLDER", str(self.folder))


class TestSound(_Faulty):
    """Without a fault: it passes whatever any of the others fails."""

    exporter_type = "posting"
    modules = ("tests.conformance.posting",)


for _name in FAULTS:
    globals()[f"Test{_name}"] = type(
        f"Test{_name}", (_Faulty,), {"exporter_type": f"faulty_{_name}", "__module__": __name__}
    )
