"""Scaffold: a package for an exporter or processor of one's own, complete, and green from the start.

What is in `templates/` is a package for `acme`: a folder of what all kinds have, and one for each kind, which goes over it.
`acme` in names and texts becomes the name, `@word@` what is known of the package; `dot-` begins a hidden file.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from nat.observability.component import KINDS as COMPONENT_KINDS
from nat.observability.component import ComponentKind

__all__ = ["KINDS", "LICENCES", "Author", "BadNameError", "Kind", "NewPackage", "default_author", "write_package"]

Kind: TypeAlias = Literal["raw", "span", "otlp", "processor"]

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_LONGEST_NAME = 24  # lines of what is written stay as the formatter has them
_ACME = re.compile(r"nat-acme|nat_acme|ACME|Acme|acme")
_WORD = re.compile(r"@([a-z]+)@")
_AUTHOR = re.compile(r"\s*([^<>\x00-\x1f]*[^<>\x00-\x1f\s])\s*(?:<\s*([^<>\s@]+@[^<>\s@]+)\s*>)?\s*")
_GIT_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class _About:
    """What is different about one kind.

    Attributes:
        noun: What is made.
        description: One line for the package index.
        dependencies: Distributions of ours that it needs; those with a version of somebody else's come with it.
        begin: Where an author begins.
    """

    noun: str
    description: str
    dependencies: tuple[str, ...]
    begin: str


KINDS: Mapping[Kind, _About] = {
    "raw": _About(
        "exporter",
        "Exporter of nat-telemetry: every step of an agent, in order, as a line of a file.",
        ("nat-telemetry-core",),
        "`export_processed` in `src/nat_acme/exporter.py`",
    ),
    "span": _About(
        "exporter",
        "Exporter of nat-telemetry: the spans of an agent as JSON, over HTTP.",
        ("aiohttp>=3.10", "nat-telemetry-core"),
        "`export_processed` in `src/nat_acme/exporter.py`",
    ),
    "otlp": _About(
        "exporter",
        "Exporter of nat-telemetry: the spans of an agent, over OTLP.",
        ("nat-telemetry-core", "nat-telemetry-otlp"),
        "`build_acme` in `src/nat_acme/register.py`",
    ),
    "processor": _About(
        "processor",
        "Processor of nat-telemetry: says on every span which team it belongs to.",
        ("nat-telemetry-core",),
        "`process` in `src/nat_acme/processor.py`",
    ),
}
LICENCES: Mapping[str, str] = {
    "Apache-2.0": "Apache-2.0",
    "MIT": "MIT",
    "BSD-3-Clause": "BSD-3-Clause",
    "MPL-2.0": "MPL-2.0",
    "proprietary": "LicenseRef-Proprietary",
}
"""What `--license` takes, and SPDX's word for it."""


class BadNameError(ValueError):
    """A name under which no package can be begun; the message says why."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes a package."""

    name: str
    email: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Author":
        """Read `Ada Lovelace <ada@example.org>`; the address may be left out.

        Raises:
            ValueError: It is neither.
        """
        found = _AUTHOR.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no author, expected a name, or a name and an address: Ada <ada@example.org>")
        return cls(found[1], found[2])

    def __str__(self) -> str:
        return self.name if self.email is None else f"{self.name} <{self.email}>"

    @property
    def as_toml(self) -> str:
        """A table of pyproject.toml's `authors`."""
        fields = {"name": self.name} | ({} if self.email is None else {"email": self.email})
        return (
            "{ " + ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()) + " }"
        )


@dataclass(frozen=True, slots=True)
class NewPackage:
    """A package that is to be begun.

    Attributes:
        name: Of the type; with underscores.
        kind: What it is to hold.
        licence: One of `LICENCES`.

    Raises:
        BadNameError: A package cannot have this name.
    """

    name: str
    kind: Kind
    licence: str
    author: Author

    @classmethod
    def named(cls, name: str, kind: Kind, licence: str, author: Author) -> "NewPackage":
        """A package of a name as somebody has written it, once it is checked."""
        return cls(checked_name(name, kind), kind, licence, author)

    @property
    def distribution(self) -> str:
        """What is installed, and the folder that it is in."""
        return f"nat-{self.name.replace('_', '-')}"

    @property
    def module(self) -> str:
        """What is imported."""
        return f"nat_{self.name}"

    @property
    def class_prefix(self) -> str:
        """What its classes are called after."""
        return "".join(part.capitalize() for part in self.name.split("_"))


