"""The processor `route`: the runs of each tenant to a place of their own, over real sockets."""

import asyncio
import gc
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.delivery import DeliveryConfig, RetryConfig
from nat.data_models.errors import ConfigurationError
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry, exporter_entry, step
from nat.observability.delivery.dead_letters import DeadLetters
from nat.observability.delivery.intake import Drained, Load
from nat.observability.events import Run
from nat.observability.manager import ExporterState
from nat.observability.processor.route_processor import RouteProcessor, Router
from nat.observability.registry import OWN_TYPES, components, default_registry
from nat.observability.routing import RouteConfig, settings_of
from nat.observability.snapshot import snapshot
from nat.plugins.console.register import ConsoleConfig
from nat.plugins.filter.register import FilterConfig
from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.plugins.route.register import route_processor
from nat.runtime.loader import load_workflow
from nat.testing import FakeBackend, faults
from tests.runtime.test_loader import problems_of
from tests.support.collecting import SpanCollector
from tests.support.waiting import wait_for

CANARY = "ghp_" + "a1B2c3D4e5" * 4  # of the form that GitHub's tokens have
ONCE = DeliveryConfig(retry=RetryConfig(max_retries=0))


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(grpc=True) as backend:
        yield backend


def route(routes: dict[str, dict[str, Any]], otherwise: str = "withhold") -> RouteConfig:
    return RouteConfig.model_validate({"by": "tenant", "routes": routes, "otherwise": otherwise})


def tenants(*names: str) -> dict[str, dict[str, Any]]:
    """A route for each, with a project and headers of its own."""
    return {name: {"project": f"project-{name}", "headers": {"X-Scope-OrgID": f"org-{name}"}} for name in names}


def routed(backend: FakeBackend, processor: RouteConfig, *others: Any, **settings: Any) -> Any:
    config = OtelCollectorConfig(endpoint=backend.base_url, flush_interval=60, **settings)
    return exporter_entry(config, name="prod", processors=[processor, *others])


def record(telemetry: Telemetry, tenant: object, *, name: str = "work") -> int:
    """A run of two spans, whose trace id it returns; the spans say whose they are."""
    run = telemetry.run("shop", input=str(tenant), metadata={"tenant": tenant})
    with run, step(name, input=str(tenant)):
        pass
    return run.trace_id


def lost_or_sent(telemetry: Telemetry, name: str) -> int:
    """How many items of an exporter have met their fate."""
    status = telemetry.status().exporters[name]
    return status.delivered + status.lost


def seen(backend: FakeBackend) -> dict[tuple[str, str], set[str]]:
    """For each project and header that came: whose spans these were, by what the spans themselves say."""
    found: dict[tuple[str, str], set[str]] = {}
    for request in backend.requests:
        for span in request.spans:
            place = (span.resource["service.name"], request.headers.get("x-scope-orgid", ""))
            if "input.value" in span.attributes:
                found.setdefault(place, set()).add(span.attributes["input.value"])
    return found


def test_each_tenant_has_its_project_and_headers(backend: FakeBackend) -> None:
    with Telemetry(routed(backend, route(tenants("acme", "globex")), project="shared")) as telemetry:
        for tenant in ("acme", "globex", "acme"):
            record(telemetry, tenant)

    assert seen(backend) == {("project-acme", "org-acme"): {"acme"}, ("project-globex", "org-globex"): {"globex"}}
    status = telemetry.status().exporters
    assert {name: (one.accepted, one.delivered) for name, one in status.items()} == {
        "prod": (0, 0),
        "prod/acme": (4, 4),
        "prod/globex": (2, 2),
    }


