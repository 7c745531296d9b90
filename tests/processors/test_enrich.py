"""Enrichment: what is the same for all, what follows from other values, costs, and totals of runs."""

import gc
import json
import logging
import os
import subprocess
import weakref
from pathlib import Path
from typing import Any

import pytest
from openinference.semconv.trace import SpanAttributes as Published
from pydantic import ValidationError

from nat.data_models.intermediate_step import (
    IntermediateStep,
    IntermediateStepPayload,
    IntermediateStepType,
    TraceMetadata,
    UsageInfo,
)
from nat.data_models.span import Span, SpanContext
from nat.data_models.span_names import SpanAttributes
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability import RedactConfig, Telemetry, exporter_entry, step
from nat.observability.events import Run, Usage
from nat.observability.manager import ExporterState
from nat.observability.processor.enrich_processor import EnrichProcessor
from nat.observability.processor.git_revision import revision_of
from nat.observability.processor.prices import Price, PriceTable, costs_of
from nat.observability.processor.process_resource import process_resource
from nat.observability.processor.run_totals import RunTotals
from nat.observability.processor.template import Template
from nat.plugins.enrich.register import EnrichConfig
from nat.plugins.sample.register import KeepConfig, SampleConfig
from tests.support.collecting import SpanCollector, StepCollector, emit, push, registered

PRICES = {"models": {"m-1": {"input": 2, "output": 8, "cached_input": 1, "cache_write": 3, "reasoning": 10}}}


def enriched(run: Any, *configs: EnrichConfig, **settings: Any) -> tuple[dict[str, Span], list[IntermediateStep]]:
    """Spans by name, and steps, of a run."""
    spans, steps = SpanCollector(), StepCollector()
    redact = settings.pop("redact", None)
    processors = configs or (EnrichConfig(**settings),)
    with Telemetry(
        registered(lambda: spans)(), registered(lambda: steps)(), processors=processors, redact=redact
    ) as telemetry:
        run(telemetry)
    assert all(one.dropped == {} for one in telemetry.status().exporters.values())
    return spans.by_name(), steps.received.items


def plain_run(telemetry: Telemetry) -> None:
    with telemetry.run(
        "shop", metadata={"tenant": "acme", "customer": {"plan": "gold"}}, session_id="s-1", user_id="u-1"
    ):
        with step("chat", kind="llm", model="m-1", metadata={"region": "eu"}) as chat:
            chat.chunk("a")
            chat.usage(prompt_tokens=1000, completion_tokens=100)
        with step("look up", kind="tool"):
            pass


# -- values ------------------------------------------------------------------------------------------------------------


def test_every_item_gets_what_is_the_same_for_all() -> None:
    """Spans as attributes, STARTs and ENDs as metadata; chunks stay as they are."""
    attributes: dict[str, Any] = {"team": "search", "tier": 2, "beta": True, "zones": ["a", "b"]}

    spans, steps = enriched(plain_run, environment="production", attributes=attributes)

    expected = {"deployment.environment.name": "production", **attributes}
    assert all(span.attributes.items() >= expected.items() for span in spans.values())
    for one in steps:
        if one.event_state == "CHUNK":
            assert one.metadata is None
        else:
            assert isinstance(one.metadata, dict)
            assert one.metadata.items() >= expected.items()


def test_metadata_keeps_its_form() -> None:
    def run(telemetry: Telemetry) -> None:
        with telemetry.run("run"):
            emit("work", metadata=TraceMetadata(tool_inputs="x", own="y"))

    _, steps = enriched(run, attributes={"team": "search"})

    (ended,) = (one for one in steps if one.event_type == "FUNCTION_END")
    assert isinstance(ended.metadata, TraceMetadata)
    assert ended.metadata.tool_inputs == "x"
    assert ended.metadata.model_extra == {"own": "y", "team": "search"}


