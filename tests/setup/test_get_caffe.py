"""setup/get_caffe.sh: CAFFE_SRC in its three forms, and what it refuses.

The clone and Debian's package need the network; the build that precedes the
tests has used one of them.
"""

import os
import shutil
import subprocess
import tarfile

import pytest

from project import ROOT

TREE = ROOT / "build" / "caffe.orig"


@pytest.fixture
def checkout(tmp_path):
    """A clone of this project's scripts and patches, with nothing built."""
    folder = tmp_path / "project"
    for name in ("scripts", "caffe_patches"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture
def tree(tmp_path):
    """Caffe's unchanged sources, to be damaged."""
    shutil.copytree(TREE, tmp_path / "caffe")
    (tmp_path / "caffe" / ".verified").unlink()
    return tmp_path / "caffe"


def get(checkout, source):
    done = subprocess.run(
        [checkout / "scripts/setup/get_caffe.sh"], capture_output=True,
        text=True, check=False, env={**os.environ, "CAFFE_SRC": str(source)})
    return done.returncode, done.stdout + done.stderr


def taken(checkout):
    return (checkout / "build" / "caffe.orig" / "src" / "caffe" /
            "net.cpp").exists()


def test_takes_a_tree(checkout, tree):
    assert get(checkout, tree)[0] == 0 and taken(checkout)
    # The second run does nothing, whatever CAFFE_SRC says.
    assert get(checkout, "/nonexistent") == (0, "")


def test_in_a_shell_with_a_search_path_for_folders(
        checkout, tree, monkeypatch):
    """There `cd` prints where it went."""
    monkeypatch.setenv("CDPATH", f".:{checkout}")
    monkeypatch.chdir(checkout)
    assert get(checkout, tree)[0] == 0 and taken(checkout)


def test_takes_an_archive(checkout, tree, tmp_path):
    archive = tmp_path / "caffe.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tree, "caffe-99bd997")
    assert get(checkout, archive)[0] == 0 and taken(checkout)


@pytest.mark.parametrize("damage", ["changed", "removed", "added"])
def test_refuses_other_sources(checkout, tree, damage):
    path = tree / "src" / "caffe" / "net.cpp"
    if damage == "changed":
        path.write_text(path.read_text() + "\n")
    elif damage == "removed":
        path.unlink()
    else:
        path.with_name("net2.cpp").write_text("")
    status, output = get(checkout, tree)
    assert status == 1 and "is not Caffe at commit 99bd997" in output
    assert str(tree) in output and not taken(checkout)


def test_refuses_another_folder(checkout, tmp_path):
    (tmp_path / "other").mkdir()
    status, output = get(checkout, tmp_path / "other")
    assert status == 1 and "is not Caffe's source tree: no CMake" in output


def test_refuses_a_path_that_is_not_there(checkout, tmp_path):
    status, output = get(checkout, tmp_path / "nothing")
    assert status == 1 and "neither a folder nor a file" in output