def test_batches_never_mix_tenants(backend: FakeBackend) -> None:
    """Fifty tenants at the same time on eight threads: each request has spans of one, and each span comes once."""
    names = [f"tenant-{number}" for number in range(50)]
    entry = routed(backend, route(tenants(*names)), batch_size=7)

    with Telemetry(entry) as telemetry:
        with ThreadPoolExecutor(8) as threads:
            traces = dict(zip(names * 4, threads.map(lambda name: record(telemetry, name), names * 4), strict=False))

    assert len(traces) == 50
    for request in backend.requests:
        places = {span.resource["service.name"] for span in request.spans}
        owners = {span.attributes["input.value"] for span in request.spans if "input.value" in span.attributes}
        assert places == {f"project-{owner}" for owner in owners}
        assert request.headers["x-scope-orgid"] == f"org-{next(iter(owners))}"
    spans = [span.span_id for request in backend.requests for span in request.spans]
    assert len(spans) == len(set(spans)) == 400


@pytest.mark.parametrize(
    "tenant", ["nobody", "", "ACME", "acme ", "acme\r\nX-Scope-OrgID: org-globex", 7, None, ["acme"]]
)
def test_a_value_that_is_not_written_is_withheld_and_counted(backend: FakeBackend, tenant: object) -> None:
    """It is no header and no URL, and reaches nobody."""
    with Telemetry(routed(backend, route(tenants("acme", "globex")))) as telemetry:
        record(telemetry, tenant)

    status = telemetry.status().exporters
    assert backend.requests == []
    assert (status["prod"].accepted, status["prod"].dropped) == (2, {"unrouted": 2})
    assert status["prod"].state is ExporterState.STOPPED


def test_or_goes_where_the_entry_says(backend: FakeBackend) -> None:
    entry = routed(backend, route(tenants("acme"), "send"), project="shared")

    with Telemetry(entry) as telemetry:
        record(telemetry, "acme")
        record(telemetry, "nobody")
        with telemetry.run("shop"), step("work", input="without metadata"):
            pass
        with step("outside any run", input="no run"):
            pass

    assert seen(backend) == {
        ("project-acme", "org-acme"): {"acme"},
        ("shared", ""): {"nobody", "without metadata", "no run"},
    }
    assert telemetry.status().exporters["prod"].delivered == 5


def test_a_route_may_be_for_several_values_and_values_that_are_no_texts(backend: FakeBackend) -> None:
    entry = routed(backend, route({"gold": {"project": "gold", "values": ["acme", "7", "true"]}}))

    with Telemetry(entry) as telemetry:
        for tenant in ("acme", 7, True, "gold"):
            record(telemetry, tenant)

    assert seen(backend) == {("gold", ""): {"acme", "7", "True"}}
    assert telemetry.status().exporters["prod"].dropped == {"unrouted": 2}


def test_a_nested_run_goes_with_its_outer_one_unless_it_says_itself(backend: FakeBackend) -> None:
    """What one tenant is told of does not go along with the run of another."""
    with Telemetry(routed(backend, route(tenants("acme", "globex")))) as telemetry:
        with telemetry.run("batch", metadata={"tenant": "acme"}):
            for metadata in ({}, {"tenant": "globex"}, {"tenant": "nobody"}, {"other": 1}):
                with telemetry.run("inner", metadata=metadata), step("work", input=str(metadata)):
                    pass

    assert seen(backend) == {
        ("project-acme", "org-acme"): {"{}", "{'other': 1}"},
        ("project-globex", "org-globex"): {"{'tenant': 'globex'}"},
    }


def test_what_goes_apart_shares_nothing_with_the_run_around_it(backend: FakeBackend) -> None:
    """Neither trace nor parent, nor session nor user; what belongs to the same tenant does."""
    with Telemetry(routed(backend, route(tenants("acme", "globex"), "send"))) as telemetry:
        with telemetry.run("batch", session_id="s-1", user_id="ada", metadata={"tenant": "acme"}), step("for each"):
            with telemetry.run("of another", metadata={"tenant": "globex"}):
                with telemetry.run("below that"):
                    pass
            with telemetry.run("of a stranger", metadata={"tenant": "nobody"}, session_id="s-2"):
                pass
            with telemetry.run("of the same", metadata={"tenant": "acme"}):
                pass

    spans = {span.name: span for request in backend.requests for span in request.spans}
    told = {name: (span.attributes.get("session.id"), span.attributes.get("user.id")) for name, span in spans.items()}
    by_trace: dict[str, set[str]] = {}
    for span in spans.values():
        by_trace.setdefault(span.trace_id, set()).add(span.name)
    assert sorted(map(sorted, by_trace.values())) == [
        ["batch", "for each", "of the same"],
        ["below that", "of another"],
        ["of a stranger"],
    ]
    assert told == {
        **dict.fromkeys(("batch", "for each", "of the same"), ("s-1", "ada")),
        **dict.fromkeys(("of another", "below that"), (None, None)),
        "of a stranger": ("s-2", None),
    }
    assert spans["of another"].parent_id is spans["of a stranger"].parent_id is None
    assert spans["of the same"].parent_id == spans["for each"].span_id


