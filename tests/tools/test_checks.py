"""The checks of the tree find what they are for."""

import zipfile
from pathlib import Path

from tools import check_mentions, check_namespace
from tools.readme_command import commands


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_stray_init_is_found_in_the_tree(tmp_path: Path) -> None:
    source = "packages/one/src/nat"
    write(tmp_path, f"{source}/__init__.py", f"{source}/plugins/__init__.py", f"{source}/plugins/one/__init__.py")
    write(tmp_path, f"{source}/plugins/one/py.typed", f"{source}/plugins/one/__pycache__/__init__.cpython-311.pyc")

    assert check_namespace.problems_in_tree(tmp_path) == [
        "packages/one/src/nat/__init__.py: hides what other distributions install in nat; remove it",
        "packages/one/src/nat/plugins/__init__.py: hides what other distributions install in nat/plugins; remove it",
    ]


def test_untyped_and_open_packages_are_found_in_wheels(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("nat/lone.py", "")
        wheel.writestr("nat/plugins/two/module.py", "")

    assert check_namespace.problems_in_wheels(tmp_path) == [
        "two-1-py3-none-any.whl: nat/lone.py: a module in the namespace has no place for py.typed; make it a package",
        "two-1-py3-none-any.whl: nat/plugins/two: has no __init__.py, so others could write into it; add one",
        "two-1-py3-none-any.whl: nat/plugins/two: has no py.typed, so type checkers ignore its annotations; add one",
    ]


def test_folder_without_wheels_is_a_problem(tmp_path: Path) -> None:
    assert check_namespace.problems_in_wheels(tmp_path) == [f"{tmp_path}: holds no wheel"]


def test_paths_of_a_machine_and_indexes_are_found() -> None:
    machine, setting = "root", "index-url"
    text = f"see /{machine}/project\nsee docs/{machine}/flow, ~/{machine}/x, ${{HOME}}/{machine}/x\n{setting} = 'x'\n"

    assert list(check_mentions.problems_in(text, is_lock=False)) == [
        f"1: absolute path of a machine: /{machine}/",
        f"3: names a package index: {setting} =",
    ]


def test_locks_name_only_the_public_index() -> None:
    public, mirror = sorted(check_mentions.PUBLIC_INDEX)[0], "mirror.example.com"
    text = f'url = "https://{public}/x.whl"\nurl = "https://{mirror}/x.whl"\n'

    assert list(check_mentions.problems_in(text, is_lock=True)) == [
        "2: locked from mirror.example.com, not from the public index; lock without a mirror"
    ]


def test_commands_of_a_readme_are_its_shell_blocks() -> None:
    markdown = "# A\n```sh\nfirst && \\\n  more\n```\n```python\nno = 1\n```\n```console\n$ second\n```\n"

    assert commands(markdown) == ["first && \\\n  more", "second"]
