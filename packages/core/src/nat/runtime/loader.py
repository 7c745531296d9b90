"""Loader: a workflow file as a checked configuration, or everything that is wrong with it."""

import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from nat.data_models.component_config import ComponentBaseConfig, unknown_key
from nat.data_models.conventions import Conventions
from nat.data_models.delivery import DeliveryConfig
from nat.data_models.errors import ConfigurationError, Problem
from nat.data_models.masking import masked
from nat.data_models.suggestion import closest
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability.component import EXPORTER, PROCESSOR, ComponentKind
from nat.observability.registry import (
    FOR_ONE_EXPORTER,
    PROCESSOR_TIMEOUT_S,
    ExporterEntry,
    ProcessorEntry,
    Registration,
    Registry,
    conventions_problem,
    default_registry,
    entries_by_route,
    route_in,
)
from nat.observability.status_file import resolve_status_directory
from nat.runtime.document import Document, dotted
from nat.runtime.entrypoint import (
    CannotImportError,
    find_callable,
    import_code,
    is_file_name,
    put_on_path,
    split_entrypoint,
)
from nat.runtime.environment import check_environment
from nat.runtime.interpolation import Interpolation, Path, interpolate
from nat.runtime.short_forms import CONTENT, SHORT_FORMS, ShortForm

if TYPE_CHECKING:
    from nat.observability.redaction.settings import RedactConfig
    from nat.observability.routing import RouteConfig

__all__ = ["Entrypoint", "Workflow", "load_workflow", "status_directory_of"]

logger = logging.getLogger("nat.observability.configuration")

Entrypoint = Literal["required", "optional", "unused", "if_needed"]

_TRACING: Path = ("general", "telemetry", "tracing")
_AGENT_SECTIONS = frozenset(
    {"authentication", "embedders", "eval", "function_groups", "functions", "llms", "memory", "middleware",
     "object_stores", "optimizer", "retrievers", "ttc_strategies"}
)  # fmt: skip
_LONGEST_VALUE = 80  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class Workflow:
    """What a workflow file says, checked.

    Attributes:
        path: The file.
        name: Of the workflow, if it gives one.
        entrypoint: What `workflow.entrypoint` names, as written; None without a `workflow:` section.
        call: The function it names; None without one, or if it was not to be looked up.
        exporters: What is configured under `general.telemetry.tracing`, in order; entries that are not enabled are
            left out.
        delivery: What is said under `general.telemetry.delivery`; the exporters' entries hold it too.
        status_directory: Where processes keep their status files, absolute; None if they keep none.
    """

    path: FilePath
    name: str | None = None
    entrypoint: str | None = None
    call: Callable[..., Any] | None = None
    exporters: list[ExporterEntry] = field(default_factory=list)
    delivery: DeliveryConfig | None = None
    status_directory: FilePath | None = None

    @property
    def run_name(self) -> str:
        """What to call a run: the workflow's name, else its function's, else the file's."""
        if self.name is not None:
            return self.name
        return self.path.stem if self.entrypoint is None else self.entrypoint.rpartition(":")[2]


def load_workflow(
    path: str | os.PathLike[str],
    overrides: Sequence[tuple[str, str]] = (),
    *,
    entrypoint: Entrypoint = "optional",
    registry: Registry = default_registry,
) -> Workflow:
    """Read a workflow file, import what it names, and check all of it.

    The file's folder is put on `sys.path`; the modules under `plugins:` are imported first, then the entrypoint's,
    then exporters are looked up. An unset variable that is not required is logged as a warning.

    Args:
        path: The file.
        overrides: Dotted keys and the values they get, as if they stood in the file.
        entrypoint: Whether a `workflow:` section must be there. With `"unused"` its module is imported, for the
            exporters it may register, and its function is not looked up; with `"if_needed"` only if an exporter's type is
            not known without it.
        registry: Where exporter types are looked up.

    Raises:
        ConfigurationError: With all problems that were found, in the order of the file.
    """
    mixed = check_environment()
    if mixed is not None:
        raise ConfigurationError(mixed)
    return _Loading(Document(FilePath(path)), entrypoint, registry).load(overrides)


def status_directory_of(path: str | os.PathLike[str]) -> FilePath | None:
    """Where processes with this workflow file keep their status files, absolute; None if they keep none.

    Nothing that the file names is imported, and its exporters are not looked at.

    Raises:
        ConfigurationError: With all problems that were found on the way to that key.
    """
    return _Loading(Document(FilePath(path)), "unused", default_registry).status_directory()