@pytest.mark.parametrize(
    ("template", "chat", "root"),
    [
        ("{metadata.tenant}", "acme", "acme"),
        ("{metadata.customer.plan}", "gold", "gold"),
        ("{metadata.customer}", '{"plan":"gold"}', '{"plan":"gold"}'),
        ("{metadata.region}", "eu", None),
        ("{metadata.region:-none}", "eu", "none"),
        ("{run.name}/{step.name} ({step.kind})", "shop/chat (LLM)", "shop/shop (CHAIN)"),
        ("{run.session_id} {run.user_id}", "s-1 u-1", "s-1 u-1"),
        ("{llm.token_count.prompt}", 1000, None),
        ("{llm.token_count.prompt} tokens", "1000 tokens", None),
        ("{{{llm.model_name}}}", "{m-1}", None),
        ("{absent}", None, None),
        ("{absent:-}", "", ""),
        ("{team}", "search", "search"),
        ("a text", "a text", "a text"),
    ],
)
def test_values_are_made_of_others(template: str, chat: Any, root: Any) -> None:
    """Of attributes, metadata of the item or its run, and the run; what is not known is left out."""
    spans, _ = enriched(plain_run, attributes={"team": "search"}, computed={"made": template})

    assert spans["chat"].attributes.get("made") == chat
    assert spans["shop"].attributes.get("made") == root


def test_values_of_steps_are_made_of_metadata() -> None:
    _, steps = enriched(
        plain_run, computed={"made": "{metadata.tenant}/{metadata.region:-any}/{region:-any}/{step.name}"}
    )

    made = {f"{one.event_type}": one.metadata.get("made") for one in steps if isinstance(one.metadata, dict)}
    assert made == {
        "WORKFLOW_START": "acme/any/any/shop",
        "LLM_START": "acme/eu/eu/chat",
        "LLM_END": "acme/any/any/chat",
        "TOOL_START": "acme/any/any/look up",
        "TOOL_END": "acme/any/any/look up",
        "WORKFLOW_END": "acme/any/any/shop",
    }


