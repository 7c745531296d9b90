"""Conformance of processors: tests that every processor passes, to be inherited.

```python
class TestShorten(ProcessorConformance):
    processor_type = "shorten"
    takes_steps = False

    def settings(self) -> dict[str, Any]:
        return {"characters": 100}
```
"""

import asyncio
import json
import re
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import pytest

from nat.builder.builder import Builder
from nat.data_models.span import Span
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability import Telemetry, step
from nat.observability.component import PROCESSOR
from nat.observability.processor.processor import Processor
from nat.observability.processor.span_to_dict import span_to_dict
from nat.observability.registry import ExporterEntry, Registration, resolve
from nat.testing.discovery import heavy_modules_after
from nat.testing.in_memory import InMemoryExporter, InMemoryStepExporter, entry_of
from nat.testing.kit import DOES_NOT_APPLY
from nat.testing.player import replay
from nat.testing.process_state import changes_of, process_state
from nat.testing.runs import recorded_run, recorded_runs

__all__ = ["ProcessorConformance"]

Form: TypeAlias = Literal["spans", "steps"]

_ENTRY = "tested"
_FLUSH_S = 20.0
_THREADS = 4
_RUNS_PER_THREAD = 8
_FAILURES = {"processor_error", "processor_timeout", "queue_full"}


