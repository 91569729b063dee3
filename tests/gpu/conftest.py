"""What the tests of the emulated device and of the check share."""

import os
import subprocess

import pytest

import gpu_bundle
from conftest import ROOT

# With SANITIZE=1 the host's code is under AddressSanitizer and UBSan.
SANITIZED = os.environ.get("SANITIZE") == "1"
FLAVOUR = "emulate-sanitize" if SANITIZED else "emulate"
if SANITIZED:  # Caffe's own tests leak
    leaks = ROOT / "scripts/setup/leaks.txt"
    os.environ["LSAN_OPTIONS"] = f"suppressions={leaks}:print_suppressions=0"


@pytest.fixture(scope="session")
def emulated():
    """The folder of patched Caffe on the emulated device."""
    subprocess.run([ROOT / "scripts/setup/build_caffe.sh", f"--{FLAVOUR}"],
                   check=True)
    return ROOT / f"build/caffe-{FLAVOUR}" / "build"


@pytest.fixture
def cpu_bundle(tmp_path):
    """A bundle made of the CPU build, without cases. Not `bundle`: tests of
    that name's fixture need nvcc, and `make test` leaves them out."""
    return gpu_bundle.make_bundle(tmp_path)
