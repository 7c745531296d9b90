"""Write `docs/reference/settings.md`: every key of every exporter and processor, from their configuration classes.

uv run tools/settings_page.py           # write the page
uv run tools/settings_page.py --check   # exit 1 if the page is not what would be written
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nat.cli.settings import EXPORTER_KEYS, PROCESSOR_KEYS, Setting, settings_of, with_nested
from nat.data_models.delivery import DeliveryConfig
from nat.observability.component import EXPORTER, PROCESSOR, ComponentKind
from nat.observability.registry import Registration, components, install_command, resolve

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/reference/settings.md"

_BACKENDS = ROOT / "docs/backends"
_GUIDES = {
    "content": "privacy",
    "filter": "sampling",
    "sample": "sampling",
    "redact": "privacy",
    "enrich": "enrich",
    "route": "route",
}
_HEAD = """\
# Every setting

What an entry of each type takes, in the workflow file and in Python. Written by `tools/settings_page.py` from the configuration
classes; change those, not this page. `nat info exporter TYPE` and `nat info processor TYPE` say the same of what is installed,
yours included. The file around these entries is on [another page](configuration.md).

`tls.ca_file` is the key `ca_file` in the mapping `tls`; `fields[].path` the key `path` of each mapping in the list `fields`,
and `models.*.input` the key `input` of each mapping in `models`, under names of your own.
A time without a unit is in seconds.
"""


def text() -> str:
    """The page."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    yield "## Exporters\n"
    yield from _components(EXPORTER)
    yield "## Every exporter's entry\n"
    yield "Beside `_type` and the keys of its type, an entry under `general.telemetry.tracing` takes:\n"
    yield from _keys(EXPORTER_KEYS)
    yield "## Processors\n"
    yield from _components(PROCESSOR)
    yield "## Every processor's entry\n"
    yield "Beside `_type` and the keys of its type, an item of `processors` takes:\n"
    yield from _keys(PROCESSOR_KEYS)
    yield "## Delivery\n"
    yield (
        "The mapping `delivery`, of one exporter or under `general.telemetry` for all. [Delivery](../explain/delivery.md) says "
        "what it is for. `intake` is for all exporters together, and stands under `general.telemetry` only.\n"
    )
    yield from _table(with_nested(settings_of(DeliveryConfig)))


def _components(kind: ComponentKind) -> Iterator[str]:
    for type_name in sorted(
        one.type for one in components() if one.kind == kind.name and one.package.startswith("nat-")
    ):
        yield from _component(resolve(type_name, kind))


def _component(registration: Registration) -> Iterator[str]:
    type_name = registration.type_name
    yield f"### {type_name}\n"
    pages = [(_BACKENDS / f"{type_name}.md", f"../backends/{type_name}.md")]
    if type_name in _GUIDES:
        pages = [(ROOT / f"docs/guide/{_GUIDES[type_name]}.md", f"../guide/{_GUIDES[type_name]}.md")]
    more = "".join(f" [More]({link})." for page, link in pages if page.exists())
    command = install_command(type_name) if registration.kind is EXPORTER else None
    install = f" `{command}`." if command else ""
    yield f"{registration.description}{install}{more}\n"
    yield from _table(with_nested(settings_of(registration.config_type)))


def _keys(keys: Mapping[str, str]) -> Iterator[str]:
    yield "| key | value |\n|---|---|"
    yield from (f"| `{key}` | {_cell(meaning)} |" for key, meaning in keys.items())
    yield ""


def _table(settings: Iterable[Setting]) -> Iterator[str]:
    yield "| key | takes | unless written | meaning |\n|---|---|---|---|"
    for setting in settings:
        yield f"| `{setting.key}` | {_cell(setting.kind)} | {_cell(_default(setting))} | {_cell(setting.meaning)} |"
    yield ""


def _default(setting: Setting) -> str:
    if setting.default is None:
        return "(required)"
    is_mapping_of_rows = setting.default.startswith("{") and setting.default != "{}"
    return "as below" if is_mapping_of_rows else f"`{setting.default}`"


def _cell(words: str) -> str:
    plain = words.replace(" | ", ", ").replace("|", "\\|").split("`")  # every second part is code
    return "`".join(part if index % 2 else part.replace("*", "\\*") for index, part in enumerate(plain))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write docs/reference/settings.md from the configuration classes.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is out of date")
    options = parser.parse_args(arguments)
    page = text().rstrip("\n") + "\n"
    if not options.check:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is out of date; run: uv run tools/settings_page.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