def test_other_processors_and_redaction_are_there_on_each_route(backend: FakeBackend) -> None:
    drops = FilterConfig.model_validate({"action": "drop", "when": {"name": "health"}})
    with Telemetry(routed(backend, route(tenants("acme", "globex")), drops)) as telemetry:
        for tenant in ("acme", "globex"):
            record(telemetry, tenant, name=f"key {CANARY}")
            record(telemetry, tenant, name="health")

    assert {name: one.dropped for name, one in telemetry.status().exporters.items()} == {
        "prod": {},
        "prod/acme": {"filtered": 1},
        "prod/globex": {"filtered": 1},
    }
    assert not [request for request in backend.requests if CANARY.encode() in request.body]
    assert sum(len(request.spans) for request in backend.requests) == 6


def test_an_outage_of_one_tenant_holds_up_no_other(backend: FakeBackend) -> None:
    """One key is refused for good, and one backend does not answer: the third tenant's spans arrive all the same."""
    with FakeBackend() as hanging:
        hanging.from_now_on(faults.HANG)
        backend.refuse = lambda request: (
            faults.status(401) if request.headers.get("x-scope-orgid") == "org-bad" else None
        )
        routes = {**tenants("bad", "good"), "hung": {"endpoint": hanging.base_url}}
        with Telemetry(routed(backend, route(routes)), delivery=ONCE) as telemetry:
            for tenant in routes:
                record(telemetry, tenant)
            futures = telemetry._manager.flushes()
            wait_for(lambda: lost_or_sent(telemetry, "prod/good") == lost_or_sent(telemetry, "prod/bad") == 2)
            telemetry.close(0.2)
        assert len(futures) == 3

    status = telemetry.status().exporters
    assert (status["prod/good"].delivered, status["prod/good"].lost) == (2, 0)
    assert (status["prod/bad"].delivered, status["prod/bad"].rejected) == (0, 2)
    assert status["prod/hung"].dropped == {"shutdown": 2}


def test_what_is_spooled_keeps_its_route(backend: FakeBackend, tmp_path: Path) -> None:
    """What an outage leaves on disk goes out at the next start, each tenant's spans to their own project."""
    delivery = DeliveryConfig.model_validate({"spool": {"directory": str(tmp_path)}})
    entry = routed(backend, route(tenants("acme", "globex")))
    backend.from_now_on(faults.status(503))
    with Telemetry(entry, delivery=delivery) as telemetry:
        for tenant in ("acme", "globex", "nobody"):
            record(telemetry, tenant)
        futures = telemetry._manager.flushes()
        names = ("prod/acme", "prod/globex")
        wait_for(lambda: all(telemetry.status().exporters[name].spooled == 2 for name in names))
        telemetry.close(0.2)
        assert len(futures) == 2
    left = telemetry.status().exporters
    backend.recover()
    before = len(backend.requests)

    with Telemetry(entry, delivery=delivery) as telemetry:
        telemetry.flush(30.0)
        status = telemetry.status().exporters

    assert [left[name].spooled for name in ("prod", "prod/acme", "prod/globex")] == [0, 2, 2]
    assert [status[name].delivered for name in ("prod/acme", "prod/globex")] == [2, 2]
    owners = {
        (span.resource["service.name"], request.headers["x-scope-orgid"])
        for request in backend.requests[before:]
        for span in request.spans
    }
    assert owners == {("project-acme", "org-acme"), ("project-globex", "org-globex")}
    assert seen(backend) == {("project-acme", "org-acme"): {"acme"}, ("project-globex", "org-globex"): {"globex"}}


