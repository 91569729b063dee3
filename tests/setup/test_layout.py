"""What scripts/ promises: programs find each other without edits of sys.path,
and its folders use only those below them."""

import ast
import os

from project import ROOT

# Each uses those before it; a row's own do not use each other.
FLOORS = (
    ("project",),
    ("nets",),
    ("data",),
    ("training",),
    ("reports",),
    ("measure",),
    ("gpu", "distributed"),
    ("paper",),
)


def sources(folder):
    return [
        path
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.is_relative_to(ROOT / "scripts/approx_dropout")
    ]


def nodes(path):
    return ast.walk(ast.parse(path.read_text()))


def is_sys_path(node):
    if isinstance(node, ast.ImportFrom):
        names = {alias.name for alias in node.names}
        return node.module == "sys" and "path" in names
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "path"
        and isinstance(node.value, ast.Name)
        and node.value.id == "sys"
    )


def test_nothing_touches_sys_path():
    files = sources("scripts") + sources("tests")
    assert len(files) > 80
    for path in files:
        assert not any(map(is_sys_path, nodes(path))), path
    assert "sys.path" not in (ROOT / "scripts/paper/Snakefile").read_text()


def imported_folders(path):
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def test_folders_use_those_below():
    below = set()
    everything = {folder for floor in FLOORS for folder in floor}
    for floor in FLOORS:
        for folder in floor:
            files = sources(f"scripts/{folder}")
            for path in files or [ROOT / f"scripts/{folder}.py"]:
                used = {*imported_folders(path)} & everything - {folder}
                assert used <= below, f"{path} uses {used - below}"
        below |= {*floor}
    packages = (ROOT / "scripts").glob("*/__init__.py")
    found = {path.parent.name for path in packages}
    assert found - {"approx_dropout", "setup"} == everything - {"project"}


def test_programs_can_be_started():
    """The documents type scripts/NAME.py; those that are imported only, as
    project.py, have no first line for the shell."""
    programs = [
        path
        for path in (ROOT / "scripts").iterdir()
        if path.is_file() and path.read_bytes().startswith(b"#!")
    ]
    assert len(programs) > 15
    for path in programs:
        assert os.access(path, os.X_OK), path