def test_what_is_written_wins_and_may_refer_to_what_was_there() -> None:
    def run(telemetry: Telemetry) -> None:
        with telemetry.run("run"), step("work") as work:
            work.set_attribute("team", "own")
            work.set_attribute("kept", "own")

    computed = {"kept": "{kept:-default}", "other": "{other:-default}"}
    spans, _ = enriched(run, attributes={"team": "search"}, computed=computed)

    values = {key: spans["work"].attributes[key] for key in ("team", "kept", "other")}
    assert values == {"team": "search", "kept": "own", "other": "default"}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "is empty"),
        ("{", "without its counterpart"),
        ("a}", "without its counterpart"),
        ("{}", "refers to ''"),
        ("{a{b}}", "without its counterpart"),
        ("{run.metadata}", "refers to 'run.metadata'"),
        ("{step.input}", "refers to 'step.input'"),
        ("{metadata.}", "refers to 'metadata.'"),
        ("{metadata}", "refers to 'metadata'"),
    ],
)
def test_templates_that_can_say_nothing_are_refused(template: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EnrichConfig(computed={"made": template})


def test_nothing_in_a_template_is_evaluated() -> None:
    said = {"a": "{b}", "b": "secret", "__class__": "x"}

    assert Template("{a} {__class__}").value(said.get) == "{b} x"


def test_values_of_the_run_are_redacted_as_everything_is() -> None:
    """By the default rules, and by rules for names and paths, whatever the value is called now."""
    secret = "sk-proj-Abcdefghijklmnop1234567890"

    def run(telemetry: Telemetry) -> None:
        metadata = {"password": "hunter2", "note": secret, "customer": {"name": "Ann"}, "plan": "gold"}
        with telemetry.run("run", metadata=metadata), step("work"):
            pass

    computed = {
        "a": "{metadata.password}",
        "b": "{metadata.note}",
        "c": "{metadata.customer.name}",
        "d": "{metadata.plan}",
    }
    redact = RedactConfig(fields=["metadata.customer.*"])
    spans, steps = enriched(run, computed=computed, redact=redact)

    work = spans["work"].attributes
    assert [work[key] for key in "abcd"] == ["[REDACTED:secret]", "[REDACTED:api_key]", "[REDACTED:field]", "gold"]
    text = "\n".join(item.model_dump_json() for item in [*spans.values(), *steps])
    assert not any(word in text for word in ("hunter2", secret, "Ann"))


def test_metadata_that_is_no_object_has_no_fields() -> None:
    processor = EnrichProcessor(templates={"made": Template("{metadata.a:-none}")})
    for value in ("[1]", "no JSON", 5):
        span = Span(name="s", context=SpanContext(trace_id=1, span_id=1), attributes={"metadata": value})
        result = _run(processor, span, Run(trace_id=1, metadata=b"[2]"))
        assert result.attributes["made"] == "none"
        assert "made" not in span.attributes


def _run(processor: EnrichProcessor, item: Any, run: Run | None) -> Any:
    """What comes out, as it never waits."""
    begun = processor.process_in(item, run)
    try:
        begun.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits for something")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {},
            "adds nothing, expected at least one of: environment, resource, git, attributes, computed, prices, roll_up",
        ),
        ({"roll_up": False, "git": False}, "adds nothing"),
        ({"environment": ""}, "at least 1 character"),
        ({"attributes": {" ": "x"}}, "an attribute has no name"),
        ({"attributes": {"x": {"a": 1}}}, "valid"),
        ({"prices": {"models": {}}}, "at least 1 item"),
        ({"prices": {"models": {"m": {"input": -1}}}}, "greater than or equal to 0"),
        ({"prices": {"models": {"m": {"inputs": 1}}}}, "unknown key 'inputs'"),
        ({"prices": {**PRICES, "currency": "EUR"}}, "prices in EUR need usd_rate"),
        ({"prices": {**PRICES, "usd_rate": 1.1}}, "usd_rate is for other currencies"),
        ({"prices": {**PRICES, "currency": "euro"}}, "pattern"),
        ({"prices": "absent.yaml"}, "cannot read the prices in 'absent.yaml': .*No such file"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EnrichConfig.model_validate(settings)


# -- resource and revision ---------------------------------------------------------------------------------------------


def test_the_resource_is_what_opentelemetry_says_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,cloud.region=eu%2Dwest,host.name=mine")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")

    spans, _ = enriched(plain_run, resource=True)

    said = spans["chat"].attributes
    assert (said["service.name"], said["cloud.region"], said["host.name"]) == ("shop", "eu-west", "mine")
    assert (said["process.pid"], said["process.runtime.name"]) == (os.getpid(), "cpython")


def test_a_resource_that_is_no_list_keeps_the_exporter_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "nonsense")
    entry = exporter_entry(registered(SpanCollector)(), name="mine", processors=[EnrichConfig(resource=True)])

    with Telemetry(entry) as telemetry:
        pass

    status = telemetry.status().exporters["mine"]
    assert status.state is ExporterState.DISABLED
    assert status.reason == "ValueError: OTEL_RESOURCE_ATTRIBUTES: a part has no '=', expected key=value,key=value"


def test_systems_are_called_as_opentelemetry_calls_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")

    assert process_resource({})["os.type"] == "windows"
    assert "service.name" not in process_resource({})


def git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    settings = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *settings, *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One with a commit on `main`."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "first")
    return folder


