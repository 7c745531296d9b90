"""The page of this @noun@ names every setting."""

from pathlib import Path

from nat_acme.register import AcmeConfig


def test_every_setting_is_documented() -> None:
    page = Path(__file__).parents[1] / "docs" / "acme.md"
    text = page.read_text(encoding="utf-8")

    keys = AcmeConfig.keys()
    missing = [key for key in keys if f"| `{key}` |" not in text]

    assert missing == []
