"""Registry: which types of exporters and processors there are, what configures each, and what builds it.

They become known by importing the module that registers them: directly, or through a Python entry point of an
installed distribution. Entry points are metadata until a type is asked for: importing this module loads none.
"""

import importlib
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from nat.data_models.component_config import ComponentBaseConfig
from nat.data_models.conventions import ALL_CONVENTIONS, Conventions
from nat.data_models.errors import ConfigurationError, Problem
from nat.data_models.masking import masked
from nat.data_models.suggestion import closest
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability.component import (
    EXPORTER,
    KINDS,
    PROCESSOR,
    ComponentKind,
    OwnType,
    RegisteredComponent,
    registering,
)
from nat.utils import installed
from nat.utils.forking import new_rlock

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.data_models.delivery import DeliveryConfig
    from nat.observability.exporter.base_exporter import BaseExporter
    from nat.observability.processor.processor import Processor
    from nat.observability.redaction.settings import RedactConfig, RedactProfile
    from nat.observability.routing import Route, RouteConfig

    _ConfigT = TypeVar("_ConfigT", bound=ComponentBaseConfig)
    _Function = Callable[[_ConfigT, Builder], AsyncIterator[Any]]

__all__ = [
    "FOR_ONE_EXPORTER",
    "OWN_TYPES",
    "PROCESSOR_TIMEOUT_S",
    "Component",
    "EntryPointRef",
    "ExporterEntry",
    "OwnType",
    "ProcessorEntry",
    "Registration",
    "Registry",
    "components",
    "conventions_problem",
    "default_registry",
    "entries_by_route",
    "exporter_entry",
    "install_command",
    "missing_own_types",
    "processor_entries",
    "redact_config",
    "register_telemetry_exporter",
    "register_telemetry_processor",
    "registration_of",
    "resolve",
    "route_in",
]

logger = logging.getLogger(__name__)

PROCESSOR_TIMEOUT_S = 10.0  # for one item, unless the entry says so
FOR_ONE_EXPORTER = "is a processor for one exporter; name it among the processors of that exporter's entry"
ENTRY_POINT_GROUPS = ("nat.components", "nat.plugins")

ExporterConfigT = TypeVar("ExporterConfigT", bound=TelemetryExporterBaseConfig)
ProcessorConfigT = TypeVar("ProcessorConfigT", bound=TelemetryProcessorBaseConfig)


OWN_TYPES = EXPORTER.own
_OWN_DISTRIBUTIONS = frozenset(own.distribution for kind in KINDS for own in kind.own.values())


def install_command(type_name: str) -> str | None:
    """Return the command that installs one of our own exporters, None for a type that is not ours."""
    own = OWN_TYPES.get(type_name)
    if own is None:
        return None
    return "pip install nat-telemetry" if own.extra is None else f'pip install "nat-telemetry[{own.extra}]"'


@dataclass(frozen=True, slots=True)
class EntryPointRef:
    """One entry point of an installed distribution, as its metadata says; `value` is a module or `module:attribute`."""

    name: str
    value: str
    group: str
    distribution: str
    version: str

    @property
    def module(self) -> str:
        """The module to import."""
        return self.value.partition(":")[0].strip()

    def load(self) -> ModuleType:
        """Import the module, and check that the attribute exists if one is named; nothing is called."""
        module = importlib.import_module(self.module)
        target: Any = module
        for attribute in filter(None, self.value.partition(":")[2].split("[")[0].strip().split(".")):
            target = getattr(target, attribute)
        return module

    def provides(self, module: str) -> bool:
        """Return whether a module belongs to the plugin that this entry point names."""
        package = self.module.rpartition(".")[0]
        inside = [self.module, package] if package not in ("", "nat", "nat.plugins") else [self.module]
        return any(module == name or module.startswith(f"{name}.") for name in inside)