def test_dead_letters_keep_their_route(backend: FakeBackend, tmp_path: Path) -> None:
    delivery = DeliveryConfig.model_validate({"dead_letters": {"directory": str(tmp_path)}})
    entry = routed(backend, route(tenants("acme", "globex")))
    backend.from_now_on(faults.status(400))
    with Telemetry(entry, delivery=delivery) as telemetry:
        for tenant in ("acme", "globex"):
            record(telemetry, tenant)
    backend.recover()
    before = len(backend.requests)
    letters = list(DeadLetters(tmp_path, max_bytes=2**20).entries())

    with Telemetry(entry, delivery=delivery) as telemetry:
        for letter in letters:
            future = telemetry._manager.send_again(letter.exporter, [letter.id])
            assert future is not None
            future.result(20.0)
        telemetry.flush(20.0)

    assert sorted(letter.exporter for letter in letters) == ["prod/acme", "prod/globex"]
    again = {
        (letter_span.attributes["input.value"], request.headers["x-scope-orgid"])
        for request in backend.requests[before:]
        for letter_span in request.spans
        if "input.value" in letter_span.attributes
    }
    assert again == {("acme", "org-acme"), ("globex", "org-globex")}


def test_over_grpc(backend: FakeBackend) -> None:
    config = OtelCollectorConfig(endpoint=f"http://{backend.grpc_endpoint}", protocol="grpc")
    with Telemetry(exporter_entry(config, name="prod", processors=[route(tenants("acme", "globex"))])) as telemetry:
        for tenant in ("acme", "globex"):
            record(telemetry, tenant)

    assert seen(backend) == {("project-acme", "org-acme"): {"acme"}, ("project-globex", "org-globex"): {"globex"}}


def test_exporters_of_steps_count_what_is_withheld_in_steps(write: Callable[[str, str], Path], tmp_path: Path) -> None:
    file = write(
        "w.yaml",
        f"""\
        general:
          telemetry:
            tracing:
              trail:
                _type: file
                processors:
                  - _type: route
                    by: tenant
                    routes: {{acme: {{output_path: "{tmp_path}/acme.jsonl"}}}}
                    otherwise: withhold
        """,
    )
    with Telemetry(*load_workflow(file).exporters) as telemetry:
        record(telemetry, "acme")
        record(telemetry, "nobody")

    lines = (tmp_path / "acme.jsonl").read_text().splitlines()
    assert [json.loads(line)["payload"]["event_type"] for line in lines] == [
        "WORKFLOW_START", "FUNCTION_START", "FUNCTION_END", "WORKFLOW_END",
    ]  # fmt: skip
    status = telemetry.status().exporters
    assert status["trail/acme"].delivered == 4
    assert status["trail"].dropped == {"unrouted": 4}


def test_what_is_withheld_is_counted_from_the_start_and_to_the_end(backend: FakeBackend) -> None:
    """Before any exporter has come up, and after the telemetry has been closed."""
    entry = routed(backend, route(tenants("acme")))
    telemetry = Telemetry(entry)
    record(telemetry, "nobody")
    telemetry.close()
    record(telemetry, "nobody")

    assert telemetry.status().exporters["prod"].dropped == {"unrouted": 4}


def test_the_page_of_a_run_is_that_of_its_route(write: Callable[[str, str], Path]) -> None:
    file = write(
        "w.yaml",
        """\
        general:
          telemetry:
            tracing:
              prod:
                _type: phoenix
                endpoint: http://127.0.0.1:9
                processors:
                  - _type: route
                    by: tenant
                    routes: {acme: {web_url: http://acme.example}, globex: {web_url: http://globex.example}}
                    otherwise: withhold
        """,
    )
    with Telemetry(*load_workflow(file).exporters, delivery=ONCE) as telemetry:
        for slot in telemetry._manager._slots.values():
            assert slot.settled.wait(20.0)
        with telemetry.run("shop", metadata={"tenant": "globex"}) as run:
            pass
        urls = telemetry.trace_urls(run)
        telemetry.close(0.1)

    assert urls == {"prod/globex": f"http://globex.example/redirects/traces/{run.trace_id:032x}"}


