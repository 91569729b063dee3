"""What the tests of the emulated device share."""

import os
import subprocess

import pytest

from conftest import ROOT

# With SANITIZE=1 the host's code is under AddressSanitizer and UBSan.
SANITIZED = os.environ.get("SANITIZE") == "1"
FLAVOUR = "emulate-sanitize" if SANITIZED else "emulate"


@pytest.fixture(scope="session")
def emulated():
    """The folder of patched Caffe on the emulated device."""
    subprocess.run([ROOT / "scripts/setup/build_caffe.sh", f"--{FLAVOUR}"],
                   check=True)
    return ROOT / f"build/caffe-{FLAVOUR}" / "build"