@dataclass(frozen=True, slots=True)
class Registration:
    """A type with its configuration class and the function that builds the component.

    Attributes:
        kind: What it builds.
        build: Given the configuration and a `Builder` (or None), an async context manager that yields the component.
        module: Where the registration function is defined.
        source: The file of that module.
        distribution, version: Of the installed distribution it came from; None if it is not known to come from one.
        description: First line of the configuration class's docstring.
    """

    kind: ComponentKind
    type_name: str
    config_type: type[ComponentBaseConfig]
    build: RegisteredComponent[Any, Any]
    module: str
    source: str
    distribution: str | None
    version: str | None
    description: str

    @property
    def is_ours(self) -> bool:
        """Whether this project ships it."""
        return self.distribution in _OWN_DISTRIBUTIONS

    @property
    def owner(self) -> str:
        """Who registered it, for messages."""
        return f"module {self.module}" if self.distribution is None else f"{self.distribution} (module {self.module})"


@dataclass(frozen=True, slots=True)
class ProcessorEntry:
    """One item of a `processors:` list, ready to be built.

    Attributes:
        path: Where it is configured, for messages.
        timeout_s: Seconds that it may take for one item.
    """

    config: TelemetryProcessorBaseConfig
    registration: Registration
    path: str
    timeout_s: float = PROCESSOR_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class ExporterEntry:
    """One entry under `general.telemetry.tracing`, ready to be built.

    Attributes:
        required: Whether nothing starts if it cannot.
        delivery: What its user says about delivery.
        processors: What its items pass first, those for all exporters included.
        redact: What is taken out of everything before; None: secrets.
        route: Which runs it takes; None: all.
        conventions: In whose names its spans are written; None: as is usual for its type.
    """

    name: str
    config: TelemetryExporterBaseConfig
    registration: Registration
    required: bool = False
    delivery: "DeliveryConfig | None" = None
    processors: tuple[ProcessorEntry, ...] = ()
    redact: "RedactConfig | None" = None
    conventions: Conventions | None = None
    route: "Route | None" = None

    @property
    def is_withheld(self) -> bool:
        """Whether its runs are only counted."""
        return self.route is not None and self.route.is_withheld


@dataclass(frozen=True, slots=True)
class Component:
    """One row of the component list.

    Attributes:
        package: The distribution, or the module of a type registered by import.
        version: Of the distribution.
        loads: Whether the module that provides it could be imported.
        reason: Why it does not load, or why it is not used although it does.
        registration: What was registered, if it loads.
    """

    package: str
    version: str | None
    kind: str
    type: str
    description: str
    loads: bool
    reason: str | None
    registration: Registration | None


@dataclass(slots=True)
class _Loaded:
    """What loading an entry point gave; `is_done` is set once it is known."""

    thread: int = field(default_factory=threading.get_ident)
    is_done: threading.Event = field(default_factory=threading.Event)
    error: str | None = None
    missing_module: str | None = None


_loading: ContextVar[EntryPointRef | None] = ContextVar("nat_loading_entry_point", default=None)


class _Metadata:
    """The entry points of our groups, of all distributions found on `sys.path` when it was made."""

    def __init__(self) -> None:
        self.path = _current_path()
        self.entry_points = list(_entry_points())

    @cached_property
    def by_name(self) -> dict[str, list[EntryPointRef]]:
        found: dict[str, list[EntryPointRef]] = {}
        for entry_point in self.entry_points:
            found.setdefault(entry_point.name, []).append(entry_point)
        return found

    def provider(self, module: str) -> EntryPointRef | None:
        exact = [entry_point for entry_point in self.entry_points if entry_point.module == module]
        near = exact or [entry_point for entry_point in self.entry_points if entry_point.provides(module)]
        return near[0] if len({entry_point.distribution for entry_point in near}) == 1 else None