class PlaceConfig(TelemetryExporterBaseConfig, name="routed_place"):
    """An exporter of somebody else's that can be routed."""

    route_keys = frozenset({"place"})
    place: str = "here"


class Gated(SpanCollector):
    """Takes spans once its gate is open."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self.gate = gate

    async def export_processed(self, item: Span) -> None:
        await asyncio.to_thread(self.gate.wait)
        await super().export_processed(item)


@pytest.fixture
def gates() -> Iterator[dict[str, threading.Event]]:
    """By place, gates of exporters of type `routed_place`."""
    found: dict[str, threading.Event] = defaultdict(threading.Event)
    with default_registry.preserved():

        @register_telemetry_exporter(config_type=PlaceConfig)
        async def place(config: PlaceConfig, builder: Builder) -> Any:
            yield Gated(found[config.place])

        yield found
    for gate in found.values():
        gate.set()


def settle(telemetry: Telemetry, count: int) -> None:
    """Wait until the exporters have taken or lost so many items: none of them is still on its way to its lane."""
    wait_for(lambda: sum(one.accepted for one in telemetry.status().exporters.values()) == count, seen=telemetry.status)


def test_what_may_be_held_is_for_all_routes_together(gates: dict[str, threading.Event]) -> None:
    """Nothing that two routes hold is the same, so it adds up."""
    entry = exporter_entry(
        PlaceConfig(), name="prod", processors=[route({"a": {"place": "a"}, "b": {"place": "b"}}, "send")]
    )
    delivery = DeliveryConfig.model_validate({"intake": {"max_items": 60}})

    with Telemetry(entry, delivery=delivery) as telemetry:
        for number in range(300):
            record(telemetry, "ab?"[number % 3])
            settle(telemetry, 2 * number + 2)
        status = telemetry.status().exporters.values()
        for place in ("a", "b", "here"):
            gates[place].set()
    after = telemetry.status().exporters.values()

    held = sum(one.pending for one in status)
    assert 40 <= held <= 60
    assert held + sum(one.lost for one in status) == 600
    assert sum(one.delivered for one in after) == held
    assert all(one.pending >= 10 for one in status)


def test_a_route_that_holds_all_it_can_leaves_the_others_their_share(gates: dict[str, threading.Event]) -> None:
    entry = exporter_entry(PlaceConfig(), name="prod", processors=[route({"a": {"place": "a"}, "b": {"place": "b"}})])
    delivery = DeliveryConfig.model_validate({"intake": {"max_items": 60}})

    with Telemetry(entry, delivery=delivery) as telemetry:
        for number in range(200):
            record(telemetry, "a")
            settle(telemetry, 2 * number + 2)
        for _ in range(5):
            record(telemetry, "b")
        gates["b"].set()
        wait_for(lambda: telemetry.status().exporters["prod/b"].delivered == 10)
        held = telemetry.status().exporters["prod/a"].pending
        gates["a"].set()

    assert held == 40


# -- what it is told -------------------------------------------------------------------------------------------------------


ENTRY = """\
        general:
          telemetry:
            tracing:
              prod:
                _type: {type}
                {settings}
                processors:
                  - _type: route
                    by: tenant
                    routes: {routes}
                    otherwise: {otherwise}
