"""`nat exporter new`: what it writes is green at once, and what it refuses it explains."""

import os
import pty
import subprocess
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from nat.cli.main import cli
from tests.cli.command import NAT
from tests.testing.packages import install, run_in

KINDS = ("raw", "span", "otlp", "processor")
_WAIT_S = 600

New = Callable[..., Result]


@pytest.fixture
def new(tmp_path: Path) -> New:
    """Run `nat exporter new` for a package below the test's folder."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["exporter", "new", *arguments, "--into", str(tmp_path)], prog_name="nat")

    return run


def run(folder: Path, program: str, *arguments: str) -> str:
    """Run a program in a package; it must succeed."""
    done = run_in(folder, program, *arguments)
    assert done.returncode == 0, f"{program} {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.timeout(_WAIT_S)
@pytest.mark.parametrize("kind", KINDS)
def test_the_tests_of_a_new_package_are_green(kind: str, new: New, tmp_path: Path) -> None:
    """From the first run on, and there are many of them."""
    assert new("acme", "--kind", kind).exit_code == 0
    install(tmp_path / "nat-acme")

    said = run(tmp_path / "nat-acme", "pytest", "-q", "-n0", "-p", "no:randomly", "-p", "no:asyncio")

    passed = int(said.rpartition(" passed")[0].split()[-1])
    assert passed >= 15
    run(tmp_path / "nat-acme", "nat", "validate", "--config_file", "example/workflow.yaml")


@pytest.mark.timeout(_WAIT_S)
def test_new_packages_are_typed(new: New, tmp_path: Path) -> None:
    """mypy, strict, as their own configuration says."""
    for kind in KINDS:
        assert new(f"acme-{kind}", "--kind", kind).exit_code == 0

    for kind in KINDS:
        folder = f"nat-acme-{kind}"
        places = [f"{folder}/src", f"{folder}/tests"]
        said = run(tmp_path, "mypy", "--config-file", f"{folder}/pyproject.toml", "--cache-dir", "cache", *places)
        assert "no issues found" in said
        assert (tmp_path / f"nat-acme-{kind}" / "src" / f"nat_acme_{kind}" / "py.typed").exists()


@pytest.mark.parametrize("name", ["a", "acme-cloud-of-many-word"])
@pytest.mark.parametrize("kind", KINDS)
def test_new_packages_are_tidy_whatever_their_name(kind: str, name: str, new: New, tmp_path: Path) -> None:
    """ruff finds nothing, and would format nothing; no word of a template is left."""
    assert new(name, "--kind", kind).exit_code == 0
    folder = tmp_path / f"nat-{name}"

    texts = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    for file in (".github/workflows/ci.yml", "example/workflow.yaml"):
        assert isinstance(yaml.safe_load(texts[folder / file]), dict)
    run(folder, "ruff", "check", "--no-cache")
    run(folder, "ruff", "format", "--no-cache", "--check")
    assert [path for path, text in texts.items() if name == "a" and "acme" in text.lower()] == []
    assert len(texts) >= 15


@pytest.mark.parametrize(
    ("licence", "spdx", "beginning"),
    [
        ("Apache-2.0", "Apache-2.0", "Apache License"),
        ("MIT", "MIT", "MIT License"),
        ("BSD-3-Clause", "BSD-3-Clause", "BSD 3-Clause License"),
        ("MPL-2.0", "MPL-2.0", "Mozilla Public License Version 2.0"),
        ("proprietary", "LicenseRef-Proprietary", "Copyright (c)"),
    ],
)
def test_licence_and_author_are_what_was_asked_for(
    licence: str, spdx: str, beginning: str, new: New, tmp_path: Path
) -> None:
    assert new("acme", "--license", licence, "--author", 'Ada "L" Lovelace <ada@example.org>').exit_code == 0
    project = tomllib.loads((tmp_path / "nat-acme/pyproject.toml").read_text())["project"]
    text = (tmp_path / "nat-acme/LICENSE").read_text()

    assert project["license"] == spdx
    assert project["authors"] == [{"name": 'Ada "L" Lovelace', "email": "ada@example.org"}]
    assert text.lstrip().startswith(beginning)
    if licence not in ("Apache-2.0", "MPL-2.0"):
        assert f"{datetime.now(UTC).year}" in text
        assert 'Ada "L" Lovelace <ada@example.org>' in text


def test_without_a_word_the_author_is_who_git_says(new: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And without git, or with nothing said there, the authors of the package."""
    config = tmp_path / "gitconfig"
    config.write_text("[user]\nname = Grace Hopper\nemail = grace@example.org\n")
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_CONFIG_COUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))

    assert new("of-git").exit_code == 0
    monkeypatch.setenv("PATH", "")
    assert new("of-nobody").exit_code == 0

    authors = [
        tomllib.loads((tmp_path / name / "pyproject.toml").read_text())["project"]["authors"]
        for name in ("nat-of-git", "nat-of-nobody")
    ]
    assert authors == [
        [{"name": "Grace Hopper", "email": "grace@example.org"}],
        [{"name": "The authors of nat-of-nobody"}],
    ]