class Registry:
    """All types known to a process. Thread-safe; nothing is locked while a plugin is imported.

    Attributes:
        count: How often something was registered, again included.
    """

    def __init__(self) -> None:
        self.count = 0
        self._lock = new_rlock()
        self._claims: dict[str, dict[str, list[Registration]]] = {kind.name: {} for kind in KINDS}
        self._loaded: dict[EntryPointRef, _Loaded] = {}
        self._announced: set[tuple[str, str, str]] = set()
        self._metadata_cache: _Metadata | None = None

    def register(self, component: RegisteredComponent[Any, Any]) -> None:
        """Add a registered component.

        Raises:
            ValueError: Another module has registered the type; not while an entry point is being loaded, where the
                conflict is listed and becomes an error when the type is used.
        """
        entry_point = _loading.get()
        registration = _registration(component, entry_point)
        with self._lock:
            self.count += 1
            self._add(registration, is_loading=entry_point is not None)
        logger.debug("registered %s type %r: %s", registration.kind.noun, registration.type_name, registration.owner)

    def resolve(self, type_name: str, kind: ComponentKind = EXPORTER) -> Registration:
        """Return what is registered under a type name, loading the plugin that provides it if need be.

        Raises:
            ConfigurationError: No plugin provides it, or several do.
        """
        self._load_named(type_name, kind)
        claims = self._claims_of(type_name, kind)
        if not claims:
            self._load_all()
            claims = self._claims_of(type_name, kind)
        if not claims and self._has_new_metadata():
            return self.resolve(type_name, kind)
        if not claims:
            raise ConfigurationError(self._unknown_type(type_name, kind))
        users = [claim for claim in claims if not claim.is_ours]
        rivals = _owners(users)
        if len(rivals) > 1:
            raise ConfigurationError(
                Problem(
                    f"type {type_name!r} is in conflict: {_and(rivals)} provide it; uninstall or rename all but one"
                )
            )
        if users:
            self._announce_override(users[0])
        return (users or claims)[0]

    def registration_of(self, config: ComponentBaseConfig) -> Registration:
        """Return the registration of a configuration object's own class, whoever else claims its type name.

        Raises:
            ConfigurationError: The class was not registered, or is abstract.
        """
        config_type = type(config)
        if config_type.is_abstract():
            written = f'class {config_type.__name__}(…, name="…")'
            raise ConfigurationError(
                Problem(f"{config_type.__qualname__} is abstract, expected a class with a name: {written}")
            )
        kind = next(kind for kind in KINDS if issubclass(config_type, kind.config_base))
        found = self._claim_by_class(config_type, kind)
        if found is None:
            self._load_named(config_type.static_type(), kind, with_ours=True)
            found = self._claim_by_class(config_type, kind)
        if found is not None:
            return found
        raise ConfigurationError(
            Problem(
                f"no {kind.noun} is registered for {config_type.__module__}.{config_type.__qualname__}; import the "
                f"module that holds its @{kind.decorator}(config_type={config_type.__name__}) function first"
            )
        )

    def components(self, kinds: Sequence[ComponentKind] = KINDS) -> list[Component]:
        """Load every plugin and return a row for each type of these kinds, and for each plugin that does not load, by type.

        Not loaded is what is known to be of another kind: our own.
        """
        self._load_all(but={name for kind in KINDS if kind not in kinds for name in kind.own})
        with self._lock:
            claims = [
                claim
                for kind in kinds
                for type_name in self._claims[kind.name]
                for claim in self._claims_of(type_name, kind)
            ]
            failures = [
                (entry_point, loaded) for entry_point, loaded in self._loaded.items() if loaded.error is not None
            ]
        rows = [self._row(claim) for claim in claims]
        rows += [row for failure in failures if (row := _failed_row(*failure)).kind in {kind.name for kind in kinds}]
        return sorted(rows, key=lambda row: (row.type, row.package))

    def known_types(self, kind: ComponentKind = EXPORTER) -> list[str]:
        """Return the type names registered so far, sorted; loads nothing."""
        with self._lock:
            return sorted(name for name, claims in self._claims[kind.name].items() if claims)

    def missing_own_types(self) -> list[OwnType]:
        """Return those of our own types whose distribution is not installed; loads nothing."""
        installed = {entry_point.distribution for entry_point in self._metadata().entry_points}
        known = self.known_types()
        return [own for own in OWN_TYPES.values() if own.distribution not in installed and own.type not in known]

    @contextmanager
    def preserved(self) -> Iterator["Registry"]:
        """Undo on leaving whatever is registered or loaded meanwhile; for tests."""
        with self._lock:
            claims = {
                kind: {name: list(found) for name, found in types.items()} for kind, types in self._claims.items()
            }
            loaded, announced = dict(self._loaded), set(self._announced)
        try:
            yield self
        finally:
            with self._lock:
                self._claims, self._loaded, self._announced = claims, loaded, announced
                self._metadata_cache = None

    def _add(self, new: Registration, *, is_loading: bool) -> None:
        claims = self._claims[new.kind.name].setdefault(new.type_name, [])
        for position, old in enumerate(claims):
            if _is_same_module(old, new):
                claims[position] = new
                if old.build is not new.build:
                    logger.warning(
                        "%s type %r is registered again by module %s; the new one counts",
                        new.kind.noun, new.type_name, new.module,
                    )  # fmt: skip
                return
        if not claims:
            claims.append(new)
            return
        claims[:] = [self._identified(claim) for claim in claims]
        new = self._identified(new)
        rivals = [] if new.is_ours else [claim for claim in claims if not claim.is_ours]
        if rivals and not is_loading:
            raise ValueError(
                f"{new.kind.noun} type {new.type_name!r} is registered by {rivals[0].owner} already, "
                f"so {new.owner} cannot register it too; choose another name"
            )
        claims.append(new)
        user = next((claim for claim in claims if not claim.is_ours), None)
        if user is not None:
            self._announce_override(user)

    def _announce_override(self, user: Registration) -> None:
        """Say once that a registration is used instead of ours of the same name."""
        own = user.kind.own.get(user.type_name)
        with self._lock:
            key = (user.kind.name, user.type_name, user.module)
            is_news = own is not None and key not in self._announced and self._has_own(user.type_name, user.kind)
            if is_news:
                self._announced.add(key)
        if is_news:
            logger.info(
                "%s type %r: %s is used instead of the built-in one", user.kind.noun, user.type_name, user.owner
            )

    def _has_own(self, type_name: str, kind: ComponentKind) -> bool:
        named = self._metadata().by_name.get(type_name, [])
        return any(entry_point.distribution in _OWN_DISTRIBUTIONS for entry_point in named) or any(
            claim.is_ours for claim in self._claims[kind.name].get(type_name, [])
        )

    def _claims_of(self, type_name: str, kind: ComponentKind) -> list[Registration]:
        with self._lock:
            claims = self._claims[kind.name].get(type_name, [])
            claims[:] = [self._identified(claim) for claim in claims]
            return list(claims)

    def _claim_by_class(self, config_type: type[ComponentBaseConfig], kind: ComponentKind) -> Registration | None:
        claims = self._claims_of(config_type.static_type(), kind)
        return next((claim for claim in claims if claim.config_type is config_type), None)

    def _identified(self, registration: Registration) -> Registration:
        """Return the registration with the distribution its module came from, if one can be told."""
        if registration.distribution is not None:
            return registration
        provider = self._metadata().provider(registration.module)
        if provider is None:
            return registration
        return replace(registration, distribution=provider.distribution, version=provider.version)

    def _metadata(self) -> _Metadata:
        with self._lock:
            if self._metadata_cache is None or self._metadata_cache.path != _current_path():
                self._metadata_cache = _Metadata()
            return self._metadata_cache

    def _has_new_metadata(self) -> bool:
        """Look again for what was installed meanwhile; return whether there is any."""
        importlib.invalidate_caches()
        with self._lock:
            self._metadata_cache = None
            return any(entry_point not in self._loaded for entry_point in self._metadata().entry_points)

    def _load_named(self, type_name: str, kind: ComponentKind, *, with_ours: bool = False) -> None:
        """Load the entry points whose name is the type; ours only if nobody else provides it."""
        named = self._metadata().by_name.get(type_name, [])
        others = [entry_point for entry_point in named if entry_point.distribution not in _OWN_DISTRIBUTIONS]
        ours = [entry_point for entry_point in named if entry_point.distribution in _OWN_DISTRIBUTIONS]
        for entry_point in others:
            self._load(entry_point)
        if with_ours or not self._claims_of(type_name, kind):
            for entry_point in ours:
                self._load(entry_point)

    def _forget_unfinished(self) -> None:
        """In a forked child: plugins that other threads were loading are loaded again; those threads are not here."""
        me = threading.get_ident()
        for entry_point, loaded in list(self._loaded.items()):
            if not loaded.is_done.is_set() and loaded.thread != me:
                del self._loaded[entry_point]

    def _load_all(self, but: Collection[str] = ()) -> None:
        """Load every entry point; of ours not those of these names."""
        for entry_point in self._metadata().entry_points:
            if entry_point.name not in but or entry_point.distribution not in _OWN_DISTRIBUTIONS:
                self._load(entry_point)

    def _load(self, entry_point: EntryPointRef) -> None:
        with self._lock:
            loaded = self._loaded.get(entry_point)
            is_new = loaded is None
            if loaded is None:
                loaded = self._loaded[entry_point] = _Loaded()
        if not is_new:
            if loaded.thread != threading.get_ident():  # else: the plugin itself asks, while it is being imported
                loaded.is_done.wait()
            return
        token = _loading.set(entry_point)
        try:
            module = entry_point.load()
            self._adopt(module, entry_point)
        except (Exception, SystemExit) as error:  # the edge of someone else's code
            loaded.error = f"{type(error).__name__}: {error}".strip().removesuffix(":")
            loaded.missing_module = error.name if isinstance(error, ModuleNotFoundError) else None
            logger.warning(
                "%s: plugin %r (%s) does not load, what it provides cannot be used: %s",
                entry_point.distribution, entry_point.name, entry_point.module, loaded.error,
            )  # fmt: skip
        else:
            logger.debug("loaded %s of %s", entry_point.module, entry_point.distribution)
        finally:
            _loading.reset(token)
            loaded.is_done.set()

    def _adopt(self, module: ModuleType, entry_point: EntryPointRef) -> None:
        """Register what a module decorated when it was imported, if this registry does not hold it."""
        with self._lock:
            known = {
                (kind, claim.type_name, claim.module)
                for kind, types in self._claims.items()
                for claims in types.values()
                for claim in claims
            }
        for value in list(vars(module).values()):
            if not isinstance(value, RegisteredComponent) or not entry_point.provides(value.__module__):
                continue
            if (value.kind.name, value.type_name, value.__module__) not in known:
                self.register(value)

    def _row(self, claim: Registration) -> Component:
        claims = self._claims_of(claim.type_name, claim.kind)
        users = [other for other in claims if not other.is_ours]
        rivals = [owner for owner in _owners(users) if owner != claim.owner]
        reason = None
        if claim.is_ours and users:
            reason = f"not used: {_and(_owners(users))} provides this type too"
        elif rivals:
            reason = f"in conflict: {_and(rivals)} provides this type too"
        return Component(
            package=claim.distribution or claim.module,
            version=claim.version,
            kind=claim.kind.name,
            type=claim.type_name,
            description=claim.description,
            loads=True,
            reason=reason,
            registration=claim,
        )

    def _unknown_type(self, type_name: str, kind: ComponentKind) -> Problem:
        with self._lock:
            failures = [(ref, loaded) for ref, loaded in self._loaded.items() if loaded.error is not None]
        for entry_point, loaded in failures:
            if entry_point.name == type_name:
                return _not_loading(type_name, kind, entry_point, loaded)
        known = self.known_types(kind)
        listed = ", ".join(known) or "none"
        if type_name in kind.own:
            message = (
                f"{kind.noun} type {type_name!r} is not installed (known: {listed}); "
                f"install it: {install_command(type_name)}"
            )
        else:
            meant = _meant(type_name, kind, [*known, *(ref.name for ref, _ in failures)])
            message = (
                f"no {kind.noun} of type {type_name!r}{meant} Known: {listed}. {kind.article.capitalize()} {kind.noun} "
                "of your own must be registered by a module that is imported: name it under plugins:"
            )
        notes = [
            f"{entry_point.distribution} does not load, so its types are not known: {loaded.error}"
            for entry_point, loaded in failures
        ]
        return Problem(message, details="\n".join(notes) or None)


