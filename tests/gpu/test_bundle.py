"""A bundle runs from another folder, with nothing of ours outside of it."""

import json
import os
import re
import shutil
import subprocess

import pytest

from gpu import bundle_nets
from project import ROOT

GLIBC = ("libc", "libm", "libmvec", "libdl", "libpthread", "librt", "libresolv",
         "ld-linux-x86-64", "linux-vdso")
CUDA = ("libcublas", "libcublasLt", "libcurand", "libcudart")
NEWEST_GLIBC = (2, 36)


@pytest.fixture(scope="module")
def moved(bundle, tmp_path_factory):
    """A copy of the bundle, unpacked somewhere else."""
    folder = tmp_path_factory.mktemp("some where")
    subprocess.run(["tar", "xf", f"{bundle}.tar.xz", "-C", folder], check=True)
    return folder / bundle.name


def test_archive_is_small(bundle):
    assert os.path.getsize(f"{bundle}.tar.xz") < 60e6


def test_uses_only_its_own_libraries_and_cudas(moved):
    """As the loader finds them, with CUDA's folder as the launcher adds it."""
    cuda = re.search(
        r"^CUDA_TOOLKIT_ROOT_DIR:.*=(.*)$",
        (ROOT / "build/caffe-bundle/build/CMakeCache.txt").read_text(),
        re.M)[1]
    for program in (moved / "caffe" / "bin").iterdir():
        listed = subprocess.run(
            ["ldd", program], check=True, text=True, capture_output=True,
            env={"PATH": os.environ["PATH"],
                 "LD_LIBRARY_PATH": f"{cuda}/lib64"}).stdout
        assert "not found" not in listed
        found = re.findall(r"^\s*(\S+) => (.+) \(0x", listed, re.M)
        assert any(name.startswith("libopenblas") for name, _ in found)
        for name, path in found:
            stem = name.split(".so")[0]
            if stem in GLIBC or stem in CUDA:
                continue
            assert str(moved) in os.path.realpath(path), (name, path)


def test_needs_no_newer_glibc(moved):
    files = [path for path in moved.rglob("*") if path.is_file() and
             path.read_bytes()[:4] == b"\x7fELF"]
    assert len(files) > 10
    for path in files:
        symbols = subprocess.run(["readelf", "-V", path], check=True, text=True,
                                 capture_output=True).stdout
        for version in re.findall(r"GLIBC_([\d.]+)", symbols):
            numbers = tuple(map(int, version.split(".")))
            assert numbers <= NEWEST_GLIBC, (path, version)


def test_trains_without_python_layers(moved):
    case = bundle_nets.timed_case(
        moved, "small", "mnist/", bundle_nets.perceptron_inputs, (0.5,),
        hidden=(64, 64), batch_size=8, tile_size=4)
    for run in case["runs"]:
        if run["stock"]:
            continue
        done = subprocess.run(
            [moved / "bin/step_times", f"--solver={run['solver']}",
             f"--inputs={case['inputs']}"], cwd=moved, input="1\n30\n",
            check=True, text=True, capture_output=True,
            env={"PATH": os.environ["PATH"]}).stdout
        first, last = [float(line.split()[-1])
                       for line in done.strip().splitlines()]
        assert last < first - 0.5, done


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None,
                    reason="there may be a GPU")
def test_says_that_there_is_no_gpu(moved):
    (moved / "cases.json").write_text(json.dumps(
        {"commit": "1234", "data": {}, "steps": [], "trainings": []}))
    done = subprocess.run([moved / "gpu_check.sh", "--output", moved / "out"],
                          check=False, text=True, capture_output=True)
    assert done.returncode == 1
    assert "Caffe finds no GPU that it can use" in done.stdout
    report = json.loads((moved / "out/gpu_check.json").read_text())
    assert report["device"] is None and report["failures"]
