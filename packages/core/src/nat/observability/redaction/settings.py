"""Settings of redaction: the processor `redact`, and the key `redact` of an exporter and of all."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from nat.data_models.suggestion import closest
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig

__all__ = ["FieldRule", "RedactAction", "RedactConfig", "RedactProfile"]

RedactProfile = Literal["secrets", "pii", "none"]
RedactAction = Literal["replace", "remove", "mask", "partial", "hash"]


class FieldRule(BaseModel):
    """A field whose value is redacted whatever it holds."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)

    path: str = Field(min_length=1, description="As an item of `fields`.")
    action: RedactAction | None = Field(default=None, description="What is done with it; null: what `action` says.")


class RedactConfig(TelemetryProcessorBaseConfig, name="redact"):
    """Takes secrets and personal data out of everything that an item holds."""

    profile: RedactProfile = Field(
        default="secrets",
        description="What is looked for by itself. secrets: keys, tokens, passwords, credentials; pii: also e-mail addresses, "
        "phone and card numbers, IBANs, IP addresses; none: only what is said below.",
    )
    action: RedactAction = Field(
        default="replace",
        description="What is done with what was found. replace: `replacement` stands in its place; remove: nothing does, and "
        "fields go with their key; mask: asterisks; partial: asterisks and the last four characters; hash: a keyed hash, the "
        "same for the same text.",
    )
    replacement: str = Field(
        default="[REDACTED:{name}]", description="What stands there with `replace`; {name} is what was found."
    )
    hash_key: SecretStr | None = Field(default=None, description="Key of the hash, for `hash`; 16 characters or more.")
    fields: list[str | FieldRule] = Field(
        default_factory=list,
        description="Fields that are redacted whatever they hold. A name, as `ssn` or `*_code`, at any depth; or a path from "
        "an attribute on, as `input.value.customer.*`; * is one part of a path, ** any number. A mapping gives one an action.",
    )
    patterns: dict[str, str] = Field(
        default_factory=dict,
        description="Texts that are redacted wherever they stand: a name for each, and a regular expression (RE2).",
    )
    roles: list[str] = Field(
        default_factory=list, description="Roles of messages whose content is redacted, as `system` or `user`."
    )
    allow: list[str] = Field(
        default_factory=list, description="Texts that are left where they are found; * stands for any characters."
    )
    without: list[str] = Field(
        default_factory=list, description="What of the profile is not looked for, by the name that stands in its place."
    )

    @field_validator("patterns")
    @classmethod
    def _are_patterns(cls, patterns: dict[str, str]) -> dict[str, str]:
        from nat.observability.redaction.scanner import pattern_error

        for name, pattern in patterns.items():
            reason = pattern_error(pattern)
            if reason is not None:
                message = "{name} is no regular expression of RE2: {reason}"
                raise PydanticCustomError("bad_pattern", message, {"name": repr(name), "reason": reason})
        return patterns

    @field_validator("without")
    @classmethod
    def _are_detectors(cls, without: list[str]) -> list[str]:
        from nat.observability.redaction.detectors import DETECTORS

        names = {"personal", *(detector.name for detector in DETECTORS)}
        for name in without:
            if name not in names:
                meant = closest(name, names)
                hint = f"did you mean {meant!r}?" if meant else f"there are: {', '.join(sorted(names))}"
                raise PydanticCustomError(
                    "no_detector", "{name} is not looked for; {hint}", {"name": repr(name), "hint": hint}
                )
        return without

    @model_validator(mode="after")
    def _can_hash(self) -> Self:
        actions = {self.action, *(field.action for field in self.fields if isinstance(field, FieldRule))}
        if "hash" in actions and (self.hash_key is None or len(self.hash_key.get_secret_value()) < 16):
            raise PydanticCustomError("no_hash_key", "hash needs a hash_key of 16 characters or more")
        return self