@pytest.fixture
def without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks git is told nothing: files must do."""

    def refuse(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr("nat.observability.processor.git_revision.subprocess.run", refuse)


def test_the_revision_is_read_from_the_repository_around(repository: Path) -> None:
    inside = repository / "a" / "b"
    inside.mkdir(parents=True)
    revision = git(repository, "rev-parse", "HEAD")

    spans, _ = enriched(plain_run, git=str(inside))

    said = {key: value for key, value in spans["chat"].attributes.items() if key.startswith("vcs.")}
    assert said == {"vcs.ref.head.revision": revision, "vcs.ref.head.name": "main"}


@pytest.mark.parametrize("form", ["branch", "packed", "detached", "worktree", "sub"])
def test_repositories_have_many_forms(
    form: str, repository: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """None of them takes git to be read."""
    revision, name, folder = git(repository, "rev-parse", "HEAD"), "main", repository
    if form == "packed":
        git(repository, "pack-refs", "--all")
    elif form == "detached":
        git(repository, "checkout", "--quiet", "--detach")
        name = ""
    elif form == "worktree":
        folder, name = tmp_path / "tree", "feature/x"
        git(repository, "worktree", "add", "--quiet", "-b", name, str(folder))
    elif form == "sub":
        folder = tmp_path / "sub"
        folder.mkdir()
        (folder / ".git").write_text("gitdir: ../repository/.git\n")
    request.getfixturevalue("without_git")

    found = revision_of(folder, {})

    assert found == {"vcs.ref.head.revision": revision} | ({"vcs.ref.head.name": name} if name else {})


def test_git_is_asked_where_its_files_are_not_understood(repository: Path) -> None:
    """As in repositories whose references are in tables."""
    revision = git(repository, "rev-parse", "HEAD")
    git(repository, "symbolic-ref", "HEAD", "refs/heads/odd")
    git(repository, "symbolic-ref", "refs/heads/odd", "refs/heads/main")

    assert revision_of(repository, {})["vcs.ref.head.revision"] == revision


def test_without_a_repository_its_host_says_it(tmp_path: Path, without_git: None) -> None:
    (tmp_path / "empty" / ".git").mkdir(parents=True)
    environment = {"GITHUB_SHA": "abc", "GITHUB_REF_NAME": "main"}

    assert revision_of(tmp_path / "nowhere", environment) == {
        "vcs.ref.head.revision": "abc",
        "vcs.ref.head.name": "main",
    }
    assert revision_of(tmp_path / "empty", {"SOURCE_VERSION": "abc"}) == {"vcs.ref.head.revision": "abc"}
    assert revision_of(tmp_path / "nowhere", {}) == {}


def test_a_revision_that_nobody_knows_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("GIT_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA", "SOURCE_VERSION"):
        monkeypatch.delenv(variable, raising=False)
    collector = SpanCollector()

    with Telemetry(registered(lambda: collector)(), processors=[EnrichConfig(git=str(tmp_path))]) as telemetry:
        plain_run(telemetry)

    assert not any(key.startswith("vcs.") for span in collector.received.items for key in span.attributes)
    assert [record.getMessage() for record in caplog.records if "enrich" in record.getMessage()] == [
        "enrich: git: neither a repository nor a variable such as GIT_COMMIT names a revision; none is added"
    ]


# -- costs -------------------------------------------------------------------------------------------------------------

PRICE = Price(2.0, 8.0, 1.0, 3.0, 10.0)


@pytest.mark.parametrize(
    ("usage", "price", "expected"),
    [
        (Usage(1_000_000, 500_000), PRICE, {"prompt": 2.0, "completion": 4.0, "total": 6.0}),
        (
            Usage(1000, 100, None, 400, 100, 60),
            PRICE,
            {
                "prompt": 0.0017,
                "prompt_details.input": 0.001,
                "prompt_details.cache_read": 0.0004,
                "prompt_details.cache_write": 0.0003,
                "completion": 0.00092,
                "completion_details.output": 0.00032,
                "completion_details.reasoning": 0.0006,
                "total": 0.00262,
            },
        ),
        (
            Usage(1000, 100, None, 400, None, 60),
            Price(2.0, 8.0),
            {
                "prompt": 0.002,
                "prompt_details.input": 0.0012,
                "prompt_details.cache_read": 0.0008,
                "completion": 0.0008,
                "completion_details.output": 0.00032,
                "completion_details.reasoning": 0.00048,
                "total": 0.0028,
            },
        ),
        (
            Usage(1000, None, None, 1000),
            PRICE,
            {"prompt": 0.001, "prompt_details.cache_read": 0.001, "total": 0.001},
        ),
        (Usage(1000), Price(0.0, 0.0), {"prompt": 0.0, "total": 0.0}),
        (Usage(None, None, 500), PRICE, {}),
        (Usage(0, 0), PRICE, {"prompt": 0.0, "completion": 0.0, "total": 0.0}),
    ],
)
def test_every_kind_of_token_has_its_price(usage: Usage, price: Price, expected: dict[str, float]) -> None:
    """Cached tokens are part of the prompt's and reasoning ones of the completion's; none is paid for twice."""
    assert costs_of(usage, price) == {f"llm.cost.{key}": cost for key, cost in expected.items()}


def test_costs_have_the_names_that_openinference_has_published() -> None:
    ours = {one.value for one in SpanAttributes if one.value.startswith("llm.cost.")}

    assert ours <= {value for name, value in vars(Published).items() if name.startswith("LLM_COST")}
    assert len(ours) == 8


def test_a_price_is_found_by_the_most_exact_name() -> None:
    prices = {
        name: Price(float(number), 0.0)
        for number, name in enumerate(["*", "gpt-4o*", "gpt-4o-mini*", "gpt-4o", "openai/gpt-[45]*", "gpt-?"])
    }
    table = PriceTable(prices)

    found = {
        name: table.find([name])
        for name in ("gpt-4o", "gpt-4o-2026", "gpt-4o-mini-1", "gpt-5", "other", "openai/gpt-5")
    }
    assert {name: price.input for name, price in found.items() if price is not None} == {
        "gpt-4o": 3,
        "gpt-4o-2026": 1,
        "gpt-4o-mini-1": 2,
        "gpt-5": 5,
        "other": 0,
        "openai/gpt-5": 4,
    }
    assert PriceTable({"a": PRICE}).find(["b", "a"]) == PRICE
    assert PriceTable({"a": PRICE}).find(["b"]) is None
    many = PriceTable({"a*": PRICE})
    assert all((many.find([f"a{number}"]), many.find([f"b{number}"])) == (PRICE, None) for number in range(10_000))


def test_model_calls_get_their_costs() -> None:
    """By the model that answered, that was asked for, with the provider's name, of embeddings; in steps at their END."""
    prices = {
        "models": {
            **PRICES["models"],
            "answered": {"input": 4, "output": 4},
            "azure/m-*": {"input": 6, "output": 6},
            "embedder": {"input": 0.5},
        }
    }

    def run(telemetry: Telemetry) -> None:
        with telemetry.run("run"):
            for name, metadata in (("plain", {}), ("answered", {}), ("hosted", {"provider": "azure"})):
                with step(name, kind="llm", model="m-2" if name == "hosted" else "m-1", metadata=metadata) as call:
                    call.usage(prompt_tokens=1000, completion_tokens=0)
                    if name == "answered":
                        call.set_attribute("llm.response.model_name", "answered")
            with step("embed", kind="embedder", model="embedder") as call:
                call.usage(prompt_tokens=1000)
            with step("paid", kind="llm", model="m-1") as call:
                call.usage(prompt_tokens=1000, completion_tokens=0)
                call.set_attribute("llm.cost.total", 7.0)

    spans, _ = enriched(run, prices=prices)

    costs = {name: span.attributes.get("llm.cost.total") for name, span in spans.items()}
    assert costs == {"plain": 0.002, "answered": 0.004, "hosted": 0.006, "embed": 0.0005, "paid": 7.0, "run": None}
    assert "llm.cost.prompt" not in spans["paid"].attributes


