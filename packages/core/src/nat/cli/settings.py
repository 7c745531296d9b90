"""The settings of a type of exporter or processor, written for somebody who is about to use it."""

import enum
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from nat.data_models.component_config import ComponentBaseConfig
from nat.data_models.delivery import DeliveryConfig
from nat.data_models.masking import is_secret_name
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability.component import EXPORTER
from nat.observability.registry import PROCESSOR_TIMEOUT_S, Registration

__all__ = ["EXPORTER_KEYS", "PROCESSOR_KEYS", "Setting", "describe_settings", "settings_of", "with_nested"]

EXPORTER_KEYS = {
    "enabled": "true or false, default true. false leaves the entry out.",
    "required": "true or false, default false. true: if the exporter cannot start, nothing does.",
    "processors": "list of processors that its items pass first, each with _type; also under general.telemetry for all.",
    "when": "mapping. Only items that are all of it are exported; as of processor filter.",
    "sample": "number from 0 to 1, or a mapping as of processor sample. Which share of the runs is exported.",
    "redact": "secrets, pii, none, or a mapping as of processor redact; default secrets. Also under general.telemetry for all.",
    "content": "full, truncate:N, metadata, none, or a mapping as of processor content. Also under general.telemetry for all.",
    "conventions": "names of its spans' attributes, where there is a choice: openinference, gen_ai or both, also gen_ai@0.1.0.",
    "delivery": "how its items get to the backend; a mapping, also under general.telemetry for all.",
}
PROCESSOR_KEYS = {
    "enabled": "true or false, default true. false leaves the entry out.",
    "timeout": f"number, more than 0, default {PROCESSOR_TIMEOUT_S:g}. Seconds for one item; then the item is dropped.",
}