"""


@pytest.mark.parametrize(
    ("type_name", "settings", "routes", "otherwise", "said"),
    [
        ("console", "", "{acme: {project: a}}", "send", "processors[0]: exporters of type console cannot be routed"),
        (
            "phoenix", "", "{acme: {project: a, batch_size: 5}}", "send",
            "processors[0].routes.acme.batch_size: cannot be chosen by a route; exporters of type phoenix can be routed by",
        ),
        (
            "phoenix", "", "{acme: {values: [a]}}", "send",
            "processors[0].routes.acme: says nothing that differs, expected one of: api_key,",
        ),
        ("phoenix", "", "{acme: {}}", "send", "processors[0].routes.acme: Dictionary should have at least 1 item"),
        ("phoenix", "", "{}", "send", "processors[0].routes: Dictionary should have at least 1 item"),
        ("phoenix", "", "{acme: {project: a}}", "drop", "processors[0].otherwise: should be 'withhold' or 'send'"),
        (
            "phoenix", "", "{acme: {api_key: '${UNSET_KEY}'}}", "withhold",
            (
                "processors[0].routes.acme.api_key: is empty, expected what goes for this route alone; leave it out to have "
                "the entry's own; the environment variable UNSET_KEY is not set"
            ),
        ),
        (
            "phoenix", "", "{acme: {headers: {authorization: '${UNSET_KEY}'}}}", "withhold",
            "processors[0].routes.acme.headers: is empty, expected what goes for this route alone",
        ),
        (
            "phoenix", "", "{acme: {endpoint: 'ftp://x'}}", "withhold",
            "processors[0].routes.acme.endpoint: ",
        ),
        (
            "phoenix", "batch_size: 0", "{acme: {project: a}, b: {project: b}}", "withhold",
            "batch_size: should be greater than or equal to 1",
        ),
        (
            "phoenix", "", "{a: {project: a, values: [x]}, b: {project: b, values: [y, x]}}", "send",
            "processors[0]: routes 'a' and 'b' are both for 'x'; expected one",
        ),
        (
            "phoenix", "", "{a: {project: a, values: x}}", "send",
            "processors[0]: values of route 'a' is 'x', expected a list of texts",
        ),
        (
            "catalyst", "", "{a: {access_key: k, secret_key: s}}", "withhold",
            "processors[0].routes.a.project: is missing",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(
    write: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
    type_name: str,
    settings: str,
    routes: str,
    otherwise: str,
    said: str,
) -> None:
    monkeypatch.delenv("UNSET_KEY", raising=False)
    file = write("w.yaml", ENTRY.format(type=type_name, settings=settings, routes=routes, otherwise=otherwise))

    problems = problems_of(file)

    head = "general.telemetry.tracing.prod."
    assert len(problems) == 1, problems
    assert problems[0].partition(": ")[2].startswith(head + said), problems


def test_an_empty_key_never_falls_back_to_that_of_the_environment(
    write: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the runs of one tenant would go to the project of another."""
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "of-somebody-else")
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "of-somebody-else")
    monkeypatch.setenv("ACME_SECRET_KEY", "")
    routes = "{acme: {public_key: p, secret_key: '${ACME_SECRET_KEY}'}}"
    file = write("w.yaml", ENTRY.format(type="langfuse", settings="", routes=routes, otherwise="withhold"))

    (problem,) = problems_of(file)

    assert "processors[0].routes.acme.secret_key: is empty" in problem
    assert "the environment variable ACME_SECRET_KEY is empty" in problem
    assert "of-somebody-else" not in problem


def test_it_is_for_one_exporter_once_and_without_a_timeout(write: Callable[[str, str], Path]) -> None:
    one = "{_type: route, by: tenant, routes: {a: {project: a}}, otherwise: send}"
    file = write(
        "w.yaml",
        f"""\
        general:
          telemetry:
            processors: [{one}]
            tracing:
              prod:
                _type: phoenix
                processors: [{one}, {one.replace("otherwise", "timeout: 3, otherwise")}]
        """,
    )

    said = [problem.partition(": general.telemetry.")[2] for problem in problems_of(file)]

    assert said == [
        "processors[0]: is a processor for one exporter; name it among the processors of that exporter's entry",
        "tracing.prod.processors[1]: is a second route; an exporter has one at most",
        "tracing.prod.processors[1].timeout: has no effect: choosing a route waits for nothing; remove it",
    ]