def register_telemetry_exporter(
    *, config_type: type[ExporterConfigT]
) -> "Callable[[_Function[ExporterConfigT]], RegisteredComponent[ExporterConfigT, BaseExporter]]":
    """Register an async generator function that builds the exporter of a configuration class.

    The function takes `(config, builder)` and yields exactly one exporter; what it does after the `yield` runs at
    teardown. Imports that cost time belong inside it. It stays callable: see `RegisteredComponent`.

    Registering a type again from the same module replaces it, with a warning; a type that this project ships can be
    registered by anybody, whose registration is then used instead.

    Raises:
        TypeError: `config_type` is not a named configuration class, or what is decorated is no async generator
            function.
        ValueError: Another module has registered the type.
    """
    return registering(config_type, EXPORTER, default_registry.register)


def register_telemetry_processor(
    *, config_type: type[ProcessorConfigT]
) -> "Callable[[_Function[ProcessorConfigT]], RegisteredComponent[ProcessorConfigT, Processor[Any, Any]]]":
    """Register an async generator function that builds the processor of a configuration class.

    As `register_telemetry_exporter`, also in what it raises: the function takes `(config, builder)` and yields exactly one
    `Processor`. It runs once for each exporter that the processor is configured for, on that exporter's event loop.
    """
    return registering(config_type, PROCESSOR, default_registry.register)


