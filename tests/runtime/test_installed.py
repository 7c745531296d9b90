"""What is installed, told as `importlib.metadata` tells it and without importing that."""

import importlib.metadata
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nat.utils.installed import Metadata, distributions, entry_points, find, name_and_version
from tests.runtime.conftest import AddDistribution


def told(found: Iterator[Metadata]) -> dict[str, tuple[str, list[tuple[str, str, str]]]]:
    """Version and entry points by name."""
    return {
        name: (version, sorted(entry_points(one.read_text("entry_points.txt") or "")))
        for one in found
        for name, version in [name_and_version(one)]
    }


def put_into_zip(path: Path, name: str, version: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-{version}.dist-info/METADATA", f"Name: {name}\nVersion: {version}\n")
        archive.writestr(f"{name}-{version}.dist-info/entry_points.txt", "[nat.components]\nzipped = zipped.register\n")


def test_it_says_of_everything_here_what_importlib_metadata_says() -> None:
    expected = {
        one.name: (one.version, sorted((point.group, point.name, point.value) for point in one.entry_points))
        for one in importlib.metadata.distributions()
    }

    found = told(distributions())

    assert found == expected
    assert found["nat-telemetry-file"][1] == [("nat.components", "file", "nat.plugins.file.register")]


@pytest.mark.parametrize("spelled", ["acme-sink_x", "Acme.Sink-X", "acme_sink_x"])
def test_a_name_is_found_however_it_is_spelled(add_distribution: AddDistribution, spelled: str) -> None:
    add_distribution("acme-sink-x", "", {}, version="2.0rc1")

    found = find("not-there", spelled)

    assert found is not None
    assert name_and_version(found) == ("acme-sink-x", "2.0rc1")
    assert find("acme-sink") is None


def test_metadata_of_the_old_kind_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "old_one.egg-info"
    folder.mkdir()
    (folder / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: old-one\nVersion: 0.1\n\nName: not this\n")
    monkeypatch.syspath_prepend(tmp_path)

    found = find("old-one")

    assert found is not None
    assert name_and_version(found) == ("old-one", "0.1")


def test_a_zip_file_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_into_zip(tmp_path / "app.zip", "zipped", "3.1")
    monkeypatch.syspath_prepend(tmp_path / "app.zip")

    found = find("zipped")

    assert found is not None
    assert name_and_version(found) == ("zipped", "3.1")
    assert told(distributions())["zipped"] == ("3.1", [("nat.components", "zipped", "zipped.register")])
    assert find("not-there") is None


def test_a_finder_of_somebody_else_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_into_zip(tmp_path / "bundle.zip", "bundled", "1.0")

    class Finder:
        """Knows a distribution that is nowhere on `sys.path`."""

        @staticmethod
        def find_spec(*_: Any) -> None:
            return None

        @staticmethod
        def find_distributions(context: importlib.metadata.DistributionFinder.Context) -> Any:
            place = importlib.metadata.DistributionFinder.Context(
                name=context.name, path=[str(tmp_path / "bundle.zip")]
            )
            return importlib.metadata.MetadataPathFinder.find_distributions(place)

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])

    assert find("bundled") is not None
    assert told(distributions())["bundled"][0] == "1.0"


def test_what_is_no_entry_point_is_said() -> None:
    text = "\n# a comment\n[nat.components]\n one = a.b : c [extra]\n\n[other]\ntwo=d\n"

    assert entry_points(text) == [("nat.components", "one", "a.b : c [extra]"), ("other", "two", "d")]
    with pytest.raises(ValueError, match="line 'three' is not `name = value`"):
        entry_points(f"{text}three\n")
