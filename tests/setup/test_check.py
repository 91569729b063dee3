"""make check: with and without the linters, and what it finds."""

import os
import subprocess

import pytest

from project import ROOT

LINTERS = ("ruff", "shellcheck")


@pytest.fixture
def programs(tmp_path):
    """A folder to be PATH: what the script calls but for the linters."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("bash", "dirname", "env", "find", "sort", "xargs"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    return folder


def check(programs):
    done = subprocess.run(
        [ROOT / "scripts/setup/check.sh"],
        env={**os.environ, "PATH": str(programs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def put_linter(programs, name, status):
    path = programs / name
    path.write_text(f"#!/bin/sh\necho {name} was given $*\nexit {status}\n")
    path.chmod(0o755)


def test_says_which_linter_is_missing(programs):
    status, said = check(programs)
    assert status == 0
    assert [f"no {name} on PATH" in said for name in LINTERS] == [True, True]


@pytest.mark.parametrize("name", LINTERS)
def test_fails_with_a_linter(programs, name):
    for each in LINTERS:
        put_linter(programs, each, status=int(each == name))
    status, said = check(programs)
    assert status == 1
    assert [f"{each} was given" in said for each in LINTERS] == [True, True]
    assert "scripts/setup/build_caffe.sh" in said


@pytest.mark.parametrize(
    "printed, status",
    [("no modified files to format", 0), ("-int  x;\n+int x;", 1)],
)
def test_fails_where_clang_format_would_change_a_line(
    programs, printed, status
):
    put_linter(programs, "git-clang-format", 0)
    git = programs / "git"
    git.write_text(f"#!/bin/sh\ncat <<'END'\n{printed}\nEND\n")
    git.chmod(0o755)
    (programs / "cat").symlink_to("/usr/bin/cat")
    result, said = check(programs)
    assert result == status
    assert (printed in said) == bool(status)