def test_the_entry_points_name_the_type(new: New, tmp_path: Path) -> None:
    """Dashes of a name are underscores of the type; what is printed says how to go on."""
    said = new("acme-cloud", "--kind", "raw").stdout
    project = tomllib.loads((tmp_path / "nat-acme-cloud/pyproject.toml").read_text())["project"]

    assert project["name"] == "nat-acme-cloud"
    assert project["entry-points"] == {
        "nat.components": {"acme_cloud": "nat_acme_cloud.register"},
        "nat.conformance": {"acme_cloud": "nat_acme_cloud.conformance:AcmeCloudConformance"},
    }
    assert 'pip install -e ".[test]"' in said
    assert "nat info exporter acme_cloud" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Acme"], "'Acme' is no name for a package, expected lower-case letters and digits, parts joined by - or _"),
        (["2fast"], "'2fast' is no name for a package"),
        (["a" * 25], "24 characters at most"),
        (["../acme"], "'../acme' is no name for a package"),
        (["acme-"], "'acme-' is no name for a package"),
        (["nat-acme"], "'nat-acme': the package's name gets nat- in front by itself; write 'acme'"),
        (["langfuse"], "'langfuse' is a type of nat-telemetry-langfuse; choose another name"),
        (["redact", "--kind", "processor"], "'redact' is a type of nat-telemetry-core; choose another name"),
        (["acme", "--author", "<ada>"], "'<ada>' is no author, expected a name, or a name and an address"),
        (["acme", "--kind", "sink"], "Invalid value for '--kind': 'sink' is not one of 'raw', 'span', 'otlp'"),
        (
            ["acme", "--license", "WTFPL"],
            "Invalid value for '--license': 'WTFPL' is not one of Apache-2.0, MIT, BSD-3-Clause",
        ),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], said: str, new: New, tmp_path: Path) -> None:
    """With a message, exit code 2, and nothing written."""
    result = new(*arguments)

    assert result.exit_code == 2
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(new: New, tmp_path: Path) -> None:
    (tmp_path / "nat-acme").mkdir()

    result = new("acme")

    assert result.exit_code == 2
    assert f"there is a 'nat-acme' in {str(tmp_path)!r} already; choose another name, or another" in result.stderr
    assert list((tmp_path / "nat-acme").iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="there is no pty")
def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    """For what no option says; an empty answer is the default."""
    leader, follower = pty.openpty()
    command = [NAT, "exporter", "new", "acme", "--author", "Ada"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=follower, stdout=follower, stderr=follower) as process:
        os.close(follower)
        os.write(leader, b"processor\n\n")
        shown = _read_all(leader)
    os.close(leader)

    assert process.returncode == 0, shown
    assert "Kind (raw, span, otlp, processor) [span]:" in shown
    assert "License (Apache-2.0, MIT, BSD-3-Clause, MPL-2.0, proprietary) [Apache-2.0]:" in shown
    assert "Author" not in shown
    assert (tmp_path / "nat-acme/src/nat_acme/processor.py").exists()


def _read_all(leader: int) -> str:
    said = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other end has gone
            return said.decode()
        if not part:
            return said.decode()
        said += part