default_registry = Registry()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=default_registry._forget_unfinished)
"""The registry of this process: what the decorator adds to."""

resolve = default_registry.resolve
registration_of = default_registry.registration_of
components = default_registry.components
missing_own_types = default_registry.missing_own_types


def exporter_entry(
    config: TelemetryExporterBaseConfig,
    *,
    name: str | None = None,
    required: bool = False,
    delivery: "DeliveryConfig | None" = None,
    processors: Sequence[TelemetryProcessorBaseConfig] = (),
    redact: "RedactConfig | RedactProfile | None" = None,
    conventions: Conventions | None = None,
) -> ExporterEntry:
    """One exporter for `Telemetry`, with what a workflow file would say in its entry beside its own settings.

    Args:
        config: Its settings.
        name: What it is called; unless given, after its type.
        required: Whether nothing starts if it cannot.
        delivery: How its items get to the backend.
        processors: What its items pass first.
        redact: What is taken out of everything before: a profile or more; unless given, what `Telemetry` says.
        conventions: In whose names its spans are written; unless given, as is usual for its type.

    Raises:
        ConfigurationError: Something is no config, its class is not registered, or it does not speak these conventions.
    """
    given: object = config
    if not isinstance(given, TelemetryExporterBaseConfig):
        raise ConfigurationError(
            Problem(f"{given!r} is no exporter config; expected an instance of a TelemetryExporterBaseConfig")
        )
    name = name or config.type
    problem = None if conventions is None else conventions_problem(config, conventions)
    if problem is not None:
        raise ConfigurationError(Problem(problem, path=f"{name}.conventions"))
    return ExporterEntry(
        name,
        config,
        registration_of(config),
        required,
        delivery,
        processor_entries(processors, name),
        redact_config(redact),
        conventions,
    )