def test_steps_get_their_costs_at_their_end() -> None:
    """By the model of its metadata, of its START's, or by its name, as frameworks name steps after models."""
    usage = UsageInfo(token_usage=TokenUsageBaseModel(prompt_tokens=1000))

    def run(telemetry: Telemetry) -> None:
        with telemetry.run("run"):
            uuid = push("LLM_START", "started", metadata={"model": "m-1"})
            push("LLM_END", "started", uuid=uuid, usage_info=usage)
            emit("ended", "LLM", metadata={"model_name": "m-1"}, usage_info=usage)
            emit("m-1", "LLM", usage_info=usage)
            emit("rolled up", "FUNCTION", usage_info=usage)

    spans, steps = enriched(run, prices=PRICES)

    costs = {
        one.name: (one.metadata or {}).get("llm.cost.total")
        for one in steps
        if one.event_state == "END" and not isinstance(one.metadata, TraceMetadata)
    }
    assert costs == {"started": 0.002, "ended": 0.002, "m-1": 0.002, "rolled up": None, "run": None}
    assert {name: span.attributes.get("llm.cost.total") for name, span in spans.items()} == costs


def test_a_model_without_a_price_has_no_cost_and_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    collector = SpanCollector()

    with Telemetry(registered(lambda: collector)(), processors=[EnrichConfig(prices=PRICES)]) as telemetry:  # type: ignore[arg-type]  # as a file says it
        for _ in range(3):
            with telemetry.run("run"), step("chat", kind="llm", model="unheard-of") as call:
                call.usage(prompt_tokens=1000, completion_tokens=1)

    assert not any(key.startswith("llm.cost") for span in collector.received.items for key in span.attributes)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == ["enrich: no price for model 'unheard-of'; its calls have no cost"]


