"""Each backend's page says what every key of its exporter means, and its default."""

import json
import re
from pathlib import Path

import pytest

from nat.observability.registry import resolve
from tests.docs.markdown import ROOT

PAGES = [ROOT / f"docs/backends/{name}.md" for name in ("catalyst", "phoenix", "weave")]
_ROW = re.compile(r"^\| `(\w+)` \| (.+?) \|", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_settings_of_a_page_are_those_of_the_exporter(page: Path) -> None:
    config = resolve(page.stem).config_type
    section = page.read_text(encoding="utf-8").partition("## Settings")[2].partition("\n## ")[0]

    rows = dict(_ROW.findall(section))

    assert sorted(rows) == sorted(config.keys())
    for key, field in zip(config.keys(), config.model_fields.values(), strict=True):
        is_in_words = not rows[key].startswith("`")
        assert is_in_words or rows[key] == _shown(field.get_default(call_default_factory=True))


def _shown(default: object) -> str:
    """A default as YAML has it."""
    return f"`{json.dumps(default) if default is None or isinstance(default, bool) else default}`"