_PLAIN_TYPES: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    SecretStr: "text, never shown",
    SecretBytes: "text, never shown",
    Any: "anything",
    object: "anything",
    list: "list",
    dict: "mapping",
    type(None): "null",
}
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than", "multiple_of": "a multiple of"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a configuration, in words.

    Attributes:
        key: As a workflow file writes it.
        kind: What it takes, with its bounds.
        default: What it is unless written, as YAML; None if it has to be.
        meaning: What its author says of it.
        annotation: The type that was declared.
    """

    key: str
    kind: str
    default: str | None
    meaning: str
    annotation: Any


def describe_settings(registration: Registration) -> list[str]:
    """Lines that say what an exporter or processor does, what can be set, and how an entry looks."""
    config = registration.config_type
    package = registration.distribution or f"module {registration.module}"
    version = f" {registration.version}" if registration.version else ""
    return [
        f"{registration.type_name}: {registration.description or 'no description'}",
        f"From {package}{version}.",
        "",
        *(["Settings:"] if config.model_fields else ["It has no settings of its own."]),
        *_indented(line for setting in with_nested(settings_of(config)) for line in _lines(setting)),
        *(_route_keys(config) if issubclass(config, TelemetryExporterBaseConfig) else ()),
        "",
        *(_exporter_keys() if registration.kind is EXPORTER else _processor_keys()),
        "",
        "Example:",
        *_indented(_example(registration, config)),
    ]


def _route_keys(config: type[TelemetryExporterBaseConfig]) -> list[str]:
    if not config.route_keys:
        return []
    return [f"Processor route can choose for each run: {', '.join(sorted(config.route_keys))}."]


def _exporter_keys() -> list[str]:
    return [
        "Every exporter entry also takes:",
        *_indented(f"{key}: {meaning}" for key, meaning in EXPORTER_KEYS.items()),
        *_indented(_indented(_delivery_keys())),
    ]


def _processor_keys() -> list[str]:
    return [
        "Every processor entry also takes:",
        *_indented(f"{key}: {meaning}" for key, meaning in PROCESSOR_KEYS.items()),
    ]


def settings_of(config: type[BaseModel]) -> list[Setting]:
    """The keys of a model: without a default, then its own, then those of its bases."""
    return [
        Setting(
            key,
            ", ".join([_type_text(field.annotation), *_bounds(field)]),
            None if field.is_required() else _default_text(config, key, field),
            " ".join((field.description or "").split()),
            field.annotation,
        )
        for key, field in _fields(config)
    ]


def with_nested(settings: Iterable[Setting]) -> Iterator[Setting]:
    """The settings, and behind one that is a mapping those in it: `tls.ca_file`, `fields[].path`, `models.*.input`."""
    for setting in settings:
        yield setting
        for suffix, block in _blocks(setting.annotation):
            for nested in with_nested(settings_of(block)):
                yield replace(nested, key=f"{setting.key}{suffix}.{nested.key}")


def _fields(config: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    own, keys = list(config.model_fields), list(config.model_fields)
    if issubclass(config, ComponentBaseConfig):
        own, keys = list(inspect.get_annotations(config)), config.keys()
    triples = zip(keys, config.model_fields.items(), strict=True)
    ranked = sorted(triples, key=lambda triple: (not triple[1][1].is_required(), triple[1][0] not in own))
    return [(key, field) for key, (_, field) in ranked]


def _blocks(annotation: Any, suffix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The models that a setting may hold, each with `[]` if it is one of a list, with `.*` if it has a name in a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield suffix, annotation
    origin = get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        suffix = f"{suffix}[]"
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        suffix = f"{suffix}.*"
    for part in get_args(annotation):
        yield from _blocks(part, suffix)


def _lines(setting: Setting) -> Iterator[str]:
    yield f"{setting.key}: {setting.kind}, {'required' if setting.default is None else f'default {setting.default}'}"
    if setting.meaning:
        yield f"    {setting.meaning}"


def _delivery_keys() -> Iterator[str]:
    """One line for each key of the `delivery:` block, `retry.multiplier` for a nested one."""
    for setting in with_nested(settings_of(DeliveryConfig)):
        if not any(_blocks(setting.annotation)):
            default = "" if setting.default == "null" else f", default {setting.default}"
            yield f"{setting.key}: {setting.kind}{default}. {setting.meaning}"


def _type_text(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(arguments[0])
    if origin is Literal:
        return " | ".join(str(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type_text(part) for part in arguments))
    if origin is not None:
        return _container_text(origin, arguments)
    if annotation in _PLAIN_TYPES:
        return _PLAIN_TYPES[annotation]
    if not isinstance(annotation, type):
        return str(annotation)
    if issubclass(annotation, enum.Enum):
        return " | ".join(str(member.value) for member in annotation)
    if issubclass(annotation, PurePath):
        return "path"
    if issubclass(annotation, BaseModel):
        return f"mapping with {', '.join(annotation.model_fields)}"
    return annotation.__name__


def _container_text(origin: Any, arguments: tuple[Any, ...]) -> str:
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of {_type_text(arguments[0])} to {_type_text(arguments[1])}"
    if isinstance(origin, type) and issubclass(origin, Sequence | set | frozenset):
        inner = dict.fromkeys(_type_text(part) for part in arguments if part is not Ellipsis)
        return f"list of {' or '.join(inner)}"
    return str(getattr(origin, "__name__", origin))


def _bounds(field: FieldInfo) -> Iterator[str]:
    for constraint in field.metadata:
        for name, words in _BOUNDS.items():
            bound = getattr(constraint, name, None)
            if bound is not None:
                yield f"{words} {bound}"


def _default_text(config: type[BaseModel], key: str, field: FieldInfo) -> str:
    default = _default(field)
    if default is PydanticUndefined:
        return "computed"
    is_secret = config.is_secret(key) if issubclass(config, ComponentBaseConfig) else is_secret_name(key)
    if default and is_secret:
        return "set, not shown"
    return _yaml_text(default)


def _default(field: FieldInfo) -> Any:
    if field.default_factory is None:
        return field.default
    try:
        return field.get_default(call_default_factory=True, validated_data={})
    except Exception:  # the author's code, which may want the other values
        return PydanticUndefined


def _example(registration: Registration, config: type[ComponentBaseConfig]) -> list[str]:
    import yaml

    type_name = registration.type_name
    fields = _fields(config)
    chosen = [(key, field) for key, field in fields if field.is_required() or _is_open_secret(config, key, field)]
    settings = {key: _example_value(type_name, config, key, field) for key, field in chosen or fields[:1]}
    entry = {"_type": type_name, **settings}
    section: dict[str, Any] = {"processors": [entry]}
    if registration.kind is EXPORTER:
        section = {"tracing": {f"my_{type_name}": entry}}
    elif issubclass(config, TelemetryProcessorBaseConfig) and config.for_one_exporter:
        section = {"tracing": {"my_phoenix": {"_type": "phoenix", **section}}}
    text: str = yaml.safe_dump({"general": {"telemetry": section}}, sort_keys=False, allow_unicode=True)
    return text.splitlines()


def _is_open_secret(config: type[ComponentBaseConfig], key: str, field: FieldInfo) -> bool:
    """Whether it is a key that the environment may give, too."""
    return config.is_secret(key) and field.default == ""


def _example_value(type_name: str, config: type[ComponentBaseConfig], key: str, field: FieldInfo) -> Any:
    if config.is_secret(key):
        return f"${{{type_name.upper().replace('-', '_')}_{key.upper()}}}"
    if field.examples:
        return _yaml_value(field.examples[0])
    default = PydanticUndefined if field.is_required() else _default(field)
    if default not in (PydanticUndefined, None):
        return _yaml_value(default)
    return _placeholder(key, field.annotation)


def _placeholder(key: str, annotation: Any) -> Any:
    kind = _type_text(annotation)
    if kind.startswith("text") and key in ("endpoint", "url", "base_url"):
        return "https://example.com"
    if " | " in kind:
        return kind.split(" | ")[0]
    starts = {"true": True, "whole": 1, "number": 1.0, "list": [], "mapping": {}}
    return next((value for start, value in starts.items() if kind.startswith(start)), f"my-{key.replace('_', '-')}")


def _yaml_text(value: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(_yaml_value(value), default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()


def _yaml_value(value: Any) -> Any:
    from nat.observability.snapshot import plain

    return plain(value)


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