def test_python_users_are_told_the_same(backend: FakeBackend) -> None:
    one = route({"acme": {"project": "a"}})
    wrong: list[tuple[Any, str]] = [
        (lambda: Telemetry(ConsoleConfig(), processors=[one]), "processors[0]: is a processor for one exporter"),
        (
            lambda: Telemetry(exporter_entry(ConsoleConfig(), processors=[one])),
            "console.processors[0]: exporters of type console cannot be routed",
        ),
        (lambda: Telemetry(routed(backend, one, one)), "prod.processors[1]: is a second route"),
        (
            lambda: Telemetry(routed(backend, route({"acme": {"headers": {"x y": "z"}}}))),
            "prod.processors[0].routes.acme.headers: 'x y' cannot be the name of a header",
        ),
    ]
    for make, said in wrong:
        with pytest.raises(ConfigurationError) as caught:
            make()
        assert str(caught.value).startswith(said)


def test_settings_of_a_route_go_before_those_of_the_entry() -> None:
    """Mappings key by key, names of headers whatever their case."""
    chosen = route({"acme": {"project": "a", "headers": {"x-scope-orgid": "acme"}, "resource_attributes": {"Team": 1}}})
    general = {
        "endpoint": "e",
        "project": "shared",
        "headers": {"X-Scope-OrgID": "shared", "authorization": "k"},
        "resource_attributes": {"team": 2},
    }

    assert settings_of(chosen, "acme", general) == {
        "endpoint": "e",
        "project": "a",
        "headers": {"authorization": "k", "x-scope-orgid": "acme"},
        "resource_attributes": {"team": 2, "Team": 1},
    }
    assert general["headers"] == {"X-Scope-OrgID": "shared", "authorization": "k"}


def test_secrets_of_routes_are_not_shown() -> None:
    config = route({"acme": {"api_key": "sesame-open", "headers": {"authorization": "sesame-open"}}})

    assert "sesame-open" not in repr(config)


def test_every_type_of_ours_that_sends_somewhere_can_be_routed() -> None:
    """By keys that it has; the console alone goes nowhere."""
    types = {
        row.type: row.registration.config_type for row in components() if row.type in OWN_TYPES and row.registration
    }

    routable = {name for name, config_type in types.items() if config_type.route_keys}  # type: ignore[attr-defined]  # exporters'
    assert types.keys() - routable == {"console"}
    for config_type in types.values():
        assert config_type.route_keys <= {*config_type.keys()}  # type: ignore[attr-defined]  # exporters'


# -- its parts -------------------------------------------------------------------------------------------------------------


def run_of(metadata: object = None, outer: Run | None = None) -> Run:
    return Run(trace_id=1, metadata=snapshot(metadata), outer=outer)


async def test_the_processor_alone_passes_runs_that_have_a_route() -> None:
    item: Any = object()
    for otherwise, passes in (("withhold", False), ("send", True)):
        async with route_processor(route({"acme": {"project": "a"}}, otherwise)) as processor:
            assert isinstance(processor, RouteProcessor)
            assert await processor.process_in(item, run_of({"tenant": "acme"})) is item
            assert (await processor.process_in(item, run_of({"tenant": "x"})) is item) is passes
            assert (await processor.process(item) is item) is passes


def test_a_router_forgets_runs_that_are_over() -> None:
    router = Router("tenant", {"acme": "a"})
    outer = run_of({"tenant": "acme"})
    inner = run_of(outer=outer)

    assert (router.route_of(inner), router.route_of(run_of("text")), router.route_of(None)) == ("a", None, None)
    del outer, inner
    gc.collect()
    assert len(router._known) == 0


def test_what_was_drained_is_parted_in_order() -> None:
    """By run, with their ends; what is of one part alone is not copied."""
    first, second = run_of(), run_of()
    ends: Any = [(None, first), (None, second), (None, first)]
    whole = Drained(ends, ends[:1], Load(), Load())

    assert whole.parts(lambda run: "a")["a"] is whole
    parts = whole.parts(lambda run: run is first)
    assert {part: (list(drained.steps), list(drained.spans)) for part, drained in parts.items()} == {
        True: ([(None, first), (None, first)], [(None, first)]),
        False: ([(None, second)], []),
    }