def route_in(processors: Sequence[ProcessorEntry]) -> "tuple[ProcessorEntry, RouteConfig] | None":
    """The processor that chooses routes, and its settings; None if there is none.

    Raises:
        ConfigurationError: There are two.
    """
    from nat.observability.routing import RouteConfig

    found = [(processor, processor.config) for processor in processors if isinstance(processor.config, RouteConfig)]
    if len(found) > 1:
        raise ConfigurationError(Problem("is a second route; an exporter has one at most", path=found[1][0].path))
    return found[0] if found else None


def entries_by_route(
    entry: ExporterEntry, route: "RouteConfig", configs: Mapping[str, TelemetryExporterBaseConfig]
) -> list[ExporterEntry]:
    """An entry for each route, `name/route`, and before them the one for runs that have none, which has the entry's name.

    Args:
        entry: The exporter as it is configured.
        route: What chooses.
        configs: Its settings for each route.
    """
    from nat.observability.routing import Route

    router, is_withheld = route.router(), route.otherwise == "withhold"
    processors = tuple(processor for processor in entry.processors if processor.config is not route)
    entry = replace(entry, processors=processors)
    return [
        replace(entry, route=Route(entry.name, router, None, is_withheld)),
        *(
            replace(entry, name=f"{entry.name}/{name}", config=config, route=Route(entry.name, router, name))
            for name, config in configs.items()
        ),
    ]


def conventions_problem(config: TelemetryExporterBaseConfig, chosen: object) -> str | None:
    """What is wrong with a choice of conventions for an exporter; `None` if nothing is."""
    spoken = config.spoken_conventions()
    if chosen in spoken:
        return None
    if not spoken:
        return f"has no effect on this exporter of type {config.type}, whose spans have names of its own; remove it"
    if chosen in ALL_CONVENTIONS:
        return f"is {chosen!r}, which {config.type} does not read; expected one of: {', '.join(spoken)}"
    return f"is {masked(chosen)!r}, expected one of: {', '.join(spoken)}"


def redact_config(redact: "RedactConfig | RedactProfile | None") -> "RedactConfig | None":
    """A configuration for what may be just the name of a profile.

    Raises:
        pydantic.ValidationError: There is no such profile.
    """
    if not isinstance(redact, str):
        return redact
    from nat.observability.redaction.settings import RedactConfig

    return RedactConfig(profile=redact)