def checked_name(name: str, kind: Kind) -> str:
    """The type's name for what somebody calls a package.

    Raises:
        BadNameError: It is none, or is taken.
    """
    if name.startswith(("nat-", "nat_")):
        raise BadNameError(f"{name!r}: the package's name gets nat- in front by itself; write {name[4:]!r}")
    if _NAME.fullmatch(name) is None or len(name) > _LONGEST_NAME:
        raise BadNameError(
            f"{name!r} is no name for a package, expected lower-case letters and digits, parts joined by - or _, "
            f"{_LONGEST_NAME} characters at most, such as acme or acme-cloud"
        )
    type_name = name.replace("-", "_")
    taken = _component_kind(kind).own.get(type_name)
    if taken is not None:
        raise BadNameError(f"{name!r} is a type of {taken.distribution}; choose another name")
    return type_name


def default_author(distribution: str) -> Author:
    """Who git says writes here; without git, the authors of the package."""
    name, email = _git_config("user.name"), _git_config("user.email")
    if not name:
        return Author(f"The authors of {distribution}")
    try:
        return Author.parse(f"{name} <{email}>" if email else name)
    except ValueError:
        return Author(f"The authors of {distribution}")


def write_package(package: NewPackage, parent: Path) -> Path:
    """Write all files of a new package into a new folder, and return the folder.

    Raises:
        FileExistsError: There is something of that name.
    """
    folder = parent / package.distribution
    folder.mkdir(parents=True)
    words = _words(package)
    for name, text in _texts(package.kind):
        file = folder / _renamed(name, package)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_filled(_renamed(text, package), words), encoding="utf-8")
    licence = (_templates() / "licences" / LICENCES[package.licence]).read_text(encoding="utf-8")
    (folder / "LICENSE").write_text(_filled(licence, words), encoding="utf-8")
    return folder


def _templates() -> Traversable:
    return files("nat.testing") / "templates"


def _texts(kind: Kind) -> Iterator[tuple[str, str]]:
    """Names and texts of the templates of one kind."""
    assert kind in get_args(Kind)
    for layer in ("common", kind):
        for path, item in _walk(_templates() / layer):
            yield re.sub(r"(^|/)dot-", r"\1.", path), item.read_text(encoding="utf-8")


def _walk(folder: Traversable, path: str = "") -> Iterator[tuple[str, Traversable]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.name == "__pycache__":
            continue
        if item.is_dir():
            yield from _walk(item, f"{path}{item.name}/")
        else:
            yield f"{path}{item.name}", item


def _renamed(text: str, package: NewPackage) -> str:
    names = {
        "nat-acme": package.distribution,
        "nat_acme": package.module,
        "ACME": package.name.upper(),
        "Acme": package.class_prefix,
        "acme": package.name,
    }
    return _ACME.sub(lambda found: names[found[0]], text)


def _filled(text: str, words: Mapping[str, str]) -> str:
    return _WORD.sub(lambda found: words[found[1]], text)


def _words(package: NewPackage) -> dict[str, str]:
    about = KINDS[package.kind]
    ours = version("nat-telemetry-core")
    needed = [name if ">" in name else f"{name}>={ours}" for name in about.dependencies]
    example = (_templates() / package.kind / "example" / "workflow.yaml").read_text(encoding="utf-8")
    return {
        "author": package.author.as_toml,
        "begin": _renamed(about.begin, package),
        "dependencies": json.dumps(needed),
        "description": about.description,
        "example": _renamed(example[example.index("general:") :], package).rstrip(),
        "holder": str(package.author),
        "licence": LICENCES[package.licence],
        "noun": about.noun,
        "version": ours,
        "year": str(datetime.now(UTC).year),
    }


def _component_kind(kind: Kind) -> ComponentKind:
    return next(one for one in COMPONENT_KINDS if one.noun == KINDS[kind].noun)


def _git_config(key: str) -> str:
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(["git", "config", key], capture_output=True, text=True, check=False, timeout=_GIT_WAIT_S)
    return done.stdout.strip()
