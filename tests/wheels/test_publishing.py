"""The guide to publishing an exporter: its terminal session, from wheels, in an empty directory and a clean environment."""

import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.docs import markdown, shown
from tests.wheels.clean import CleanEnvironment, Once, install_into, run_alone
from tools import environments

_PAGE = markdown.ROOT / "docs/guide/publish-an-exporter.md"
_PORT = "8080"  # on the page
_EDITED = Path("nat-acme/src/nat_acme/exporter.py")
_WAIT_S = 900.0
_BEGIN, _END = "\x01", "\x02"


@pytest.fixture(scope="module")
def with_pip(once: Once) -> CleanEnvironment:
    """An environment with nothing but pip, as `python -m venv` makes it."""
    return CleanEnvironment(once("with_pip", lambda path: install_into(path, ["pip"], [])))


@pytest.fixture
def port() -> str:
    """A free port, for what the page has at another one."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return str(unused.getsockname()[1])


@pytest.mark.timeout(_WAIT_S)
@pytest.mark.parametrize("page", [_PAGE], ids=lambda page: page.stem)
def test_an_exporter_is_published_as_the_guide_shows(
    page: Path, with_pip: CleanEnvironment, dist: Path, port: str, tmp_path: Path
) -> None:
    """Every command of the page, one after the other, prints what is shown there; pip finds nothing but wheels on disk."""
    (tmp_path / "session").mkdir()
    session = list(_session(page, port, tmp_path))
    wheels = f"{environments.installed('wheels').wheelhouse} {dist}"
    environment = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": wheels,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "COLUMNS": "100",
    }
    script = tmp_path / "session.sh"
    script.write_text(_script(session, environment, with_pip), encoding="utf-8")

    done = run_alone(["bash", str(script)], cwd=tmp_path / "session", timeout_s=_WAIT_S)

    said = re.findall(f"{_BEGIN}(.*?){_END}(\\d+)\n", done.stdout, re.DOTALL)
    for (command, expected), (printed, code) in zip(session, said, strict=False):
        assert code == "0", f"$ {command}\nended with {code}\n{printed}"
        assert shown.is_as_shown(_settled(printed), expected), (
            f"$ {command}\nprinted\n{printed}\ninstead of\n{expected}"
        )
    assert len(said) == len(session), done.stdout[-2000:] + done.stderr


def _session(page: Path, port: str, folder: Path) -> Iterator[tuple[str, str]]:
    """The commands of the page with what they print; what it says to edit is a command, too."""
    for block in markdown.blocks(page):
        text = block.text.replace(_PORT, port)
        if block.language == "console":
            yield from shown.commands(text)
        elif block.file is not None:
            (folder / "session" / block.file).write_text(text, encoding="utf-8")
        elif block.language == "python":
            edit = folder / "edit.py"
            edit.write_text(_EDIT.format(source=dedent(text), file=str(folder / "session" / _EDITED)), encoding="utf-8")
            yield f"python {edit}", ""


def _script(session: list[tuple[str, str]], environment: dict[str, str], clean: CleanEnvironment) -> str:
    """The commands in one shell, each with its beginning, its end and its exit code marked."""
    python = Path(sys.base_prefix) / "bin"
    lines = ["exec 2>&1", "trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    lines += [f"export {name}='{value}'" for name, value in environment.items()]
    lines.append(f"export VIRTUAL_ENV='{clean.path}' PATH='{clean.path / 'bin'}':\"$PATH\":'{python}'")
    for command, _ in session:
        lines += [f"printf '{_BEGIN}'", command, f"printf '{_END}%d\\n' $?"]
    return "\n".join(lines) + "\n"


def _settled(printed: str) -> str:
    """Without what a slow machine says: how long a first import has taken."""
    return re.sub(r"^WARNING .* event loop has been blocked .*\n", "", printed, flags=re.MULTILINE)


_EDIT = '''\
"""Put a function in the place of the one of its name."""

import ast
from pathlib import Path
from textwrap import indent

file = Path({file!r})
source = {source!r}
name = ast.parse(source).body[0].name
text = file.read_text()
(old,) = [node for node in ast.walk(ast.parse(text)) if getattr(node, "name", None) == name]
lines = text.splitlines(keepends=True)
lines[old.lineno - 1 : old.end_lineno] = [indent(source, " " * old.col_offset)]
file.write_text("".join(lines))
'''