class _Loading:
    """One reading of one file."""

    def __init__(self, document: Document, entrypoint: Entrypoint, registry: Registry) -> None:
        self._document = document
        self._folder = document.file.resolve().parent
        self._entrypoint = entrypoint
        self._registry = registry
        self._problems: list[Problem] = list(document.problems)
        self._delivery: DeliveryConfig | None = None
        self._environment = Interpolation()
        self._postponed: str | None = None
        self._plugin_files: list[str] = []
        self._ignored: set[Path] = set()  # where an unset variable does not matter, or is reported as a problem

    def load(self, overrides: Sequence[tuple[str, str]]) -> Workflow:
        self._problems += self._document.override(overrides)
        sections = self._read_sections()
        put_on_path(self._folder)
        self._import_plugins(sections.get("plugins"))
        name, code, call = self._read_workflow(sections)
        telemetry = self._read_telemetry(sections)
        exporters = self._read_exporters(telemetry)
        status_directory = self._read_status_directory(telemetry)
        self._raise_problems()
        self._warn()
        return Workflow(
            path=self._document.file,
            name=name,
            entrypoint=code,
            call=call,
            exporters=exporters,
            delivery=self._delivery,
            status_directory=status_directory,
        )

    def status_directory(self) -> FilePath | None:
        directory = self._read_status_directory(self._read_telemetry(self._read_sections()))
        self._raise_problems()
        return directory

    def _raise_problems(self) -> None:
        if self._problems:
            raise ConfigurationError(
                *sorted(self._problems, key=lambda problem: (problem.line or 0, problem.column or 0))
            )

    def _read_sections(self) -> dict[str, Any]:
        self._environment = interpolate(self._document.data, os.environ)
        data = self._environment.value
        if data is None and self._entrypoint == "optional":
            self._add((), "is empty, expected the keys general and workflow")
        return self._mapping(data, (), ("general", "workflow", "plugins"), _about_section)

    def _read_telemetry(self, sections: Mapping[str, Any]) -> dict[str, Any]:
        general = self._mapping(sections.get("general"), _TRACING[:1], ("telemetry",))
        known = ("tracing", "delivery", "processors", "redact", "content", "status_directory")
        return self._mapping(general.get("telemetry"), _TRACING[:2], known, _about_telemetry)

    def _read_status_directory(self, telemetry: Mapping[str, Any]) -> FilePath | None:
        path = (*_TRACING[:2], "status_directory")
        text = self._text(telemetry, path)
        try:
            return None if text is None else resolve_status_directory(text)
        except ValueError as error:
            self._add(path, f"is {error}")
            return None

    def _import_plugins(self, plugins: Any) -> None:
        if plugins is None:
            return
        if not isinstance(plugins, list):
            self._add(("plugins",), f"expected a list of modules or files, as [my_exporters], got {_shown(plugins)}")
            return
        for index, code in enumerate(plugins):
            path: Path = ("plugins", index)
            if not isinstance(code, str) or not code:
                self._add(
                    path, f"expected a module, as my_package.register, or a file, as ./exporters.py, got {_shown(code)}"
                )
                continue
            try:
                self._import_plugin(code, path)
            except CannotImportError as error:
                self._add(path, str(error), error.details)

    def _import_plugin(self, code: str, path: Path) -> None:
        imported, registered = set(sys.modules), default_registry.count
        module = import_code(code, self._folder)
        if not is_file_name(code):
            return
        self._plugin_files.append(code)
        is_new = module.__name__ not in imported
        if is_new and default_registry.count == registered:
            self._add(
                path,
                f"{code} registers nothing, expected a function with @{EXPORTER.decorator} or @{PROCESSOR.decorator}; "
                "add one, or take the file out of plugins",
            )

    def _read_workflow(self, sections: dict[str, Any]) -> tuple[str | None, str | None, Callable[..., Any] | None]:
        if "workflow" not in sections:
            if self._entrypoint == "required":
                self._add(
                    (), "names nothing to run; add a workflow section: workflow: {entrypoint: package.module:function}"
                )
            return None, None, None
        section = sections["workflow"]
        kind = section.get("_type", "python") if isinstance(section, dict) else "python"
        if kind != "python":
            self._add(
                ("workflow", "_type"),
                f"is {kind!r}, expected python: a workflow is a Python function, named under workflow.entrypoint as "
                "package.module:function or ./file.py:function",
            )
            return None, None, None
        values = self._mapping(section, ("workflow",), ("_type", "entrypoint", "name"))
        name = self._text(values, ("workflow", "name"))
        code = self._text(values, ("workflow", "entrypoint"))
        if code is None:
            if values.get("entrypoint") is None:
                self._add(("workflow",), "has no entrypoint, expected package.module:function or ./file.py:function")
            return name, None, None
        if self._entrypoint == "if_needed":
            self._postponed = code
            return name, code, None
        return name, code, self._import_entrypoint(code)

    def _import_entrypoint(self, code: str) -> Callable[..., Any] | None:
        path = ("workflow", "entrypoint")
        try:
            module_name, function_name = split_entrypoint(code)
            module = import_code(module_name, self._folder)
            is_called = self._entrypoint in ("required", "optional")
            return find_callable(module, function_name) if is_called else None
        except CannotImportError as error:
            self._add(path, str(error), error.details)
        except ValueError as error:
            self._add(path, str(error))
        return None

    def _read_exporters(self, telemetry: Mapping[str, Any]) -> list[ExporterEntry]:
        general_delivery = self._delivery = self._read_delivery(telemetry, _TRACING[:2])
        general_processors = self._read_processors(telemetry, _TRACING[:2])
        general_redact = self._read_redact(telemetry, _TRACING[:2])
        general_content = self._read_short_form(telemetry, (*_TRACING[:2], "content"), CONTENT)
        tracing = telemetry.get("tracing")
        if tracing is not None and not isinstance(tracing, dict):
            self._add(_TRACING, f"expected a mapping of names to exporters, got {_shown(tracing)}")
            return []
        for index, processor in enumerate(general_processors):
            if processor.config.for_one_exporter:
                self._add((*_TRACING[:2], "processors", index), FOR_ONE_EXPORTER)
        return [
            replace(entry, processors=(*general_processors, *entry.processors), redact=entry.redact or general_redact)
            for name, given in (tracing or {}).items()
            for entry in self._read_exporter(name, given, general_delivery, general_content)
        ]

    def _read_delivery(self, section: Mapping[str, Any], path: Path) -> DeliveryConfig | None:
        """Return the `delivery:` block of a section, None if it has none or a wrong one."""
        block = section.get("delivery")
        if block is None:
            return None
        path = (*path, "delivery")
        if not isinstance(block, dict):
            self._add(
                path, f"expected a mapping with the keys {', '.join(DeliveryConfig.model_fields)}, got {_shown(block)}"
            )
            return None
        try:
            return DeliveryConfig.model_validate(block)
        except ValidationError as error:
            for line in error.errors(include_url=False):
                place: Path = tuple(line["loc"])
                is_unknown = line["type"] == "extra_forbidden"
                said = unknown_key(DeliveryConfig, place) if is_unknown else self._in_our_words(line, (*path, *place))
                self._add((*path, *place), said)
            return None

    def _read_exporter(
        self, name: str, entry: Any, general: DeliveryConfig | None, general_content: ProcessorEntry | None
    ) -> list[ExporterEntry]:
        """Return what an entry stands for: an exporter, one for each route if it has routes, none if it is wrong."""
        path = (*_TRACING, name)
        if not isinstance(entry, dict):
            self._add(path, f"expected a mapping with _type and the exporter's settings, got {_shown(entry)}")
            return []
        is_enabled = self._flag(entry, (*path, "enabled"), default=True)
        is_required = self._flag(entry, (*path, "required"), default=False)
        if not is_enabled:
            self._ignored.add(path)
            return []
        delivery = self._read_delivery(entry, path)
        if delivery is not None and "intake" in delivery.model_fields_set:
            self._add(
                (*path, "delivery", "intake"),
                "is for all exporters together; write it under general.telemetry.delivery",
            )
        if delivery is not None and general is not None:
            delivery = delivery.over(general)
        processors = [*self._read_short_forms(entry, path), *self._read_processors(entry, path)]
        redact = self._read_redact(entry, path)
        own_content = self._read_short_form(entry, (*path, "content"), CONTENT)
        content = general_content if entry.get("content") is None else own_content
        if content is not None:
            processors.append(content)  # behind all others: they see what there is
        registration = self._resolve(entry, path, EXPORTER)
        if registration is None:
            return []

        def made(config: TelemetryExporterBaseConfig) -> ExporterEntry:
            return ExporterEntry(
                name,
                config,
                registration,
                is_required,
                delivery or general,
                tuple(processors),
                redact,
                self._read_conventions(entry, config, path),
            )

        route = self._read_route(processors, entry, path)
        if route is not None:
            return self._read_routes(*route, registration, entry, path, made)
        config = self._validate(registration.config_type, entry, path)
        return [made(config)] if isinstance(config, TelemetryExporterBaseConfig) else []

    def _read_route(
        self, processors: Sequence[ProcessorEntry], entry: Mapping[str, Any], path: Path
    ) -> "tuple[RouteConfig, Path] | None":
        """Return the settings of the processor that chooses routes, and where they are; None if there is none."""
        places = {dotted((*path, "processors", index)): index for index in range(len(entry.get("processors") or ()))}
        found: tuple[RouteConfig, Path] | None = None
        for processor in processors:
            route = route_in([processor])
            if route is None:
                continue
            index = places[processor.path]
            place = (*path, "processors", index)
            if "timeout" in entry["processors"][index]:
                self._add((*place, "timeout"), "has no effect: choosing a route waits for nothing; remove it")
            if found is not None:
                self._add(place, "is a second route; an exporter has one at most")
            found = (route[1], place)
        return found

    def _read_routes(
        self,
        route: "RouteConfig",
        place: Path,
        registration: Registration,
        entry: Mapping[str, Any],
        path: Path,
        made: Callable[[TelemetryExporterBaseConfig], ExporterEntry],
    ) -> list[ExporterEntry]:
        """Return an entry for each route, and the one for runs that have none."""
        from nat.observability.routing import misfits, settings_of

        config_type: Any = registration.config_type
        wrong = list(misfits(config_type, route))
        for inner, message in wrong:
            self._add((*place, *inner), message)
        base: Any = self._validate(config_type, entry, path) if route.otherwise == "send" else None
        if wrong or (route.otherwise == "send" and base is None):
            return []
        configs: dict[str, Any] = {}
        for name, own in route.routes.items():

            def place_of(loc: Path, name: str = name, own: Mapping[str, Any] = own) -> Path:
                is_own = not loc or loc[0] in own or loc[0] not in entry
                return (*place, "routes", name, *loc) if is_own else (*path, *loc)

            configs[name] = self._validate(config_type, settings_of(route, name, entry), path, place_of)
        if None in configs.values():
            return []
        return entries_by_route(made(base or next(iter(configs.values()))), route, configs)

    def _read_conventions(
        self, entry: Mapping[str, Any], config: TelemetryExporterBaseConfig, path: Path
    ) -> Conventions | None:
        chosen: Conventions | None = entry.get("conventions")
        problem = None if chosen is None else conventions_problem(config, chosen)
        if problem is not None:
            self._add((*path, "conventions"), problem)
            return None
        return chosen

    def _read_redact(self, section: Mapping[str, Any], path: Path) -> "RedactConfig | None":
        """Return what the `redact:` key of a section says: a profile, or a mapping with the settings of type `redact`."""
        value = section.get("redact")
        path = (*path, "redact")
        if value is None:
            return None
        if value is False:  # YAML reads `off` and `no` so
            value = "none"
        if isinstance(value, str):
            value = {"profile": value}
        if not isinstance(value, dict):
            self._add(
                path, f"expected secrets, pii, none or a mapping, got {_shown(value)}; see nat info processor redact"
            )
            return None
        from nat.observability.redaction.settings import RedactConfig

        config = self._validate(RedactConfig, value, path)
        return config if isinstance(config, RedactConfig) else None

    def _read_processors(self, section: Mapping[str, Any], path: Path) -> list[ProcessorEntry]:
        """Return what the `processors:` list of a section says, without items that are switched off or wrong."""
        items = section.get("processors")
        path = (*path, "processors")
        if items is None:
            return []
        if not isinstance(items, list):
            self._add(path, f"expected a list of processors, each a mapping with _type, got {_shown(items)}")
            return []
        processors = [self._read_processor(item, (*path, index)) for index, item in enumerate(items)]
        return [processor for processor in processors if processor is not None]

    def _read_short_forms(self, entry: Mapping[str, Any], path: Path) -> list[ProcessorEntry]:
        """Return the processors that keys of an exporter's entry stand for, in the order that they have."""
        processors = [self._read_short_form(entry, (*path, key), form) for key, form in SHORT_FORMS.items()]
        return [processor for processor in processors if processor is not None]

    def _read_short_form(self, section: Mapping[str, Any], path: Path, form: ShortForm) -> ProcessorEntry | None:
        """Return the processor that a key stands for."""
        key = path[-1]
        value = section.get(str(key))
        if isinstance(value, dict) and value.get("_type", form.type) != form.type:
            self._add((*path, "_type"), f"{key} is processor {form.type}; name others under processors:")
            return None
        if value is None:
            return None
        only = None if form.is_all_of(value) else form.setting
        return self._read_processor(form.item(value), path, only)

    def _read_processor(self, item: Any, path: Path, only: str | None = None) -> ProcessorEntry | None:
        """Return what an item says; with `only`, it is the value of that setting which stands at the path."""
        if not isinstance(item, dict):
            self._add(path, f"expected a mapping with _type and the processor's settings, got {_shown(item)}")
            return None
        if not self._flag(item, (*path, "enabled"), default=True):
            self._ignored.add(path)
            return None
        timeout_s = self._seconds(item, (*path, "timeout"), default=PROCESSOR_TIMEOUT_S)
        registration = self._resolve(item, path, PROCESSOR)
        if registration is None:
            return None
        config = self._validate(
            registration.config_type, item, path, lambda loc: (*path, *(loc[1:] if loc[:1] == (only,) else loc))
        )
        if not isinstance(config, TelemetryProcessorBaseConfig):
            return None
        return ProcessorEntry(config, registration, dotted(path), timeout_s)

    def _resolve(self, entry: dict[str, Any], path: Path, kind: ComponentKind) -> Registration | None:
        type_name = entry.get("_type")
        if not isinstance(type_name, str) or not type_name:
            got = "" if type_name is None else f", got {_shown(type_name)}"
            example = "" if kind is PROCESSOR else ", as `_type: console`"
            self._add((*path, "_type"), f"expected the type of the {kind.noun}{example}{got}")
            return None
        try:
            return self._registry.resolve(type_name, kind)
        except ConfigurationError as error:
            if self._postponed is not None:
                code, self._postponed = self._postponed, None
                self._import_entrypoint(code)
                return self._resolve(entry, path, kind)
            for problem in error.problems:
                self._add((*path, "_type"), problem.message, problem.details)
            return None

    def _validate(
        self,
        config_type: type[ComponentBaseConfig],
        entry: Mapping[str, Any],
        path: Path,
        place_of: Callable[[Path], Path] | None = None,
    ) -> ComponentBaseConfig | None:
        """Return the configuration object of an entry, without the keys that the toolkit takes itself.

        Args:
            config_type: Its class.
            entry: The settings.
            path: Where they are.
            place_of: Where something is that pydantic places within the settings, if not below the path.
        """
        settings = {
            key: value for key, value in entry.items() if key not in config_type.reserved_keys and key != "_type"
        }
        where = place_of or (lambda loc: (*path, *loc))
        empty = self._empty_secrets(config_type, settings, path, where)
        try:
            config = config_type.model_validate(settings)
        except ValidationError as error:
            for line in error.errors(include_url=False):
                loc: Path = tuple(line["loc"])
                if not loc or loc[0] not in empty:
                    self._add(where(loc), self._said(line, config_type, where(loc)))
            return None
        return None if empty else config

    def _empty_secrets(
        self,
        config_type: type[ComponentBaseConfig],
        settings: Mapping[str, Any],
        path: Path,
        place_of: Callable[[Path], Path],
    ) -> set[str]:
        """Report required secrets that variables left empty, and return their keys."""
        found: set[str] = set()
        for place, names in self._environment.empty.items():
            key = place[len(path)] if place[: len(path)] == path and len(place) > len(path) else None
            if not isinstance(key, str) or key not in settings or place_of((key,)) != (*path, key):
                continue
            if config_type.is_required(key) and config_type.is_secret(key):
                found.add(key)
                self._ignored.add(place)
                self._add(place, f"is empty, expected a secret: {self._reason(place, names)}; set it")
        return found

    def _reason(self, place: Path, names: Iterable[str]) -> str:
        unset = self._environment.unset.get(place, [])
        return ", ".join(
            f"the environment variable {name} is {'not set' if name in unset else 'empty'}" for name in names
        )

    def _said(self, line: Any, config_type: type[ComponentBaseConfig], path: Path) -> str:
        """Return one error of pydantic, of what stands at that path, in our words."""
        place: Path = tuple(line["loc"])
        if line["type"] == "missing":
            return f"is missing, expected {_about_field(config_type, place)}"
        is_secret = any(isinstance(part, str) and config_type.is_secret(part) for part in place)
        has_value = bool(place) and line["type"] not in ("extra_forbidden", "value_error", "assertion_error")
        return self._in_our_words(line, path, shows_value=has_value and not is_secret)

    def _in_our_words(self, line: Any, path: Path, *, shows_value: bool = True) -> str:
        message = str(line["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        message = message.removeprefix("Input ")  # "Input should be …"
        names = self._environment.empty.get(path)
        if names:
            self._ignored.add(path)
            unnamed = [name for name in names if name not in message]
            return f"{message}; {self._reason(path, unnamed)}" if unnamed else message
        return f"{message}, got {_shown(line['input'])}" if shows_value else message

    def _mapping(
        self,
        value: Any,
        path: Path,
        known: tuple[str, ...],
        about: Callable[[str], str | None] = lambda key: None,
    ) -> dict[str, Any]:
        """Return a section as a dict, and report keys in it that are not known."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._add(path, f"expected a mapping with the keys {', '.join(known)}, got {_shown(value)}")
            return {}
        for key in value:
            if key not in known:
                self._add((*path, key), about(key) or _unknown_key(key, known))
        return value

    def _text(self, values: Mapping[str, Any], path: Path) -> str | None:
        value = values.get(str(path[-1]))
        if value is None or (isinstance(value, str) and value):
            return value
        names = self._environment.empty.get(path)
        self._add(path, f"expected text, got {_shown(value)}" + (f"; {self._reason(path, names)}" if names else ""))
        return None

    def _flag(self, entry: Mapping[str, Any], path: Path, *, default: bool) -> bool:
        value = entry.get(str(path[-1]), default)
        if isinstance(value, str) and value.lower() in ("true", "false"):  # from a variable
            value = value.lower() == "true"
        if isinstance(value, bool):
            return value
        self._add(path, f"expected true or false, got {_shown(value)}")
        return default

    def _seconds(self, entry: Mapping[str, Any], path: Path, *, default: float) -> float:
        value = entry.get(str(path[-1]), default)
        try:
            seconds = math.nan if isinstance(value, bool) else float(value)  # text comes from a variable
        except (TypeError, ValueError):
            seconds = math.nan
        if 0 < seconds < math.inf:
            return seconds
        self._add(path, f"expected a number of seconds above 0, got {_shown(value)}")
        return default

    def _add(self, path: Path, message: str, details: str | None = None) -> None:
        problem = self._document.problem(path, message, details)
        if problem not in self._problems:  # what several routes share is wrong once
            self._problems.append(problem)

    def _warn(self) -> None:
        """Say which plugins are files, and which variables are not set, each with the places that wanted it."""
        places: dict[str, list[str]] = {}
        for place, names in self._environment.unset.items():
            if not self._is_ignored(place):
                for name in dict.fromkeys(names):
                    places.setdefault(name, []).append(dotted(place))
        file = self._document.file
        if self._plugin_files:
            logger.warning(
                "%s: plugins: %s: a file is for development; to share or deploy it, make a package of it "
                "(nat exporter new)", file, ", ".join(self._plugin_files),
            )  # fmt: skip
        for name, wanting in places.items():
            logger.warning(
                "%s: %s: the environment variable %s is not set, an empty text is used; "
                "set it, or write ${%s:-default}", file, ", ".join(wanting), name, name,
            )  # fmt: skip
        for place in self._environment.malformed:
            if not self._is_ignored(place):
                logger.warning(
                    "%s: %s: holds a ${ that begins no reference to a variable and stays as it is; "
                    "expected ${NAME} or ${NAME:-default}", file, dotted(place),
                )  # fmt: skip

    def _is_ignored(self, place: Path) -> bool:
        return any(place[: len(ignored)] == ignored for ignored in self._ignored)


def _unknown_key(key: str, known: tuple[str, ...]) -> str:
    meant = closest(key, known)
    return f"unknown key {key!r}" + (
        f"; did you mean {meant!r}?" if meant else f", expected one of: {', '.join(known)}"
    )


def _about_section(key: str) -> str | None:
    if key not in _AGENT_SECTIONS:
        return None
    return (
        "is not supported: nat-telemetry does not build agents from YAML, it runs a Python function of yours; remove "
        "this section and name your function under workflow.entrypoint"
    )


def _about_telemetry(key: str) -> str | None:
    if key != "logging":
        return None
    return "is not supported: logging is left to Python's own logging module; remove this section"


def _about_field(config_type: type[ComponentBaseConfig], place: Path) -> str:
    field_info = config_type.model_fields.get(str(place[0])) if len(place) == 1 else None
    if field_info is None or not field_info.description:
        return "a value"
    return f"a value: {field_info.description}"


def _shown(value: Any) -> str:
    text = repr(masked(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
