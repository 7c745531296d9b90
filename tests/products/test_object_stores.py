"""Parts of content in places that fsspec reaches: a server with the interface of S3, and one for FTP."""

import hashlib
import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.docs.markdown import ROOT
from tests.products.servers import program

IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(2000)
DIGEST = hashlib.sha256(IMAGE).hexdigest()
NAME = f"{DIGEST[:2]}/{DIGEST}.png"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was found where, and the folder of the FTP server."""
    folder = tmp_path_factory.mktemp("ftp")
    own = [str(ROOT), *map(str, ROOT.glob("packages/*/src")), sysconfig.get_path("purelib")]
    done = subprocess.run(
        [program("object-stores", "bin/python"), "-P", str(Path(__file__).with_name("store_content.py")), str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(own)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "folder": folder, "log": done.stderr}


def references(spans: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [one for span in spans for one in json.loads(span.get("nat.content.offloaded", "[]"))]


def test_an_object_is_written_once_and_named_by_every_span(stored: dict[str, Any]) -> None:
    """Through s3fs, as a whole."""
    found = references(stored["said"]["s3"])

    assert stored["objects"] == {f"bucket/traces/{NAME}": len(IMAGE)}
    assert [one["url"] for one in found] == [f"s3://bucket/traces/{NAME}"] * 3
    assert {(one["sha256"], one["size_bytes"], one["media_type"]) for one in found} == {(DIGEST, 2008, "image/png")}


def test_a_bucket_that_is_not_there_removes_the_parts(stored: dict[str, Any]) -> None:
    """Every span says so; the log does once."""
    assert stored["said"]["missing"] == [{"nat.content.lost_parts": 2}] * 3 + [{}]
    assert stored["log"].count("could not be stored") == 1


def test_a_file_is_moved_to_its_place_where_writing_takes_steps(stored: dict[str, Any]) -> None:
    """Through FTP; user and password are in no reference."""
    files = [path.relative_to(stored["folder"]).as_posix() for path in (stored["folder"] / "blobs").rglob("*.*")]

    assert files == [f"blobs/{NAME}"]
    assert (stored["folder"] / "blobs" / NAME).read_bytes() == IMAGE
    assert {one["url"] for one in references(stored["said"]["ftp"])} == {f"ftp://{stored['place']}/blobs/{NAME}"}
