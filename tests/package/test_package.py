"""python_layers as a package that pip installs."""

import os
import re
import shutil
import subprocess
import sys

import pytest

import approx_dropout
from project import ROOT


def run(*command, **environment):
    return subprocess.run(
        [*map(str, command)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that pip installed the package into; no network is asked."""
    folder = tmp_path_factory.mktemp("package")
    for module in ("pip", "setuptools", "wheel"):
        if run(sys.executable, "-c", f"import {module}").returncode:
            pytest.skip(f"{sys.executable} has no {module}")
    source = folder / "python_layers"  # setuptools builds where the source is
    shutil.copytree(ROOT / "python_layers", source)
    done = run(
        sys.executable, "-m", "pip", "install", "--no-index", "--no-deps",
        "--no-build-isolation", "--target", folder / "site", source,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def program(site, *arguments):
    """The installed program, where there is no Caffe."""
    return run(
        site / "bin" / "approx-dropout", *arguments, PYTHONPATH=str(site)
    )


def test_program_searches(installed):
    done = program(installed, "search", "--rate", "0.7")
    assert (done.returncode, done.stderr) == (0, "")
    assert "achieved drop rate 0.69997" in done.stdout
    module = run(
        sys.executable, "-m", "approx_dropout", "search", "--rate", "0.7",
        PYTHONPATH=str(installed),
    )  # fmt: skip
    assert module.stdout == done.stdout


def test_every_module_is_installed(installed):
    files = (ROOT / "python_layers" / "approx_dropout").glob("*.py")
    for file in files:
        assert (installed / "approx_dropout" / file.name).exists(), file.name


def test_help_lists_the_commands(installed):
    done = program(installed, "--help")
    for command in ("search", "convert", "inspect", "log"):
        assert re.search(rf"^ +{command} ", done.stdout, re.M)
        assert program(installed, command, "--help").returncode == 0


def test_metadata(installed):
    (folder,) = installed.glob("*.dist-info")
    text = (folder / "METADATA").read_text()
    assert f"\nVersion: {approx_dropout.__version__}\n" in text
    needed = re.findall(r"^Requires-Dist: (.*)$", text, re.M)
    assert [name.replace(" ", "").replace("'", '"') for name in needed] == [
        "numpy",
        "protobuf",
        'h5py;extra=="hdf5"',
        'matplotlib;extra=="pictures"',
    ]
    assert "# approx-dropout" in text  # README.md is the description


def test_without_caffe_it_says_so_in_a_line(installed, tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text('layer { name: "x" type: "Input" top: "x" }')
    for command in ("convert", "inspect"):
        done = program(installed, command, net)
        assert done.returncode == 1 and done.stdout == ""
        assert re.fullmatch(
            r"approx-dropout: caffe.proto.caffe_pb2 cannot be imported .*; "
            r"run make, and put .*\n",
            done.stderr,
        )
