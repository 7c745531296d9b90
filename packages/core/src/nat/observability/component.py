"""Components: what plugins register. Exporters and processors, each with its configuration class."""

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import update_wrapper
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from nat.data_models.component_config import ComponentBaseConfig
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig

if TYPE_CHECKING:
    from nat.builder.builder import Builder

__all__ = ["EXPORTER", "KINDS", "PROCESSOR", "ComponentKind", "OwnType", "RegisteredComponent", "registering"]

ConfigT = TypeVar("ConfigT", bound=ComponentBaseConfig)
ComponentT = TypeVar("ComponentT")


@dataclass(frozen=True, slots=True)
class OwnType:
    """A type that this project ships: `extra` of `nat-telemetry` installs it, None: the base install."""

    type: str
    distribution: str
    extra: str | None
    description: str


@dataclass(frozen=True, slots=True)
class ComponentKind:
    """What can be registered.

    Attributes:
        name: As `nat info components` calls it.
        noun: What one of them is called in messages; `article` goes before it.
        config_base: What its configuration classes derive from.
        decorator: What registers one.
        expected: What a registration function must yield.
        is_one: Whether an object is that.
        own: The types that this project ships.
    """

    name: Literal["tracing", "processing"]
    noun: str
    article: str
    config_base: type[ComponentBaseConfig]
    decorator: str
    expected: str
    is_one: Callable[[object], bool]
    own: Mapping[str, OwnType]


class RegisteredComponent(Generic[ConfigT, ComponentT]):
    """A registration function as an async context manager: `async with queue_exporter(config, builder) as exporter:`.

    The function runs up to its `yield` on entering and from there on leaving. An exception of the body is never thrown
    into the function, so a `try` around its `yield` only sees errors of its own component.

    Attributes:
        config_type: The configuration class it was registered with.
        type_name: What a workflow file writes after `_type:`.
        kind: What it builds.
    """

    __name__: str
    __wrapped__: Callable[..., AsyncIterator[Any]]

    def __init__(
        self,
        function: "Callable[[ConfigT, Builder], AsyncIterator[Any]]",
        config_type: type[ConfigT],
        kind: ComponentKind,
    ) -> None:
        update_wrapper(self, function)
        self.config_type = config_type
        self.type_name = config_type.static_type()
        self.kind = kind

    def __call__(self, config: ConfigT, builder: "Builder | None" = None) -> AbstractAsyncContextManager[ComponentT]:
        """Return the context manager that builds and tears down one component.

        Raises:
            TypeError: On entering, what the function yields is not of the kind, or it yields nothing; on leaving, it
                yields a second time.
        """
        return _Built(self.__wrapped__(config, builder), self._label, self.kind)

    def __repr__(self) -> str:
        return f"<registered {self.kind.noun} {self.type_name!r}: {self._label}>"

    @property
    def _label(self) -> str:
        return f"{self.__wrapped__.__module__}.{self.__wrapped__.__qualname__}"