def processor_entries(
    configs: Sequence[TelemetryProcessorBaseConfig], owner: str | None = None
) -> tuple[ProcessorEntry, ...]:
    """Entries for the configs of processors, of the exporter `owner` or of all.

    Raises:
        ConfigurationError: Something is no config, or its class is not registered.
    """
    entries = []
    for index, config in enumerate(configs):
        given: object = config
        if not isinstance(given, TelemetryProcessorBaseConfig):
            raise ConfigurationError(
                Problem(f"{given!r} is no processor config; expected an instance of a TelemetryProcessorBaseConfig")
            )
        path = f"processors[{index}]" if owner is None else f"{owner}.processors[{index}]"
        entries.append(ProcessorEntry(config, registration_of(config), path))
    return tuple(entries)


def _registration(component: RegisteredComponent[Any, Any], entry_point: EntryPointRef | None) -> Registration:
    config_type = component.config_type
    function = component.__wrapped__
    documentation = config_type.__doc__ or component.__doc__ or ""
    return Registration(
        kind=component.kind,
        type_name=component.type_name,
        config_type=config_type,
        build=component,
        module=function.__module__,
        source=function.__code__.co_filename,
        distribution=None if entry_point is None else entry_point.distribution,
        version=None if entry_point is None else entry_point.version,
        description=next(iter(documentation.strip().splitlines()), ""),
    )


def _not_loading(type_name: str, kind: ComponentKind, entry_point: EntryPointRef, loaded: _Loaded) -> Problem:
    remedy = f"repair, update or uninstall {entry_point.distribution}"
    if type_name in kind.own and loaded.missing_module is not None:
        remedy = f"install what it needs: {install_command(type_name)}"
    return Problem(
        f"{kind.noun} type {type_name!r} of {entry_point.distribution} does not load: {loaded.error}; {remedy}"
    )


def _meant(type_name: str, kind: ComponentKind, installed: list[str]) -> str:
    meant = closest(type_name, {*installed, *kind.own})
    if meant is None:
        return "."
    return f", did you mean {meant!r}?" + (
        "" if meant in installed else f" It is not installed: {install_command(meant)}."
    )


def _failed_row(entry_point: EntryPointRef, loaded: _Loaded) -> Component:
    kind = next((kind for kind in KINDS if entry_point.name in kind.own), EXPORTER)  # what it would register: unknown
    own = kind.own.get(entry_point.name)
    return Component(
        package=entry_point.distribution,
        version=entry_point.version,
        kind=kind.name,
        type=entry_point.name,
        description="" if own is None else own.description,
        loads=False,
        reason=loaded.error,
        registration=None,
    )


def _entry_points() -> Iterator[EntryPointRef]:
    """Yield the entry points of our groups, each once, in the order of `sys.path`.

    Only the metadata of distributions that have such entry points is parsed.
    """
    seen: set[tuple[str, str, str]] = set()
    versions: dict[str, str] = {}
    for distribution in installed.distributions():
        text = distribution.read_text("entry_points.txt")
        if text is None or not any(group in text for group in ENTRY_POINT_GROUPS):
            continue
        name, version = installed.name_and_version(distribution)
        if versions.setdefault(name, version) != version:
            continue  # hidden behind one that comes first on sys.path
        try:
            found = installed.entry_points(text)
        except ValueError as error:
            logger.warning("%s: its entry_points.txt cannot be read, its plugins cannot be used: %s", name, error)
            continue
        for group, type_name, value in found:
            key = (name, type_name, value)
            if group in ENTRY_POINT_GROUPS and key not in seen:
                seen.add(key)
                yield EntryPointRef(type_name, value, group, name, version)


def _current_path() -> tuple[str, ...]:
    return tuple(sys.path)


def _is_same_module(old: Registration, new: Registration) -> bool:
    """Return whether both come from one module, which may have been imported under two names."""
    return old.module == new.module or (old.source == new.source and not old.source.startswith("<"))


def _owners(claims: list[Registration]) -> list[str]:
    return list(dict.fromkeys(claim.owner for claim in claims))


def _and(names: list[str]) -> str:
    return " and ".join(names)
