"""What tests share; pyproject.toml has the paths."""

import os
import pathlib
import shutil
import signal
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHONPATH = os.pathsep.join(
    str(ROOT / folder) for folder in (
        "tests", "scripts", "python_layers", "build/caffe/python"))
CAFFE_CPU_TESTS = 1162  # of Caffe's own
NVCC = shutil.which("nvcc") or shutil.which(
    "nvcc", path=os.environ.get("CUDA_HOME", "/usr/local/cuda") + "/bin")

# As build/bin/caffe does: threads that wait leave the cores to others.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

# Tests stop programs as users do. What a shell has put into the background, or
# nohup has started, would ignore that, and hand it on to these programs.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items):
    """Marks the tests that the bundle must be built for."""
    for item in items:
        if "bundle" in item.fixturenames:
            item.add_marker("bundle")


@pytest.fixture(autouse=True)
def environment():
    """What a program sets in its environment ends with the test that ran it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def bundle():
    """The folder of a bundle's programs, the CUDA build of all tests. One
    architecture is built, to save time."""
    if NVCC is None:
        pytest.skip("no nvcc on this machine")
    done = subprocess.run(
        [ROOT / "scripts/gpu/make_bundle.sh", "--programs"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        env={**os.environ, "CUDA_ARCH": "90"})
    assert done.returncode == 0, done.stdout[-8000:]
    return ROOT / "build" / "approx-dropout-caffe-programs"