class _Built(AbstractAsyncContextManager[Any]):
    def __init__(self, generator: AsyncIterator[Any], label: str, kind: ComponentKind) -> None:
        self._generator = generator
        self._label = label
        self._kind = kind

    async def __aenter__(self) -> Any:
        try:
            component = await anext(self._generator)
        except StopAsyncIteration:
            raise TypeError(f"{self._label} yields nothing, expected exactly one {self._kind.noun}") from None
        if self._kind.is_one(component):
            return component
        await self._close()
        raise TypeError(
            f"{self._label} yields {type(component).__module__}.{type(component).__qualname__}, "
            f"expected {self._kind.article} {self._kind.noun}: {self._kind.expected}"
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await anext(self._generator)
        except StopAsyncIteration:
            return
        await self._close()
        raise TypeError(f"{self._label} yields a second time, expected exactly one {self._kind.noun}")

    async def _close(self) -> None:
        await self._generator.aclose()  # type: ignore[attr-defined]  # it is an async generator: checked at registration


def registering(
    config_type: type[ConfigT], kind: ComponentKind, register: Callable[[RegisteredComponent[Any, Any]], None]
) -> "Callable[[Callable[[ConfigT, Builder], AsyncIterator[Any]]], RegisteredComponent[ConfigT, Any]]":
    """Return a decorator that makes a component of a function, and passes it to `register`.

    Raises:
        TypeError: `config_type` is not a named configuration class of that kind.
    """
    given: object = config_type
    if not (isinstance(given, type) and issubclass(given, kind.config_base)):
        raise TypeError(f"config_type must be a subclass of {kind.config_base.__name__}, got {config_type!r}")
    if config_type.is_abstract():
        raise TypeError(
            f"{config_type.__qualname__} has no name and cannot be registered; "
            f'write class {config_type.__name__}(…, name="…")'
        )

    def decorate(function: "Callable[[ConfigT, Builder], AsyncIterator[Any]]") -> RegisteredComponent[ConfigT, Any]:
        if not inspect.isasyncgenfunction(function):
            name = getattr(function, "__qualname__", repr(function))
            raise TypeError(
                f"{name} is not an async generator function; write `async def {name}(config, builder):` "
                f"and `yield` the {kind.noun}"
            )
        component: RegisteredComponent[ConfigT, Any] = RegisteredComponent(function, config_type, kind)
        register(component)
        return component

    return decorate


def _is_exporter(component: object) -> bool:
    from nat.observability.exporter.base_exporter import BaseExporter

    return isinstance(component, BaseExporter)


def _is_processor(component: object) -> bool:
    from nat.observability.processor.processor import Processor

    return isinstance(component, Processor)


def _by_type(*own: OwnType) -> Mapping[str, OwnType]:
    return {one.type: one for one in own}


EXPORTER = ComponentKind(
    name="tracing",
    noun="exporter",
    article="an",
    config_base=TelemetryExporterBaseConfig,
    decorator="register_telemetry_exporter",
    expected="an instance of RawExporter, SpanExporter or another subclass of BaseExporter",
    is_one=_is_exporter,
    own=_by_type(
        OwnType("catalyst", "nat-telemetry-catalyst", "ragaai", "RagaAI Catalyst"),
        OwnType("console", "nat-telemetry-core", None, "The terminal: a run as a tree, live"),
        OwnType("file", "nat-telemetry-file", None, "A local file or directory, as JSON lines"),
        OwnType("galileo", "nat-telemetry-galileo", "opentelemetry", "Galileo, through OTLP"),
        OwnType("langfuse", "nat-telemetry-langfuse", "opentelemetry", "Langfuse, through OTLP"),
        OwnType("langsmith", "nat-telemetry-langsmith", "opentelemetry", "LangSmith, through OTLP"),
        OwnType("otelcollector", "nat-telemetry-otlp", "opentelemetry", "Any OpenTelemetry Collector or OTLP endpoint"),
        OwnType("patronus", "nat-telemetry-patronus", "opentelemetry", "Patronus, through OTLP"),
        OwnType("phoenix", "nat-telemetry-phoenix", "phoenix", "Arize Phoenix, through OTLP"),
        OwnType("weave", "nat-telemetry-weave", "weave", "Weights & Biases Weave"),
    ),
)
PROCESSOR = ComponentKind(
    name="processing",
    noun="processor",
    article="a",
    config_base=TelemetryProcessorBaseConfig,
    decorator="register_telemetry_processor",
    expected="an instance of a subclass of Processor",
    is_one=_is_processor,
    own=_by_type(
        OwnType(
            "content", "nat-telemetry-core", None, "Says how much content goes on, and stores large parts elsewhere"
        ),
        OwnType("enrich", "nat-telemetry-core", None, "Adds attributes, costs of model calls, totals of runs"),
        OwnType("filter", "nat-telemetry-core", None, "Drops spans or steps, or keeps only these"),
        OwnType("redact", "nat-telemetry-core", None, "Takes secrets and personal data out"),
        OwnType("route", "nat-telemetry-core", None, "Sends the runs of each tenant to a place of its own"),
        OwnType("sample", "nat-telemetry-core", None, "Sends a share of the runs, each run whole"),
    ),
)
KINDS = (EXPORTER, PROCESSOR)
