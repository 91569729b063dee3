"""scripts/setup/install_dependencies.sh: its list, and systems without apt."""

import ast
import subprocess
import sys

from project import ROOT

SCRIPT = ROOT / "scripts/setup/install_dependencies.sh"
FOLDERS = ("scripts", "python_layers", "tests")
# Others: python3- and the name.
PACKAGES = {"google": "python3-protobuf", "PIL": "python3-pil"}
OURS_OR_OPTIONAL = {"approx_dropout", "caffe", "torch"}


def imported(path):
    """Top-level modules that a file imports, relative ones excepted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_every_imported_module_is_installed():
    files = [file for name in FOLDERS for file in (ROOT / name).rglob("*.py")]
    known = {part for file in files for part in (file.stem, file.parent.name)}
    known |= OURS_OR_OPTIONAL
    needed = {module for file in files for module in imported(file)}
    needed -= known | sys.stdlib_module_names
    listed = subprocess.run(
        [SCRIPT, "--list"], check=True, text=True, capture_output=True
    ).stdout.split()
    assert {"numpy", "jinja2"} <= needed
    for module in needed:
        assert PACKAGES.get(module, f"python3-{module}") in listed


def test_without_apt_it_says_what_must_be_there(tmp_path):
    done = subprocess.run(
        ["/bin/bash", SCRIPT], text=True, capture_output=True,
        env={"PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0
    assert "no apt-get" in done.stderr and " python3-numpy " in done.stderr