class ProcessorConformance:
    """Tests that every configurable processor passes. Derive a test class, say how to configure it, and inherit the rest.

    Attributes:
        processor_type: Its `_type`.
        modules: What to import so that the type is known; none if an entry point provides it.
        takes_spans, takes_steps: What it can be configured for.
        may_drop: It leaves items out on purpose, as a filter does.
        removes: Texts that nothing which has passed it may hold.
    """

    processor_type: ClassVar[str]
    modules: ClassVar[Sequence[str]] = ()
    takes_spans: ClassVar[bool] = True
    takes_steps: ClassVar[bool] = True
    may_drop: ClassVar[bool] = False
    removes: ClassVar[Sequence[str]] = ()

    folder: Path
    """An empty folder of this test."""

    # -- what an author says ---------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """What a workflow file says about the processor, without `_type`."""
        return {}

    # -- items -----------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("form", ["spans", "steps"])
    def test_every_item_meets_its_fate(self, form: Form) -> None:
        """Ten recorded runs, odd values among them: each item comes out, or was left out on purpose and counted."""
        memory = self._memory(form)

        with self._telemetry(memory) as telemetry:
            for run in recorded_runs():
                replay(run, telemetry)
        fate = _fate_in(telemetry)

        self._assert_accounted(fate, "ten recorded runs")
        assert len(memory.items) == fate.delivered

    @pytest.mark.parametrize("form", ["spans", "steps"])
    def test_items_keep_their_identity(self, form: Form) -> None:
        """What comes out has the ids, the parent and the times of what went in, each once."""
        memory, beside = self._memory(form), self._memory(form)

        with Telemetry(
            entry_of(memory, _ENTRY, processors=[self._config()], redact="none"),
            entry_of(beside, "beside", redact="none"),
        ) as telemetry:
            for run in recorded_runs():
                replay(run, telemetry)

        given, come = Counter(map(_identity, beside.items)), Counter(map(_identity, memory.items))
        strange = [shown for shown in come if shown not in given]
        assert strange == [], f"these items came out and never went in, or with other ids or times: {strange[:3]}"
        twice = [shown for shown, count in come.items() if count > given[shown]]
        assert twice == [], f"these items came out more often than they went in: {twice[:3]}"

    @pytest.mark.parametrize("form", ["spans", "steps"])
    def test_it_changes_a_copy(self, form: Form) -> None:
        """An item that it was given is as it was: other exporters have it, too."""
        memory = self._memory(form)
        with Telemetry(entry_of(memory, _ENTRY, redact="none")) as telemetry:
            for run in recorded_runs():
                replay(run, telemetry)
        items = memory.items

        changed = asyncio.run(self._changed_by_processing(items))

        assert changed == [], f"process() has changed the items that it was given: {changed}; return a changed copy"

    @pytest.mark.parametrize("form", ["spans", "steps"])
    def test_an_exporter_beside_gets_everything(self, form: Form) -> None:
        """The processor of one exporter changes nothing for another one."""
        with_it, beside, alone = self._memory(form), self._memory(form), self._memory(form)

        with Telemetry(
            entry_of(with_it, _ENTRY, processors=[self._config()], redact="none"),
            entry_of(beside, "beside", redact="none"),
        ) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
        with Telemetry(entry_of(alone, _ENTRY, redact="none")) as telemetry:
            replay(recorded_run("tool_call"), telemetry)

        assert sorted(map(_content, beside.items)) == sorted(map(_content, alone.items)), (
            "an exporter without the processor does not get what it gets alone"
        )

    def test_what_it_gives_can_be_sent(self) -> None:
        """Spans that come out become plain JSON, as exporters send it."""
        self._needs_form("spans")
        memory = self._memory("spans")

        with self._telemetry(memory) as telemetry:
            for run in recorded_runs():
                replay(run, telemetry)

        for item in memory.items:
            assert isinstance(item, Span)
            json.dumps(span_to_dict(item))

    @pytest.mark.parametrize("form", ["spans", "steps"])
    def test_what_it_removes_does_not_pass(self, form: Form) -> None:
        """None of the texts in `removes` is in anything that comes out, wherever it stood."""
        self._needs(bool(self.removes), "it removes no text")
        memory = self._memory(form)

        with self._telemetry(memory) as telemetry:
            for text in self.removes:
                _say_everywhere(telemetry, text)

        shown = repr([item.model_dump() for item in memory.items])
        found = [text for text in self.removes if text in shown]
        assert found == [], f"these texts have passed the processor: {found}"

    # -- life ------------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("form", ["spans", "steps"])
    @pytest.mark.parametrize("place", ["an exporter", "all exporters"])
    def test_it_works_from_a_workflow_file(self, form: Form, place: str) -> None:
        """Under `processors` of an entry, and of all."""
        self._needs_form(form)
        if place == "all exporters":
            self._needs(not self._config().for_one_exporter, "it is configured for one exporter")
        listed = {"processors": [{"_type": self.processor_type, **self.settings()}]}
        entry = {"_type": "in_memory" if form == "spans" else "in_memory_steps"}
        tracing = {_ENTRY: {**entry, **(listed if place == "an exporter" else {})}}
        telemetry_section = {"tracing": tracing, **(listed if place == "all exporters" else {})}
        file = self.folder / "workflow.yaml"
        plugins = ["nat.testing.in_memory", *self.modules]
        file.write_text(json.dumps({"general": {"telemetry": telemetry_section}, "plugins": plugins}), encoding="utf-8")

        with Telemetry.from_file(file) as telemetry:
            replay(recorded_run("nested_agents"), telemetry)
        fate = _fate_in(telemetry)

        self._assert_accounted(fate, f"configured for {place} in a workflow file")

    @pytest.mark.parametrize("form", ["spans", "steps"])
    def test_a_second_life_works_like_the_first(self, form: Form) -> None:
        """Built again in one process, it does the same; so nothing was used up, or closed for good."""
        fates = []
        for _ in range(2):
            with self._telemetry(self._memory(form)) as telemetry:
                replay(recorded_run("nested_agents"), telemetry)
            fates.append(_fate_in(telemetry).accepted)
            self._assert_accounted(_fate_in(telemetry), "one of two lives in one process")

        assert fates[0] == fates[1]

    def test_it_leaves_no_thread_behind(self) -> None:
        """After its end, no thread that it has started keeps the program from ending."""
        before = set(threading.enumerate())

        with self._telemetry(self._memory(self._form)) as telemetry:
            replay(recorded_run("tool_call"), telemetry)

        left = [thread.name for thread in set(threading.enumerate()) - before if not thread.daemon]
        assert left == [], f"threads that are no daemons are left after close(): {left}"

    def test_it_keeps_nothing_of_runs_that_have_ended(self) -> None:
        """Its containers do not grow with the number of runs."""
        built: list[Processor[Any, Any]] = []
        memory = self._memory(self._form)

        with Telemetry(self._entry_that_tells(memory, built)) as telemetry:
            sizes = []
            for _ in range(3):
                for _ in range(5):
                    replay(recorded_run("tool_call"), telemetry)
                telemetry.flush(_FLUSH_S)
                self._needs(bool(built), "it is not asked for single items")
                sizes.append(_container_sizes(built[0]))

        grown = [name for name, size in sizes[0].items() if size < sizes[1].get(name, 0) < sizes[2].get(name, 0)]
        assert grown == [], f"these attributes of the processor grow with every run: {grown}"

    # -- many at once ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("form", ["spans", "steps"])
    def test_runs_on_many_threads_do_not_mix(self, form: Form) -> None:
        """Threads that run at the same time: what comes out of a run is of that run, and holds nothing of another one."""
        memory = self._memory(form)
        everybody = threading.Barrier(_THREADS)

        def work(number: int) -> None:
            everybody.wait()
            for _ in range(_RUNS_PER_THREAD):
                with telemetry.run(f"run of {number}", session_id=f"session-of-{number}", input=f"words of {number}"):
                    with step(f"step of {number}", kind="tool", input=f"words of {number}") as tool:
                        tool.output = f"answer of {number}"

        with self._telemetry(memory) as telemetry:
            threads = [threading.Thread(target=work, args=(number,)) for number in range(_THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        fate = _fate_in(telemetry)

        self._assert_accounted(fate, f"{_THREADS * _RUNS_PER_THREAD} runs on {_THREADS} threads")
        mixed = [item.name for item in memory.items if len(_numbers_in(item)) > 1]
        assert mixed == [], f"these items hold values of several runs: {mixed[:3]}"

    # -- the process that it lives in ------------------------------------------------------------------------------------

    def test_it_changes_nothing_that_belongs_to_the_program(self) -> None:
        """Environment, signal handlers, the root logger and the like are left alone."""
        before = process_state()

        with self._telemetry(self._memory(self._form)) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
            telemetry.flush(_FLUSH_S)
            during = process_state()
        after = process_state()

        changed, left = changes_of(before, during), changes_of(before, after)
        assert changed == [], f"while it runs, it has changed what belongs to the program: {', '.join(changed)}"
        assert left == [], f"after its end, this is not as it was: {', '.join(left)}"

    def test_being_listed_loads_nothing_heavy(self) -> None:
        """Listing processors, and checking a configuration of this one, imports no client, gRPC or OpenTelemetry."""
        loaded = heavy_modules_after(self.processor_type, PROCESSOR.name, self.modules, self.settings())

        assert loaded == [], (
            f"listing {self.processor_type!r} and checking its configuration imports {', '.join(loaded)}; "
            "import it inside the registration function"
        )

    def test_a_setting_that_it_does_not_know_is_an_error(self) -> None:
        """A misspelt key is not ignored."""
        with pytest.raises(ValueError, match="no_such_key"):
            self._registration().config_type(**{**self.settings(), "no_such_key": 1})

    # -- parts -----------------------------------------------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _environment(self, tmp_path: Path) -> None:
        for module in self.modules:
            import_module(module)
        self.folder = tmp_path / "processor"
        self.folder.mkdir()

    @property
    def _form(self) -> Form:
        return "spans" if self.takes_spans else "steps"

    def _registration(self) -> Registration:
        return resolve(self.processor_type, PROCESSOR)

    def _config(self) -> TelemetryProcessorBaseConfig:
        config = self._registration().config_type(**self.settings())
        assert isinstance(config, TelemetryProcessorBaseConfig)
        return config

    def _memory(self, form: Form) -> "InMemoryExporter | InMemoryStepExporter":
        self._needs_form(form)
        return InMemoryExporter() if form == "spans" else InMemoryStepExporter()

    def _telemetry(self, memory: "InMemoryExporter | InMemoryStepExporter") -> Telemetry:
        return Telemetry(entry_of(memory, _ENTRY, processors=[self._config()], redact="none"))

    def _entry_that_tells(
        self, memory: "InMemoryExporter | InMemoryStepExporter", built: list[Processor[Any, Any]]
    ) -> ExporterEntry:
        """An entry with the processor, which is put into `built`."""
        entry = entry_of(memory, _ENTRY, processors=[self._config()], redact="none")
        (processor,) = entry.processors
        build = processor.registration.build

        @asynccontextmanager
        async def telling(config: Any, builder: Any = None) -> AsyncIterator[Processor[Any, Any]]:
            async with build(config, builder) as one:
                built.append(one)
                yield one

        watched = replace(processor.registration, build=telling)  # type: ignore[arg-type]
        return replace(entry, processors=(replace(processor, registration=watched),))

    async def _changed_by_processing(self, items: Sequence[Any]) -> list[str]:
        """The names of the items that are not what they were."""
        changed = []
        async with self._registration().build(self._config(), Builder()) as processor:
            for item in items:
                before = repr(item)
                await processor.process(item)
                if repr(item) != before:
                    changed.append(str(item.name))
        return changed

    def _assert_accounted(self, fate: "_Fate", situation: str) -> None:
        """Everything came out, or was left out on purpose."""
        failed = {reason: count for reason, count in fate.dropped.items() if reason in _FAILURES}
        assert failed == {}, f"{situation}: of {fate.accepted} items, {failed} were lost by the processor"
        out_s = "left out, though may_drop is not set" if not self.may_drop else "left out"
        dropped = sum(fate.dropped.values())
        assert self.may_drop or dropped == 0, f"{situation}: {dropped} of {fate.accepted} items were {out_s}"
        assert fate.delivered + dropped == fate.accepted > 0, (
            f"{situation}: of {fate.accepted} items, {fate.delivered} came out, {dropped} were left out, "
            f"{fate.pending} are on their way"
        )

    def _needs_form(self, form: Form) -> None:
        self._needs(self.takes_spans if form == "spans" else self.takes_steps, f"it takes no {form}")

    @staticmethod
    def _needs(capability: bool, reason: str) -> None:
        if not capability:
            pytest.skip(f"{DOES_NOT_APPLY}{reason}")


@dataclass(frozen=True, slots=True)
class _Fate:
    """What became of everything that the exporter was offered, over all its routes."""

    accepted: int
    delivered: int
    pending: int
    dropped: Counter[str]


def _fate_in(telemetry: Telemetry) -> _Fate:
    states = [status for name, status in telemetry.status().exporters.items() if name != "beside"]
    return _Fate(
        accepted=sum(status.accepted for status in states),
        delivered=sum(status.delivered for status in states),
        pending=sum(status.pending for status in states),
        dropped=sum((Counter(status.dropped) for status in states), Counter()),
    )


def _identity(item: Any) -> tuple[Any, ...]:
    if isinstance(item, Span):
        ids = item.context
        return ids.trace_id, ids.span_id, ids.parent_span_id, item.start_time, item.end_time
    return item.UUID, str(item.event_type), item.parent_id, item.event_timestamp


def _content(item: Any) -> str:
    """What is the same of two items that were recorded of one step at two times."""
    if isinstance(item, Span):
        values = [str(item.attributes.get(key)) for key in ("input.value", "output.value")]
        return repr((item.name, sorted(item.attributes), values))
    return repr((str(item.event_type), item.name, item.data))


def _numbers_in(item: Any) -> set[str]:
    return set(re.findall(r"(?:run|session|step|words|answer)[- ]of[- ](\d+)", repr(item)))


def _container_sizes(processor: Processor[Any, Any]) -> dict[str, int]:
    held = vars(processor).items() if hasattr(processor, "__dict__") else ()
    return {name: len(value) for name, value in held if isinstance(value, list | dict | set | deque)}


def _say_everywhere(telemetry: Telemetry, text: str) -> None:
    """A run that holds a text wherever one can stand."""
    message = {"role": "user", "content": f"It says {text}."}
    with suppress(ValueError), telemetry.run("run", input=text, metadata={"note": text}) as run:
        with step("model", kind="llm", input=[message], metadata={"note": text}) as model:
            model.output = {"role": "assistant", "content": text}
            model.set_attribute("of.its.own", text)
        with step("tool", kind="tool", input={"deep": {"in": [text]}}) as tool:
            tool.output = json.dumps({"answer": text})
        run.output = text
        raise ValueError(f"It failed with {text}.")