def test_any_number_of_models_without_a_price_is_said_in_few_words(caplog: pytest.LogCaptureFixture) -> None:
    processor = EnrichProcessor(costs=_rules())
    for number in range(1000):
        span = Span(
            name="chat",
            context=SpanContext(trace_id=1, span_id=1),
            attributes={"llm.model_name": f"model-{number}", "llm.token_count.prompt": 1},
        )
        _run(processor, span, None)

    assert len(caplog.records) == 101


def _rules() -> Any:
    from nat.observability.processor.enrich_processor import CostRules

    return CostRules(PriceTable({"m": PRICE}))


def test_other_currencies_are_said_beside_dollars() -> None:
    """`llm.cost.*` is in US dollars, whatever the table is in."""
    spans, _ = enriched(plain_run, prices={**PRICES, "currency": "EUR", "usd_rate": 1.5}, roll_up=True)

    chat = spans["chat"].attributes
    assert (chat["nat.cost.total"], chat["nat.cost.currency"], chat["llm.cost.total"]) == (0.0028, "EUR", 0.0042)
    assert (chat["llm.cost.prompt"], spans["shop"].attributes["nat.run.cost"]) == (0.003, 0.0042)


def test_prices_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(json.dumps(PRICES))

    spans, _ = enriched(plain_run, prices=str(file))

    assert spans["chat"].attributes["llm.cost.total"] == 0.0028


@pytest.mark.parametrize("text", ["models: [", "just a text", "", "models: {m: {input: many}}", "\ud800"])
def test_a_file_with_something_else_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))

    if text:
        with pytest.raises(ValidationError, match="prices"):
            EnrichConfig.model_validate({"prices": str(file)})
    else:
        with pytest.raises(ValidationError, match="adds nothing"):
            EnrichConfig.model_validate({"prices": str(file)})


# -- totals ------------------------------------------------------------------------------------------------------------


def busy_run(telemetry: Telemetry) -> None:
    with telemetry.run("outer"):
        with step("chat", kind="llm", model="m-1") as call:
            call.usage(prompt_tokens=1000, completion_tokens=100, cached_tokens=500, reasoning_tokens=50)
        with telemetry.run("inner"):
            with step("again", kind="llm", model="other") as call:
                call.usage(prompt_tokens=10, completion_tokens=1)
            try:
                with step("look up", kind="tool"):
                    raise ValueError("no")
            except ValueError:
                pass


