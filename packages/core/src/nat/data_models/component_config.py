"""Configuration of components: what the classes that configure exporters and processors have in common.

Light: only pydantic is imported here, so that a module which merely declares a configuration costs nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, get_args

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import CoreSchema, ValidatorFunctionWrapHandler, no_info_wrap_validator_function

from nat.data_models.masking import MASK, hide, is_secret_name, is_secret_type, masked, secret_texts
from nat.data_models.suggestion import closest

__all__ = ["ComponentBaseConfig", "unknown_key"]


class ComponentBaseConfig(BaseModel):
    """Settings of one component; subclass with `name=`, which is what a workflow file writes after `_type:`.

    A subclass without `name=` is abstract: a base for others, never registered.

    Unknown keys are errors that name the closest valid one. Neither errors nor `repr()` show the value of a secret:
    a field of a secret type, or one whose name contains key, token, secret, password, header, authorization or
    credential.

    Raises:
        TypeError: On declaring a subclass with a field that the toolkit takes itself (`reserved_keys`, `type`).
        pydantic.ValidationError: On making one from values that do not fit.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    _type_name: ClassVar[str | None] = None
    _entry: ClassVar[str] = "a component's entry"
    reserved_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys of an entry that the toolkit takes itself, before the configuration class sees the entry."""

    def __init_subclass__(cls, *, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if name is not None and not name.strip():
            raise TypeError(
                f"{cls.__qualname__}: `name=` must be the text a workflow file writes after _type, got {name!r}"
            )
        cls._type_name = name

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for field_name, field in cls.model_fields.items():
            for key in _keys(field_name, field):
                if key in cls.reserved_keys:
                    raise TypeError(
                        f"{cls.__qualname__}.{field_name}: the key {key!r} of {cls._entry} is taken by the "
                        f"toolkit itself, as are {', '.join(sorted(cls.reserved_keys - {key}))}; choose another name"
                    )
                if key in ("type", "_type", "static_type"):
                    raise TypeError(
                        f"{cls.__qualname__}.{field_name}: {key!r} is the registered name of a configuration class; "
                        "choose another name"
                    )

    @classmethod
    def static_type(cls) -> str:
        """Return the name given as `name=`.

        Raises:
            TypeError: The class is abstract, it has no name.
        """
        if cls._type_name is None:
            raise TypeError(f'{cls.__qualname__} is abstract: give it a name, `class {cls.__name__}(…, name="…")`')
        return cls._type_name

    @property
    def type(self) -> str:
        """The name given as `name=` to the class."""
        return self.static_type()

    @classmethod
    def is_abstract(cls) -> bool:
        """Return whether the class has no name, and so cannot be registered."""
        return cls._type_name is None

    @classmethod
    def keys(cls) -> list[str]:
        """Return the keys that an entry may set, as a workflow file writes them, in the order declared."""
        return [_keys(name, field)[0] for name, field in cls.model_fields.items()]

    @classmethod
    def is_secret(cls, key: str) -> bool:
        """Return whether the value of this field (by name or alias) is never shown."""
        field = _field(cls, key)
        return is_secret_name(key) or (field is not None and is_secret_type(field.annotation))

    @classmethod
    def is_required(cls, key: str) -> bool:
        """Return whether the field (by name or alias) exists and has no default."""
        field = _field(cls, key)
        return field is not None and field.is_required()

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield what `repr()` and `str()` show, secrets masked."""
        for key, value in super().__repr_args__():
            is_masked = key is not None and self.is_secret(key)
            yield key, MASK if is_masked else masked(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate as declared, outermost: accept a right `_type`, and show no secret in errors."""
        return no_info_wrap_validator_function(cls._validate, handler(source))

    @classmethod
    def _validate(cls, data: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(cls._without_type(data))
        except ValidationError as error:
            secrets = secret_texts(data, cls.is_secret)
            lines = [cls._public_line(line, secrets) for line in error.errors(include_url=False)]
        raise ValidationError.from_exception_data(cls.__name__, lines, hide_input=True)

    @classmethod
    def _without_type(cls, data: Any) -> Any:
        """Return the data without `_type`, which need not be given but may be when it is right."""
        if not isinstance(data, Mapping) or "_type" not in data:
            return data
        if data["_type"] != cls._type_name:
            message = f"_type is {data['_type']!r}, expected {cls._type_name!r}"
            line: InitErrorDetails = {"type": PydanticCustomError("wrong_type", message), "input": masked(data)}
            raise ValidationError.from_exception_data(cls.__name__, [line], hide_input=True)
        return {key: value for key, value in data.items() if key != "_type"}

    @classmethod
    def _public_line(cls, line: ErrorDetails, secrets: list[str]) -> InitErrorDetails:
        place = line["loc"]
        message = unknown_key(cls, place) if line["type"] == "extra_forbidden" else hide(line["msg"], secrets)
        is_masked = any(isinstance(part, str) and cls.is_secret(part) for part in place)
        return {
            "type": PydanticCustomError(line["type"], message),
            "loc": place,
            "input": MASK if is_masked else masked(line["input"]),
        }


def _keys(name: str, field: FieldInfo) -> list[str]:
    """Return the keys under which a field may be given, the one to tell users first."""
    alias = field.validation_alias or field.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    keys = [
        str(choice.path[0]) if isinstance(choice, AliasPath) else choice for choice in choices if choice is not None
    ]
    return keys if name in keys else [*keys, name]


def _field(model: type[BaseModel], key: str) -> FieldInfo | None:
    for name, field in model.model_fields.items():
        if key in _keys(name, field):
            return field
    return None


def unknown_key(model: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """Return what to say of a key that a model does not know, with the closest one that it does."""
    key = str(place[-1])
    owner = _model_at(model, place[:-1])
    if owner is None:
        return f"unknown key {key!r}"
    known = [_keys(name, field)[0] for name, field in owner.model_fields.items()]
    meant = closest(key, known)
    if meant is not None:
        return f"unknown key {key!r}; did you mean {meant!r}?"
    return (
        f"unknown key {key!r}, expected one of: {', '.join(known)}"
        if known
        else f"unknown key {key!r}, no key is expected"
    )


def _model_at(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the model that an error's place leads to, None if only pydantic can tell."""
    for part in place:
        field = _field(model, str(part))
        inner = None if field is None else _inner_model(field.annotation)
        if inner is None:
            return None
        model = inner
    return model


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [found for part in get_args(annotation) if (found := _inner_model(part)) is not None]
    return inner[0] if len(inner) == 1 else None