def test_roots_get_the_totals_of_their_runs() -> None:
    """Nested runs count in those around them; names are our own, so that no backend adds them to the calls' own."""
    spans, steps = enriched(busy_run, prices=PRICES, roll_up=True)

    outer = {
        "llm_calls": 2, "tool_calls": 1, "errors": 1, "prompt_tokens": 1010, "completion_tokens": 101, "total_tokens": 1111,
        "cached_tokens": 500, "reasoning_tokens": 50, "cost": 0.0024, "unpriced_calls": 1,
    }  # fmt: skip
    inner = {
        "llm_calls": 1, "tool_calls": 1, "errors": 1, "prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11,
        "unpriced_calls": 1,
    }  # fmt: skip
    assert {name: _totals(span.attributes) for name, span in spans.items() if _totals(span.attributes)} == {
        "outer": outer,
        "inner": inner,
    }
    ended = {one.name: _totals(one.metadata) for one in steps if one.event_type == "WORKFLOW_END"}
    assert ended == {"outer": outer, "inner": inner}
    started = [one for one in steps if one.event_state == "START" and _totals(one.metadata)]
    assert started == []
    assert not any(key.startswith(("llm.cost", "llm.token")) for key in spans["outer"].attributes)


def _totals(fields: Any) -> dict[str, Any]:
    return {
        key.removeprefix("nat.run."): value for key, value in dict(fields or ()).items() if key.startswith("nat.run.")
    }


def test_without_prices_no_call_is_without_one() -> None:
    spans, _ = enriched(busy_run, roll_up=True)

    assert _totals(spans["outer"].attributes).keys().isdisjoint({"cost", "unpriced_calls"})


def test_runs_do_not_mix() -> None:
    """Runs that follow each other, and steps outside of any."""

    def run(telemetry: Telemetry) -> None:
        for number in range(3):
            with telemetry.run(f"run {number}"):
                for _ in range(number):
                    emit("tool", "TOOL")
        emit("alone", "TOOL")

    spans, steps = SpanCollector(), StepCollector()
    with Telemetry(
        registered(lambda: spans)(), registered(lambda: steps)(), processors=[EnrichConfig(roll_up=True)]
    ) as telemetry:
        run(telemetry)

    calls = {
        span.name: span.attributes.get("nat.run.tool_calls") for span in spans.received.items if span.name != "tool"
    }
    assert calls == {"run 0": 0, "run 1": 1, "run 2": 2, "alone": 1}
    ended = [one for one in steps.received.items if one.event_state == "END" and one.name != "tool"]
    assert {one.name: _totals(one.metadata).get("tool_calls") for one in ended} == calls


def test_runs_that_never_end_are_forgotten() -> None:
    """Whatever was noted of a run goes with it."""
    template = Template("{run.name:-none}")
    processor = EnrichProcessor(templates={"a": template}, totals=RunTotals(has_prices=True))

    gone = _unfinished_run(processor)

    gc.collect()
    assert gone() is None


def _unfinished_run(processor: EnrichProcessor) -> "weakref.ref[Run]":
    """A run of which a span and the START of a step have been processed, and that nobody holds any more."""
    run = Run(trace_id=1, name="run", root_id="root of it")
    payload = IntermediateStepPayload(event_type=IntermediateStepType.LLM_START, metadata={"model": "m"})
    _run(processor, Span(name="s", context=SpanContext(trace_id=1, span_id=2), attributes={}), run)
    _run(processor, IntermediateStep(payload=payload), run)
    return weakref.ref(run)


def test_sampling_sees_costs_that_were_added_before() -> None:
    collector = SpanCollector()
    processors = [
        EnrichConfig.model_validate({"prices": PRICES}),
        SampleConfig(ratio=0, keep=KeepConfig(min_cost=0.001)),
    ]

    with Telemetry(registered(lambda: collector)(), processors=processors) as telemetry:
        for name, tokens in (("dear", 1000), ("cheap", 1)):
            with telemetry.run(name), step(f"chat of {name}", kind="llm", model="m-1") as call:
                call.usage(prompt_tokens=tokens, completion_tokens=0)

    assert sorted(span.name for span in collector.received.items) == ["chat of dear", "dear"]
